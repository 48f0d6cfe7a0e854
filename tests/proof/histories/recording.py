"""Clients that write down what they ask and what they get."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from tests.proof.histories.history import Call, History, JobRecord, Message, Stream
from tests.proof.histories.states import FINISHED, INTERRUPTED
from tests.proof.load.random_graphs import Outcome, effects_of
from tests.refused import Refused

TEXT = job_pb2.PAYLOAD_FORMAT_JSON_TEXT

# A call that waits longer than this for a server that comes back has found a bug.
PATIENCE_SECONDS = 180

# Whoever waits longer for a job, or for all of them, has found a bug.
JOBS_PATIENCE_SECONDS = 360

# Longer than any job takes: a stream that is open for so long has found a bug.
_STREAM_SECONDS = 600

_PAUSE_SECONDS = 0.02

# A server that was killed is found again at once.
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
]


class _Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Sends a token with each call."""

    def __init__(self, token: str) -> None:
        self._metadata = [("authorization", f"Bearer {token}")]

    def intercept_unary_unary(self, go_on: Any, details: Any, request: Any) -> Any:
        return go_on(_WithMetadata(details, self._metadata), request)

    def intercept_unary_stream(self, go_on: Any, details: Any, request: Any) -> Any:
        return go_on(_WithMetadata(details, self._metadata), request)


class _WithMetadata(grpc.ClientCallDetails):  # type: ignore[misc]
    """A call's details, with other metadata."""

    def __init__(self, details: Any, metadata: list[tuple[str, str]]) -> None:
        for name in ("method", "timeout", "credentials", "wait_for_ready", "compression"):
            setattr(self, name, getattr(details, name, None))
        self.metadata = metadata


class Recorder:
    """A channel whose calls are written into a history. Threads may share it."""

    def __init__(
        self, address: str, history: History, *, token: str = "", patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """`token`: a bearer token to call with. `patience_seconds`: for how long calls are repeated."""
        self.history, self.patience_seconds = history, patience_seconds
        self._channel = grpc.insecure_channel(address, _OPTIONS)
        channel = grpc.intercept_channel(self._channel, _Bearer(token)) if token else self._channel
        self.stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        self._pause = threading.Event()

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, request: Any, **options: Any) -> Any:
        """One call. Raises what it raises."""
        started = time.monotonic_ns()
        response, error = None, None
        try:
            response = getattr(self.stub, method)(request, **options)
        except grpc.RpcError as caught:
            error = caught
        code, reason = ended_with(error)
        self.history.calls.append(
            Call(
                method=method,
                job_id=getattr(request, "job_id", ""),
                started=started,
                ended=time.monotonic_ns(),
                request=request.SerializeToString(),
                response=b"" if response is None else response.SerializeToString(),
                code=code,
                reason=reason,
            )
        )
        if error is not None:
            raise error
        return response

    def ask(self, method: str, request: Any) -> Any:
        """Call until somebody answers, as a client does whose request may be repeated."""
        give_up = time.monotonic() + self.patience_seconds
        while True:
            try:
                return self.call(method, request, wait_for_ready=True, timeout=self.patience_seconds)
            except grpc.RpcError as error:
                if not comes_back(error) or time.monotonic() > give_up:
                    raise
            # A server that says no at once would fill the history.
            self._pause.wait(_PAUSE_SECONDS)

    def status(self, job_id: str, *, wait_milliseconds: int = 0) -> job_pb2.Job:
        """A job as it is, or once it is finished or asks, or when the time is over."""
        request = job_service_pb2.GetStatusRequest(job_id=job_id, payload_format=TEXT)
        request.wait_timeout.FromMilliseconds(wait_milliseconds)
        job: job_pb2.Job = self.ask("GetStatus", request).job
        return job

    def settled(self, job_id: str) -> job_pb2.Job:
        """A job once it is finished or asks, however often the server dies meanwhile; as it is when time is over."""
        give_up = time.monotonic() + JOBS_PATIENCE_SECONDS
        while (job := self.status(job_id, wait_milliseconds=1000)).state not in {*FINISHED, INTERRUPTED}:
            if time.monotonic() > give_up:
                break
        return job

    def events(self, job_id: str) -> list[job_pb2.ProgressEvent]:
        """All events of a job that are stored now, in as many streams as it takes."""
        request = job_service_pb2.WatchProgressRequest(job_id=job_id, payload_format=TEXT, stop_when_caught_up=True)
        give_up = time.monotonic() + self.patience_seconds
        events: list[job_pb2.ProgressEvent] = []
        while True:
            try:
                for message in self.stub.WatchProgress(request, wait_for_ready=True, timeout=self.patience_seconds):
                    events += message.events
                    request.after_sequence = message.through_sequence
                return events
            except grpc.RpcError as error:
                if not comes_back(error) or time.monotonic() > give_up:
                    raise
            self._pause.wait(_PAUSE_SECONDS)

    def record(self, job_id: str, folder: Path, outcome: Outcome, again: Sequence[str] = ()) -> JobRecord:
        """How a job is in the end; its steps left their effects in `folder`. `again`: see JobRecord."""
        log = self.events(job_id)
        return JobRecord(
            job=self.status(job_id).SerializeToString(),
            log=tuple(event.SerializeToString() for event in log),
            effects=tuple(effects_of(folder)),
            expected_trail=outcome.trail,
            expected_runs=outcome.runs,
            again=tuple(again),
        )


def comes_back(error: grpc.RpcError) -> bool:
    """Whether a call failed for want of a server that can answer now."""
    return ended_with(error)[1] in ("", "STORAGE_UNAVAILABLE", "SERVER_DRAINING")


def ended_with(error: grpc.RpcError | None) -> tuple[str, str]:
    """The status code that a call ended with, and the reason of its ErrorInfo."""
    if error is None:
        return "OK", ""
    told = Refused(error)
    return told.code.name, told.reason


class Auditor:
    """Looks into the database behind the server's back."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Let go of the database. Nobody looks any more."""
        for connection in self._open:
            connection.close()

    def committed(self, job_id: str) -> int:
        """The job's newest sequence in the database; -1 when it cannot be read now."""
        try:
            if not hasattr(self._local, "connection"):
                self._local.connection = sqlite3.connect(
                    f"file:{self._database}?mode=ro", uri=True, timeout=1, check_same_thread=False
                )
                self._open.append(self._local.connection)
            row = self._local.connection.execute(
                "SELECT latest_sequence FROM jobs WHERE job_id = ?", [job_id]
            ).fetchone()
        except sqlite3.Error:
            return -1
        # A job that is not there has nothing to show.
        return int(row[0]) if row is not None else 0


class Watcher:
    """Reads logs as people do: from anywhere, slowly, with breaks."""

    def __init__(
        self, name: str, recorder: Recorder, auditor: Auditor | None, rng: random.Random, give_up: Callable[[], bool]
    ) -> None:
        """`give_up`: asked after each break, whether to go on at all."""
        self._name, self._recorder, self._auditor, self._rng = name, recorder, auditor, rng
        self._give_up = give_up
        self._pause = threading.Event()

    def watch(self, job_id: str, after_sequence: int) -> None:
        """Watch a job to its end, in as many streams as it takes."""
        place, end = after_sequence, ""
        while end not in ("OK", "NOT_FOUND") and not self._give_up():
            stream = self._one(job_id, place)
            self._recorder.history.streams.append(stream)
            place = max((event.sequence for event in stream.events()), default=place)
            end = stream.end

    def _one(self, job_id: str, after_sequence: int) -> Stream:
        request = job_service_pb2.WatchProgressRequest(
            job_id=job_id, after_sequence=after_sequence, payload_format=TEXT
        )
        most_messages = self._rng.choice((1, 2, 5, 10_000, 10_000))
        slowness = self._rng.choice((0.0, 0.0, 0.02))
        messages: list[Message] = []
        end, reason = "DROPPED", ""
        started = time.monotonic_ns()
        stream = self._recorder.stub.WatchProgress(request, wait_for_ready=True, timeout=_STREAM_SECONDS)
        try:
            for response in stream:
                messages.append(self._message(job_id, response))
                if len(messages) >= most_messages:
                    stream.cancel()
                    break
                if slowness:
                    self._pause.wait(slowness)
            else:
                end = "OK"
        except grpc.RpcError as error:
            end, reason = ended_with(error)
        return Stream(
            watcher=self._name,
            job_id=job_id,
            after_sequence=after_sequence,
            started=started,
            ended=time.monotonic_ns(),
            messages=tuple(messages),
            end=end,
            reason=reason,
            slow=slowness > 0,
        )

    def _message(self, job_id: str, response: Any) -> Message:
        received = time.monotonic_ns()
        committed = -1 if self._auditor is None else self._auditor.committed(job_id)
        return Message(received=received, committed=committed, body=response.SerializeToString())
