"""What the parts of the server tell of themselves, for whoever measures."""

from typing import Literal

Loop = Literal["server", "engine"]


class Observer:
    """Hears what happens; this one keeps nothing of it.

    Its methods are called on any thread, on hot paths: they must neither block nor raise. Seconds are durations.
    """

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """A unary call was answered. `method` without its service, `code` the status code's name."""

    def stream_ended(self, method: str, code: str) -> None:
        """A stream ended."""

    def waiter_came(self) -> None:
        """A watch or a wait began."""

    def waiter_went(self) -> None:
        """A watch or a wait ended."""

    def events_sent(self, count: int, seconds: float) -> None:
        """A watch sent events that were committed while it was open, the oldest of them this long ago."""

    def batch_ended(self, writes: int, events: int, seconds: float, *, committed: bool) -> None:
        """The writer carried out a batch, in this time from BEGIN to COMMIT."""

    def step_began(self, job_id: str, workflow: str, step: str) -> None:
        """A step begins: its code runs next."""

    def step_ended(self, workflow: str, step: str, seconds: float, *, failed: bool) -> None:
        """A step finished or failed."""

    def run_ended(self, workflow: str, state: str) -> None:
        """An attempt ended, and this is the job's state now."""

    def jobs_recovered(self, outcome: str, count: int) -> None:
        """Jobs that a dead process had left RUNNING or CANCELLING went on, were cancelled, or failed."""

    def worker_died(self, cause: str) -> None:
        """A worker process died: the signal's name, or its exit code."""

    def loop_lagged(self, loop: Loop, seconds: float) -> None:
        """A loop turned this much later than it was asked to."""

    def loop_stalled(self, step: str) -> None:
        """A step has blocked the engine's loop for longer than `--loop-stall-seconds`."""
