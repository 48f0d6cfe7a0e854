"""Exceptions of workflows as errors of jobs."""

import traceback

from autopilot_server.engine.serializer import NotRestorableError
from autopilot_server.jobs.job import JobError, JobErrorReason

# Longest text of a workflow's exception that is kept, in characters.
MESSAGE_LENGTH = 4096
TYPE_LENGTH = 256
TRACEBACK_LENGTH = 16384


class StateInvalidError(Exception):
    """A step wrote a value that cannot be stored, or would not be restored. `step` is empty when it is not known."""

    def __init__(self, step: str, cause: Exception) -> None:
        """Keep the step and why."""
        super().__init__(str(cause))
        self.step = step
        self.cause = cause


def state_invalid(error: StateInvalidError) -> JobError:
    """The job's error for a value that cannot be stored."""
    cause = error.cause
    known = isinstance(cause, NotRestorableError)
    message = str(cause) if known else f"the state cannot be stored: {cause}"
    kind = "" if known else type_name(type(cause))
    return JobError(JobErrorReason.STATE_INVALID, message[:MESSAGE_LENGTH], error.step, kind)


def describe(
    error: BaseException,
    step: str,
    *,
    reason: JobErrorReason = JobErrorReason.STEP_RAISED,
    with_traceback: bool,
) -> JobError:
    """An exception of a workflow as the job's error."""
    kind = type(error)
    text = text_of(error)
    return JobError(
        reason=reason,
        message=text[:MESSAGE_LENGTH],
        step=step,
        exception_type=type_name(kind),
        traceback="".join(traceback.format_exception(error))[-TRACEBACK_LENGTH:] if with_traceback else "",
    )


def type_name(kind: type[BaseException]) -> str:
    """An exception's class, with its module unless it is Python's own."""
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:TYPE_LENGTH]


def text_of(error: BaseException) -> str:
    """What an exception says; its class where it says nothing."""
    try:
        text = str(error)
    except Exception:
        # An exception whose own __str__ raises must not take the run down with it.
        text = ""
    return text.encode("utf-8", "replace").decode() or type(error).__name__
