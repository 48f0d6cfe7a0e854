"""Death at every point of the store: before a write, inside its transaction, and after its commit.

A first run without faults counts the calls. Then there are runs for some points each, in which the server dies again
and again; AUTOPILOT_PROOF_LONG=1 makes twice as many. AUTOPILOT_PROOF_ALL_POINTS=1 gives each call of each method a
run of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from tests.proof.conftest import Tried
from tests.proof.kills.kill_points import (
    AFTER,
    BEFORE,
    DRAIN,
    INSIDE,
    METHODS,
    WRITES,
    FirstOf,
    KillPoint,
    Tally,
)
from tests.proof.kills.kinds import KINDS, Given
from tests.proof.kills.scene import Run, Scene
from tests.proof.kills.sharing import Deaths, Name, shared

# Most of a run is waiting.
SIDE_BY_SIDE = 4

# What a server does not call while it runs: its end, a probe for operators, a read that LangGraph's runs never make,
# and who writes, which it only asks when a worker is silent (tests/workers/test_held.py).
NOT_CALLED = {"close", "probe", "checkpoint_history", "writing_process"}

# Called once, while the server starts: to die there with jobs to take up, another must have died before.
AT_START = ("jobs_recover", "workflows_publish", "token_key")
DEATH_AT_WORK = KillPoint("run_write", AFTER, 25)


def moments_of(method: str) -> Sequence[str]:
    """When to die around a method."""
    return (BEFORE, INSIDE, AFTER) if method in WRITES else (BEFORE,)


POINTS = [
    (method, moment) for method in METHODS if method not in {*NOT_CALLED, *AT_START} for moment in moments_of(method)
]
# What was carried out once must not be carried out again when a run dies later.
LASTING = ("fork", "answer", "rewind", "edit")
SPECIAL_POINTS = [
    *(
        (kind.method, moment, name)
        for name, kind in KINDS.items()
        for moment in ((BEFORE, INSIDE, AFTER) if isinstance(kind, Given) else (INSIDE, AFTER))
    ),
    *(("run_write", AFTER, name) for name in LASTING),
    *((method, moment, DRAIN) for method in ("run_write", "run_end") for moment in (BEFORE, INSIDE, AFTER)),
    *(("close", moment, DRAIN) for moment in (BEFORE, AFTER)),
]

# Runs that are made for a point before it is given up.
MOST_RUNS = 3


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.set_up(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def counts(scene: Scene) -> Counter[str]:
    """How often a run calls each method."""
    tally = Tally(scene.folder / "calls")
    run = scene.live("count", [tally])
    assert (run.died_at, run.found) == ([], {})
    return tally.counts()


@dataclass(frozen=True, slots=True)
class Attempts:
    """The runs that were made for some tests, and where servers died in them."""

    runs: Sequence[Run]
    died_at: Sequence[KillPoint]


Done = Mapping[Name, Sequence[Future[Attempts]]]


@pytest.fixture(scope="module")
def done(scene: Scene, counts: Counter[str], request: pytest.FixtureRequest, tried: Tried) -> Iterator[Done]:
    """The runs for all tests that were asked for, some side by side."""
    points = {
        item.name: KillPoint(occurrence=1, **item.callspec.params)
        for item in request.session.items
        if item.path == request.path and "moment" in getattr(item, "fixturenames", ())
    }
    done: defaultdict[Name, list[Future[Attempts]]] = defaultdict(list)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for number, deaths in enumerate(shared(points, counts)):
            attempts = pool.submit(live, scene, f"run-{number}", deaths)
            for test in deaths:
                done[test].append(attempts)
        yield done
        pool.shutdown(cancel_futures=True)
    for attempts in {attempts for of_a_test in done.values() for attempts in of_a_test if not attempts.cancelled()}:
        for run in attempts.result().runs:
            run.count(tried)


def live(scene: Scene, name: str, deaths: Deaths) -> Attempts:
    """A run whose jobs take another way may not come to all points: others are made for tests that nobody died for."""
    runs, died_at = [], []
    for number in range(MOST_RUNS):
        points = [point for of_a_test in deaths.values() for point in of_a_test]
        here = FirstOf(points, scene.folder / f"{name}-{number}-deaths")
        drains = sum(point.since == DRAIN for point in points)
        runs.append(scene.live(f"{name}-{number}", [here] * len(points), drains=drains))
        died_at += here.died_at()
        deaths = {test: points for test, points in deaths.items() if not set(points) & set(died_at)}
        if not deaths:
            break
    return Attempts(runs, died_at)


def test_a_run_calls_every_method(counts: Counter[str]) -> None:
    """What is not called cannot be a point to die at."""
    assert set(METHODS) - set(counts) == NOT_CALLED


@pytest.mark.parametrize("method", AT_START)
def test_death_at_a_start(method: str, scene: Scene, tried: Tried) -> None:
    """All promises hold when a server that has jobs to take up dies around this method."""
    moments = moments_of(method)
    deaths = [death for m in moments for death in (DEATH_AT_WORK, KillPoint(method, m, 1), KillPoint(method, m, 1))]
    for number in range(MOST_RUNS):
        run = scene.live(f"start-{method}-{number}", deaths)
        run.count(tried)
        run.holds()
        # A write of a run that is superseded meanwhile is not carried out, and nobody dies of it.
        if run.died_at == deaths:
            break
    assert run.died_at == deaths
    tried(points_to_die_at=len(moments))


@pytest.mark.parametrize(("method", "moment"), POINTS)
def test_death_at(method: str, moment: str, done: Done, request: pytest.FixtureRequest, tried: Tried) -> None:
    """All promises hold when the server dies around this method of the store."""
    all_hold(done[request.node.name], KillPoint(method, moment, 1), tried)


@pytest.mark.parametrize(("method", "moment", "since"), SPECIAL_POINTS)
def test_death_since(
    method: str, moment: str, since: str, done: Done, request: pytest.FixtureRequest, tried: Tried
) -> None:
    """All promises hold when the server dies at a call of a certain kind, or some calls after one."""
    all_hold(done[request.node.name], KillPoint(method, moment, 1, since), tried)


def all_hold(done: Sequence[Future[Attempts]], point: KillPoint, tried: Tried) -> None:
    """Everything held in all runs for a point, and some server died there, at whichever call."""
    for attempts in done:
        for run in attempts.result().runs:
            run.holds()
    deaths = [death for attempts in done for death in attempts.result().died_at]
    assert point in {replace(death, occurrence=1) for death in deaths}
    tried(points_to_die_at=1)
