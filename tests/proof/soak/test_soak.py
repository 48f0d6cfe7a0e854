"""A short soak, through the code of the long ones; and that a soak can fail."""

import os
import random
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from autopilot_server.storage.sqlite.migrations import migrate

from tests.proof.conftest import Tried
from tests.proof.seed import SEED
from tests.proof.server import ServerProcess
from tests.proof.soak.database import free_pages, left_behind, unsound
from tests.proof.soak.faults import Faults
from tests.proof.soak.judgement import judge
from tests.proof.soak.report import write_report
from tests.proof.soak.samples import Sample
from tests.proof.soak.soak import Result, Soak
from tests.proof.soak.tally import Tally

SECONDS = float(os.environ.get("AUTOPILOT_PROOF_SOAK_SECONDS", "30"))

SAMPLE = Sample(
    at=0,
    pid=1,
    resident_bytes=100 << 20,
    threads=10,
    files=20,
    database_bytes=5 << 20,
    wal_bytes=4 << 20,
    jobs=100,
    unfinished=50,
    events_a_second=100,
    own_resident_bytes=100 << 20,
)


def test_a_short_soak_holds(tmp_path: Path, tried: Tried) -> None:
    result = Soak(seconds=SECONDS, folder=tmp_path, seed=SEED).run()
    judge(result)
    write_report(result, tmp_path, command="pytest")
    tried(
        soak_jobs=result.tally.jobs.total(),
        soak_events_checked=result.tally.counts["events watched"] + result.tally.counts["events in logs"],
        **{f"soak_{fault}": times for fault, times in result.faults.counts.items()},
    )
    assert not result.tally.violations, f"{dict(result.tally.texts)} in {tmp_path}"
    assert result.faults.all_kinds
    assert result.tally.jobs["SUCCEEDED"]
    assert "**Everything holds.**" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "soak.png").stat().st_size


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.db"
    migrate(path)
    return path


def execute(database: Path, *statements: str) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_rows_that_are_left_behind_are_found(database: Path) -> None:
    assert not left_behind(database)
    execute(
        database,
        "INSERT INTO events VALUES ('gone', 1, x'00', 0)",
        "INSERT INTO answers VALUES ('gone', 'question', '1')",
        "INSERT INTO writes VALUES ('gone', '', 'checkpoint', 'task', '', 0, 'channel', 'null', NULL)",
    )
    found = left_behind(database)
    assert {text.partition(" ")[0] for text in found} == {"events", "answers", "writes"}


def test_jobs_without_their_server_are_found(database: Path) -> None:
    assert not unsound(database)
    columns = {row[1]: "0" for row in sqlite3.connect(database).execute("PRAGMA table_info(jobs)") if row[3]} | {
        "job_id": "'one'",
        "state": "2",
        "run_token": "'token'",
    }
    execute(database, f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join(columns.values())})")
    assert unsound(database) == ["1 jobs are owned by a run, and no server runs"]


def test_a_damaged_file_is_found(database: Path) -> None:
    execute(
        database,
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_schema WHERE name = 'jobs_by_time'",
    )
    assert any("damaged" in text for text in unsound(database))


def test_pages_that_are_not_given_back_are_counted(database: Path) -> None:
    before = free_pages(database)
    execute(database, "INSERT INTO payloads VALUES ('big', hex(zeroblob(100000)), NULL, NULL)", "DELETE FROM payloads")
    assert free_pages(database) > before + 40


@pytest.mark.parametrize(("growth_bytes", "grows"), [(0, False), (10_000, False), (300_000, True)])
def test_memory_that_grows_is_told(tmp_path: Path, growth_bytes: int, grows: bool) -> None:
    """By so many bytes a second, through one long life."""
    samples = [replace(SAMPLE, at=at, resident_bytes=SAMPLE.resident_bytes + at * growth_bytes) for at in range(300)]
    assert bool(judged(tmp_path, samples, seconds=300)["memory_does_not_grow"]) is grows


@pytest.mark.parametrize(("growth_bytes", "grows"), [(0, False), (20_000, True)])
def test_a_file_that_grows_is_told(tmp_path: Path, growth_bytes: int, grows: bool) -> None:
    samples = [replace(SAMPLE, at=at, database_bytes=SAMPLE.database_bytes + at * growth_bytes) for at in range(1200)]
    assert bool(judged(tmp_path, samples, seconds=1200)["space_is_given_back"]) is grows


@pytest.mark.parametrize(("seconds", "told"), [(100, True), (300, False)])
def test_memory_that_could_not_be_judged_is_not_told_as_good(tmp_path: Path, seconds: int, told: bool) -> None:
    result = result_of(tmp_path, [replace(SAMPLE, at=at) for at in range(seconds)], seconds=seconds)
    result.faults.restart_seconds.append(1.0)
    write_report(result, tmp_path, command="pytest")
    assert ("not judged: no process lived so long" in (tmp_path / "report.md").read_text()) is told


def judged(folder: Path, samples: list[Sample], *, seconds: float) -> dict[str, int]:
    result = result_of(folder, samples, seconds=seconds)
    judge(result)
    return result.tally.violations


def result_of(folder: Path, samples: list[Sample], *, seconds: float) -> Result:
    tally = Tally(folder)
    faults = Faults(ServerProcess(folder), random.Random(1), tally.complain)
    return Result(seed=1, seconds=seconds, began=datetime.now(UTC), tally=tally, faults=faults, samples=samples)
