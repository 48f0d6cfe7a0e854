"""Which deaths share a run: as many as leave its jobs something to do between them.

Each point is died at in each run of the proof. At which calls, and how often, is drawn by its seed, but for
AUTOPILOT_PROOF_LONG=1.
"""

import os
import random
from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tests.proof.kills.kill_points import AFTER, DRAIN, WRITES, KillPoint
from tests.proof.seed import LONG, SEED, half

ALL_POINTS = bool(os.environ.get("AUTOPILOT_PROOF_ALL_POINTS"))

DEATHS_IN_A_RUN = 14

# A method that is called more often is tried at its first calls and all along.
OFTEN = 8

# The one that is called most, all along: with so many calls between deaths that jobs get on, and others each time.
MOST_CALLED = "run_write"
ALL_ALONG = range(4, 16)

# Methods of which one run tries all that are called often.
READS_IN_A_RUN = 4
WRITES_IN_A_RUN = 1 if LONG else 2

# Calls between a special one and a death.
LATER = (1, 3, 6, 2, 9, 4)

Name = str
Points = Mapping[Name, KillPoint]
"""By the test that is for it."""
Deaths = Mapping[Name, Sequence[KillPoint]]
"""Where servers are to die, one after the other, by the test that they do it for."""


def shared(points: Points, counts: Counter[str]) -> Iterator[Deaths]:
    """The deaths of each run, for tests of these points."""
    rng = random.Random(SEED)
    plain = {test: point for test, point in points.items() if not point.since}
    drained = {test: point for test, point in points.items() if point.since == DRAIN}
    special = {test: point for test, point in points.items() if point.since and point.since != DRAIN}
    if ALL_POINTS:
        yield from _one_by_one(plain, counts)
    else:
        yield from _dealt(_first_calls(plain, counts, rng))
        often = {test: point for test, point in plain.items() if counts[point.method] > OFTEN}
        yield from _all_along(often, counts, rng)
    first = {test: [point] for test, point in special.items() if not _has_later_ones(point)}
    yield from _dealt(_once_or_twice(first, first, rng))
    yield from _later({test: point for test, point in special.items() if _has_later_ones(point)}, rng)
    first = {test: [point] for test, point in drained.items()}
    yield from _dealt(_once_or_twice(first, first, rng))


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


def _once_or_twice(first: Deaths, second: Deaths, rng: random.Random) -> Deaths:
    """The first deaths of each test, and of those that are drawn the second ones."""
    twice = set(half(list(first), rng))
    return {test: [*deaths, *(second[test] if test in twice else ())] for test, deaths in first.items()}


def _first_calls(points: Points, counts: Counter[str], rng: random.Random) -> Deaths:
    """The first two calls of each method; but an early read reads nothing yet."""
    worth_it = {
        test: point for test, point in points.items() if point.method in WRITES or counts[point.method] <= OFTEN
    }
    first = {test: [point] for test, point in worth_it.items()}
    return _once_or_twice(first, {test: [replace(point, occurrence=2)] for test, point in worth_it.items()}, rng)


def _all_along(points: Points, counts: Counter[str], rng: random.Random) -> Iterator[Deaths]:
    """Calls of methods that are called often, from the beginning of a run to its end."""
    reads = [item for item in points.items() if item[1].method not in WRITES]
    writes: defaultdict[str, dict[Name, KillPoint]] = defaultdict(dict)
    for test, point in points.items():
        if point.method == MOST_CALLED:
            yield {test: [replace(point, occurrence=occurrence) for occurrence in half(ALL_ALONG, rng)]}
        elif point.method in WRITES:
            writes[point.method][test] = point
    times = 2 if LONG else 1
    parts = [dict(reads[begin : begin + READS_IN_A_RUN]) for begin in range(0, len(reads), READS_IN_A_RUN)]
    of_methods = list(writes.values())
    for begin in range(0, len(of_methods), WRITES_IN_A_RUN):
        parts.append(dict(ChainMap(*of_methods[begin : begin + WRITES_IN_A_RUN])))
    for part in parts:
        steps = times * len(part) + 2
        yield {
            test: [replace(point, occurrence=counts[point.method] // steps or 1)] * times
            for test, point in part.items()
        }


def _has_later_ones(point: KillPoint) -> bool:
    """Whether what was carried out once might be carried out again when a run dies later."""
    return point.method == "run_write" and point.moment == AFTER


def _later(points: Points, rng: random.Random) -> Iterator[Deaths]:
    """Some calls after a special one: each run tries all kinds, since most come but once."""
    for turn in half(range(len(LATER)), rng):
        deaths = {
            test: [replace(point, occurrence=LATER[(turn + number) % len(LATER)])]
            for number, (test, point) in enumerate(points.items())
        }
        if deaths:
            yield deaths
