"""What was changed in the database behind the server's back costs the job that it belongs to, and nobody else."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from autopilot_client import AutopilotError, Client, JobState
from autopilot_server.storage.sealing import is_sealed
from autopilot_server.storage.sqlite.check import check

from tests.encryption.conftest import Vault, ask
from tests.encryption.graphs.graphs import planted

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def vault(vault: Vault) -> Iterator[Vault]:
    vault.new_key()
    vault.server.start()
    return vault


def change(vault: Vault, table: str, column: str, where: str, how: Callable[[bytes], bytes]) -> None:
    """Change what is sealed, in a way that SQLite does not notice."""
    with closing(sqlite3.connect(vault.server.database, timeout=30)) as connection:
        rows = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchall()
        assert rows
        for (stored,) in rows:
            assert is_sealed(stored)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ? AND {where}", [how(stored), stored])
        connection.commit()


def schedule(vault: Vault, job_id: str, time: datetime) -> None:
    micros = int(time.timestamp() * 1e6)
    with closing(sqlite3.connect(vault.server.database)) as connection:
        connection.execute(
            "UPDATE jobs SET scheduled_time = :at, ready_time = :at WHERE job_id = :id", {"at": micros, "id": job_id}
        )
        connection.commit()


def flip_last(stored: bytes) -> bytes:
    return stored[:-1] + bytes([stored[-1] ^ 1])


def flip_first(stored: bytes) -> bytes:
    return b"\1" + stored[1:]


def others_go_on(client: Client) -> None:
    assert client.run("looking", {"given": "x"})["given"] == "x"


def error_id(message: str) -> str:
    return message.rpartition("error id ")[2].rstrip(".")


@pytest.mark.parametrize("how", [flip_last, flip_first])
@pytest.mark.parametrize(
    ("table", "column"), [("payloads", "input"), ("payloads", "context"), ("jobs", "progress"), ("answers", "answer")]
)
def test_a_job_whose_content_was_changed_fails_when_it_is_claimed(
    vault: Vault, table: str, column: str, how: Callable[[bytes], bytes]
) -> None:
    with vault.server.client() as client:
        ask(client, "broken")
    vault.server.kill()
    # It has its answer then, and is not claimed before it was changed.
    schedule(vault, "broken", LATER)
    vault.server.start()
    with vault.server.client() as client:
        client.resume("broken", answer=planted("answer"))
    vault.server.kill()
    change(vault, table, column, "job_id = 'broken'", how)
    schedule(vault, "broken", datetime.now(UTC))
    vault.server.start()
    with vault.server.client() as client:
        others_go_on(client)
        job = client.get("broken", wait=60, payloads=False)
        assert (job.state, job.error.reason) == (JobState.FAILED, "STATE_INVALID")
        assert error_id(job.error.message) in vault.server.log.read_text()
        client.delete("broken")
    vault.server.terminate()
    assert check(vault.server.database, vault.sealer) == []


def test_a_changed_checkpoint_fails_its_job_only(vault: Vault) -> None:
    with vault.server.client() as client:
        ask(client, "broken")
        ask(client, "whole")
        change(vault, "checkpoints", "checkpoint", "thread_id = 'broken'", flip_last)
        for job_id in ("broken", "whole"):
            client.resume(job_id, answer="yes")
        assert client.get("whole", wait=60).state is JobState.SUCCEEDED
        job = client.get("broken", wait=60)
        assert (job.state, job.error.reason, job.failed_attempts) == (JobState.FAILED, "STATE_INVALID", 1)
        assert error_id(job.error.message) in vault.server.log.read_text()
        with pytest.raises(AutopilotError, match="error id"):
            list(client.checkpoints("broken", values=True))
        assert list(client.checkpoints("broken"))
        others_go_on(client)


def test_who_reads_what_was_changed_is_told_an_error_id(vault: Vault) -> None:
    with vault.server.client() as client:
        for job_id in ("broken", "whole"):
            client.submit("looking", {"given": "x"}, job_id=job_id)
            assert client.get(job_id, wait=60).state is JobState.SUCCEEDED
        change(vault, "payloads", "output", "job_id = 'broken'", flip_last)
        change(vault, "events", "body", "job_id = 'broken' AND sequence = 2", flip_last)
        with pytest.raises(AutopilotError, match="error id") as refused:
            client.get("broken")
        assert error_id(str(refused.value)) in vault.server.log.read_text()
        with pytest.raises(AutopilotError, match="error id"):
            list(client.watch("broken", reconnect_for=0))
        assert client.get("broken", payloads=False).state is JobState.SUCCEEDED
        assert {job.job_id for job in client.list()} == {"broken", "whole"}
        assert client.get("whole").output["given"] == "x"
        assert len(list(client.watch("whole"))) > 2
        others_go_on(client)
        (first, second) = check(vault.server.database, vault.sealer)
        assert {first.subject, second.subject} == {"broken"}
        assert {first.detail.partition(":")[0], second.detail.partition(":")[0]} == {"payloads", "events"}
        client.delete("broken")
    assert check(vault.server.database, vault.sealer) == []


def test_what_a_workflow_kept_and_somebody_changed_fails_its_job_only(vault: Vault) -> None:
    with vault.server.client() as client:
        ask(client, "before")
        change(vault, "store", "value", "key = 'two'", flip_last)
        client.submit("reading", {}, job_id="reading")
        assert client.get("reading", wait=60).state is JobState.FAILED
        others_go_on(client)


def test_a_run_whose_row_was_changed_is_taken_up_as_failed(vault: Vault) -> None:
    """The server died while it ran; the next one starts all the same."""
    with vault.server.client() as client:
        client.submit("waiting", {"given": "x"}, job_id="broken")
        for event in client.watch("broken"):
            if getattr(event.kind, "step", "") == "wait":
                break
    vault.server.kill()
    change(vault, "jobs", "progress", "job_id = 'broken'", flip_last)
    vault.server.start()
    with vault.server.client() as client:
        job = client.get("broken", wait=60)
        assert (job.state, job.error.reason) == (JobState.FAILED, "STATE_INVALID")
        others_go_on(client)
