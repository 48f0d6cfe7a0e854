"""Backups of a database that a server uses, what is checked of one, and what is refused."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from autopilot_client import Client, JobState
from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.invariants import INVARIANTS
from autopilot_server.storage.sqlite import backup
from autopilot_server.storage.sqlite.backup import back_up, restore
from autopilot_server.storage.sqlite.check import check
from autopilot_server.storage.sqlite.connections import connect
from autopilot_server.storage.sqlite.migrations import migrate

from tests import forks
from tests.proof.server import ServerProcess
from tests.storage.conftest import Box


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


@pytest.fixture
def box(sqlite_box: Box) -> Box:
    """SQLite's alone."""
    return sqlite_box


def autopilot(server: ServerProcess, *arguments: object) -> CompletedProcess[str]:
    """A command for the server's database."""
    return forks.autopilot(*arguments, "--database", f"sqlite:///{server.database}")


def appears(client: Client, job_id: str, step: str) -> None:
    for event in client.watch(job_id):
        if getattr(event.kind, "step", "") == step:
            return


def test_a_restored_backup_goes_on_with_what_was_not_finished(server: ServerProcess, tmp_path: Path) -> None:
    """Taken while jobs run, put back after kill -9: finished jobs are as they were, the others finish, later ones are
    not there; the database that was there is kept."""
    copy = tmp_path / "copy.db"
    with server.client() as client:
        client.run("linear", {"items": ["done"]}, job_id="done")
        client.submit("holding", {"items": [], "folder": str(tmp_path)}, job_id="running")
        client.submit("ask", {"items": []}, job_id="asking")
        assert client.get("asking", wait=60).state is JobState.INTERRUPTED
        appears(client, "running", "hold")
        done = autopilot(server, "backup", copy)
        assert done.returncode == 0, done.stderr
        client.submit("linear", {"items": []}, job_id="later")
    assert check(copy) == []
    server.kill()
    assert autopilot(server, "restore", copy).returncode == 2
    restored = autopilot(server, "restore", copy, "--replace")
    assert restored.returncode == 0, restored.stderr
    (kept,) = tmp_path.glob("jobs.db.replaced-*Z")
    assert check(kept) == []
    (tmp_path / "go").touch()
    server.start()
    with server.client() as client:
        assert {job.job_id for job in client.list()} == {"done", "running", "asking"}
        assert client.get("running", wait=60).state is JobState.SUCCEEDED
        client.resume("asking", answer={"approved": True})
        assert client.get("asking", wait=60).state is JobState.SUCCEEDED
        assert client.get("done").output["items"] == ["done", "a", "b", "c"]
    server.kill()
    assert check(server.database) == []


def test_a_new_database_is_for_its_owner(tmp_path: Path) -> None:
    """With its log and the log's index, whatever the umask."""
    path, before = tmp_path / "jobs.db", os.umask(0)
    try:
        migrate(path)
        with closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA user_version = 1")
            connection.execute("COMMIT")
            modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.glob("jobs.db*")}
    finally:
        os.umask(before)
    assert modes == {"jobs.db": 0o600, "jobs.db-wal": 0o600, "jobs.db-shm": 0o600}


def test_a_backup_is_for_its_owner_and_replaces_nothing(box: Box, tmp_path: Path) -> None:
    box.submit()
    copy = tmp_path / "copy.db"
    back_up(tmp_path / "jobs.db", copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("copy")) == ["copy.db"]
    with pytest.raises(StartupError, match="exists already"):
        back_up(tmp_path / "jobs.db", copy)


def test_a_backup_is_one_moment_while_others_write(box: Box, tmp_path: Path) -> None:
    """Each row and its first event commit together: a copy never has one without the other."""
    writes = [box.store.job_submit(box.submission(f"j{number}")) for number in range(300)]
    for number in range(5):
        back_up(tmp_path / "jobs.db", tmp_path / f"{number}.db")
        assert check(tmp_path / f"{number}.db", box.sealer) == []
    for write in writes:
        write.result()


@pytest.mark.parametrize("action", [back_up, lambda source, target: restore(source, target, replace=False)])
@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "there is no database"), (b"not a database at all" * 100, "not a database"), (b"", "not a database of")],
)
def test_what_is_no_database_is_refused(action: object, content: bytes | None, why: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(StartupError, match=why):
        action(source, target)  # type: ignore[operator]
    assert not target.exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "target.lock"}


def test_a_damaged_or_newer_copy_does_not_replace_a_database(box: Box, tmp_path: Path) -> None:
    for number in range(200):
        box.submit(f"j{number}")
    database, copy = tmp_path / "jobs.db", tmp_path / "copy.db"
    box.store.close()
    before = database.read_bytes()
    back_up(database, copy)
    content = bytearray(copy.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20_000] = b"\xff" * 20_000
    copy.write_bytes(content)
    with pytest.raises(StartupError, match="copy"):
        restore(copy, database, replace=True)
    copy.unlink()
    back_up(database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    with pytest.raises(StartupError, match="newer version"):
        restore(copy, database, replace=True)
    assert database.read_bytes() == before


def test_a_restore_that_was_killed_is_not_taken_for_an_empty_database(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, copy = tmp_path / "jobs.db", tmp_path / "copy.db"
    box.submit("j")
    back_up(database, copy)
    box.store.close()
    set_aside = backup._set_aside

    def killed(database: Path) -> Path:
        set_aside(database)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backup, "_set_aside", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(copy, database, replace=True)
    assert not database.exists()
    with pytest.raises(StartupError, match="restore it again"):
        box.open()
    restore(copy, database, replace=True)
    box.open()
    assert box.job("j").job_id == "j"


def test_a_database_in_use_is_not_replaced(box: Box, tmp_path: Path) -> None:
    back_up(tmp_path / "jobs.db", tmp_path / "copy.db")
    with pytest.raises(StartupError, match="in use by another server"):
        restore(tmp_path / "copy.db", tmp_path / "jobs.db", replace=True)


# Damage of one kind each, by the invariant that must find it.
BREAKS = {
    "log": (
        "DELETE FROM events WHERE job_id = 'j' AND sequence = 1",
        "UPDATE jobs SET latest_sequence = latest_sequence + 1 WHERE job_id = 'j'",
    ),
    "state": (
        "UPDATE jobs SET state = 2 WHERE job_id = 'j'",
        "UPDATE jobs SET end_time = 1 WHERE job_id = 'j'",
        "UPDATE jobs SET run_token = 'x' WHERE job_id = 'j'",
        "UPDATE jobs SET state = 9 WHERE job_id = 'j'",
    ),
    "checkpoint": ("UPDATE jobs SET checkpoint_id = 'nowhere' WHERE job_id = 'j'",),
    "parts": (
        "DELETE FROM payloads WHERE job_id = 'j'",
        "DELETE FROM labels WHERE job_id = 'j'",
        "UPDATE jobs SET questions = 1 WHERE job_id = 'j'",
        "INSERT INTO answers VALUES ('j', 'nobody asked', '1')",
    ),
    "turns": (
        "UPDATE jobs SET concurrency_key = 'k', held = 1 WHERE job_id = 'j'",
        "UPDATE jobs SET concurrency_key = 'k'",
    ),
    "orphans": (
        "INSERT INTO events VALUES ('gone', 1, x'00', 0)",
        "INSERT INTO payloads VALUES ('gone', NULL, NULL, NULL)",
        "INSERT INTO labels VALUES ('k', 'v', 1, 'gone')",
        "INSERT INTO answers VALUES ('gone', 'q', '1')",
        "INSERT INTO resume_requests VALUES ('gone', 'r', x'00')",
        "INSERT INTO checkpoints (thread_id, checkpoint_id) VALUES ('gone', '1')",
        "INSERT INTO writes (thread_id, checkpoint_id, task_id, idx, channel) VALUES ('gone', '1', 't', 0, 'c')",
        "INSERT INTO writes (thread_id, checkpoint_id, task_id, idx, channel) VALUES ('j', '1', 't', 0, 'c')",
    ),
}


@pytest.mark.parametrize(("invariant", "damage"), [(name, each) for name, all_ in BREAKS.items() for each in all_])
def test_check_finds_each_kind_of_damage(box: Box, tmp_path: Path, invariant: str, damage: str) -> None:
    box.submit("j", labels={"team": "blue"})
    box.submit("other")
    assert check(tmp_path / "jobs.db", box.sealer) == []
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.execute(damage)
    assert {finding.invariant for finding in check(tmp_path / "jobs.db", box.sealer)} == {invariant}


def test_every_invariant_can_be_found_broken() -> None:
    assert set(BREAKS) == {invariant.name for invariant in INVARIANTS}


def test_check_tells_people_and_programs(server: ServerProcess) -> None:
    with server.client() as client:
        client.run("linear", {"items": []}, job_id="j")
    good = autopilot(server, "check")
    assert (good.returncode, good.stderr) == (0, "")
    assert "all holds" in good.stdout
    with sqlite3.connect(server.database) as connection:
        connection.execute("DELETE FROM events WHERE sequence = 2")
    bad = autopilot(server, "check")
    assert bad.returncode == 1
    assert "log: j: " in bad.stdout
    assert "submit it again" in bad.stdout
    (line,) = autopilot(server, "check", "--json").stdout.splitlines()
    assert json.loads(line)["subject"] == "j"
