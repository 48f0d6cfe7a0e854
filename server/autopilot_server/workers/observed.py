"""What a worker observes, gathered for the server, which measures."""

import threading
from typing import Any

from autopilot_server.observer import Loop, Observer
from autopilot_server.workers.messages import Observed
from autopilot_server.workers.notes import Note, Notes

# Calls that wait for the next beat; of more the newest are dropped, as metrics may be.
MOST_CALLS = 100_000


class Observations(Observer):
    """Keeps what it hears until it is taken."""

    def __init__(self, notes: Notes) -> None:
        """Nothing was heard yet. `notes`: for what the server has to know when nothing is heard any more."""
        self._notes = notes
        self._lock = threading.Lock()
        self._calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def taken(self) -> Observed | None:
        """Everything since the last time; None when that is nothing."""
        with self._lock:
            calls, self._calls = self._calls, []
        return Observed(calls) if calls else None

    def batch_ended(self, writes: int, events: int, seconds: float, *, committed: bool) -> None:
        self._keep("batch_ended", writes, events, seconds, committed=committed)

    def step_began(self, job_id: str, workflow: str, step: str) -> None:
        self._notes.add(Note(job_id, workflow, step))

    def step_ended(self, workflow: str, step: str, seconds: float, *, failed: bool) -> None:
        self._keep("step_ended", workflow, step, seconds, failed=failed)

    def run_ended(self, workflow: str, state: str) -> None:
        self._keep("run_ended", workflow, state)

    def loop_lagged(self, loop: Loop, seconds: float) -> None:
        self._keep("loop_lagged", loop, seconds)

    def loop_stalled(self, step: str) -> None:
        self._keep("loop_stalled", step)

    def _keep(self, method: str, *arguments: Any, **named: Any) -> None:
        with self._lock:
            if len(self._calls) < MOST_CALLS:
                self._calls.append((method, arguments, named))
