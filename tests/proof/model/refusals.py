"""How the model refuses, and the checks that several methods have."""

from dataclasses import dataclass, field
from typing import Any

from tests.proof.histories.states import INTERRUPTED, name
from tests.proof.model.jobs import Job, Point
from tests.proof.model.requests import (
    PAYLOAD_BYTES,
    answers_of,
    contents,
    too_large,
    value_of,
    wrong_answers,
    wrong_fields,
)

# Refusals that come with a RetryInfo.
MAY_WAIT = {"LIMIT_EXCEEDED", "STORAGE_UNAVAILABLE"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a request is refused."""

    code: str
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()
    """What BadRequest names."""
    may_wait: bool = False
    """It tells when to try again."""


class Refused(Exception):  # noqa: N818 - not an error, an answer
    """A request is refused."""

    def __init__(self, code: str, reason: str, *, fields: frozenset[str] = frozenset(), **metadata: Any) -> None:
        super().__init__(reason)
        told = {key: str(value) for key, value in metadata.items()}
        self.refusal = Refusal(code, reason, told, fields, reason in MAY_WAIT)


# --- checks ---


def check_form(method: str, request: Any) -> None:
    """What is wrong with the request itself."""
    if fields := wrong_fields(method, request):
        raise Refused("INVALID_ARGUMENT", "FIELD_INVALID", fields=fields)
    if (large := too_large(request)) is not None:
        size = len(getattr(request, large).json_text)
        raise Refused("INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE", field=large, size_bytes=size, limit_bytes=PAYLOAD_BYTES)


def check_contents(known: Any, request: Any) -> None:
    """A request_id that was used before belongs to the same contents."""
    if known != contents(request):
        raise Refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED", request_id=request.request_id)


def check_etag(job: Job, etag: str) -> None:
    """The job has not changed since the client read it."""
    if etag and etag != job.etags[-1]:
        raise Refused("ABORTED", "ETAG_MISMATCH", job_id=job.job_id, etag=job.etags[-1])


def check_token(fits: bool) -> None:
    """A page token belongs to its query."""
    if not fits:
        raise Refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


def conflict(job: Job, method: str) -> Refused:
    """Not in this state."""
    return Refused("FAILED_PRECONDITION", "JOB_STATE_CONFLICT", job_id=job.job_id, state=name(job.state), method=method)


def point_of(job: Job, checkpoint_id: str) -> Point:
    """A job's checkpoint; its newest when none is named."""
    found = [p for p in job.points if p.checkpoint_id == checkpoint_id] if checkpoint_id else job.points[-1:]
    if not found:
        raise Refused("NOT_FOUND", "CHECKPOINT_NOT_FOUND", job_id=job.job_id, checkpoint_id=checkpoint_id)
    return found[0]


def answers_to(job: Job, request: Any) -> dict[str, Any]:
    """The answers of a Resume, by question."""
    open_questions = {question.interrupt_id: question for question in job.open_questions}
    answers = answers_of(request)
    if request.HasField("answer"):
        if len(open_questions) != 1:
            raise not_pending(job, "")
        answers = {next(iter(open_questions)): value_of(request.answer)}
    for interrupt_id in sorted(answers):
        if interrupt_id not in open_questions:
            raise not_pending(job, interrupt_id)
    elsewhere = bool(request.checkpoint_id) or request.HasField("state_update")
    if job.state == INTERRUPTED and open_questions and not answers and not elsewhere:
        raise not_pending(job, next(iter(open_questions)))
    if fields := wrong_answers(request, {key: question.step for key, question in open_questions.items()}):
        raise Refused("INVALID_ARGUMENT", "FIELD_INVALID", fields=fields)
    return answers


def not_pending(job: Job, interrupt_id: str) -> Refused:
    return Refused("FAILED_PRECONDITION", "INTERRUPT_NOT_PENDING", job_id=job.job_id, interrupt_id=interrupt_id)
