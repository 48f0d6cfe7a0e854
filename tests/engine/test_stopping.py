"""Cancel, timeouts, shutdown, and runs that were superseded."""

import asyncio
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.jobs.job import SECOND, Job, JobErrorReason
from autopilot_server.jobs.states import JobState

from tests.engine.conftest import AT_ONCE, World
from tests.waiting import until


@pytest.fixture(autouse=True)
def engine(world: World) -> None:
    world.start()


async def holding(world: World, folder: Path, workflow: str = "holding", **spec: Any) -> str:
    """Submit a job, and wait until it stands in its middle step."""
    job_id = await world.submit(workflow, {"items": [], "folder": str(folder)}, **spec)
    await until((folder / "holding").exists)
    return job_id


async def cancel(world: World, job_id: str, grace_seconds: float) -> Job:
    return await world.store.job_cancel(job_id, reason="enough", etag="", grace_period=round(grace_seconds * SECOND))


async def test_cancel_lets_a_step_finish_within_its_grace(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path)
    assert (await cancel(world, job_id, 30)).state is JobState.CANCELLING
    (tmp_path / "go").touch()
    job = await world.stopped(job_id)
    assert job.state is JobState.CANCELLED
    assert job.error is not None
    assert (job.error.reason, job.error.message) == (JobErrorReason.CANCELLED, "enough")
    assert world.steps(job_id) == ["before", "hold"]
    assert job.next_steps == ("after",)


async def test_a_cancel_just_before_a_breakpoint_does_not_take_the_job_past_it(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path, interrupt_before=("after",))
    await cancel(world, job_id, 30)
    (tmp_path / "go").touch()
    assert (await world.stopped(job_id)).next_steps == ("after",)
    await world.resume(job_id)
    assert (await world.stopped(job_id)).state is JobState.INTERRUPTED
    assert world.steps(job_id) == ["before", "hold"]
    await world.resume(job_id)
    assert (await world.stopped(job_id)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("workflow", ["holding", "holding_sync", "stubborn"])
@pytest.mark.parametrize("grace", [0, 0.05])
async def test_cancel_ends_whatever_the_code_does(world: World, tmp_path: Path, workflow: str, grace: float) -> None:
    job_id = await holding(world, tmp_path, workflow)
    await cancel(world, job_id, grace)
    job = await world.stopped(job_id)
    assert job.state is JobState.CANCELLED
    before = world.kinds(job_id)
    (tmp_path / "go").touch()
    # Another job is served meanwhile, and what the step left behind does is discarded.
    assert (await world.run("linear_sync", {"items": []})).state is JobState.SUCCEEDED
    assert world.kinds(job_id) == before
    assert world.job(job_id) == job


async def test_threads_that_do_not_return_are_replaced(world: World, tmp_path: Path) -> None:
    for number in range(world.settings.threads + 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        await cancel(world, await holding(world, folder, "holding_sync"), 0)
    assert (await world.run("linear_sync", {"items": []})).state is JobState.SUCCEEDED
    for number in range(world.settings.threads + 2):
        (tmp_path / str(number) / "go").touch()


async def test_a_step_that_waits_for_a_thread_gets_the_one_that_replaces_a_held_one(
    world: World, tmp_path: Path
) -> None:
    await world.stop()
    world.settings = replace(world.settings, threads=1)
    world.start()
    held = await holding(world, tmp_path, "holding_sync")
    waiting = await world.submit("linear_sync", {"items": []})
    await world.until(waiting, lambda job: job.progress.active_steps == ("a",))
    await cancel(world, held, 0)
    assert (await world.stopped(waiting)).state is JobState.SUCCEEDED
    (tmp_path / "go").touch()


async def test_a_cancelled_job_can_be_resumed_while_its_old_step_still_runs(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path, "holding_sync")
    await cancel(world, job_id, 0)
    await world.stopped(job_id)
    (tmp_path / "holding").unlink()
    await world.resume(job_id)
    await until((tmp_path / "holding").exists)
    (tmp_path / "go").touch()
    job = await world.stopped(job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert world.output(job_id)["items"] == ["before", "hold", "after"]
    assert world.steps(job_id) == ["before", "hold", "after"]


async def test_the_execution_timeout(world: World, tmp_path: Path) -> None:
    job_id = await world.submit("holding", {"items": [], "folder": str(tmp_path)}, execution_timeout=SECOND // 2)
    job = await world.stopped(job_id)
    assert job.state is JobState.FAILED
    (tmp_path / "go").touch()
    # On a slow machine half a second may be too short for what is left, too.
    while job.state is JobState.FAILED:
        assert job.error is not None
        assert job.error.reason is JobErrorReason.EXECUTION_TIMED_OUT
        await world.resume(job_id)
        job = await world.stopped(job_id)
    assert job.state is JobState.SUCCEEDED, job.error


async def test_shutdown_drains_to_a_checkpoint_and_the_next_start_goes_on(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path)
    stopping = asyncio.create_task(world.stop(drain_seconds=20))
    await asyncio.sleep(0)
    (tmp_path / "go").touch()
    await stopping
    job = world.job(job_id)
    assert job.state is JobState.PENDING
    assert job.failed_attempts == 0
    assert job.next_steps == ("after",)
    world.start()
    job = await world.stopped(job_id)
    assert job.state is JobState.SUCCEEDED
    assert (tmp_path / "trace").read_text().split() == ["before", "hold", "after"]


async def test_shutdown_gives_up_what_does_not_drain(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path)
    await world.stop(drain_seconds=0.05)
    assert world.job(job_id).state is JobState.PENDING
    (tmp_path / "go").touch()
    world.start()
    job = await world.stopped(job_id)
    assert job.state is JobState.SUCCEEDED
    assert (tmp_path / "trace").read_text().split() == ["before", "hold", "hold", "after"]


async def test_finished_siblings_do_not_run_again(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path, "parallel_hold")
    await world.until(job_id, lambda _: "quick" in world.steps(job_id))
    await world.stop(drain_seconds=0)
    (tmp_path / "go").touch()
    world.start()
    job = await world.stopped(job_id)
    assert job.state is JobState.SUCCEEDED
    trace = (tmp_path / "trace").read_text().split()
    assert trace.count("quick") == 1
    assert trace.count("hold") == 2
    assert sorted(world.steps(job_id)) == ["hold", "join", "quick"]
    assert world.steps(job_id, "step_started").count("quick") == 1


async def test_a_step_that_was_cancelled_behind_its_work_is_told_as_finished(world: World, tmp_path: Path) -> None:
    """LangGraph keeps what such a step wrote, and does not run it again: the log must know of it."""
    job = await world.run("cancelled_behind_its_work", {"items": [], "folder": str(tmp_path)}, retry_policy=AT_ONCE)
    assert job.state is JobState.SUCCEEDED
    assert (tmp_path / "trace").read_text().split().count("quick") == 1
    assert sorted(world.steps(job.job_id)) == ["fail_once", "quick"]


async def test_a_deleted_and_resubmitted_job_is_another_job(world: World, tmp_path: Path) -> None:
    job_id = await holding(world, tmp_path, "holding_sync", job_id="again")
    await cancel(world, job_id, 0)
    await world.stopped(job_id)
    assert await world.store.job_delete(job_id, etag="")
    assert (await world.run("linear", {"items": []}, job_id="again")).state is JobState.SUCCEEDED
    before = world.kinds(job_id)
    (tmp_path / "go").touch()
    assert (await world.run("linear_sync", {"items": []})).state is JobState.SUCCEEDED
    assert world.kinds(job_id) == before
    assert world.output(job_id)["items"] == ["a", "b", "c"]


async def test_what_the_disk_has_no_room_for_is_not_tried_again_at_once(world: World) -> None:
    """A claim may still find room where a checkpoint finds none: trying without end would fill what is left."""
    await world.run("linear", {"items": []})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, hard))
    try:
        job_id = await world.submit("huge_output", {"count": 6_000_000})
        job = await world.until(job_id, lambda job: job.state is JobState.PENDING and job.attempt > 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (job.error, job.failed_attempts) == (None, 0)
    assert job.next_attempt_time is not None
    job = await world.stopped(job_id)
    assert job.error is not None
    # There is room again; that clients would not receive this output is another matter.
    assert (job.error.reason, job.attempt > 1) == (JobErrorReason.OUTPUT_INVALID, True)


async def test_a_scheduled_job_waits_for_its_time(world: World) -> None:
    from autopilot_server.jobs.job import now

    when = now() + SECOND // 5
    job = await world.run("linear", {"items": []}, scheduled_time=when)
    assert job.state is JobState.SUCCEEDED
    assert job.start_time is not None
    assert job.start_time >= when
