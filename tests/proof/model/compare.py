"""What a server's answers say, in the words of the model."""

import json
from typing import Any

from autopilot.v1 import job_pb2
from google.protobuf.json_format import MessageToDict

from tests.proof.histories.states import CANCELLED, FINISHED, OWNED, SUCCEEDED
from tests.proof.model.jobs import Job
from tests.proof.model.refusals import Refusal
from tests.refused import Refused

DAY_SECONDS = 86400


def outcome(told: Any) -> str:
    return told.reason if isinstance(told, Refusal) else "answered"


def refusal_of(error: Any) -> Refusal:
    """How a call was refused."""
    told = Refused(error)
    return Refusal(told.code.name, told.reason, told.metadata, frozenset(told.violations), told.retry is not None)


def move(changed: Any) -> tuple[int, int, str]:
    return getattr(changed, "from"), changed.to, changed.error.reason


def value(payload: job_pb2.Payload) -> Any:
    if payload.HasField("json_text"):
        return json.loads(payload.json_text)
    return MessageToDict(payload.json)


def still(message: Any) -> Any:
    """A job without what changes while it runs."""
    kept = job_pb2.Job()
    kept.CopyFrom(message)
    if message.state in OWNED:
        kept.ClearField("progress")
    return kept


def told_of(message: Any) -> dict[str, Any]:
    error = (message.error.reason, message.error.step) if message.HasField("error") else None
    kept = message.expire_time.seconds - message.end_time.seconds if message.HasField("expire_time") else None
    return {
        "job_id": message.job_id,
        "workflow": message.workflow,
        "thread_id": message.thread_id,
        "state": message.state,
        "labels": dict(message.labels),
        "priority": message.priority,
        "key": message.concurrency_key,
        "error": error,
        "message": message.error.message if message.state == CANCELLED and message.error.reason == "CANCELLED" else "",
        "interrupts": [question.step for question in message.interrupts],
        "attempt": message.attempt,
        "failed_attempts": message.failed_attempts,
        "max_attempts": message.max_attempts,
        "checkpoint_id": message.checkpoint_id,
        "scheduled": message.scheduled_time.seconds if message.HasField("scheduled_time") else None,
        "started": message.HasField("start_time"),
        "ended": message.HasField("end_time"),
        "kept": kept,
        "etag": message.etag,
        "next_steps": list(message.next_steps),
        "retries_later": message.HasField("next_attempt_time"),
        "succeeded": message.progress.fraction == 1,
    }


def expected_of(job: Job) -> dict[str, Any]:
    request = job.request
    cancelled = job.error is not None and job.error[0] == "CANCELLED"
    return {
        "job_id": job.job_id,
        "workflow": request.workflow,
        "thread_id": job.thread_id,
        "state": job.state,
        "labels": dict(request.labels),
        "priority": request.priority,
        "key": job.key,
        "error": job.error,
        "message": (job.cancel_reason or "Cancelled.") if job.state == CANCELLED and cancelled else "",
        "interrupts": [question.step for question in job.open_questions],
        "attempt": job.attempt,
        "failed_attempts": job.failed_attempts,
        "max_attempts": job.max_attempts,
        "checkpoint_id": "" if job.point is None else job.point.checkpoint_id,
        "scheduled": request.scheduled_time.seconds if request.HasField("scheduled_time") else None,
        "started": job.attempt > 0,
        "ended": job.state in FINISHED,
        "kept": _kept(job),
        "etag": job.etags[-1],
        "next_steps": [] if job.state in OWNED else job.next_steps,
        "retries_later": job.retries_later,
        "succeeded": job.state == SUCCEEDED,
    }


def _kept(job: Job) -> int | None:
    if job.state not in FINISHED:
        return None
    return job.request.retention.seconds if job.request.HasField("retention") else 30 * DAY_SECONDS
