"""Clients that go on asking while a database is away, and see what a server says about it."""

import itertools
import threading
import time
from collections import Counter
from typing import Any

import grpc
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.refused import Refused

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Longer than any of these calls takes, and than any of these events lets itself be waited for.
PATIENCE_SECONDS = 60

_FAR_AWAY_SECONDS = 10**9


class Health:
    """What `grpc.health.v1` tells, as it tells it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._told = threading.Condition()
        self.statuses: list[int] = []
        stub: Any = health_pb2_grpc.HealthStub(channel)
        self._stream = stub.Watch(health_pb2.HealthCheckRequest(service="autopilot.v1.JobService"))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, status: int) -> None:
        """Wait until the newest word is this."""
        with self._told:
            assert self._told.wait_for(lambda: self.statuses[-1:] == [status], PATIENCE_SECONDS), self.statuses

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join()

    def _listen(self) -> None:
        try:
            for response in self._stream:
                with self._told:
                    self.statuses.append(response.status)
                    self._told.notify_all()
        except grpc.RpcError:
            return


class Witness:
    """Submits jobs for a far future, and reads them, over and over. Knows what was accepted and what was refused."""

    def __init__(self, channel: grpc.Channel, *, payload_bytes: int, name: str = "witness") -> None:
        self._stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        self._payload, self._name = '{"folder": "' + "x" * payload_bytes + '"}', name
        self._told = threading.Condition()
        self.accepted: list[str] = []
        self.refused: Counter[str] = Counter()
        """By method."""
        self.answered: Counter[str] = Counter()
        self.strange: list[str] = []
        """What an outage does not explain."""
        self._write_refused_at = 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def wait_for_refusals(self, times: int, *, over_seconds: float = 0) -> None:
        """Wait until so many calls that write have been refused from now on, and one of them so late from now."""
        wanted, late = self.refused["SubmitJob"] + times, time.monotonic() + over_seconds
        self._wait(lambda: self.refused["SubmitJob"] >= wanted and self._write_refused_at >= late)

    def wait_for_answers(self, times: int) -> None:
        """Wait until so many calls that write and that read have been answered from now on."""
        writes, reads = len(self.accepted) + times, self.answered["GetStatus"] + times
        self._wait(lambda: len(self.accepted) >= writes and self.answered["GetStatus"] >= reads)

    def wait_for_calls(self, times: int) -> None:
        """Wait until so many calls have ended, whatever came of them."""
        self._wait(lambda: self.answered.total() + self.refused.total() >= times)

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def lost(self, channel: grpc.Channel) -> list[str]:
        """The jobs that were accepted and are not there."""
        stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        lost = []
        for job_id in self.accepted:
            try:
                stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id), timeout=PATIENCE_SECONDS)
            except grpc.RpcError:
                lost.append(job_id)
        return lost

    def _wait(self, condition: Any) -> None:
        with self._told:
            assert self._told.wait_for(condition, PATIENCE_SECONDS), (self.refused, self.answered, self.strange)

    def _write(self) -> None:
        for number in itertools.count():
            if self._ended.is_set():
                return
            request = job_service_pb2.SubmitJobRequest(
                workflow="waits_for_ever", job_id=f"{self._name}-{number}", input={"json_text": self._payload}
            )
            request.scheduled_time.GetCurrentTime()
            request.scheduled_time.seconds += _FAR_AWAY_SECONDS
            if self._call("SubmitJob", request):
                self.accepted.append(request.job_id)
            self._ended.wait(0.02)

    def _read(self) -> None:
        while not self._ended.is_set():
            for job_id in self.accepted[-1:]:
                self._call("GetStatus", job_service_pb2.GetStatusRequest(job_id=job_id))
            self._call("ListJobs", job_service_pb2.ListJobsRequest(page_size=5))
            self._ended.wait(0.02)

    def _call(self, method: str, request: Any) -> bool:
        try:
            getattr(self._stub, method)(request, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            with self._told:
                self.refused[method] += 1
                if method == "SubmitJob":
                    self._write_refused_at = time.monotonic()
                self.strange += [f"{method}: {what}" for what in _unlike_an_outage(error)]
                self._told.notify_all()
            return False
        with self._told:
            self.answered[method] += 1
            self._told.notify_all()
        return True


def _unlike_an_outage(error: Any) -> list[str]:
    """What is missing in an error that should tell of a database that is away."""
    told = Refused(error)
    if told.code is not grpc.StatusCode.UNAVAILABLE or told.reason != "STORAGE_UNAVAILABLE":
        return [f"{told.code} {told.reason} {told.message}"]
    return [] if told.retry else ["no RetryInfo"]
