"""The job model as the contract's messages, and back."""

import json
from typing import Any

from autopilot.v1 import job_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from autopilot_server.api.payload import VALUE_DEPTH, PayloadWriter
from autopilot_server.jobs.job import Checkpoint, Interrupt, Job, JobError, Micros, Progress, Workflow
from autopilot_server.jobs.json_text import is_deeper
from autopilot_server.jobs.states import OWNED
from autopilot_server.jobs.tenants import public

MICROS = 1_000_000


def timestamp(value: Micros) -> Timestamp:
    """A time."""
    seconds, micros = divmod(value, MICROS)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def duration(value: Micros) -> Duration:
    """A span; never negative here."""
    seconds, micros = divmod(value, MICROS)
    return Duration(seconds=seconds, nanos=micros * 1000)


def optional_timestamp(value: Micros | None) -> Timestamp | None:
    """A time that may be unset."""
    return None if value is None else timestamp(value)


def progress(value: Progress) -> job_pb2.Progress:
    """A job's progress."""
    remaining = value.estimated_remaining
    return job_pb2.Progress(
        fraction=value.fraction,
        active_steps=value.active_steps,
        completed_steps=value.completed_steps,
        estimated_total_steps=value.estimated_total_steps,
        elapsed=duration(value.elapsed),
        estimated_remaining=None if remaining is None else duration(remaining),
        message=value.message,
    )


def job_error(value: JobError | None) -> job_pb2.JobError | None:
    """A job's error."""
    if value is None:
        return None
    return job_pb2.JobError(
        reason=value.reason,
        message=value.message,
        step=value.step,
        exception_type=value.exception_type,
        traceback=value.traceback,
    )


def interrupt(value: Interrupt, write: PayloadWriter) -> job_pb2.Interrupt:
    """An open question."""
    message = job_pb2.Interrupt(
        interrupt_id=value.interrupt_id,
        step=value.step,
        step_run_id=value.step_run_id,
        value=write(value.value),
        create_time=timestamp(value.create_time),
    )
    if value.response_schema is not None:
        message.response_schema.CopyFrom(struct(value.response_schema))
    return message


def job(value: Job, write: PayloadWriter) -> job_pb2.Job:
    """A job; its payloads as `write` gives them, which is None for a view without them."""
    spec = value.spec
    message = job_pb2.Job(
        job_id=public(spec.job_id),
        workflow=spec.workflow,
        thread_id=public(spec.thread_id),
        state=int(value.state),  # type: ignore[arg-type] # the numbers are the contract's
        labels=spec.labels,
        priority=spec.priority,
        input=write(spec.input),
        output=write(value.output),
        error=job_error(value.error),
        interrupts=[interrupt(question, write) for question in value.interrupts],
        progress=progress(value.progress),
        attempt=value.attempt,
        max_attempts=spec.retry_policy.max_attempts,
        checkpoint_id=value.checkpoint_id,
        latest_sequence=value.latest_sequence,
        create_time=timestamp(value.create_time),
        scheduled_time=optional_timestamp(spec.scheduled_time),
        start_time=optional_timestamp(value.start_time),
        update_time=timestamp(value.update_time),
        end_time=optional_timestamp(value.end_time),
        expire_time=optional_timestamp(value.expire_time),
        etag=value.etag,
        workflow_revision=value.workflow_revision,
        failed_attempts=value.failed_attempts,
        next_attempt_time=optional_timestamp(value.next_attempt_time),
        concurrency_key=public(spec.concurrency_key),
    )
    if value.state not in OWNED:
        message.next_steps.extend(value.next_steps)
    return message


def checkpoint(value: Checkpoint, values: job_pb2.Payload | None) -> job_pb2.Checkpoint:
    """A checkpoint, with its values when they were read."""
    return job_pb2.Checkpoint(
        checkpoint_id=value.checkpoint_id,
        parent_checkpoint_id=value.parent_checkpoint_id,
        superstep=value.superstep,
        source=value.source,
        next_steps=value.next_steps,
        create_time=timestamp(value.create_time),
        values=values,
    )


def workflow(value: Workflow) -> job_pb2.Workflow:
    """A workflow."""
    return job_pb2.Workflow(
        name=value.name,
        description=value.description,
        revision=value.revision,
        input_schema=struct(value.input_schema),
        output_schema=struct(value.output_schema),
        steps=value.steps,
        mermaid=value.mermaid,
        max_running_jobs=value.concurrency.jobs or 0,
        max_running_jobs_per_key=value.concurrency.per_key or 0,
    )


def struct(text: str) -> Struct:
    """A JSON object, such as a schema, as protobuf has it: empty when it is nested too deeply for that."""
    message = Struct()
    if is_deeper(text, VALUE_DEPTH):
        return message
    # Its numbers are doubles, and not all integers fit.
    content: Any = json.loads(text, parse_int=float)
    if isinstance(content, dict):
        message.update(content)
    return message
