"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The points of each series, and the work at each. In all about four minutes."""

    repetitions: int = 3
    seconds: float = 2.0
    """Of each measurement of jobs a second, about."""
    workers: tuple[int, ...] = (1, 2)
    nodes: tuple[int, ...] = (5, 20, 100)
    state_bytes: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    steps: tuple[int, ...] = (50, 100, 200, 400)
    watchers: tuple[int, ...] = (10, 1_000, 5_000)
    ticks: int = 5
    """Supersteps of the job that is watched, one a second."""


FULL = Extent()
QUICK = Extent(
    repetitions=1,
    seconds=0.2,
    workers=(1,),
    nodes=(5, 20),
    state_bytes=(1_000,),
    steps=(5, 10),
    watchers=(10,),
    ticks=1,
)
