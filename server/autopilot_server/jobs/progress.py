"""How far a job is, and how long it may still take: an estimate that never falls within an attempt."""

from collections.abc import Iterable, Mapping
from itertools import islice

from autopilot_server.jobs.job import Micros, Progress, WorkflowStatistics

# An unfinished job never shows 100 %, however long it runs beyond what was expected.
ALMOST_DONE = 0.99

# Names of steps that a list of them has at most: it is in every event, and a step may run thousands of times at once.
MOST_STEPS = 100


def step_names(names: Iterable[str]) -> tuple[str, ...]:
    """A list of steps as jobs and events have it: each name once, the first hundred."""
    return tuple(islice(dict.fromkeys(names), MOST_STEPS))


class ProgressEstimate:
    """The running estimate of one attempt.

    The expected number of steps is the mean over earlier successful jobs of the same workflow and revision, else the
    graph's longest path, and in any case no less than what has been seen. The fraction is

        (completed steps + the reported fractions of the active ones) / expected steps

    and what remains is the mean time of those jobs, else the time spent so far scaled by the fraction.
    """

    def __init__(self, *, start: Progress, statistics: WorkflowStatistics, longest_path: int) -> None:
        """Begin an attempt where the job's last one ended."""
        self.completed_steps = start.completed_steps
        self.message = start.message
        self._statistics = statistics
        self._expected = round(statistics.mean_steps) if statistics.jobs else longest_path
        self._fraction = 0.0

    def snapshot(self, *, active: Mapping[str, tuple[str, float]], elapsed: Micros) -> Progress:
        """Progress now. `active`: by step run the step's name and its reported fraction (0 to 1)."""
        total = max(self._expected, self.completed_steps + len(active))
        done = self.completed_steps + sum(fraction for _, fraction in active.values())
        self._fraction = max(self._fraction, min(ALMOST_DONE, done / total if total else 0.0))
        return Progress(
            fraction=self._fraction,
            active_steps=step_names(step for step, _ in active.values()),
            completed_steps=self.completed_steps,
            estimated_total_steps=total if self._expected else 0,
            elapsed=elapsed,
            estimated_remaining=self._remaining(elapsed),
            message=self.message,
        )

    def stopped(self, *, elapsed: Micros, succeeded: bool) -> Progress:
        """Progress of a job that no longer runs."""
        return Progress(
            fraction=1.0 if succeeded else self._fraction,
            completed_steps=self.completed_steps,
            estimated_total_steps=self.completed_steps if succeeded else max(self._expected, self.completed_steps),
            elapsed=elapsed,
            estimated_remaining=0 if succeeded else self._remaining(elapsed),
            message=self.message,
        )

    def _remaining(self, elapsed: Micros) -> Micros | None:
        if self._statistics.jobs:
            return round(self._statistics.mean_elapsed * (1 - self._fraction))
        if self._fraction > 0:
            return round(elapsed * (1 - self._fraction) / self._fraction)
        return None
