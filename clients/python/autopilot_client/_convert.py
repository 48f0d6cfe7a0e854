"""The contract's messages as Python's types, and back. Pure; shared by both clients."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from autopilot_client._model import (
    MISSING,
    Checkpoint,
    CheckpointSaved,
    Event,
    EventKind,
    Interrupt,
    InterruptRaised,
    Job,
    JobError,
    JobState,
    Missing,
    Omitted,
    Progress,
    ProgressReported,
    StateChanged,
    StepFailed,
    StepFinished,
    StepStarted,
    TokenChunk,
    UnknownEvent,
    Workflow,
)

# --- out ---


def payload(value: Any) -> job_pb2.Payload:
    """A JSON value as exact text. TypeError or ValueError for what JSON has not got, NaN among it."""
    return job_pb2.Payload(json_text=json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def optional_payload(value: Any) -> job_pb2.Payload | None:
    """A JSON value that may not be given."""
    return None if isinstance(value, Missing) else payload(value)


def duration(value: timedelta | float | None) -> Duration | None:
    """A span: a timedelta, or seconds."""
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value if isinstance(value, timedelta) else timedelta(seconds=value))
    return message


def timestamp(value: datetime | None) -> Timestamp | None:
    """A time. One without a time zone is refused: nobody knows which it means."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: use an aware datetime, such as datetime.now(UTC)")
    message = Timestamp()
    message.FromDatetime(value)
    return message


def label_texts(given: Mapping[str, str] | None) -> dict[str, str]:
    """Labels. TypeError for one that is no text."""
    for key, text in (given or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"label {key!r} is {text!r}: a label's name and value are texts")
    return dict(given or {})


def job_filter(
    *,
    states: Sequence[JobState] = (),
    workflow: str = "",
    thread_id: str = "",
    labels: Mapping[str, str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> job_service_pb2.JobFilter:
    """A filter of jobs."""
    return job_service_pb2.JobFilter(
        states=[int(state) for state in states],  # type: ignore[misc] # the numbers are the contract's
        workflow=workflow,
        thread_id=thread_id,
        labels=label_texts(labels),
        created_after=timestamp(created_after),
        created_before=timestamp(created_before),
    )


# --- in ---


def value(message: job_pb2.Payload) -> Any:
    """A JSON value, as exact as the server sent it."""
    match message.WhichOneof("kind"):
        case "json_text":
            return json.loads(message.json_text)
        case "json":
            return _whole(MessageToDict(message.json))
        case "omitted":
            return Omitted(message.omitted.size_bytes)
        case _:
            return MISSING


def _field(message: Any, name: str) -> Any:
    return value(getattr(message, name)) if message.HasField(name) else MISSING


def _whole(content: Any) -> Any:
    """Numbers of google.protobuf.Value are doubles."""
    match content:
        case float() if math.isfinite(content) and content.is_integer():
            return int(content)
        case list():
            return [_whole(item) for item in content]
        case dict():
            return {key: _whole(item) for key, item in content.items()}
        case _:
            return content


def _time(message: Any, name: str) -> datetime | None:
    return getattr(message, name).ToDatetime(tzinfo=UTC) if message.HasField(name) else None


def _error(message: job_pb2.JobError) -> JobError:
    return JobError(message.reason, message.message, message.step, message.exception_type, message.traceback)


def progress(message: job_pb2.Progress) -> Progress:
    """A job's progress."""
    remaining = message.estimated_remaining.ToTimedelta() if message.HasField("estimated_remaining") else None
    return Progress(
        fraction=message.fraction,
        active_steps=tuple(message.active_steps),
        completed_steps=message.completed_steps,
        estimated_total_steps=message.estimated_total_steps,
        elapsed=message.elapsed.ToTimedelta(),
        estimated_remaining=remaining,
        message=message.message,
    )


def interrupt(message: job_pb2.Interrupt) -> Interrupt:
    """A question."""
    schema = _whole(MessageToDict(message.response_schema)) if message.HasField("response_schema") else None
    return Interrupt(
        interrupt_id=message.interrupt_id,
        step=message.step,
        value=_field(message, "value"),
        create_time=_time(message, "create_time"),
        response_schema=schema,
        step_run_id=message.step_run_id,
    )


def answered(response: job_service_pb2.SubmitJobResponse | job_service_pb2.ResumeResponse) -> Job:
    """The job of a call that has a request_id."""
    return replace(job(response.job), deduplicated=response.deduplicated)


def job(message: job_pb2.Job) -> Job:
    """A job."""
    return Job(
        job_id=message.job_id,
        workflow=message.workflow,
        thread_id=message.thread_id,
        state=JobState(message.state),
        labels=dict(message.labels),
        priority=message.priority,
        input=_field(message, "input"),
        output=_field(message, "output"),
        error=_error(message.error) if message.HasField("error") else None,
        interrupts=tuple(interrupt(question) for question in message.interrupts),
        progress=progress(message.progress),
        attempt=message.attempt,
        max_attempts=message.max_attempts,
        failed_attempts=message.failed_attempts,
        checkpoint_id=message.checkpoint_id,
        latest_sequence=message.latest_sequence,
        next_steps=tuple(message.next_steps),
        create_time=_time(message, "create_time"),
        scheduled_time=_time(message, "scheduled_time"),
        start_time=_time(message, "start_time"),
        update_time=_time(message, "update_time"),
        end_time=_time(message, "end_time"),
        expire_time=_time(message, "expire_time"),
        next_attempt_time=_time(message, "next_attempt_time"),
        etag=message.etag,
        workflow_revision=message.workflow_revision,
        concurrency_key=message.concurrency_key,
    )


def checkpoint(message: job_pb2.Checkpoint) -> Checkpoint:
    """A checkpoint."""
    return Checkpoint(
        checkpoint_id=message.checkpoint_id,
        parent_checkpoint_id=message.parent_checkpoint_id,
        superstep=message.superstep,
        source=message.source,
        next_steps=tuple(message.next_steps),
        create_time=_time(message, "create_time"),
        values=_field(message, "values"),
    )


def workflow(message: job_pb2.Workflow) -> Workflow:
    """A workflow."""
    return Workflow(
        name=message.name,
        description=message.description,
        revision=message.revision,
        input_schema=_whole(MessageToDict(message.input_schema)),
        output_schema=_whole(MessageToDict(message.output_schema)),
        steps=tuple(message.steps),
        mermaid=message.mermaid,
        max_running_jobs=message.max_running_jobs,
        max_running_jobs_per_key=message.max_running_jobs_per_key,
    )


def event(message: job_pb2.ProgressEvent) -> Event:
    """An event."""
    return Event(
        job_id=message.job_id,
        sequence=message.sequence,
        event_time=_time(message, "event_time"),
        attempt=message.attempt,
        progress=progress(message.progress),
        kind=_kind(message),
    )


def _kind(message: job_pb2.ProgressEvent) -> EventKind:
    match message.WhichOneof("kind"):
        case "state_changed":
            changed = message.state_changed
            error = _error(changed.error) if changed.HasField("error") else None
            return StateChanged(JobState(getattr(changed, "from")), JobState(changed.to), error)
        case "step_started":
            return StepStarted(message.step_started.step, message.step_started.step_run_id)
        case "step_finished":
            finished = message.step_finished
            return StepFinished(
                finished.step, finished.step_run_id, _field(finished, "update"), finished.duration.ToTimedelta()
            )
        case "step_failed":
            failed = message.step_failed
            return StepFailed(failed.step, failed.step_run_id, _error(failed.error), failed.duration.ToTimedelta())
        case "interrupt_raised":
            return InterruptRaised(interrupt(message.interrupt_raised.interrupt))
        case "progress_reported":
            report = message.progress_reported
            fraction = report.fraction if report.HasField("fraction") else None
            return ProgressReported(report.step, report.message, fraction, _field(report, "data"), report.dropped)
        case "checkpoint_saved":
            saved = message.checkpoint_saved
            return CheckpointSaved(saved.checkpoint_id, saved.superstep, tuple(saved.next_steps))
        case "token_chunk":
            token = message.token_chunk
            return TokenChunk(token.step, token.message_id, token.text)
        case _:
            return UnknownEvent()
