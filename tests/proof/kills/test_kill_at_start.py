"""Death before each SQL statement of a server's start: while it makes its database, and while it takes up what a dead
server left.

AUTOPILOT_PROOF_ALL_POINTS=1 tries each statement, otherwise some of them.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.proof.conftest import Tried
from tests.proof.kills.kill_points import AFTER, KillPoint
from tests.proof.kills.scene import Scene, damage
from tests.proof.kills.statements import DeathAtStatement, StatementTally
from tests.proof.server import ServerProcess

ALL_POINTS = bool(os.environ.get("AUTOPILOT_PROOF_ALL_POINTS"))

DEATH_AT_WORK = KillPoint("run_write", AFTER, 25)

# Without ALL_POINTS one statement of so many is died at; no divisor of anything that repeats in a start.
ONE_IN = 7

# Starts that die one after the other while clients wait.
IN_A_ROW = 6


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.set_up(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def made(scene: Scene) -> ServerProcess:
    """A server whose database was made undisturbed; the statements of that are in a file beside it."""
    server = scene.server("made")
    server.sabotage = StatementTally(server.folder / "statements")
    server.start()
    server.kill()
    return server


def chosen(tally: StatementTally) -> range:
    """At which statements to die."""
    return range(1, tally.count() + 1, 1 if ALL_POINTS else ONE_IN)


def test_death_while_the_database_is_made(scene: Scene, made: ServerProcess, tried: Tried) -> None:
    """However far a start came, the next one goes on from there, and the database is as if nothing had happened."""
    server = scene.server("new")
    for number in chosen(StatementTally(made.folder / "statements")):
        server.sabotage = DeathAtStatement(number)
        if server.start_or_die():
            # There is less to do than on the first start.
            server.kill()
            break
        server.wait_for_death()
        tried(statements_died_at=1)
    server.sabotage = None
    server.start()
    server.kill()
    assert damage(server) == {}
    assert schema(server.database) == schema(made.database)


def test_death_while_jobs_are_taken_up(scene: Scene, tried: Tried) -> None:
    """What one server left RUNNING outlives the deaths of those that follow it, wherever they die at their start."""
    tally = StatementTally(scene.folder / "statements")
    counted = scene.live("counted", [DEATH_AT_WORK, tally])
    counted.count(tried)
    counted.holds()
    numbers = list(chosen(tally))
    for first in range(0, len(numbers), IN_A_ROW):
        deaths = [DeathAtStatement(number) for number in numbers[first : first + IN_A_ROW]]
        run = scene.live(f"taken-up-{first}", [DEATH_AT_WORK, *deaths])
        run.count(tried)
        run.holds()
        assert run.died_at[:2] == [DEATH_AT_WORK, deaths[0]]
        tried(statements_died_at=len(run.died_at) - 1)


def schema(database: Path) -> list[tuple[str, ...]]:
    """Everything that a database is made of."""
    with closing(sqlite3.connect(database)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        return [*made, *connection.execute("PRAGMA user_version")]
