"""What the samples of a soak say about memory and space."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.proof.soak.samples import Sample
from tests.proof.soak.soak import Result

MIB = 1 << 20

# A new process fills its allocator's arenas and the page cache of each thread's connection first: measured, that takes
# two minutes where the server shares two cores with its clients.
WARM_UP_SECONDS = 120

# A life that is shorter after it has warmed up says nothing about growth.
JUDGED_SECONDS = 90

# What a life's memory may grow by: arenas that a larger burst has filled stay.
GROWTH, GROWTH_BYTES = 1.1, 8 * MIB

# Before that the first batches that were left to expire are still there, and nothing is at a plateau.
SPACE_JUDGED_SECONDS = 20 * 60
SPACE_GROWTH, SPACE_GROWTH_BYTES = 1.5, MIB


@dataclass(frozen=True, slots=True)
class Life:
    """One process's memory. `first` and `last`: its least in the first and in the last third after the warm-up."""

    began: float
    seconds: float
    first: int
    last: int
    most: int

    @property
    def grows(self) -> bool:
        return self.last > self.first * GROWTH + GROWTH_BYTES


def judge(result: Result) -> None:
    """Complain of what grows."""
    for life in lives(result.samples):
        if life.grows:
            result.tally.complain(
                "memory_does_not_grow",
                f"the process of {life.began:.0f} s grew from {life.first / MIB:.1f} to {life.last / MIB:.1f} MiB "
                f"in {life.seconds:.0f} s",
            )
    if result.seconds >= SPACE_JUDGED_SECONDS:
        _, second, _, last = quarters(result.samples)
        if last > second * SPACE_GROWTH + SPACE_GROWTH_BYTES:
            result.tally.complain(
                "space_is_given_back",
                f"the file had {second / MIB:.1f} MiB in the second quarter and {last / MIB:.1f} MiB in the last one",
            )


def lives(samples: Sequence[Sample]) -> list[Life]:
    """The processes that lived long enough to be judged."""
    found = []
    for _, life in groupby(samples, key=lambda sample: sample.pid):
        whole = list(life)
        warm = [sample for sample in whole if sample.at >= whole[0].at + WARM_UP_SECONDS]
        if warm and warm[-1].at - warm[0].at >= JUDGED_SECONDS:
            found.append(_life(whole, warm))
    return found


def _life(whole: Sequence[Sample], warm: Sequence[Sample]) -> Life:
    third = (warm[-1].at - warm[0].at) / 3
    return Life(
        began=whole[0].at,
        seconds=whole[-1].at - whole[0].at,
        first=min(sample.resident_bytes for sample in warm if sample.at <= warm[0].at + third),
        last=min(sample.resident_bytes for sample in warm if sample.at >= warm[-1].at - third),
        most=max(sample.resident_bytes for sample in whole),
    )


def quarters(samples: Sequence[Sample]) -> tuple[int, int, int, int]:
    """The database file's largest size in each quarter of the time."""
    end = samples[-1].at
    sizes = [0, 0, 0, 0]
    for sample in samples:
        quarter = min(3, int(4 * sample.at / end))
        sizes[quarter] = max(sizes[quarter], sample.database_bytes)
    return sizes[0], sizes[1], sizes[2], sizes[3]
