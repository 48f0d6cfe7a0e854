"""How much each benchmark does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Sizes and repetitions. The defaults are those of the targets."""

    repetitions: int = 5
    throughput_jobs: int = 1000
    """Jobs a repetition."""
    idle_jobs: int = 100
    """Jobs a repetition."""
    watchers: int = 1000
    ticks: int = 10
    """Supersteps of the job that is watched."""
    interrupted_jobs: int = 1000
    sleeping_jobs: int = 5000
    few_stored: int = 1000
    many_stored: int = 200_000
    reads: int = 300
    """Calls a repetition, of each kind."""


FULL = Scale()
QUICK = Scale(
    repetitions=1,
    throughput_jobs=64,
    idle_jobs=5,
    watchers=50,
    ticks=2,
    interrupted_jobs=50,
    sleeping_jobs=50,
    few_stored=40,
    many_stored=400,
    reads=10,
)
