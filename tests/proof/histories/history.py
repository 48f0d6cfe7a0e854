"""What clients saw, as data: it is recorded while a server is tormented, and checked afterwards."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2

# Effects of a step that tells what becomes of it when its job is cancelled: it runs, hears of it, and is stopped.
BEGUN, TOLD, STOPPED = "begun", "told", "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One unary call. Times are the machine's monotonic clock, in nanoseconds, the same in all processes."""

    method: str
    job_id: str
    """Empty for calls that concern no single job."""
    started: int
    ended: int
    request: bytes
    response: bytes
    """Empty when it failed."""
    code: str
    """OK, or the status code."""
    reason: str = ""
    """ErrorInfo's."""

    @property
    def job(self) -> job_pb2.Job | None:
        """The job that was answered."""
        kind = {
            "SubmitJob": job_service_pb2.SubmitJobResponse,
            "GetStatus": job_service_pb2.GetStatusResponse,
            "Cancel": job_service_pb2.CancelResponse,
            "Resume": job_service_pb2.ResumeResponse,
        }.get(self.method)
        return kind.FromString(self.response).job if kind is not None and self.code == "OK" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a stream."""

    received: int
    committed: int
    """The job's newest sequence in the database just after the message came; -1 when nobody looked."""
    body: bytes

    def parsed(self) -> job_service_pb2.WatchProgressResponse:
        return job_service_pb2.WatchProgressResponse.FromString(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One call of WatchProgress, from its start to its end."""

    watcher: str
    """Who called. A watcher's streams of one job go on from each other."""
    job_id: str
    after_sequence: int
    started: int
    ended: int
    messages: tuple[Message, ...]
    end: str
    """OK, a status code, or DROPPED when the watcher went away by itself."""
    reason: str = ""
    slow: bool = False
    """Whether the watcher took its time after each message."""

    def received_events(self) -> Iterator[tuple[int, job_pb2.ProgressEvent]]:
        """Its events, each with the moment when it came."""
        for message in self.messages:
            for event in message.parsed().events:
                yield message.received, event

    def events(self) -> Iterator[job_pb2.ProgressEvent]:
        return (event for _, event in self.received_events())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """How a job was in the end, and what it should have come to."""

    job: bytes
    log: tuple[bytes, ...]
    """All its events, read when nothing happened any more."""
    effects: tuple[tuple[str, int], ...] = ()
    """What its steps did outside: which run of a node, and when."""
    expected_trail: tuple[str, ...] | None = None
    """What its undisturbed run gives; None: it fails."""
    expected_runs: frozenset[str] = frozenset()
    """The runs of nodes that an undisturbed job is made of."""
    again: tuple[str, ...] = ()
    """The runs that clients asked for once more, by going back or by an edit; one entry for each time."""

    def parsed(self) -> job_pb2.Job:
        return job_pb2.Job.FromString(self.job)

    def events(self) -> list[job_pb2.ProgressEvent]:
        return [job_pb2.ProgressEvent.FromString(event) for event in self.log]


@dataclass(slots=True)
class Absence:
    """A time in which there was no server, by the machine's monotonic clock: at most so long."""

    began: int
    ended: int | None = None
    """None: it is not over."""


@dataclass(slots=True)
class History:
    """Everything that was seen."""

    calls: list[Call] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    """The jobs that clients deleted, and those that were over."""
    restarts: int = 0
    absences: list[Absence] = field(default_factory=list)
    """When there was no server. A server that was asked to stop is there no more."""
    losses: list[int] = field(default_factory=list)
    """When processes were killed that jobs ran in, and their server was not."""

    @contextmanager
    def server_away(self) -> Iterator[None]:
        """In which a server is killed, and another one started."""
        self.restarts += 1
        self.absences.append(absence := Absence(time.monotonic_ns()))
        yield
        absence.ended = time.monotonic_ns()

    def was_away(self, since: int, until: int) -> bool:
        """Whether there was a moment between these without a server."""
        return any(a.began <= until and (a.ended is None or a.ended >= since) for a in self.absences)

    def size(self) -> dict[str, int]:
        """How much there is to check."""
        return {
            "jobs": len(self.jobs) + len(self.deleted),
            "calls": len(self.calls),
            "watch_streams": len(self.streams),
            "events_received": sum(1 for stream in self.streams for _ in stream.events()),
            "messages_received": sum(len(stream.messages) for stream in self.streams),
            "restarts": self.restarts,
        }

    def save(self, path: Path) -> None:
        """Keep it, to check it again: a JSON object a line."""
        with path.open("w") as file:
            absences = [asdict(absence) for absence in self.absences]
            head = {"restarts": self.restarts, "absences": absences, "losses": self.losses}
            head |= {"kind": "head", "deleted": sorted(self.deleted)}
            file.write(json.dumps(head) + "\n")
            for kind, items in (("call", self.calls), ("stream", self.streams)):
                for item in items:
                    file.write(json.dumps({"kind": kind, **asdict(item)}, default=_text) + "\n")
            for record in self.jobs.values():
                file.write(json.dumps({"kind": "job", **asdict(record)}, default=_text) + "\n")

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote."""
        history = cls()
        for line in path.read_text().splitlines():
            item = json.loads(line)
            match item.pop("kind"):
                case "head":
                    history.restarts, history.deleted = item["restarts"], set(item["deleted"])
                    history.absences = [Absence(**absence) for absence in item["absences"]]
                    history.losses = item["losses"]
                case "call":
                    history.calls.append(Call(**item | _bytes(item, "request", "response")))
                case "stream":
                    messages = tuple(Message(**m | _bytes(m, "body")) for m in item["messages"])
                    history.streams.append(Stream(**item | {"messages": messages}))
                case _:
                    record = _job_record(item)
                    history.jobs[record.parsed().job_id] = record
        return history


def _text(value: bytes | frozenset[str]) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else sorted(value)


def _bytes(item: dict[str, Any], *names: str) -> dict[str, bytes]:
    return {name: base64.b64decode(item[name]) for name in names}


def _job_record(item: dict[str, Any]) -> JobRecord:
    trail = item["expected_trail"]
    return JobRecord(
        job=base64.b64decode(item["job"]),
        log=tuple(base64.b64decode(event) for event in item["log"]),
        effects=tuple((key, moment) for key, moment in item["effects"]),
        expected_trail=None if trail is None else tuple(trail),
        expected_runs=frozenset(item["expected_runs"]),
        again=tuple(item["again"]),
    )
