"""Every checker can fail: it finds what is planted into the history of a real run, which is in order without that."""

import random
from pathlib import Path

import pytest

from tests.proof.histories.checkers import CHECKERS, check
from tests.proof.histories.history import History
from tests.proof.histories.planted import PLANTS, Plant, copy
from tests.proof.histories.seen import Checker
from tests.proof.load.grace import Grace
from tests.proof.load.housekeeping import Housekeeping
from tests.proof.load.time_travel import TimeTravel
from tests.proof.load.workload import OPTIONS, Workload, outcomes, write_config
from tests.proof.server import ServerProcess
from tests.waiting import wait_until

# Random graphs that ask, loop, branch and fan out.
SEEDS = (3, 5, 7, 9)
WATCHERS = 12


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A small run on a server that is killed once."""
    folder = tmp_path_factory.mktemp("recorded")
    options = [*OPTIONS, "--prune-interval-seconds", "0.1"]
    server = ServerProcess(folder, config=write_config(folder, SEEDS), options=options)
    server.start()
    grace = Grace(folder)
    workload = Workload(
        address=server.address,
        database=server.database,
        folder=folder,
        outcomes=outcomes(folder, SEEDS),
        jobs=12,
        watchers=WATCHERS,
        rng=random.Random(5),
        cancelled=0.3,
        actors=(Housekeeping(), TimeTravel(folder), grace),
    )
    workload.start()
    wait_until(grace.is_over)
    with workload.history.server_away():
        server.kill()
        server.start()
    try:
        return workload.end()
    finally:
        server.close()


def test_a_real_history_is_in_order(history: History) -> None:
    """What is found in a changed one was planted."""
    assert check(history) == {}


@pytest.mark.parametrize(
    ("checker", "plant"),
    [
        pytest.param(checker, plant, id=f"{checker.__name__}-{plant.__name__}")
        for checker, plants in PLANTS.items()
        for plant in plants
    ],
)
def test_a_checker_finds_what_is_planted(checker: Checker, plant: Plant, history: History) -> None:
    """Each kind of violation is found by the checker that is there for it."""
    changed = copy(history)
    plant(changed)
    assert checker.__name__ in check(changed)


def test_no_checker_lacks_its_violation() -> None:
    """A checker that nobody has seen fail checks nothing."""
    assert set(PLANTS) == {checker for checkers in CHECKERS.values() for checker in checkers}


def test_a_history_that_was_saved_is_the_same(history: History, tmp_path: Path) -> None:
    """What is checked again later is what was recorded."""
    history.save(tmp_path / "history.jsonl")
    assert History.load(tmp_path / "history.jsonl") == history


def test_watchers_are_of_all_kinds(history: History) -> None:
    """Many; some go away and come again, some are slow, some come late, some begin in the middle."""
    streams = history.streams
    assert len({stream.watcher for stream in streams}) == WATCHERS
    first = {(stream.watcher, stream.job_id): stream for stream in reversed(streams)}.values()
    assert any(stream.after_sequence for stream in first), "nobody began in the middle"
    assert any(stream.slow for stream in streams), "nobody was slow"
    assert {"OK", "DROPPED"} <= {stream.end for stream in streams}
    assert len(streams) > len(first), "nobody came again"
    whole = [stream for stream in first if stream.end == "OK" and stream.after_sequence == 0]
    assert any(stream.messages[0].parsed().through_sequence > 5 for stream in whole), "nobody came late"
