"""What violations are made with."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.history import Call, History, Message, Stream
from tests.proof.histories.seen import Checker, Log
from tests.proof.histories.states import SUCCEEDED

Plant = Callable[[History], None]
"""Changes a history, which is a copy."""

PLANTS: dict[Checker, list[Plant]] = {}


def found_by(checker: Checker) -> Callable[[Plant], Plant]:
    """What a checker must find."""

    def plant(change: Plant) -> Plant:
        PLANTS.setdefault(checker, []).append(change)
        return change

    return plant


def copy(history: History) -> History:
    """A history that may be changed."""
    return History(
        calls=list(history.calls),
        streams=list(history.streams),
        jobs=dict(history.jobs),
        deleted=set(history.deleted),
        restarts=history.restarts,
        absences=[replace(absence) for absence in history.absences],
        losses=list(history.losses),
    )


def logs(history: History) -> Iterator[Log]:
    """The logs of the jobs, those with the most events first."""
    return iter(sorted((Log(*item) for item in history.jobs.items()), key=lambda log: -len(log.events)))


def succeeded(history: History) -> Log:
    """The longest log of a job that went well, and that no client sent back."""
    return next(log for log in logs(history) if log.job.state == SUCCEEDED and not log.record.again)


def index_of(log: Log, kind: str) -> int:
    """Where the last event of a kind is: what its attempt began, no restart has ended."""
    return max(i for i, event in enumerate(log.events) if event.WhichOneof("kind") == kind)


def set_log(history: History, log: Log, events: Sequence[job_pb2.ProgressEvent], *, renumber: bool = False) -> None:
    """Give a job another log. `renumber`: without gaps, and the job knows how long it is."""
    job = log.record.parsed()
    if renumber:
        events = [changed(event, sequence=number) for number, event in enumerate(events, 1)]
        job.latest_sequence = len(events)
    history.jobs[log.job_id] = replace(
        log.record, job=job.SerializeToString(), log=tuple(event.SerializeToString() for event in events)
    )


def set_job(history: History, log: Log, **fields: Any) -> None:
    """Change a job as it is in the end."""
    history.jobs[log.job_id] = replace(log.record, job=changed(log.job, **fields).SerializeToString())


def changed(message: Any, **fields: Any) -> Any:
    """A message with other fields."""
    other = type(message)()
    other.CopyFrom(message)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def answer(history: History, method: str, job_id: str = "") -> tuple[int, Call]:
    """The last call of a method that was answered, of any job that is left or of one."""
    wanted = [job_id] if job_id else list(history.jobs)
    calls = [
        (place, call)
        for place, call in enumerate(history.calls)
        if (call.method, call.code) == (method, "OK") and call.job is not None and call.job.job_id in wanted
    ]
    return max(calls, key=lambda found: found[1].started)


def set_answer(history: History, place: int, **fields: Any) -> None:
    """Change the job in a call's answer."""
    call = history.calls[place]
    kind: Any = getattr(job_service_pb2, f"{call.method}Response")
    response = kind(job=changed(call.job, **fields))
    history.calls[place] = replace(call, response=response.SerializeToString())


def call_of(job_id: str, method: str, request: Any, code: str = "OK", response: bytes = b"", reason: str = "") -> Call:
    """A call that is made now."""
    now = time.monotonic_ns()
    return Call(
        method=method,
        job_id=job_id,
        started=now,
        ended=now,
        request=request.SerializeToString(),
        response=response,
        code=code,
        reason=reason,
    )


def stream_of(history: History, fits: Callable[[Stream], bool]) -> int:
    """The first stream that fits, of a job that is left."""
    return next(i for i, stream in enumerate(history.streams) if stream.job_id in history.jobs and fits(stream))


def told_several(stream: Stream) -> bool:
    """Whether some message of a stream has several events, and how they lie is to be seen."""
    return any(len(message.parsed().events) > 2 for message in stream.messages)


def set_events(history: History, place: int, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change the events of the first message of a stream that has several."""
    stream = history.streams[place]
    at = next(i for i, message in enumerate(stream.messages) if len(message.parsed().events) > 2)
    parsed = stream.messages[at].parsed()
    events = change(list(parsed.events))
    del parsed.events[:]
    parsed.events.extend(events)
    set_message(history, place, at, body=parsed.SerializeToString())


def set_message(history: History, place: int, at: int, **fields: Any) -> None:
    stream = history.streams[place]
    messages: list[Message] = list(stream.messages)
    messages[at] = replace(messages[at], **fields)
    history.streams[place] = replace(stream, messages=tuple(messages))


def double(history: History, kind: str) -> None:
    """Let an event of a kind happen twice."""
    log = succeeded(history)
    at = index_of(log, kind)
    set_log(history, log, [*log.events[: at + 1], *log.events[at:]], renumber=True)


def drop(history: History, kind: str) -> None:
    """Let an event of a kind be lost."""
    log = succeeded(history)
    at = index_of(log, kind)
    set_log(history, log, [*log.events[:at], *log.events[at + 1 :]], renumber=True)
