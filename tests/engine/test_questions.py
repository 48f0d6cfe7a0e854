"""Human in the loop: questions, answers, breakpoints, going back, editing."""

import json
from pathlib import Path

import pytest
from autopilot_server.jobs.job import JobErrorReason
from autopilot_server.jobs.states import JobState

from tests.engine.conftest import AT_ONCE, World


@pytest.fixture(autouse=True)
def engine(world: World) -> None:
    world.start()


async def test_a_question_and_its_answer(world: World) -> None:
    job = await world.run("ask", {"items": []})
    assert job.state is JobState.INTERRUPTED
    (question,) = job.interrupts
    assert question.step == "question"
    assert json.loads(str(question.value)) == {"ask": "really?"}
    assert json.loads(question.response_schema or "")["required"] == ["approved"]
    assert job.next_steps == ("question",)
    assert world.kinds(job.job_id)[-2:] == ["interrupt_raised", "state_changed"]
    assert "step_finished" not in world.kinds(job.job_id)[-3:]

    await world.resume(job.job_id, answers={question.interrupt_id: {"approved": True}})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["before", True, "after"]
    assert job.interrupts == ()
    assert world.steps(job.job_id) == ["before", "question", "after"]
    assert job.progress.completed_steps == 3


async def test_partial_answers_and_the_rest_asks_again(world: World) -> None:
    job = await world.run("ask_two", {"items": []})
    by_step = {question.step: question.interrupt_id for question in job.interrupts}
    assert set(by_step) == {"left", "right"}
    await world.resume(job.job_id, answers={by_step["right"]: "R"})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.INTERRUPTED
    assert [question.step for question in job.interrupts] == ["left"]
    assert job.interrupts[0].interrupt_id == by_step["left"]
    await world.resume(job.job_id, answers={by_step["left"]: "L"})
    job = await world.stopped(job.job_id)
    assert sorted(world.output(job.job_id)["items"]) == ["left=L", "right=R"]


async def test_a_question_beside_a_step_that_fails_is_told(world: World) -> None:
    job = await world.run("asks_beside_failure", {"items": []})
    assert job.state is JobState.FAILED
    assert [question.step for question in job.interrupts] == ["question"]
    raised = [e.interrupt_raised for e in world.events(job.job_id) if e.WhichOneof("kind") == "interrupt_raised"]
    assert [event.interrupt.interrupt_id for event in raised] == [job.interrupts[0].interrupt_id]


async def test_an_error_handler_asks(world: World) -> None:
    job = await world.run("asks_when_failed", {"items": []})
    assert job.state is JobState.INTERRUPTED, job.error
    (question,) = job.interrupts
    assert (question.step, json.loads(str(question.value))) == ("fail/error_handler", "what now?")
    await world.resume(job.job_id, answers={question.interrupt_id: "one"})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["one"]
    assert world.steps(job.job_id) == ["fail/error_handler"]


async def test_a_nested_node_that_asks_twice(world: World, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    job = await world.run("ask_twice_nested", {"items": [], "folder": str(tmp_path)})
    (first,) = job.interrupts
    assert first.step == "inner/twice"
    await world.resume(job.job_id, answers={first.interrupt_id: "one"})
    job = await world.stopped(job.job_id)
    (second,) = job.interrupts
    assert second.interrupt_id != first.interrupt_id
    await world.resume(job.job_id, answers={second.interrupt_id: "two"})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["one", "two", "after"]


async def test_a_question_in_the_second_subgraph_that_a_node_calls(world: World) -> None:
    job = await world.run("ask_by_hand", {"items": []})
    (question,) = job.interrupts
    await world.resume(job.job_id, answers={question.interrupt_id: "yes"})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["quiet", "yes"]


async def test_a_question_that_a_step_answers_itself_is_none_of_the_job_s(world: World) -> None:
    job = await world.run("asks_itself", {"items": []})
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["sync", "async"]


async def test_an_answer_that_only_the_node_refuses(world: World) -> None:
    job = await world.run("strict_answer", {"items": []}, retry_policy=AT_ONCE)
    (question,) = job.interrupts
    await world.resume(job.job_id, answers={question.interrupt_id: {"number": 3}})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.INTERRUPTED
    assert job.error is not None
    assert job.error.reason is JobErrorReason.ANSWER_REFUSED
    assert "even number" in job.error.message
    assert [q.interrupt_id for q in job.interrupts] == [question.interrupt_id]
    assert job.failed_attempts == 0
    await world.resume(job.job_id, answers={question.interrupt_id: {"number": 4}})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == [4]


async def test_an_answer_outlives_a_restart_before_its_step_ends(world: World, tmp_path: Path) -> None:
    """The process stops between Resume and the step's end: the answer is given again, to its own question only."""
    job = await world.run("ask_twice_nested", {"items": [], "folder": str(tmp_path)})
    (first,) = job.interrupts
    await world.resume(job.job_id, answers={first.interrupt_id: "one"})
    job = await world.stopped(job.job_id)
    (second,) = job.interrupts
    await world.resume(job.job_id, answers={second.interrupt_id: "two"})
    await world.until(job.job_id, lambda _: (tmp_path / "holding").exists() or (tmp_path / "trace").exists())
    await world.stop(drain_seconds=0)
    assert world.job(job.job_id).state in (JobState.PENDING, JobState.RUNNING)
    (tmp_path / "go").touch()
    world.start()
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["one", "two", "after"]


@pytest.mark.parametrize("where", ["job", "graph"])
async def test_breakpoints(world: World, where: str) -> None:
    spec = {"interrupt_before": ("b",)} if where == "job" else {}
    job = await world.run("linear" if where == "job" else "stops_before", {"items": []}, **spec)
    assert job.state is JobState.INTERRUPTED
    assert job.interrupts == ()
    assert job.next_steps == ("b",)
    await world.resume(job.job_id)
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["a", "b", "c"]
    assert job.attempt == 2


async def test_a_breakpoint_on_a_thread_that_another_workflow_used(world: World) -> None:
    """Its channels are still there, and must not pass for news at which to stop again."""
    await world.run("fan_out", {"items": []}, thread_id="t")
    job = await world.run("stops_before", {"items": []}, thread_id="t", interrupt_after=("b",))
    for expected in (("b",), ("c",)):
        assert (job.state, job.next_steps) == (JobState.INTERRUPTED, expected)
        await world.resume(job.job_id)
        job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error


async def test_a_breakpoint_after_every_step(world: World) -> None:
    job = await world.run("linear", {"items": []}, interrupt_after=("*",))
    for expected in (("b",), ("c",)):
        assert job.state is JobState.INTERRUPTED
        assert job.next_steps == expected
        await world.resume(job.job_id)
        job = await world.stopped(job.job_id)
    if job.state is JobState.INTERRUPTED:
        await world.resume(job.job_id)
        job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert world.output(job.job_id)["items"] == ["a", "b", "c"]


async def test_resume_of_a_failed_job_runs_only_what_failed(world: World, tmp_path: Path) -> None:
    job = await world.run("flaky", {"items": [], "folder": str(tmp_path)})
    assert job.state is JobState.FAILED
    (tmp_path / "mended").touch()
    await world.resume(job.job_id)
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert (tmp_path / "trace").read_text().split() == ["before", "sometimes", "sometimes"]
    assert job.progress.completed_steps == 2


async def test_going_back_to_an_earlier_checkpoint(world: World, tmp_path: Path) -> None:
    job = await world.run("ask", {"items": [], "folder": str(tmp_path)})
    (asked,) = job.interrupts
    first = world.store.checkpoints_list(job.job_id, limit=100, before=None)[-2]
    assert first.next_steps == ("before",)
    await world.resume(job.job_id, checkpoint_id=first.checkpoint_id)
    job = await world.stopped(job.job_id)
    assert job.state is JobState.INTERRUPTED
    (again,) = job.interrupts
    assert again.interrupt_id != asked.interrupt_id
    assert (tmp_path / "trace").read_text().split() == ["before", "question", "before", "question"]
    assert job.progress.completed_steps == 1
    await world.resume(job.job_id, answers={again.interrupt_id: {"approved": False}})
    job = await world.stopped(job.job_id)
    assert world.output(job.job_id)["items"] == ["before", False, "after"]


async def test_editing_the_state(world: World) -> None:
    job = await world.run("linear", {"items": []}, interrupt_before=("c",))
    await world.resume(job.job_id, state_update='{"items": ["edited"]}', state_update_step="b")
    job = await world.stopped(job.job_id)
    if job.state is JobState.INTERRUPTED:
        await world.resume(job.job_id)
        job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["a", "b", "edited", "c"]


async def test_a_refused_update_gives_the_job_its_former_state_back(world: World) -> None:
    job = await world.run("linear", {"items": []}, interrupt_before=("c",))
    before = job.checkpoint_id
    first = world.store.checkpoints_list(job.job_id, limit=100, before=None)[-1].checkpoint_id
    await world.resume(job.job_id, checkpoint_id=first, state_update='{"items": ["x"]}', state_update_step="nowhere")
    job = await world.stopped(job.job_id)
    assert job.state is JobState.INTERRUPTED
    assert job.error is not None
    assert job.error.reason is JobErrorReason.UPDATE_REFUSED
    assert job.checkpoint_id == before
    assert job.progress.completed_steps == 2
    await world.resume(job.job_id)
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.error is None


async def test_cancelled_with_an_open_question_and_resumed(world: World) -> None:
    job = await world.run("ask", {"items": []})
    (question,) = job.interrupts
    await world.store.job_cancel(job.job_id, reason="no", etag="", grace_period=0)
    assert world.job(job.job_id).interrupts == (question,)
    await world.resume(job.job_id, answers={question.interrupt_id: {"approved": True}})
    job = await world.stopped(job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job.job_id)["items"] == ["before", True, "after"]


async def test_a_job_that_never_began_has_not_asked_what_its_thread_s_last_job_did(world: World) -> None:
    earlier = await world.run("functional_ask", {"approved": True}, thread_id="t")
    assert len(earlier.interrupts) == 1
    await world.store.job_cancel(earlier.job_id, reason="", etag="", grace_period=0)
    job = await world.run("functional_ask", {}, thread_id="t")
    assert job.state is JobState.FAILED
    assert (job.checkpoint_id, job.interrupts, job.next_steps) == ("", (), ())
