"""Somebody sets the machine's clock while the server runs, or while it does not."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from autopilot_client import Client, Job, JobState

from tests.promises.conftest import appears, ended
from tests.proof.clock.clocks import step_clock, with_a_clock_that_is_stepped
from tests.proof.conftest import Tried
from tests.proof.server import ServerProcess

HOUR, DAY = 3600, 86_400

Step = Callable[[int], None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, sabotage=partial(with_a_clock_that_is_stepped, tmp_path)) as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def step(tmp_path: Path, tried: Tried) -> Step:
    def step(seconds: int) -> None:
        step_clock(tmp_path, seconds)
        tried(clock_steps=1)

    return step


def test_a_cancel_ends_though_the_clock_goes_back(client: Client, step: Step, tmp_path: Path) -> None:
    """Also when the step comes after the Cancel, and when the job's step does not come back."""
    before, after = (_holding(client, tmp_path, name) for name in ("before", "after"))
    client.cancel(before.job_id, grace_period=timedelta(seconds=1))
    step(-HOUR)
    client.cancel(after.job_id, grace_period=timedelta(seconds=1))
    for job in (before, after):
        assert ended(client, job.job_id).state is JobState.CANCELLED


@pytest.mark.parametrize("seconds", [-HOUR, DAY])
def test_new_jobs_run_and_old_ones_get_their_time(seconds: int, client: Client, step: Step, tmp_path: Path) -> None:
    long = _holding(client, tmp_path, "long", execution_timeout=timedelta(hours=1))
    leaving = _holding(client, tmp_path, "leaving")
    client.cancel(leaving.job_id, grace_period=timedelta(hours=1))
    step(seconds)
    assert ended(client, client.submit("linear", {"items": []}).job_id).state is JobState.SUCCEEDED
    # The same look at the deadlines ends this one and leaves those.
    short = client.submit("endless", {"items": []}, execution_timeout=timedelta(milliseconds=1))
    assert ended(client, short.job_id).state is JobState.FAILED
    assert client.get(long.job_id).state is JobState.RUNNING
    assert client.get(leaving.job_id).state is JobState.CANCELLING
    _let_go(tmp_path, "long")
    job = ended(client, long.job_id)
    assert job.state is JobState.SUCCEEDED
    assert timedelta(0) <= job.progress.elapsed < timedelta(hours=1)


@pytest.mark.parametrize("seconds", [-HOUR, DAY])
def test_a_clock_that_was_stepped_while_no_server_ran(
    seconds: int, server: ServerProcess, client: Client, step: Step, tmp_path: Path
) -> None:
    running = _holding(client, tmp_path, "running")
    server.kill()
    step(seconds)
    server.start()
    _let_go(tmp_path, "running")
    assert ended(client, running.job_id).state is JobState.SUCCEEDED
    assert ended(client, client.submit("linear", {"items": []}).job_id).state is JobState.SUCCEEDED


def _holding(client: Client, folder: Path, name: str, **options: timedelta) -> Job:
    """A job whose step has begun, and holds until it may go."""
    place = folder / name
    place.mkdir()
    job = client.submit("holding_sync", {"items": [], "folder": str(place)}, **options)
    appears(place / "holding")
    return job


def _let_go(folder: Path, name: str) -> None:
    (folder / name / "go").touch()
