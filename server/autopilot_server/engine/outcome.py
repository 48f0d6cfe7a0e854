"""How an attempt ended, and what that means for its job: every outcome becomes one RunEnd."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from langgraph.errors import GraphRecursionError, InvalidUpdateError

from autopilot_server.engine.failures import StateInvalidError, describe, state_invalid
from autopilot_server.engine.questions import Stop
from autopilot_server.jobs.job import SECOND, Isolation, Job, JobError, JobErrorReason, Json, Micros, StartPoint
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import RunEnd


@dataclass(frozen=True, slots=True)
class Completed:
    """The graph ran to its end."""

    output: Json


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The graph waits: for answers, or at a breakpoint."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class AnswerRefused:
    """A node's own validation refused an answer; the question stays open."""

    error: JobError
    answers: Sequence[str]
    stop: Stop


@dataclass(frozen=True, slots=True)
class UpdateRefused:
    """The graph refused a Resume's state update."""

    message: str
    start_point: StartPoint


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The run stopped without an end of its own: drained, released at shutdown, or the storage was away."""

    stop: Stop | None = None
    wait_seconds: float = 0.0
    """Before it is tried again: a disk that has no room for a checkpoint may still have some for the claim."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An exception ended the attempt."""

    error: JobError
    retryable: bool
    stop: Stop | None = None


Outcome = Completed | Interrupted | AnswerRefused | UpdateRefused | GivenBack | Failed


_MEMORY_LIMIT = (
    "The attempt wanted more than the {:,} bytes of addresses that the workflow's isolation allows (memory_bytes). "
    "Resume goes on from the job's last checkpoint."
)

_STEP_LIMIT = (
    "The attempt took as many supersteps as its step_limit allows, and did not end. Resume goes on from its last "
    "checkpoint, with the whole limit again; a job submitted with a larger step_limit may take more."
)


def run_end(outcome: Outcome, job: Job, *, completed_steps: int) -> RunEnd:
    """What the store is told. The store itself turns it into CANCELLED for a job that is CANCELLING."""
    match outcome:
        case Completed(output):
            return RunEnd(to_state=JobState.SUCCEEDED, output=output, interrupts=(), steps=completed_steps)
        case Interrupted(stop):
            return _stopped(JobState.INTERRUPTED, stop)
        case AnswerRefused(error, answers, stop):
            return _stopped(JobState.INTERRUPTED, stop, error=error, refused_answers=answers)
        case UpdateRefused(message, start_point):
            return RunEnd(
                to_state=start_point.former_state,
                error=JobError(JobErrorReason.UPDATE_REFUSED, message, start_point.state_update_step),
                clears_start_point=True,
            )
        case GivenBack(stop, wait_seconds):
            return given_back(stop, wait_seconds=wait_seconds)
        case Failed(error, retryable, stop):
            return _failed(job, error, retryable, stop)


def given_back(stop: Stop | None = None, *, wait_seconds: float = 0.0) -> RunEnd:
    """The end of a run that has none of its own: the job goes on from its last checkpoint."""
    return replace(_stopped(JobState.PENDING, stop, backoff=round(wait_seconds * SECOND)), keeps_error=True)


def _failed(job: Job, error: JobError, retryable: bool, stop: Stop | None) -> RunEnd:
    policy, failed = job.spec.retry_policy, job.failed_attempts + 1
    if not retryable or failed >= policy.max_attempts:
        return _stopped(JobState.FAILED, stop, error=error, attempt_failed=True)
    return _stopped(
        JobState.PENDING,
        stop,
        error=error,
        attempt_failed=True,
        backoff=policy.backoff(failed),
    )


def _stopped(
    state: JobState,
    stop: Stop | None,
    *,
    error: JobError | None = None,
    refused_answers: Sequence[str] = (),
    attempt_failed: bool = False,
    backoff: Micros = 0,
) -> RunEnd:
    return RunEnd(
        to_state=state,
        error=error,
        interrupts=None if stop is None else stop.questions,
        next_steps=None if stop is None else stop.next_steps,
        attempt_failed=attempt_failed,
        backoff=backoff,
        refused_answers=refused_answers,
    )


def failure(error: BaseException, step: str, *, isolation: Isolation | None, with_traceback: bool) -> Failed:
    """The outcome for an exception that LangGraph let out. `isolation`: of the job's process, where it has its own."""
    memory_bytes = None if isolation is None else isolation.memory_bytes
    match error:
        case StateInvalidError():
            return Failed(state_invalid(error), retryable=False)
        case GraphRecursionError():
            described = describe(error, step, reason=JobErrorReason.STEP_LIMIT_REACHED, with_traceback=with_traceback)
            # LangGraph's own words are about a setting that clients do not have.
            return Failed(replace(described, message=_STEP_LIMIT), retryable=False)
        case MemoryError() if memory_bytes is not None:
            reason = JobErrorReason.RESOURCE_LIMIT_REACHED
            described = describe(error, step, reason=reason, with_traceback=with_traceback)
            # Nothing else was in the process: another attempt would come to the same.
            return Failed(replace(described, message=_MEMORY_LIMIT.format(memory_bytes)), retryable=False)
        case _:
            described = describe(error, step, with_traceback=with_traceback)
            return Failed(described, retryable=not isinstance(error, InvalidUpdateError))
