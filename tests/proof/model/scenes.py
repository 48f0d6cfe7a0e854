"""What histories seldom come to: a server that stops, a database that is away, places that are all taken, pages."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGTERM
from threading import Event
from typing import Any

from autopilot.v1 import job_service_pb2

from tests.proof.histories.recording import PATIENCE_SECONDS
from tests.proof.model.refusals import Refusal
from tests.proof.model.spoilt import payload
from tests.proof.model.talk import WATCHES, Talk

DRAINING = Refusal("UNAVAILABLE", "SERVER_DRAINING")
AWAY = Refusal("UNAVAILABLE", "STORAGE_UNAVAILABLE", may_wait=True)
TAKEN = Refusal("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED", {"limit": str(WATCHES), "name": "watches"}, may_wait=True)


def stopping(talk: Talk) -> None:
    """A server that was told to stop takes nothing new, and still answers what it has."""
    _running(talk)
    talk.server.signal(SIGTERM)
    _until(lambda: talk.ask("Resume", job_service_pb2.ResumeRequest(job_id="nobody")) == DRAINING)
    waiting = job_service_pb2.GetStatusRequest(job_id="held")
    waiting.wait_timeout.FromSeconds(PATIENCE_SECONDS)
    assert talk.ask("SubmitJob", _submit("late")) == DRAINING
    assert talk.ask("WatchProgress", job_service_pb2.WatchProgressRequest(job_id="held"), list) == DRAINING
    assert talk.ask("GetStatus", waiting) == DRAINING
    talk.get(job_service_pb2.GetStatusRequest(job_id="held"))
    talk.list_jobs(job_service_pb2.ListJobsRequest())
    talk.restart()


def away(talk: Talk) -> None:
    """A database that somebody else holds: nothing is stored, everything is read, and then all is well again."""
    talk.submit(_submit("before"))
    with _held(talk):
        assert talk.ask("SubmitJob", _submit("now")) == AWAY
        talk.get(job_service_pb2.GetStatusRequest(job_id="before"))
    _until(lambda: talk.ask("Cancel", job_service_pb2.CancelRequest(job_id="nobody")) != AWAY)
    talk.submit(_submit("now"))


def crowded(talk: Talk) -> None:
    """As many watches as the server allows, and one more; a wait takes a place like them."""
    _running(talk)
    watch = job_service_pb2.WatchProgressRequest(job_id="held")
    waiting = job_service_pb2.GetStatusRequest(job_id="held")
    waiting.wait_timeout.FromSeconds(PATIENCE_SECONDS)
    streams = [talk.stub.WatchProgress(watch, timeout=PATIENCE_SECONDS) for _ in range(WATCHES)]
    for stream in streams:
        next(stream)
    assert talk.ask("WatchProgress", watch, list) == TAKEN
    assert talk.ask("GetStatus", waiting) == TAKEN
    for stream in streams:
        stream.cancel()
    watch.stop_when_caught_up = True
    _until(lambda: talk.ask("WatchProgress", watch, list) != TAKEN)
    talk.agree()


def paged(talk: Talk) -> None:
    """A page token is for its own query; a dry run counts what the prune after it deletes."""
    for number in range(3):
        talk.submit(_submit(f"page-{number}"))
    listing = job_service_pb2.ListJobsRequest(page_size=1)
    listing.page_token = talk.list_jobs(listing)
    listing.filter.workflow = "instant"
    talk.list_jobs(listing, token_fits=False)
    checkpoints = job_service_pb2.ListCheckpointsRequest(job_id="page-0", page_size=1)
    checkpoints.page_token = talk.list_checkpoints(checkpoints)
    checkpoints.job_id = "page-1"
    talk.list_checkpoints(checkpoints, token_fits=False)
    # Histories draw it once in a while, and not in every run.
    talk.list_workflows(job_service_pb2.ListWorkflowsRequest(page_size=1))
    for checkpoints_only in (True, False):
        for dry_run in (True, False):
            prune = job_service_pb2.PruneJobsRequest(checkpoints_only=checkpoints_only, dry_run=dry_run)
            prune.finished_for.FromSeconds(0)
            talk.prune(prune)


def queued(talk: Talk) -> None:
    """Jobs of one key wait for each other, by priority and then in order; a restart changes nobody's turn."""
    for number in range(3):
        talk.submit(_submit(f"turn-{number}", workflow="gated", gate=str(talk.gate("turns")), key="k"))
    talk.restart()
    talk.submit(_submit("urgent", workflow="gated", gate=str(talk.gate("turns")), key="k", priority=5))
    request = job_service_pb2.CancelRequest(job_id="turn-0")
    request.grace_period.FromSeconds(0)
    talk.cancel(request)
    talk.restart()
    talk.cancel(job_service_pb2.CancelRequest(job_id="turn-1"))
    talk.open("turns")


def _running(talk: Talk) -> None:
    """A job that runs and does not end."""
    talk.submit(_submit("held", workflow="gated", gate=str(talk.gate("closed"))))


def _submit(job_id: str, *, workflow: str = "instant", gate: str = "", key: str = "", priority: int = 0) -> Any:
    return job_service_pb2.SubmitJobRequest(
        workflow=workflow,
        job_id=job_id,
        input=payload({"gate": gate, "trail": []}),
        concurrency_key=key,
        priority=priority,
    )


@contextmanager
def _held(talk: Talk) -> Iterator[None]:
    connection = sqlite3.connect(talk.server.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    pause = Event()
    while not condition():
        assert time.monotonic() < give_up
        pause.wait(0.01)
