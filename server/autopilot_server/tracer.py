"""What the parts of the server tell of themselves as they do it, for whoever records traces.

A `Tracer` is to traces what an `Observer` is to metrics. Nothing of what jobs hold is told: no payloads, and of errors
only their kind.
"""

from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Literal

from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.traces import TraceContext
from autopilot_server.storage.store import Claim, LostRun

StepOutcome = Literal["finished", "failed", "cancelled", "interrupted"]


def open_tracer(wanted: bool) -> "Tracer":
    """What records traces, if they are wanted. StartupError when they cannot be had."""
    if not wanted:
        return Tracer()
    try:
        from autopilot_server.traces import OpenTelemetryTracer
    except ModuleNotFoundError as error:
        raise StartupError(
            f"--traces needs OpenTelemetry ({error}): install it with pip install 'autopilot-jobs[server,otel]'"
        ) from error
    return OpenTelemetryTracer(version("autopilot-jobs"))


class CallSpan:
    """A call that is being served."""

    def __init__(self, context: TraceContext | None) -> None:
        """`context`: what the caller sent."""
        self.context = context
        """Of the call itself, for what comes of it."""

    def ended(self, code: str, reason: str = "") -> None:
        """It was answered: the status code's name, and the contract's reason of an error."""


class AttemptSpan:
    """An attempt of a job. Its methods but `current` are called on any thread."""

    records_steps = False
    """Whether `step_entered` is to be called."""

    def current(self) -> AbstractContextManager[None]:
        """Make it the current span of the calling context, and of those that are copied from it."""
        return nullcontext()

    def step_began(self, step: str, step_run_id: str, *, within: str = "", seconds_ago: float = 0) -> None:
        """A step began, within another one (by its step_run_id) or none."""

    def step_entered(self, step_run_id: str) -> None:
        """The step's code is about to run in the calling context."""

    def step_ended(self, step_run_id: str, outcome: StepOutcome, exception_type: str = "") -> None:
        """A step came to its end. Nothing happens when it never began, or has ended."""

    def ended(self, state: str, reason: str = "", exception_type: str = "") -> None:
        """The attempt is over, and this is the job's state now, for this reason if it is an error. An empty state:
        somebody else decided it."""


class Tracer:
    """Hears what begins and ends; this one keeps nothing of it. Its methods neither block nor raise."""

    def call_began(self, method: str, caller: TraceContext | None) -> CallSpan:  # noqa: ARG002 - for those that do
        """A unary call came: `method` as `package.Service/Method`, and the caller's span, if there is one."""
        return CallSpan(caller)

    def attempt_began(self, claim: Claim) -> AttemptSpan:  # noqa: ARG002 - for those that do
        """A job was claimed, and runs from now on."""
        return AttemptSpan()

    def attempt_lost(self, run: LostRun) -> None:
        """A dead process has left a run: of its span nobody but we can tell."""

    def close(self) -> None:
        """Send what waits. Blocks, for a few seconds at most."""
