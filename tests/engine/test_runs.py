"""Running jobs: every kind of graph, and what the log says of it."""

import asyncio
import json
from pathlib import Path

import pytest
from autopilot.v1 import job_pb2
from autopilot_server.config import Settings
from autopilot_server.engine import dispatcher
from autopilot_server.engine.values_reader import ValuesReader
from autopilot_server.jobs.job import CheckpointRef, JobErrorReason, RetryPolicy
from autopilot_server.jobs.states import JobState

from tests.engine.conftest import AT_ONCE, World
from tests.waiting import until


@pytest.fixture(autouse=True)
def engine(world: World) -> None:
    world.start()


@pytest.mark.parametrize("workflow", ["linear", "linear_sync"])
async def test_a_linear_graph(world: World, workflow: str) -> None:
    job = await world.run(workflow, {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    assert json.loads(job.output or "") == {"items": ["a", "b", "c"]}
    assert job.attempt == 1
    assert job.failed_attempts == 0
    assert job.progress.fraction == 1
    assert job.progress.completed_steps == 3
    assert job.progress.active_steps == ()
    assert world.kinds(job.job_id) == [
        "state_changed",
        "state_changed",
        "checkpoint_saved",
        "checkpoint_saved",
        *["step_started", "step_finished", "checkpoint_saved"] * 3,
        "state_changed",
    ]
    assert world.steps(job.job_id) == ["a", "b", "c"]
    saved = [e.checkpoint_saved for e in world.events(job.job_id) if e.HasField("checkpoint_saved")]
    assert [s.superstep for s in saved] == [-1, 0, 1, 2, 3]
    assert [list(s.next_steps) for s in saved] == [[], ["a"], ["b"], ["c"], []]
    assert saved[-1].checkpoint_id == job.checkpoint_id


async def test_progress_never_falls_and_learns_from_earlier_jobs(world: World) -> None:
    first = await world.run("linear", {"items": []})
    second = await world.run("linear", {"items": []})
    for job in (first, second):
        fractions = [event.progress.fraction for event in world.events(job.job_id)]
        assert fractions == sorted(fractions)
    finished = [e for e in world.events(second.job_id) if e.HasField("step_finished")]
    assert [e.progress.completed_steps for e in finished] == [1, 2, 3]
    assert [e.progress.estimated_total_steps for e in finished] == [3, 3, 3]
    assert finished[0].progress.fraction == pytest.approx(1 / 3)
    assert finished[0].progress.HasField("estimated_remaining")


async def test_nested_graphs_have_paths_and_their_own_tasks_are_no_steps(world: World) -> None:
    job = await world.run("nested", {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    steps = world.steps(job.job_id)
    assert sorted(steps) == sorted(
        [
            *["first", "child/one", "child/two", "by_hand", "by_hand/one", "by_hand/two"],
            *["by_hand_async", "by_hand_async/one", "by_hand_async/two"],
        ]
    )
    assert job.progress.completed_steps == len(steps)
    assert sorted(world.steps(job.job_id, "step_started")) == sorted(steps)


async def test_fan_out_with_send(world: World) -> None:
    job = await world.run("fan_out", {"items": [], "count": 20})
    assert sorted(map(str, world.output(job.job_id)["items"])) == sorted(map(str, ["plan", *range(20), "join"]))
    runs = [e.step_started.step_run_id for e in world.events(job.job_id) if e.HasField("step_started")]
    assert len(set(runs)) == 22


async def test_jumps_and_mixed_nodes(world: World) -> None:
    assert world.output((await world.run("jump", {"items": []})).job_id)["items"] == ["decide", "there"]
    assert world.output((await world.run("mixed", {"items": []})).job_id)["items"] == ["a", "late"]


async def test_the_functional_api(world: World) -> None:
    job = await world.run("functional", 4)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id) == 18
    assert sorted(world.steps(job.job_id)) == ["double", "double", "functional"]


async def test_the_step_limit(world: World) -> None:
    job = await world.run("endless", {"items": []}, step_limit=5, retry_policy=AT_ONCE)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.reason is JobErrorReason.STEP_LIMIT_REACHED
    assert job.attempt == 1
    assert world.steps(job.job_id).count("again") == 5


async def test_a_failure_is_told_with_its_step(world: World, tmp_path: Path) -> None:
    job = await world.run("failing", {"items": [], "folder": str(tmp_path)})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.reason is JobErrorReason.STEP_RAISED
    assert (job.error.step, job.error.message) == ("fail", "it is broken")
    assert job.error.exception_type.endswith("OddError")
    assert not job.error.traceback
    assert job.next_steps == ("fail",)
    (failed,) = [e.step_failed for e in world.events(job.job_id) if e.HasField("step_failed")]
    assert failed.step == "fail"
    assert failed.error.message == "it is broken"


async def test_retries_go_on_from_the_last_checkpoint(world: World, tmp_path: Path) -> None:
    job_id = await world.submit(
        "failing", {"items": [], "folder": str(tmp_path)}, retry_policy=RetryPolicy(max_attempts=3, initial_backoff=0)
    )
    job = await world.stopped(job_id)
    assert job.state is JobState.FAILED
    assert (job.attempt, job.failed_attempts) == (3, 3)
    assert (tmp_path / "trace").read_text().split() == ["before", "fail", "fail", "fail"]
    moves = [
        (e.state_changed.to, e.state_changed.error.reason) for e in world.events(job_id) if e.HasField("state_changed")
    ]
    assert [reason for state, reason in moves if state == job_pb2.JOB_STATE_PENDING] == [
        "",
        "STEP_RAISED",
        "STEP_RAISED",
    ]


async def test_an_input_that_the_graph_refuses_is_not_tried_again(world: World) -> None:
    job = await world.run("chat", {"messages": [5]}, retry_policy=AT_ONCE)
    assert job.state is JobState.FAILED
    assert (job.attempt, job.failed_attempts) == (1, 1)
    assert world.steps(job.job_id, "step_started") == []


async def test_langgraph_s_own_retries_are_one_step(world: World, tmp_path: Path) -> None:
    job = await world.run("third_time", {"items": [], "folder": str(tmp_path)})
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.steps(job.job_id) == ["third"]
    assert world.steps(job.job_id, "step_failed") == []


async def test_error_handlers(world: World) -> None:
    job = await world.run("handled", {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["handled"]
    assert world.steps(job.job_id, "step_failed") == ["fail"]
    assert world.steps(job.job_id) == ["fail/error_handler"]
    assert job.progress.completed_steps == 1
    assert world.registry.get("handled").descriptor.steps == ("fail",)


async def test_events_stay_small_whatever_a_workflow_says_and_does(world: World) -> None:
    job = await world.run("loud", {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.progress.message == "m" * 1024
    events = world.events(job.job_id)
    assert max(event.ByteSize() for event in events) < 5000
    assert any(set(event.progress.active_steps) == {"work", "work_too"} for event in events)
    assert ["work_too", "work"] in [list(e.checkpoint_saved.next_steps) for e in events]


async def test_a_step_that_leaves_its_subgraph_has_finished(world: World) -> None:
    job = await world.run("hands_off", {"items": []})
    assert world.output(job.job_id)["items"] == ["left", "other"]
    finished = [e.step_finished for e in world.events(job.job_id) if e.WhichOneof("kind") == "step_finished"]
    assert [step.step for step in finished] == ["agent/leave", "other"]
    assert json.loads(finished[0].update.json_text) == {"items": ["left"]}
    assert job.progress.completed_steps == 2


async def test_long_term_memory_is_there_for_every_kind_of_step(world: World) -> None:
    job = await world.run("remembers", {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["put", [["async", 2], ["sync", 1]]]


async def test_the_next_job_starts_when_a_place_is_free(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the poll, which is put off here beyond the test's patience."""
    await world.stop()
    monkeypatch.setattr(dispatcher, "POLL_SECONDS", 3600.0)
    world.settings = Settings(running_jobs=1)
    world.start()
    jobs = [await world.submit("linear", {"items": []}) for _ in range(5)]
    for job_id in jobs:
        assert (await world.stopped(job_id)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("count", [0, 1])
async def test_a_step_that_exits_fails_its_attempt_and_nothing_else(world: World, count: int) -> None:
    job = await world.run("exits", {"items": [], "count": count})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "SystemExit" in job.error.exception_type
    assert (await world.run("linear", {"items": []})).state is JobState.SUCCEEDED


@pytest.mark.parametrize("count", [0, 1])
async def test_a_state_that_would_not_be_restored_fails_the_step_that_writes_it(world: World, count: int) -> None:
    job = await world.run("unstorable", {"items": [], "count": count}, retry_policy=AT_ONCE)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.reason is JobErrorReason.STATE_INVALID
    assert job.error.step == "write"
    assert job.attempt == 1
    assert world.steps(job.job_id) == ["before"]
    assert world.steps(job.job_id, "step_failed") == ["write"]


async def test_an_output_over_the_limit(world: World) -> None:
    job = await world.run("huge_output", {"items": [], "count": world.settings.payload_bytes})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.reason is JobErrorReason.OUTPUT_INVALID
    (finished,) = [e.step_finished for e in world.events(job.job_id) if e.HasField("step_finished")]
    assert finished.update.omitted.size_bytes > world.settings.payload_bytes


async def test_context_reaches_steps_and_no_checkpoint(world: World) -> None:
    tone = "s3cr3t-tone"
    job = await world.run("with_context", {"items": []}, context=json.dumps({"tone": tone}))
    assert world.output(job.job_id)["items"] == [tone] * 3
    for row in world.store.checkpoint_history(job.spec.thread_id, None, before=None, limit=None):
        assert tone.encode() not in row.metadata


async def test_reports_are_limited_and_the_last_one_is_kept(world: World) -> None:
    job = await world.run("reporting", {"count": 2000})
    reports = [e.progress_reported for e in world.events(job.job_id) if e.HasField("progress_reported")]
    assert len(reports) < 1000
    assert reports[-1].data.json_text == '"the end"'
    assert len(reports) + sum(report.dropped for report in reports) == 2001
    first = reports[0]
    assert (first.step, first.message, first.fraction) == ("node", "number 0", 0.0)
    assert json.loads(first.data.json_text) == {"number": 0}


async def test_an_error_in_the_place_of_a_handled_one_is_not_taken_for_handled(world: World) -> None:
    job = await world.run("fails_again", {"items": []})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.step, job.error.message) == ("second", "second")


async def test_half_a_character_does_not_fail_a_job(world: World) -> None:
    tokens: list[str] = []
    world.doorbell.subscribe_tokens(lambda chunk: tokens.append(chunk.text))
    job = await world.run("halves", {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.progress.message == "said ?"
    assert world.output(job.job_id)["items"] == ["did ?"]
    assert "".join(tokens) == "told ?"


async def test_tokens_are_rung_and_not_stored(world: World) -> None:
    chunks = []
    world.doorbell.subscribe_tokens(chunks.append)
    job = await world.run("chat", {"messages": ["hi"]})
    assert job.state is JobState.SUCCEEDED, job.error
    assert "".join(chunk.text for chunk in chunks) == "one two three"
    assert {chunk.step for chunk in chunks} == {"answer"}
    assert "token_chunk" not in world.kinds(job.job_id)


async def test_a_thread_goes_on_with_its_next_job(world: World) -> None:
    first = await world.run("linear", {"items": ["x"]}, thread_id="shared")
    second = await world.run("linear", {"items": ["y"]}, thread_id="shared")
    assert world.output(second.job_id)["items"] == ["x", "a", "b", "c", "y", "a", "b", "c"]
    assert first.checkpoint_id != second.checkpoint_id


async def test_a_fork_goes_on_from_a_copy(world: World, tmp_path: Path) -> None:
    source = await world.run("failing", {"items": [], "folder": str(tmp_path)})
    fork = await world.run("failing", fork_from=CheckpointRef(source.job_id))
    assert fork.state is JobState.FAILED
    assert (tmp_path / "trace").read_text().split() == ["before", "fail", "fail"]
    assert fork.spec.thread_id != source.spec.thread_id


async def test_a_fork_of_an_earlier_checkpoint_runs_what_came_next_again(world: World, tmp_path: Path) -> None:
    source = await world.run("linear", {"items": [], "folder": str(tmp_path)})
    saved = world.store.checkpoints_list(source.job_id, limit=100, before=None)
    before_b = next(checkpoint for checkpoint in saved if checkpoint.next_steps == ("b",))
    fork = await world.run("linear", fork_from=CheckpointRef(source.job_id, before_b.checkpoint_id))
    assert world.output(fork.job_id)["items"] == ["a", "b", "c"]
    assert (tmp_path / "trace").read_text().split() == ["a", "b", "c", "b", "c"]
    assert world.steps(fork.job_id) == ["b", "c"]


async def test_a_fork_of_a_checkpoint_knows_nothing_of_an_edit_of_it(world: World, tmp_path: Path) -> None:
    source = await world.run("failing", {"items": [], "folder": str(tmp_path)})
    before_fail = source.checkpoint_id
    await world.resume(source.job_id, state_update='{"items": ["edited"]}', state_update_step="fail")
    assert (await world.stopped(source.job_id)).state is JobState.SUCCEEDED
    fork = await world.run("failing", fork_from=CheckpointRef(source.job_id, before_fail))
    assert fork.state is JobState.FAILED
    assert (tmp_path / "trace").read_text().split() == ["before", "fail", "fail"]


async def test_an_edit_that_a_reducer_refuses_leaves_nothing(world: World, tmp_path: Path) -> None:
    source = await world.run("failing", {"items": [], "folder": str(tmp_path)})
    await world.resume(source.job_id, state_update='{"items": 1}', state_update_step="fail")
    refused = await world.stopped(source.job_id)
    assert refused.state is JobState.FAILED
    assert refused.error is not None
    assert refused.error.reason is JobErrorReason.UPDATE_REFUSED
    pending = world.store.writes_get(source.spec.thread_id, "", source.checkpoint_id)
    assert [write.channel for write in pending] == ["__error__"]
    await world.resume(source.job_id)
    assert (await world.stopped(source.job_id)).state is JobState.FAILED
    assert (tmp_path / "trace").read_text().split() == ["before", "fail", "fail"]


async def test_many_jobs_at_once(world: World) -> None:
    jobs = [await world.submit("linear", {"items": [number]}) for number in range(100)]
    for number, job_id in enumerate(jobs):
        await world.stopped(job_id)
        assert world.output(job_id)["items"] == [number, "a", "b", "c"]


async def test_priority_then_time(world: World, tmp_path: Path) -> None:
    await world.stop()
    late = [await world.submit("linear", {"items": []}, priority=priority) for priority in (0, 5, 9, 5)]
    world.start()
    await asyncio.gather(*(world.stopped(job_id) for job_id in late))
    started = sorted(late, key=lambda job_id: (world.job(job_id).start_time, late.index(job_id)))
    assert world.job(late[2]).start_time <= world.job(late[1]).start_time <= world.job(late[3]).start_time
    assert started[-1] == late[0] or world.job(late[0]).start_time == world.job(late[3]).start_time


async def test_a_blocked_loop_is_blamed_on_its_step(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    await world.stop()
    world.settings = replace(world.settings, loop_stall_seconds=0.05)
    world.start()
    job_id = await world.submit("blocking", {"items": [], "folder": str(tmp_path)})
    await until(lambda: any("blocks" in record.getMessage() for record in caplog.records))
    (tmp_path / "go").touch()
    assert (await world.stopped(job_id)).state is JobState.SUCCEEDED


async def test_a_checkpoint_that_was_deleted_since_it_was_listed_has_no_values(world: World) -> None:
    job = await world.run("linear", {"items": []})
    reader = ValuesReader(store=world.store, registry=world.registry, serde=world.serde)
    values = await reader.read(job, [job.checkpoint_id, "deleted-since"])
    assert {key: json.loads(value) for key, value in values.items()} == {job.checkpoint_id: {"items": ["a", "b", "c"]}}


@pytest.mark.parametrize(("tries", "attempts"), [(1, 1), (2, 1), (3, 2)])
async def test_a_subgraph_that_keeps_its_state_is_called_again_when_its_step_is(
    world: World, tmp_path: Path, tries: int, attempts: int
) -> None:
    """Also when it was not called yet by the step that failed, by LangGraph's own retry and by ours: its last call is
    not taken for this one."""
    graph_input = {"items": [], "folder": str(tmp_path), "count": tries}
    job = await world.run("counts_calls", graph_input, retry_policy=AT_ONCE)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, attempts)
    assert world.output(job.job_id)["items"] == [1, 2]
