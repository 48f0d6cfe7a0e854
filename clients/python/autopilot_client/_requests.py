"""The clients' calls as requests. Pure; shared by both clients."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from autopilot.v1 import job_pb2, job_service_pb2

from autopilot_client import _convert
from autopilot_client._model import MISSING

Span = timedelta | float
"""A span of time: a timedelta, or seconds."""

TEXT = job_pb2.PAYLOAD_FORMAT_JSON_TEXT


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failed attempts are repeated. What is None is the server's default."""

    max_attempts: int | None = None
    initial_backoff: Span | None = None
    max_backoff: Span | None = None
    backoff_multiplier: float | None = None


class SubmitOptions(TypedDict, total=False):
    """What a Submit may say besides the workflow and its input."""

    job_id: str
    request_id: str
    thread_id: str
    labels: Mapping[str, str]
    scheduled_time: datetime
    priority: int
    execution_timeout: Span
    retry_policy: RetryPolicy
    retention: Span
    interrupt_before: Sequence[str]
    interrupt_after: Sequence[str]
    context: Any
    step_limit: int
    concurrency_key: str
    fork_from: str
    fork_checkpoint: str


class ResumeOptions(TypedDict, total=False):
    """What a Resume may say."""

    answer: Any
    answers: Mapping[str, Any]
    request_id: str
    etag: str
    checkpoint_id: str
    state_update: Any
    state_update_step: str


def submit(workflow: str, graph_input: Any, **options: Unpack[SubmitOptions]) -> job_service_pb2.SubmitJobRequest:
    """A Submit, with a request_id that makes it safe to repeat."""
    _known("submit", options, SubmitOptions)
    fork = options.get("fork_from")
    return job_service_pb2.SubmitJobRequest(
        workflow=workflow,
        input=_convert.optional_payload(graph_input),
        job_id=options.get("job_id", ""),
        request_id=options.get("request_id") or str(uuid.uuid4()),
        thread_id=options.get("thread_id", ""),
        labels=_convert.label_texts(options.get("labels")),
        scheduled_time=_convert.timestamp(options.get("scheduled_time")),
        priority=options.get("priority", 0),
        execution_timeout=_convert.duration(options.get("execution_timeout")),
        retry_policy=_retry_policy(options.get("retry_policy")),
        fork_from=None if fork is None else _fork(fork, options.get("fork_checkpoint", "")),
        retention=_convert.duration(options.get("retention")),
        interrupt_before=options.get("interrupt_before", ()),
        interrupt_after=options.get("interrupt_after", ()),
        context=_convert.optional_payload(options.get("context", MISSING)),
        step_limit=options.get("step_limit", 0),
        concurrency_key=options.get("concurrency_key", ""),
    )


def _known(method: str, options: Mapping[str, object], form: type) -> None:
    """Refuse options that there are not: one that is misspelt would be left out without a word."""
    if unknown := options.keys() - form.__annotations__.keys():
        names = ", ".join(map(repr, sorted(unknown)))
        raise TypeError(f"{method}() has no option {names}; it has {', '.join(form.__annotations__)}")


def _fork(job_id: str, checkpoint_id: str) -> job_service_pb2.CheckpointRef:
    return job_service_pb2.CheckpointRef(job_id=job_id, checkpoint_id=checkpoint_id)


def _retry_policy(policy: RetryPolicy | None) -> job_pb2.RetryPolicy | None:
    if policy is None:
        return None
    if not isinstance(policy, RetryPolicy):
        raise TypeError(f"retry_policy must be a RetryPolicy, such as RetryPolicy(max_attempts=5), not {policy!r}")
    return job_pb2.RetryPolicy(
        max_attempts=policy.max_attempts or 0,
        initial_backoff=_convert.duration(policy.initial_backoff),
        max_backoff=_convert.duration(policy.max_backoff),
        backoff_multiplier=policy.backoff_multiplier or 0,
    )


def resume(job_id: str, **options: Unpack[ResumeOptions]) -> job_service_pb2.ResumeRequest:
    """A Resume, with a request_id that makes it safe to repeat."""
    _known("resume", options, ResumeOptions)
    return job_service_pb2.ResumeRequest(
        job_id=job_id,
        answer=_convert.optional_payload(options.get("answer", MISSING)),
        answers={key: _convert.payload(answer) for key, answer in (options.get("answers") or {}).items()},
        request_id=options.get("request_id") or str(uuid.uuid4()),
        etag=options.get("etag", ""),
        checkpoint_id=options.get("checkpoint_id", ""),
        state_update=_convert.optional_payload(options.get("state_update", MISSING)),
        state_update_step=options.get("state_update_step", ""),
    )


def view(payloads: bool) -> job_pb2.View:
    """FULL or BASIC."""
    return job_pb2.VIEW_FULL if payloads else job_pb2.VIEW_BASIC
