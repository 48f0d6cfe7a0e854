"""From no key to a key, from one key to the next, back to none: whatever dies on the way, nothing is lost or left."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from autopilot_client import JobState
from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite import resealing
from autopilot_server.storage.sqlite.check import check
from autopilot_server.storage.sqlite.lock import lock_path

from tests.encryption.conftest import PLACES, Vault, fill, require_filled
from tests.encryption.graphs.graphs import planted
from tests.forks import autopilot

# In a process of its own, which kills itself before its n-th row is written.
KILLED = """
import os, signal, sys
from autopilot_server import key_commands
from autopilot_server.storage.sqlite import resealing
left, update = int(sys.argv[1]), resealing._update
def counted(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    update(*arguments)
resealing._update = counted
key_commands.encrypt(sys.argv[2:])
"""


def filled(vault: Vault) -> None:
    """Jobs under what keys there are, and a dead server."""
    vault.server.start()
    with vault.server.client() as client:
        fill(client)
    vault.server.kill()


def command(vault: Vault, name: str) -> subprocess.CompletedProcess[str]:
    return autopilot(name, "--database", f"sqlite:///{vault.server.database}", *vault.server.options)


def done(vault: Vault, name: str) -> str:
    ended = command(vault, name)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@contextmanager
def running(vault: Vault) -> Iterator[None]:
    vault.server.start()
    yield
    vault.server.kill()


def is_whole(vault: Vault) -> None:
    with running(vault), vault.server.client() as client:
        require_filled(client)


def is_refused(vault: Vault) -> None:
    assert vault.server.start_or_die() == ""
    assert vault.server.wait_for_death() == 2


def test_what_was_there_before_the_first_key_is_encrypted(vault: Vault) -> None:
    filled(vault)
    assert vault.found() == PLACES
    vault.new_key()
    assert "all content is now" in done(vault, "encrypt")
    assert vault.found() == set()
    is_whole(vault)
    assert check(vault.server.database, vault.sealer) == []
    assert "0 rows were encrypted" in done(vault, "encrypt")


def test_what_was_deleted_before_is_wiped_too(vault: Vault) -> None:
    vault.server.start()
    vault.server.terminate()
    with closing(sqlite3.connect(vault.server.database)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE deleted (value TEXT)")
        connection.execute("INSERT INTO deleted VALUES (?)", [planted("input") * 1000])
        connection.commit()
        connection.execute("DROP TABLE deleted")
        connection.commit()
    assert vault.found() == {"input"}
    vault.new_key()
    done(vault, "encrypt")
    assert vault.found() == set()


def test_a_first_key_reaches_what_is_there_beside_a_server_and_the_rest_without(vault: Vault) -> None:
    filled(vault)
    vault.new_key()
    with running(vault):
        output = done(vault, "encrypt")
        # Of what was overwritten or deleted earlier something may stay behind, as the command says.
        assert not vault.found() & {"input", "context", "memory", "state", "output", "question", "schema"}
    assert "a server runs: free pages may still have" in output
    done(vault, "encrypt")
    assert vault.found() == set()
    is_whole(vault)


def test_a_new_key_replaces_an_old_one_though_it_is_killed_again_and_again(vault: Vault) -> None:
    vault.new_key()
    filled(vault)
    (old,) = vault.sealer.keys.values()
    vault.new_key()
    for kill, rows in enumerate((1, 4, 9, 2, 25, 3, 30)):
        arguments = [str(rows), "--database", f"sqlite:///{vault.server.database}", *vault.server.options]
        ended = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, timeout=120)
        assert ended.returncode == -9, ended.stderr
        both = vault.keys.read_text()
        if kill in (1, 4):
            is_whole(vault)
            vault.drop_old_keys()
            is_refused(vault)
            vault.keys.write_text(both)
    assert f"nothing in it needs key {old.name} any more" in done(vault, "encrypt")
    vault.drop_old_keys()
    is_whole(vault)
    assert check(vault.server.database, vault.sealer) == []
    assert vault.found() == set()
    vault.keys.write_text(both.splitlines()[1] + "\n")
    is_refused(vault)


def test_a_server_goes_on_while_its_database_is_encrypted_anew(vault: Vault) -> None:
    """Jobs are submitted, answered and forked from meanwhile, and the old key is not needed by any of them."""
    vault.new_key()
    filled(vault)
    vault.new_key()
    vault.server.start()
    ended = threading.Event()
    forks: list[str] = []

    def fork() -> None:
        with vault.server.client() as client:
            while not ended.is_set() or len(forks) < 5:
                job_id = f"fork-{len(forks)}"
                client.submit("telling", job_id=job_id, fork_from="asking")
                forks.append(job_id)

    thread = threading.Thread(target=fork)
    thread.start()
    output = done(vault, "encrypt")
    ended.set()
    thread.join()
    assert "a server runs: free pages may still have" in output
    assert vault.found() == set()
    with vault.server.client() as client:
        require_filled(client)
    vault.server.kill()
    vault.drop_old_keys()
    with running(vault), vault.server.client() as client:
        for job_id in forks:
            client.get(job_id, wait=60)
            client.resume(job_id, answer=planted("answer"))
            assert client.get(job_id, wait=60).state is JobState.SUCCEEDED
    assert check(vault.server.database, vault.sealer) == []


def test_what_a_fork_copies_behind_a_pass_is_encrypted_by_another(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.new_key()
    filled(vault)
    vault.new_key()
    with closing(sqlite3.connect(vault.server.database)) as connection:
        old = connection.execute("SELECT * FROM checkpoints WHERE thread_id = 'asking'").fetchone()
    asked: list[tuple[str, ...] | None] = []
    retire = resealing._retire_others

    def copied_first(connection: sqlite3.Connection, *arguments: object) -> tuple[str, ...] | None:
        if not asked:
            marks = ", ".join("?" * len(old))
            connection.execute(f"INSERT INTO checkpoints VALUES ({marks})", ["a fork", *tuple(old)[1:]])
        asked.append(retire(connection, *arguments))  # type: ignore[arg-type]
        return asked[-1]

    monkeypatch.setattr(resealing, "_retire_others", copied_first)
    resealing.encrypt(vault.server.database, vault.sealer)
    assert asked[0] is None
    assert len(asked) == 2
    vault.drop_old_keys()
    assert {finding.invariant for finding in check(vault.server.database, vault.sealer)} == {"orphans"}


def test_a_fork_across_keys_reads_what_the_old_one_sealed(vault: Vault) -> None:
    vault.new_key()
    filled(vault)
    vault.new_key()
    with running(vault), vault.server.client() as client:
        client.submit("telling", job_id="fork", fork_from="asking")
        assert client.get("fork", wait=60).state is JobState.INTERRUPTED
    done(vault, "encrypt")
    vault.drop_old_keys()
    with running(vault), vault.server.client() as client:
        client.resume("fork", answer="yes")
        assert client.get("fork", wait=60).output["given"] == planted("input")
        client.submit("telling", job_id="another", fork_from="asking")
        assert client.get("another", wait=60).state is JobState.INTERRUPTED


def test_a_server_that_seals_with_another_key_must_be_restarted_first(vault: Vault) -> None:
    filled(vault)
    with running(vault):
        vault.new_key()
        refused = command(vault, "encrypt")
    assert refused.returncode == 2
    assert f"started without key {vault.sealer.first.name} as its first: restart it" in refused.stderr
    with running(vault):
        before = vault.sealer.first
        vault.new_key()
        refused = command(vault, "encrypt")
        assert refused.returncode == 2
        assert f"started without key {vault.sealer.first.name} as its first" in refused.stderr
    assert before.name != vault.sealer.first.name


def test_encryption_is_turned_off_again_without_a_server(vault: Vault) -> None:
    vault.new_key()
    filled(vault)
    vault.new_key()
    with running(vault):
        refused = command(vault, "decrypt")
    assert refused.returncode == 2
    assert "in use by another server" in refused.stderr
    assert "nothing in it is encrypted any more" in done(vault, "decrypt")
    vault.server.options = []
    is_whole(vault)
    assert vault.found() >= PLACES - {"progress"}
    assert check(vault.server.database) == []


def test_what_cannot_be_decrypted_stops_it_and_is_named(vault: Vault) -> None:
    vault.new_key()
    filled(vault)
    with closing(sqlite3.connect(vault.server.database)) as connection:
        connection.execute(
            "UPDATE payloads SET input = (SELECT input FROM payloads WHERE job_id = 'asking') WHERE job_id = 'done'"
        )
        connection.commit()
    vault.new_key()
    with pytest.raises(StartupError, match=r"'input', 'done'.*cannot be decrypted.*autopilot check"):
        resealing.encrypt(vault.server.database, vault.sealer)
    with running(vault), vault.server.client() as client:
        client.delete("done")
    resealing.encrypt(vault.server.database, vault.sealer)
    assert check(vault.server.database, Sealer((vault.sealer.first,))) == []


def test_bytes_of_a_workflow_that_look_sealed_are_what_they_are(vault: Vault) -> None:
    """In plain, encrypted for the first time, under another key, in plain again; and new in an encrypted database."""
    vault.new_key()
    encrypted, vault.server.options = vault.server.options, []
    # As if the first key had sealed them, which is nothing to be guessed, and must make no difference.
    raw = vault.sealer.prefix + bytes(range(100))
    marked(vault, "before", raw)
    assert raw in vault.server.database.read_bytes()
    vault.server.options = encrypted
    done(vault, "encrypt")
    assert raw not in vault.server.database.read_bytes()
    assert check(vault.server.database, vault.sealer) == []
    marked(vault, "encrypted", raw)
    vault.new_key()
    done(vault, "encrypt")
    vault.drop_old_keys()
    assert check(vault.server.database, vault.sealer) == []
    assert raw not in vault.server.database.read_bytes()
    concluded(vault, "fork", raw, fork_from="before")
    done(vault, "decrypt")
    vault.server.options = []
    assert check(vault.server.database) == []
    concluded(vault, "before", raw)
    concluded(vault, "encrypted", raw)


def marked(vault: Vault, job_id: str, raw: bytes) -> None:
    """A job with such bytes that waits for an answer, and a server that was stopped."""
    vault.server.start()
    with vault.server.client() as client:
        client.submit("marking", {"given": raw.hex()}, job_id=job_id)
        assert client.get(job_id, wait=60).state is JobState.INTERRUPTED
    vault.server.terminate()


def concluded(vault: Vault, job_id: str, raw: bytes, **fork: str) -> None:
    """The bytes are there still, for the job or for a fork of it."""
    vault.server.start()
    with vault.server.client() as client:
        if fork:
            client.submit("marking", job_id=job_id, **fork)
            client.get(job_id, wait=60)
        client.resume(job_id, answer="yes")
        assert client.get(job_id, wait=60).output["result"] == raw.hex()
    vault.server.terminate()


@pytest.mark.parametrize("name", ["encrypt", "decrypt"])
def test_a_lock_that_cannot_be_had_is_no_server_that_runs(vault: Vault, name: str) -> None:
    vault.new_key()
    filled(vault)
    lock = lock_path(vault.server.database)
    lock.unlink()
    lock.mkdir()
    refused = command(vault, name)
    assert refused.returncode == 2
    assert "cannot write beside the database" in refused.stderr
    assert "server" not in refused.stderr
