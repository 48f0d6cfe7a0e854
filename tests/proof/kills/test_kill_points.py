"""Death at every point of the store: before a write, inside its transaction, and after its commit.

A first run without faults counts the calls. Then there is a run for each method and moment, in which the server dies
again and again. AUTOPILOT_PROOF_ALL_POINTS=1 gives each call of each method a run of its own.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.proof.conftest import Tried
from tests.proof.kills.kill_points import AFTER, BEFORE, DRAIN, INSIDE, METHODS, WRITES, KillPoint, Tally
from tests.proof.kills.kinds import KINDS, Given
from tests.proof.kills.scene import Run, Scene
from tests.proof.server import Sabotage

ALL_POINTS = bool(os.environ.get("AUTOPILOT_PROOF_ALL_POINTS"))

# Most of a run is waiting.
SIDE_BY_SIDE = 4

# What a server does not call while it runs: its end, a probe for operators, a read that LangGraph's runs never make.
NOT_CALLED = {"close", "probe", "checkpoint_history"}

# Called once, while the server starts: to die there with jobs to take up, another must have died before.
AT_START = ("jobs_recover", "workflows_publish", "token_key")
DEATH_AT_WORK = KillPoint("run_write", AFTER, 25)

# A method that is called more often is tried in two runs, at its first calls and all along.
OFTEN = 8

# Deaths all along: with so many calls between them that jobs get on, and others each time.
ALL_ALONG = (7, 11, 5, 13, 8, 17, 6, 9, 12, 10, 14, 4)

POINTS = [
    (method, moment)
    for method in METHODS
    if method not in NOT_CALLED
    for moment in ((BEFORE, INSIDE, AFTER) if method in WRITES else (BEFORE,))
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

# Deaths some calls after a special one.
LATER = ((1, 3), (6, 2), (9, 4))


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


Runs = Mapping[str, Future[list[Run]]]


@pytest.fixture(scope="module")
def runs(scene: Scene, counts: Counter[str], request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The runs of all tests that were asked for, by the tests' names, some side by side."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
        yield {item.name: pool.submit(_live, scene, item.name, item.callspec.params, counts) for item in items}
        pool.shutdown(cancel_futures=True)


def _live(scene: Scene, name: str, params: Mapping[str, str], counts: Counter[str]) -> list[Run]:
    method, moment = params["method"], params["moment"]
    since = params.get("since", "")
    deaths = enumerate(special_deaths(method, moment, since) if since else deaths_at(method, moment, counts[method]))
    drains = 2 if since == DRAIN else 0
    return [
        run for number, sabotages in deaths for run in _until_one_died(scene, f"{name}-{number}", sabotages, drains)
    ]


def _until_one_died(scene: Scene, name: str, sabotages: list[Sabotage], drains: int) -> Iterator[Run]:
    """A run whose jobs take another way may not come to the point: it tried nothing, and another one is made."""
    for number in range(MOST_RUNS):
        run = scene.live(f"{name}-{number}", sabotages, drains=drains)
        yield run
        if run.died_at:
            return


def special_deaths(method: str, moment: str, since: str) -> list[list[Sabotage]]:
    """As `deaths_at`, for a special point."""
    later = method == "run_write" and moment == AFTER and since != DRAIN
    return [
        [KillPoint(method, moment, occurrence, since) for occurrence in occurrences]
        for occurrences in (LATER if later else [(1, 1)])
    ]


def deaths_at(method: str, moment: str, count: int) -> list[list[Sabotage]]:
    """For each run at a point: how its servers die, one after the other."""
    if method in AT_START:
        return [[DEATH_AT_WORK, KillPoint(method, moment, 1), KillPoint(method, moment, 1)]]
    if ALL_POINTS:
        return [[KillPoint(method, moment, occurrence)] for occurrence in range(1, count + 1)]
    first, middle = (1, 2), (count // 2, count // 3)
    if method not in WRITES:
        # An early read reads nothing yet.
        chosen = [first if count <= OFTEN else middle]
    else:
        later = ALL_ALONG if count > sum(ALL_ALONG) else middle
        chosen = [first, later] if count > OFTEN else [first]
    return [[KillPoint(method, moment, occurrence) for occurrence in occurrences] for occurrences in chosen]


def test_a_run_calls_every_method(counts: Counter[str]) -> None:
    """What is not called cannot be a point to die at."""
    assert set(METHODS) - set(counts) == NOT_CALLED


@pytest.mark.parametrize(("method", "moment"), POINTS)
def test_death_at(method: str, moment: str, runs: Runs, request: pytest.FixtureRequest, tried: Tried) -> None:
    """All promises hold when the server dies around this method of the store."""
    all_hold(runs[request.node.name].result(), method, moment, tried)


@pytest.mark.parametrize(("method", "moment", "since"), SPECIAL_POINTS)
def test_death_since(
    method: str, moment: str, since: str, runs: Runs, request: pytest.FixtureRequest, tried: Tried
) -> None:
    """All promises hold when the server dies at a call of a certain kind, or some calls after one."""
    all_hold(runs[request.node.name].result(), method, moment, tried)


def all_hold(done: Sequence[Run], method: str, moment: str, tried: Tried) -> None:
    """Everything held in all runs, and some server died where it should."""
    for run in done:
        run.holds(tried)
    # Late calls may be missing from a run that is quicker than the one that was counted.
    deaths = [death for run in done for death in run.died_at if isinstance(death, KillPoint)]
    assert (method, moment) in {(death.method, death.moment) for death in deaths}
    tried(points_to_die_at=1)
