"""What clients and workflows write stands in none of a server's files, neither while it runs nor after a kill -9."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from autopilot_client import JobState
from autopilot_server.engine.checkpoints import METADATA_KEY
from autopilot_server.storage.sealing import COLUMNS, is_sealed
from autopilot_server.storage.sqlite.backup import back_up, restore
from autopilot_server.storage.sqlite.check import check
from autopilot_server.storage.sqlite.connections import connect
from autopilot_server.storage.sqlite.sealed_tables import TABLES

from tests.encryption.conftest import PLACES, Vault, fill, require_filled
from tests.forks import autopilot

# Every other column, which is searched, sorted by, counted with, or needed before there is a key.
READABLE = {
    "jobs": {
        *("job_id", "tenant", "workflow", "thread_id", "labels", "priority", "request_id", "state", "version"),
        *("scheduled_time", "execution_timeout", "max_attempts", "initial_backoff", "max_backoff"),
        *("backoff_multiplier", "fork_job_id", "fork_checkpoint_id", "retention", "interrupt_before"),
        *("interrupt_after", "step_limit", "create_time", "latest_sequence", "update_time", "checkpoint_id"),
        *("checkpoints", "next_steps", "workflow_revision", "attempt", "failed_attempts", "losses"),
        *("checkpoints_at_loss", "questions", "start_time", "end_time", "expire_time", "ready_time"),
        *("next_attempt_time", "passed_breakpoint", "run_token", "worker_id", "claim_time", "deadline", "elapsed"),
        *("budget_spent", "trace", "concurrency_key", "held"),
    },
    "payloads": {"job_id"},
    "labels": {"key", "value", "create_time", "job_id"},
    "events": {"job_id", "sequence", "has_payload"},
    "interrupts": {"job_id", "position", "interrupt_id", "step", "step_run_id", "value_bytes", "create_time"},
    "answers": {"job_id", "interrupt_id"},
    "resume_requests": {"job_id", "request_id"},
    "workflows": {"name", "descriptor"},
    "concurrency_limits": {"workflow", "jobs", "per_key"},
    "workflow_statistics": {"name", "revision", "jobs", "mean_steps", "mean_elapsed"},
    "writers": {"writer", "batch"},
    "clock": {"id", "apart"},
    "secrets": {"name", "value"},
    "encryption_keys": {"key_id", "seals"},
    "checkpoints": {
        *("thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "metadata", "job_id"),
        *("superstep", "source", "next_steps", "create_time"),
    },
    "writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "task_path", "idx", "channel", "type"},
    "store": {"prefix", "key", "created_at", "updated_at", "expires_at", "ttl_minutes"},
    "store_migrations": {"v"},
}


@pytest.mark.parametrize("encrypted", [True, False])
def test_nothing_planted_is_found_in_any_file(vault: Vault, tmp_path: Path, encrypted: bool) -> None:
    """And without encryption all of it is, by the same search."""
    if encrypted:
        vault.new_key()
    vault.server.start()
    with vault.server.client() as client:
        fill(client)
        back_up(vault.server.database, vault.folder / "backup.db")
        while_it_ran = vault.found()
        require_filled(client)
    vault.server.kill()
    after_its_death = vault.found()
    assert (while_it_ran, after_its_death) == ((set(), set()) if encrypted else (PLACES, PLACES))
    vault.server.start()
    with vault.server.client() as client:
        require_filled(client)
    vault.server.terminate()
    assert vault.found() == (set() if encrypted else PLACES)
    assert check(vault.server.database, vault.sealer if encrypted else None) == []


def test_every_column_is_sealed_or_known_to_be_readable(vault: Vault) -> None:
    """Whoever adds a column decides which it is."""
    vault.new_key()
    vault.server.start()
    with vault.server.client() as client:
        fill(client)
    vault.server.kill()
    sealed = {table.name: set(table.columns) for table in TABLES}
    assert set(COLUMNS) == {column for table in TABLES if not table.kind for column in table.columns}
    with closing(connect(vault.server.database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for table in tables:
            columns = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
            assert columns == READABLE[table] | sealed.get(table, set()), table
            for column in sealed.get(table, set()):
                stored = [row[0] for row in connection.execute(f"SELECT {column} FROM {table}") if row[0]]
                assert all(map(is_sealed, stored)), (table, column)


def test_metadata_of_checkpoints_says_nothing_of_content(vault: Vault) -> None:
    """It is not encrypted: LangGraph's own entries of the context would stand there."""
    vault.server.start()
    with vault.server.client() as client:
        fill(client)
    vault.server.kill()
    with closing(sqlite3.connect(vault.server.database)) as connection:
        metadata = [json.loads(row[0]) for row in connection.execute("SELECT metadata FROM checkpoints")]
    assert {key for entries in metadata for key in entries} == {"source", "step", "parents", METADATA_KEY}
    assert {key for entries in metadata for key in entries[METADATA_KEY]} == {"completed_steps", "breakpoint"}
    assert "planted" not in json.dumps(metadata)


def test_equal_content_is_stored_differently_and_nowhere_else(vault: Vault) -> None:
    """What is sealed says neither that it is equal to something else, nor is it read at another place."""
    vault.new_key()
    vault.server.start()
    with vault.server.client() as client:
        for job_id in ("a", "b"):
            client.submit("looking", {"given": "the same"}, job_id=job_id)
            client.get(job_id, wait=60)
    vault.server.kill()
    with closing(sqlite3.connect(vault.server.database)) as connection:
        (a, b) = (row[0] for row in connection.execute("SELECT input FROM payloads ORDER BY job_id"))
        assert a != b
        connection.execute("UPDATE payloads SET input = ? WHERE job_id = 'b'", [a])
        connection.commit()
    (found,) = check(vault.server.database, vault.sealer)
    assert (found.invariant, found.subject) == ("encryption", "b")


def test_a_backup_is_encrypted_and_needs_the_keys(vault: Vault, tmp_path: Path) -> None:
    vault.new_key()
    vault.server.start()
    copy = vault.folder / "copy.db"
    with vault.server.client() as client:
        fill(client)
        back_up(vault.server.database, copy)
    vault.server.kill()
    assert vault.found() == set()
    assert check(copy, vault.sealer) == []
    restore(copy, vault.server.database, replace=True)
    vault.server.start()
    with vault.server.client() as client:
        require_filled(client)
    vault.server.kill()


def test_check_says_what_is_wrong_without_the_key(vault: Vault) -> None:
    vault.new_key()
    vault.server.start()
    vault.server.terminate()
    command = ["check", "--database", f"sqlite:///{vault.server.database}"]
    without = autopilot(*command)
    assert without.returncode == 2
    assert f"encrypted with key {vault.sealer.first.name}, and no key was given" in without.stderr
    assert "--encryption-key-file" in without.stderr
    keyed = autopilot(*command, *vault.server.options)
    assert keyed.returncode == 0, keyed.stderr


def test_requests_are_known_again(vault: Vault) -> None:
    """Their digests are sealed, not compared by what is stored."""
    vault.new_key()
    vault.server.start()
    for _ in range(2):
        with vault.server.client() as client:
            job = client.submit("looking", {"given": "x"}, job_id="j", request_id="r")
            assert client.get("j", wait=60).state is JobState.SUCCEEDED
        vault.server.kill()
        vault.server.start()
    assert job.deduplicated
