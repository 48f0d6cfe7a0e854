"""A client whose jobs end from outside, and are deleted in each way that there is."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.history import JobRecord
from tests.proof.histories.recording import PATIENCE_SECONDS, Recorder, ended_with
from tests.proof.histories.states import CANCELLED, FAILED
from tests.proof.load.random_graphs import Outcome


class Housekeeping:
    """An actor of a workload. Its jobs are of the workflow `waits_for_ever`."""

    def __init__(self) -> None:
        self._pause = threading.Event()

    def act(self, recorder: Recorder, watch: Callable[[str], None]) -> None:
        """One job after the other."""
        self._recorder, self._watch = recorder, watch
        self._times_out()
        self._deleted()
        self._pruned()
        self._expires()

    def records(self, recorder: Recorder) -> dict[str, JobRecord]:
        """All others are gone. Its step has no effects."""
        return {"times-out": recorder.record("times-out", Path("nowhere"), Outcome(None, frozenset()))}

    def _times_out(self) -> None:
        self._submit("times-out", execution_timeout=50)
        self._watch("times-out")
        job = self._ended("times-out")
        assert (job.state, job.error.reason) == (FAILED, "EXECUTION_TIMED_OUT")

    def _deleted(self) -> None:
        self._submit("deleted")
        self._cancel("deleted")
        assert self._ended("deleted").state == CANCELLED
        self._recorder.ask("DeleteJob", job_service_pb2.DeleteJobRequest(job_id="deleted", allow_missing=True))
        self._see_it_gone("deleted")

    def _pruned(self) -> None:
        self._submit("pruned")
        self._cancel("pruned")
        assert self._ended("pruned").state == CANCELLED
        only = job_service_pb2.JobFilter(labels={"name": "pruned"})
        prune = job_service_pb2.PruneJobsRequest(filter=only)
        prune.finished_for.FromSeconds(0)
        self._recorder.ask("PruneJobs", prune)
        self._see_it_gone("pruned")

    def _expires(self) -> None:
        self._submit("expires", retention=0)
        try:
            self._cancel("expires")
            self._ended("expires")
        except grpc.RpcError as error:
            # When an answer is lost it may be over before the next one.
            if ended_with(error)[1] != "JOB_NOT_FOUND":
                raise
        self._see_it_gone("expires")

    # --- parts ---

    def _submit(self, job_id: str, **milliseconds: int) -> None:
        request = job_service_pb2.SubmitJobRequest(
            workflow="waits_for_ever", job_id=job_id, request_id=job_id, labels={"name": job_id}
        )
        for field, value in milliseconds.items():
            getattr(request, field).FromMilliseconds(value)
        self._recorder.ask("SubmitJob", request)

    def _cancel(self, job_id: str) -> None:
        request = job_service_pb2.CancelRequest(job_id=job_id)
        request.grace_period.FromMilliseconds(20)
        self._recorder.ask("Cancel", request)

    def _ended(self, job_id: str) -> job_pb2.Job:
        return self._recorder.settled(job_id)

    def _see_it_gone(self, job_id: str) -> None:
        """Ask until there is no such job; of what never goes the checkers tell."""
        self._recorder.history.deleted.add(job_id)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up:
            try:
                self._recorder.status(job_id)
            except grpc.RpcError as error:
                if ended_with(error)[1] != "JOB_NOT_FOUND":
                    raise
                return
            self._pause.wait(0.01)
