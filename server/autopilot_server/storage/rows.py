"""Rows of the database as the job model has them, and back."""

import json
from dataclasses import asdict
from typing import Any

from autopilot_server.jobs.errors import SealBrokenError
from autopilot_server.jobs.job import (
    Checkpoint,
    CheckpointRef,
    Concurrency,
    Interrupt,
    Isolation,
    Job,
    JobError,
    JobErrorReason,
    JobSpec,
    Micros,
    Omitted,
    Progress,
    RetryPolicy,
    StartPoint,
    Workflow,
)
from autopilot_server.jobs.states import OWNED, JobState
from autopilot_server.jobs.tenants import scoped, tenant_of
from autopilot_server.jobs.traces import JobTrace, TraceContext
from autopilot_server.storage.sealing import as_dict
from autopilot_server.storage.store import CheckpointPut, CheckpointRow, Submission, WriteRow, WritesPut
from autopilot_server.storage.transaction import Row

# Made once: json.dumps makes an encoder for each call that asks for anything unusual.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dumps(value: Any) -> str:
    """JSON text without needless spaces."""
    return _encoder.encode(value)


# --- progress: elapsed time is a column of its own, because it goes on between writes ---


def dump_progress(progress: Progress) -> str:
    """A progress, but for its elapsed time."""
    return dumps(
        [
            progress.fraction,
            progress.active_steps,
            progress.completed_steps,
            progress.estimated_total_steps,
            progress.estimated_remaining,
            progress.message,
        ]
    )


def elapsed(row: Row, now: Micros) -> Micros:
    """Time spent RUNNING, the present attempt included."""
    total: Micros = row["elapsed"]
    return total + max(0, now - row["claim_time"]) if row["state"] in OWNED else total


def load_progress(row: Row, now: Micros) -> Progress:
    """A job's progress."""
    fraction, active, completed, total, remaining, message = json.loads(row["progress"])
    return Progress(fraction, tuple(active), completed, total, elapsed(row, now), remaining, message)


# --- errors, questions, start points ---


def dump_error(error: JobError | None) -> str | None:
    """A job's error."""
    return None if error is None else dumps(asdict(error))


def load_error(text: str | None) -> JobError | None:
    """A job's error."""
    if text is None:
        return None
    fields = json.loads(text)
    return JobError(JobErrorReason(fields.pop("reason")), **fields)


def interrupt_row(job_id: str, position: int, interrupt: Interrupt, create_time: Micros) -> dict[str, Any]:
    """An open question as the parameters of interrupt_insert."""
    value = interrupt.value
    return {
        "job_id": job_id,
        "position": position,
        "interrupt_id": interrupt.interrupt_id,
        "step": interrupt.step,
        "step_run_id": interrupt.step_run_id,
        "question": None if isinstance(value, Omitted) else value,
        "value_bytes": value.size_bytes if isinstance(value, Omitted) else len(value.encode()),
        "response_schema": interrupt.response_schema,
        "create_time": create_time,
    }


def load_interrupt(row: Row, *, payloads: bool) -> Interrupt:
    """An open question."""
    value = row["question"] if payloads and row["question"] is not None else Omitted(row["value_bytes"])
    return Interrupt(
        interrupt_id=row["interrupt_id"],
        step=row["step"],
        step_run_id=row["step_run_id"],
        value=value,
        create_time=row["create_time"],
        response_schema=row["response_schema"],
    )


def dump_start_point(start: StartPoint) -> str:
    """A start point."""
    return dumps(asdict(start))


def load_start_point(text: str | None) -> StartPoint | None:
    """A start point."""
    if text is None:
        return None
    fields = json.loads(text)
    return StartPoint(JobState(fields.pop("former_state")), **fields)


# --- traces ---


def dump_trace(trace: JobTrace) -> str:
    """Where a job belongs in traces."""
    contexts = [context or TraceContext("") for context in (trace.parent, trace.resumed)]
    texts = [text for context in contexts for text in (context.traceparent, context.tracestate)]
    return dumps([*texts, trace.span_id, trace.previous_span_id])


def load_trace(row: Row) -> JobTrace:
    """Where a job belongs in traces."""
    parent, parent_state, resumed, resumed_state, span_id, previous_span_id = json.loads(row["trace"])
    return JobTrace(
        parent=TraceContext(parent, parent_state) if parent else None,
        resumed=TraceContext(resumed, resumed_state) if resumed else None,
        span_id=span_id,
        previous_span_id=previous_span_id,
    )


# --- what cannot be decrypted ---

_BLANK = {
    "progress": dump_progress(Progress()),
    "error": None,
    "cancel_reason": "",
    "start_point": None,
    "request_digest": b"",
}


def readable(row: Row) -> tuple[dict[str, Any], SealBrokenError | None]:
    """A job's row, blank where it cannot be decrypted, and why it cannot."""
    try:
        return as_dict(row), None
    except SealBrokenError as error:
        return {name: _readable(row, name) for name in row.keys()}, error  # noqa: SIM118 - a row is no dict


def _readable(row: Row, name: str) -> Any:
    try:
        return row[name]
    except SealBrokenError:
        return _BLANK[name]


# --- jobs ---


def etag(row: Row) -> str:
    """Changes with state, attempt and interrupts; create_time is unique in a database."""
    return f"{row['create_time']:x}-{row['version']:x}"


def load_spec(row: Row, payload: Row | None) -> JobSpec:
    """What a client asked for."""
    fork = None if row["fork_job_id"] is None else CheckpointRef(row["fork_job_id"], row["fork_checkpoint_id"])
    return JobSpec(
        job_id=row["job_id"],
        workflow=row["workflow"],
        thread_id=row["thread_id"],
        input=None if payload is None else payload["input"],
        context=None if payload is None else payload["context"],
        labels=json.loads(row["labels"]),
        priority=row["priority"],
        scheduled_time=row["scheduled_time"],
        execution_timeout=row["execution_timeout"],
        retry_policy=RetryPolicy(
            row["max_attempts"], row["initial_backoff"], row["max_backoff"], row["backoff_multiplier"]
        ),
        fork_from=fork,
        retention=row["retention"],
        interrupt_before=tuple(json.loads(row["interrupt_before"])),
        interrupt_after=tuple(json.loads(row["interrupt_after"])),
        step_limit=row["step_limit"],
        concurrency_key=row["concurrency_key"],
    )


def load_job(row: Row, payload: Row | None, interrupts: tuple[Interrupt, ...], now: Micros) -> Job:
    """A job."""
    return Job(
        spec=load_spec(row, payload),
        state=JobState(row["state"]),
        output=None if payload is None else payload["output"],
        error=load_error(row["error"]),
        interrupts=interrupts,
        next_steps=tuple(json.loads(row["next_steps"])),
        progress=load_progress(row, now),
        attempt=row["attempt"],
        failed_attempts=row["failed_attempts"],
        checkpoint_id=row["checkpoint_id"],
        latest_sequence=row["latest_sequence"],
        workflow_revision=row["workflow_revision"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        expire_time=row["expire_time"],
        next_attempt_time=row["next_attempt_time"],
        etag=etag(row),
    )


def new_job_row(submission: Submission, thread_id: str, create_time: Micros, now: Micros) -> dict[str, Any]:
    """A submitted job as the parameters of job_insert. `create_time` may be a little later than `now`."""
    spec = submission.spec
    policy = spec.retry_policy
    return {
        "job_id": spec.job_id,
        "tenant": tenant_of(spec.job_id),
        "workflow": spec.workflow,
        "thread_id": thread_id,
        "labels": dumps(dict(spec.labels)),
        "priority": spec.priority,
        "scheduled_time": spec.scheduled_time,
        "execution_timeout": spec.execution_timeout,
        "max_attempts": policy.max_attempts,
        "initial_backoff": policy.initial_backoff,
        "max_backoff": policy.max_backoff,
        "backoff_multiplier": policy.backoff_multiplier,
        "fork_job_id": None if spec.fork_from is None else spec.fork_from.job_id,
        "fork_checkpoint_id": None if spec.fork_from is None else spec.fork_from.checkpoint_id,
        "retention": spec.retention,
        "interrupt_before": dumps(spec.interrupt_before),
        "interrupt_after": dumps(spec.interrupt_after),
        "step_limit": spec.step_limit,
        "concurrency_key": spec.concurrency_key,
        "request_id": submission.request_id,
        "request_digest": submission.request_digest,
        "create_time": create_time,
        "state": JobState.PENDING,
        "version": 1,
        "latest_sequence": 1,
        "update_time": now,
        "progress": dump_progress(Progress()),
        "checkpoint_id": "",
        "checkpoints": 0,
        "next_steps": "[]",
        "workflow_revision": "",
        "attempt": 0,
        "failed_attempts": 0,
        "losses": 0,
        "checkpoints_at_loss": 0,
        "error": None,
        "questions": 0,
        "cancel_reason": "",
        "start_time": None,
        "end_time": None,
        "expire_time": None,
        "ready_time": max(now, spec.scheduled_time or 0),
        "next_attempt_time": None,
        "start_point": None,
        "passed_breakpoint": "",
        "run_token": None,
        "worker_id": None,
        "claim_time": None,
        "deadline": None,
        "elapsed": 0,
        "budget_spent": 0,
        "trace": dump_trace(JobTrace(parent=submission.trace)),
        # Until it is found to be its turn.
        "held": int(bool(spec.concurrency_key)),
    }


def label_row(row: Row, key: str, value: str) -> dict[str, Any]:
    """A label of a job as the parameters of label_insert and label_delete: found by its tenant only."""
    return {
        "key": scoped(row["tenant"], key),
        "value": value,
        "create_time": row["create_time"],
        "job_id": row["job_id"],
    }


# --- the rest ---


def load_checkpoint(row: Row) -> Checkpoint:
    """A root checkpoint without its values."""
    return Checkpoint(
        checkpoint_id=row["checkpoint_id"],
        parent_checkpoint_id=row["parent_checkpoint_id"] or "",
        superstep=row["superstep"],
        source=row["source"],
        next_steps=tuple(json.loads(row["next_steps"])),
        create_time=row["create_time"],
    )


def checkpoint_parameters(put: CheckpointPut, job_id: str) -> dict[str, Any]:
    """A job's checkpoint as the parameters of checkpoint_put."""
    row = put.row
    return {
        "thread_id": row.thread_id,
        "checkpoint_ns": row.checkpoint_ns,
        "checkpoint_id": row.checkpoint_id,
        "parent_checkpoint_id": row.parent_checkpoint_id,
        "type": row.type,
        "checkpoint": row.checkpoint,
        "metadata": row.metadata,
        "job_id": job_id,
        "superstep": put.superstep,
        "source": put.source,
        "next_steps": dumps(put.next_steps),
        "create_time": put.create_time,
    }


def write_parameters(put: WritesPut, row: WriteRow) -> dict[str, Any]:
    """A pending write as the parameters of write_put and write_replace."""
    return {
        "thread_id": put.thread_id,
        "checkpoint_ns": put.checkpoint_ns,
        "checkpoint_id": put.checkpoint_id,
        "task_id": row.task_id,
        "task_path": row.task_path,
        "idx": row.idx,
        "channel": row.channel,
        "type": row.type,
        "value": row.value,
    }


def load_checkpoint_row(row: Row) -> CheckpointRow:
    """A checkpoint with its values, as LangGraph stores it."""
    return CheckpointRow(**{name: row[name] for name in CheckpointRow.__slots__})


def dump_workflow(workflow: Workflow) -> str:
    """A workflow's descriptor."""
    return dumps(asdict(workflow))


def load_workflow(text: str) -> Workflow:
    """A workflow's descriptor."""
    fields = json.loads(text)
    fields["steps"] = tuple(fields["steps"])
    fields["retry_policy"] = RetryPolicy(**fields["retry_policy"])
    fields["concurrency"] = Concurrency(**fields.pop("concurrency", {}))
    isolation = fields.pop("isolation", None)
    return Workflow(**fields, isolation=None if isolation is None else Isolation(**isolation))
