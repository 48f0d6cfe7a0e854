"""Databases of earlier versions, as `make release-database` recorded them, under this version's server."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from autopilot_client import JobState
from autopilot_server.storage.sqlite.check import check
from autopilot_server.storage.sqlite.migrations import migrations

from tests.proof.server import ServerProcess
from tests.storage.record_database import DATABASES, FOLDER

EARLIER = range(1, len(migrations()))

LONG_AFTER = 10**15
"""In microseconds: the retention of what was recorded must not end while the tests live."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the recorded job's step waits, with a name as long as the recorded one."""
    with tempfile.TemporaryDirectory(prefix="autopilot-upgrade-", dir="/tmp") as folder:
        assert len(folder) == len(FOLDER)
        yield Path(folder)


def load(version: int, database: Path, folder: Path) -> None:
    text = (DATABASES / f"schema-{version}.sql").read_text()
    text = text.replace(FOLDER, str(folder)).replace(FOLDER.encode().hex().upper(), str(folder).encode().hex().upper())
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(text)
        connection.execute("UPDATE jobs SET expire_time = expire_time + ?", [LONG_AFTER])
        connection.commit()


def test_every_earlier_schema_was_recorded() -> None:
    assert {path.name for path in DATABASES.glob("*.sql")} >= {f"schema-{version}.sql" for version in EARLIER}


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_database_goes_on(version: int, tmp_path: Path, folder: Path) -> None:
    """Every job is there with its log, the unfinished ones finish, and nothing of the old schema is left behind."""
    server = ServerProcess(tmp_path)
    load(version, server.database, folder)
    (folder / "go").touch()
    server.start()
    with server.client() as client:
        jobs = {job.job_id: job.state for job in client.list()}
        assert jobs.keys() == {"succeeded", "failed", "asking", "cancelled", "later", "running"}
        assert jobs["later"] is JobState.PENDING
        assert client.get("running", wait=60).state is JobState.SUCCEEDED
        assert [job.job_id for job in client.list(labels={"team": "blue"})] == ["succeeded"]
        again = client.submit("linear", {"items": [1]}, job_id="succeeded", labels={"team": "blue"}, request_id="first")
        assert again.deduplicated
        assert client.get("succeeded").output["items"] == [1, "a", "b", "c"]
        client.resume("cancelled")
        for job_id in ("asking", "cancelled"):
            assert client.get(job_id, wait=60).state is JobState.INTERRUPTED
            client.resume(job_id, answer={"approved": True})
            assert client.get(job_id, wait=60).output["items"] == ["before", True, "after"]
        for job in client.list():
            events = list(client.watch(job.job_id, stop_when_caught_up=True))
            assert [event.sequence for event in events] == list(range(1, job.latest_sequence + 1))
    server.kill()
    assert check(server.database) == []
