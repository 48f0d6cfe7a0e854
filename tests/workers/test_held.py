"""Steps that hold a worker's loop, or its whole interpreter."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from autopilot_client import Client, StepStarted

from tests.postgres import SQLITE_ONLY
from tests.promises.conftest import Watcher, sequences
from tests.waiting import wait_until
from tests.workers.conftest import Workers, succeeded


def hold(server: Workers, client: Client, workflow: str, job_id: str) -> int:
    """A job that holds its worker: the process."""
    if workflow == "seizes":
        server.fifo(job_id)
    server.submit(client, workflow, job_id)
    return server.stands(job_id)


def let(server: Workers, workflow: str, job_id: str) -> None:
    if workflow == "seizes":
        server.release(job_id)
    else:
        server.go(job_id)


def saw_a_step(watcher: Watcher) -> bool:
    return any(isinstance(event.kind, StepStarted) for event in watcher.events)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Workers]:
    with Workers(tmp_path, "--loop-stall-seconds", "0.2") as server:
        yield server


@pytest.mark.parametrize(("workflow", "step"), [("blocks", "block"), ("seizes", "seize")])
def test_others_go_on_and_the_log_names_workflow_step_and_stack(
    server: Workers, client: Client, workflow: str, step: str
) -> None:
    """More often than there are workers, and each time the stack of then."""
    for job_id in ("first", "second", "third"):
        said = len(server.log.read_text())
        worker = hold(server, client, workflow, job_id)
        jobs = [server.submit(client, "holds", f"beside-{job_id}-{number}") for number in range(20)]
        watchers = [Watcher(client, job) for job in jobs]
        assert worker not in {server.stands(job) for job in jobs}
        wait_until(lambda watchers=watchers: all(map(saw_a_step, watchers)))
        server.go(*jobs)
        for job, watcher in zip(jobs, watchers, strict=True):
            latest = succeeded(client, job).latest_sequence
            assert sequences(watcher.finish()) == list(range(1, latest + 1))
        wait_until(lambda said=said: f"in _{step}" in server.log.read_text()[said:], server.log.read_text)
        told = server.log.read_text()[said:]
        let(server, workflow, job_id)
        succeeded(client, job_id)
        (warning,) = re.findall(r".*has (?:blocked|held).*", told)
        assert re.search(rf"step '?{step}'? of workflow '?{workflow}'?", warning), warning
        assert job_id in warning


@SQLITE_ONLY
def test_a_worker_that_is_held_in_a_transaction_does_not_keep_others_from_writing(
    server: Workers, client: Client
) -> None:
    """It is ended; its jobs go on, and the database was never taken for away."""
    server.fifo("locks")
    held = server.stands(server.submit(client, "locks", "locks"))
    jobs = [server.submit(client, "tells", f"beside-{number}", timeout=60) for number in range(5)]
    for job in jobs:
        assert succeeded(client, job).output["items"][0] != held
    assert succeeded(client, "locks", attempts=2).output["items"] == ["before", "did not lock", "after"]
    told = server.log.read_text()
    assert re.search(r"worker \d keeps all others from writing to the database meanwhile, and is ended", told)
    assert "step lock of workflow locks, job locks" in told
    assert "database is away" not in told


def test_values_are_read_while_all_workers_are_held(server: Workers, client: Client) -> None:
    succeeded(client, server.submit(client, "tells", "done"))
    held = {hold(server, client, "seizes", f"seizes-{number}") for number in range(2)}
    assert len(held) == 2
    newest = next(iter(client.checkpoints("done", values=True)))
    assert newest.values["items"]
    for number in range(2):
        server.release(f"seizes-{number}")
        succeeded(client, f"seizes-{number}")
