"""Runs, when the database goes away in the middle of them."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.states import JobState

from tests.engine.conftest import AT_ONCE, World


@pytest.fixture
async def world(world: World) -> AsyncIterator[World]:
    yield world
    await world.stop()


class Lost:
    """A write that happens, and whose caller is told that it did not."""

    def __init__(self, write: Any, lost: list[Any]) -> None:
        self._write, self._lost = write, lost

    def __await__(self) -> Generator[object, None, Any]:
        result = yield from self._write.__await__()
        if result == [] or self._lost:
            return result
        self._lost.append(result)
        raise StorageUnavailableError("away", retry_delay=0.01)

    def on_failure(self, callback: Any) -> None:
        self._write.on_failure(callback)


def lose_the_first(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> list[Any]:
    """The first write of a method that does something is lost. What it came to."""
    lost: list[Any] = []
    real = getattr(world.store, method)
    monkeypatch.setattr(world.store, method, lambda *args, **named: Lost(real(*args, **named), lost))
    return lost


async def test_a_job_whose_claim_was_taken_for_failed_runs_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUNNING, and nobody runs it: that is seen without a restart."""
    lost = lose_the_first(world, monkeypatch, "job_claim")
    world.start()
    job = await world.run("linear", {"items": []}, retry_policy=AT_ONCE)
    assert lost
    assert (job.state, job.attempt, job.failed_attempts) == (JobState.SUCCEEDED, 2, 0)


async def test_an_end_that_was_taken_for_failed_is_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = lose_the_first(world, monkeypatch, "run_end")
    world.start()
    job = await world.run("linear", {"items": []})
    # The end is seen before its run hears of it.
    await world.stop()
    assert lost
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert world.kinds(job.job_id).count("state_changed") == 3


async def test_a_job_that_nobody_could_give_back_is_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a fault of the program in storing its end leaves no job behind."""
    real, faults = world.store.run_end, iter(range(2))

    def run_end(*args: Any, **named: Any) -> Any:
        if next(faults, None) is not None:
            raise RuntimeError("a fault")
        return real(*args, **named)

    monkeypatch.setattr(world.store, "run_end", run_end)
    world.start()
    job = await world.run("linear", {"items": []}, retry_policy=AT_ONCE)
    assert (job.state, job.attempt, job.failed_attempts) == (JobState.SUCCEEDED, 2, 0)


async def test_a_run_whose_write_failed_tells_nothing_more_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs no attempt, and the log tells of no step's end whose start it does not know."""
    real, writes = world.store.run_write, iter(range(100))

    def run_write(fence: Any, update: Any) -> Any:
        if next(writes) == 1:

            def away(_: Any) -> None:
                raise StorageUnavailableError("away", retry_delay=0.01)

            return world.store._writer.submit(away)  # type: ignore[attr-defined]
        return real(fence, update)

    monkeypatch.setattr(world.store, "run_write", run_write)
    world.start()
    job = await world.run("linear", {"items": []})
    assert (job.state, job.attempt, job.failed_attempts) == (JobState.SUCCEEDED, 2, 0)
    started: set[tuple[int, str]] = set()
    for event in world.events(job.job_id):
        match event.WhichOneof("kind"):
            case "step_started":
                started.add((event.attempt, event.step_started.step_run_id))
            case "step_finished":
                assert (event.attempt, event.step_finished.step_run_id) in started


@pytest.mark.parametrize("workflow", ["nested", "handles_nested"])
async def test_a_read_that_fails_inside_a_step_is_not_the_step_s(
    workflow: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not failed, is not retried within the attempt, and no error handler hears of it."""
    real, refused = world.store.checkpoint_get, []

    def refuse_once(thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Any:
        if checkpoint_ns and not refused:
            refused.append(checkpoint_ns)
            raise StorageUnavailableError("away", retry_delay=0.01)
        return real(thread_id, checkpoint_ns, checkpoint_id)

    monkeypatch.setattr(world.store, "checkpoint_get", refuse_once)
    world.start()
    job = await world.run(workflow, {"items": [], "folder": str(tmp_path)}, retry_policy=AT_ONCE)
    assert refused
    assert (job.state, job.attempt, job.failed_attempts) == (JobState.SUCCEEDED, 2, 0)
    assert "step_failed" not in world.kinds(job.job_id)
    if workflow == "handles_nested":
        assert (tmp_path / "trace").read_text().split() == ["calls", "calls"]
