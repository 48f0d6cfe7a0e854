"""Progress that nodes report with LangGraph's stream writer: what it says, and not too much of it."""

import math
from dataclasses import dataclass, replace
from typing import Any

from autopilot_server.engine.values import encodable

# At most 50 reports a second and job are stored; of those that come faster the newest wins.
MIN_INTERVAL_SECONDS = 0.020

# A message is a line for people, and stands in every later event until the next one. In characters.
MESSAGE_LENGTH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report, taken apart. `{"progress": 0.4, "message": "…"}` has a meaning, everything else is data."""

    step: str
    task_id: str
    message: str = ""
    fraction: float | None = None
    data: Any = None
    dropped: int = 0

    @classmethod
    def of(cls, value: Any, *, step: str, task_id: str) -> "Report":
        """Read what a node wrote. A `progress` that is no number from 0 to 1, or a `message` that is no text, is
        data."""
        if not isinstance(value, dict):
            return cls(step=step, task_id=task_id, data=value)
        rest = dict(value)
        fraction = rest.pop("progress") if _is_fraction(rest.get("progress")) else None
        message = encodable(rest.pop("message")[:MESSAGE_LENGTH]) if isinstance(rest.get("message"), str) else ""
        return cls(
            step=step,
            task_id=task_id,
            message=message,
            fraction=None if fraction is None else float(fraction),
            data=rest or None,
        )


def _is_fraction(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


class ReportLimiter:
    """Lets a report pass when the last one is long enough ago, else keeps the newest until then."""

    def __init__(self) -> None:
        """Start with nothing waiting."""
        self._last = -math.inf
        self._waiting: Report | None = None

    @property
    def waiting(self) -> bool:
        """Whether a report is kept back."""
        return self._waiting is not None

    def offer(self, report: Report, moment: float) -> Report | None:
        """Take a report; gives it back when it may pass now. `moment` in seconds of a monotonic clock."""
        if self._waiting is not None:
            report = replace(report, dropped=self._waiting.dropped + 1)
        self._waiting = report
        return self.due(moment)

    def due(self, moment: float) -> Report | None:
        """The report that waited, when its time has come."""
        if self._waiting is None or moment - self._last < MIN_INTERVAL_SECONDS:
            return None
        self._last = moment
        return self.flush()

    def flush(self, task_id: str | None = None) -> Report | None:
        """The report that waits, now: of one task, or of any. The last word of a step is never lost."""
        if self._waiting is None or (task_id is not None and self._waiting.task_id != task_id):
            return None
        report, self._waiting = self._waiting, None
        return report
