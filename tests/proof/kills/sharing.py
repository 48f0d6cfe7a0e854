"""Which deaths share a run: as many as leave its jobs something to do between them."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tests.proof.kills.kill_points import AFTER, DRAIN, WRITES, KillPoint

ALL_POINTS = bool(os.environ.get("AUTOPILOT_PROOF_ALL_POINTS"))

DEATHS_IN_A_RUN = 14

# A method that is called more often is tried at its first calls and all along.
OFTEN = 8

# The one that is called most, all along: with so many calls between deaths that jobs get on, and others each time.
MOST_CALLED = "run_write"
ALL_ALONG = range(4, 16)

# Reads of which one run tries all that are called often.
READS_IN_A_RUN = 4

# Calls between a special one and a death.
LATER = (1, 3, 6, 2, 9, 4)

Name = str
Points = Mapping[Name, KillPoint]
"""By the test that is for it."""
Deaths = Mapping[Name, Sequence[KillPoint]]
"""Where servers are to die, one after the other, by the test that they do it for."""


def shared(points: Points, counts: Counter[str]) -> Iterator[Deaths]:
    """The deaths of each run, for tests of these points."""
    plain = {test: point for test, point in points.items() if not point.since}
    drained = {test: point for test, point in points.items() if point.since == DRAIN}
    special = {test: point for test, point in points.items() if point.since and point.since != DRAIN}
    if ALL_POINTS:
        yield from _one_by_one(plain, counts)
    else:
        yield from _dealt(_first_calls(plain, counts))
        yield from _all_along({test: point for test, point in plain.items() if counts[point.method] > OFTEN}, counts)
    yield from _dealt({test: [point, point] for test, point in special.items() if not _has_later_ones(point)})
    yield from _later({test: point for test, point in special.items() if _has_later_ones(point)})
    yield from _dealt({test: [point, point] for test, point in drained.items()})


def _dealt(deaths: Deaths) -> Iterator[Deaths]:
    """To as many runs as it takes, what is alike to different ones."""
    runs = max(1, round(sum(map(len, deaths.values())) / DEATHS_IN_A_RUN))
    for number in range(runs):
        if part := list(deaths.items())[number::runs]:
            yield dict(part)


def _one_by_one(points: Points, counts: Counter[str]) -> Iterator[Deaths]:
    """Each call has a run of its own."""
    for test, point in points.items():
        for occurrence in range(1, counts[point.method] + 1):
            yield {test: [replace(point, occurrence=occurrence)]}


def _first_calls(points: Points, counts: Counter[str]) -> Deaths:
    """The first two calls of each method; but an early read reads nothing yet."""
    return {
        test: [point, replace(point, occurrence=2)]
        for test, point in points.items()
        if point.method in WRITES or counts[point.method] <= OFTEN
    }


def _all_along(points: Points, counts: Counter[str]) -> Iterator[Deaths]:
    """Calls of methods that are called often, from the beginning of a run to its end."""
    reads = [item for item in points.items() if item[1].method not in WRITES]
    writes: defaultdict[str, dict[Name, KillPoint]] = defaultdict(dict)
    for test, point in points.items():
        if point.method == MOST_CALLED:
            yield {test: [replace(point, occurrence=occurrence) for occurrence in ALL_ALONG]}
        elif point.method in WRITES:
            writes[point.method][test] = point
    parts = [dict(reads[begin : begin + READS_IN_A_RUN]) for begin in range(0, len(reads), READS_IN_A_RUN)]
    for part in (*writes.values(), *parts):
        steps = 2 * len(part) + 2
        yield {
            test: [replace(point, occurrence=counts[point.method] // steps or 1)] * 2 for test, point in part.items()
        }


def _has_later_ones(point: KillPoint) -> bool:
    """Whether what was carried out once might be carried out again when a run dies later."""
    return point.method == "run_write" and point.moment == AFTER


def _later(points: Points) -> Iterator[Deaths]:
    """Some calls after a special one: each run tries all kinds, since most come but once."""
    for turn in range(len(LATER)):
        deaths = {
            test: [replace(point, occurrence=LATER[(turn + number) % len(LATER)])]
            for number, (test, point) in enumerate(points.items())
        }
        if deaths:
            yield deaths
