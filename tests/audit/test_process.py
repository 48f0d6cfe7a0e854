"""The audit of a real server process: what is in it whenever the process ends, and what the server is without it."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from autopilot_client import Client, DeadlineExceeded, ServerUnreachable
from autopilot_server.audit.records import Wanted, read_records
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.proof.server import ServerProcess
from tests.waiting import wait_until

ROUNDS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, options=["--audit-file", str(tmp_path / "audit.jsonl")])
    yield server
    server.close()


def told(server: ServerProcess) -> list[dict[str, Any]]:
    torn: list[int] = []
    return list(read_records([server.folder / "audit.jsonl"], Wanted(), lambda path, number: torn.append(number)))


def _die_at_submit() -> None:
    from autopilot_server.storage.sqlite.store import SqliteStore

    async def job_submit(self: object, submission: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    SqliteStore.job_submit = job_submit  # type: ignore[assignment, method-assign]


def _break_the_journal() -> None:
    from autopilot_server.audit.journal import Journal

    def broken(self: object, entries: object) -> None:
        raise RuntimeError("planted")

    Journal._write_down = broken  # type: ignore[assignment, method-assign]


def test_a_server_whose_audit_dies_changes_nothing_and_ends(server: ServerProcess) -> None:
    server.sabotage = _break_the_journal
    server.start()
    with Client(server.address, timeout=5) as client, pytest.raises(ServerUnreachable):
        client.submit("linear", {}, job_id="job")
    assert server.wait_for_death() == 0
    assert "the audit died" in server.log.read_text()
    server.sabotage = None
    server.start()
    with server.client() as client:
        assert not list(client.list())


def test_a_server_that_cannot_start_says_that_it_stopped(server: ServerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.options = [*server.options, "--listen", f"127.0.0.1:{taken.getsockname()[1]}"]
        assert server.start_or_die() == ""
        assert server.wait_for_death() == 2
    assert [record["event"] for record in told(server)] == ["start", "stop"]


def test_what_a_killed_server_was_about_to_do_is_told(server: ServerProcess) -> None:
    server.sabotage = _die_at_submit
    server.start()
    with Client(server.address, timeout=5) as client, pytest.raises(ServerUnreachable):
        client.submit("linear", {}, job_id="job")
    server.wait_for_death()
    server.sabotage = None
    server.start()
    with server.client() as client:
        client.submit("linear", {}, job_id="job")
    assert server.terminate() == 0
    found = told(server)
    calls = [record for record in found if record["event"] == "request"]
    assert {record["job_id"] for record in calls} == {"job"}
    assert [record["answer"] and record["answer"]["code"] for record in calls if record["answer"]] == ["OK"]
    assert calls[0]["answer"] is None
    assert [record["event"] for record in found if record["event"] != "request"] == ["start", "start", "stop"]


def _are(those: set[str], count: int) -> bool:
    return len(those) >= count


def test_no_job_is_there_that_the_audit_does_not_tell(server: ServerProcess) -> None:
    """Killed again and again in the midst of submits."""
    accepted: set[str] = set()

    def submit(round_number: int, thread: int) -> None:
        with Client(server.address, timeout=2) as client:
            for number in range(10_000):
                job_id = f"job-{round_number}-{thread}-{number}"
                try:
                    client.submit("linear", {}, job_id=job_id)
                except (ServerUnreachable, DeadlineExceeded):
                    # Killed.
                    return
                accepted.add(job_id)

    for round_number in range(ROUNDS):
        server.start()
        enough = len(accepted) + 20
        threads = [threading.Thread(target=submit, args=(round_number, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        wait_until(partial(_are, accepted, enough), lambda: len(accepted))
        server.kill()
        for thread in threads:
            thread.join()
    server.start()
    with server.client() as client:
        there = {job.job_id for job in client.list()}
    asked = {record["job_id"] for record in told(server) if record["event"] == "request"}
    assert accepted <= there <= asked
    assert len(there) >= 20 * ROUNDS


def _status(server: ServerProcess) -> int:
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
        return int(answer.status)


def test_a_server_without_its_audit_changes_nothing_and_is_not_healthy(server: ServerProcess) -> None:
    server.start()
    path, aside = server.folder / "audit.jsonl", server.folder / "aside"
    with server.client() as client:
        client.submit("linear", {}, job_id="before")
        assert _status(server) == health_pb2.HealthCheckResponse.SERVING
        path.rename(aside)
        path.mkdir()
        # The client tries again, as it is told to, until the file is back.
        waiting = threading.Thread(target=client.submit, args=("linear", {}), kwargs={"job_id": "during"})
        waiting.start()
        wait_until(lambda: _status(server) == health_pb2.HealthCheckResponse.NOT_SERVING)
        assert client.get("before").job_id == "before"
        path.rmdir()
        aside.rename(path)
        waiting.join(120)
        assert client.get("during").job_id == "during"
        wait_until(lambda: _status(server) == health_pb2.HealthCheckResponse.SERVING)
    assert "the audit file is back" in server.log.read_text()


def test_a_server_whose_audit_cannot_be_written_does_not_start(server: ServerProcess) -> None:
    (server.folder / "audit.jsonl").mkdir()
    assert server.start_or_die() == ""
    assert server.wait_for_death() == 2
    assert "cannot use --audit-file" in server.log.read_text()


def test_a_file_that_is_moved_away_is_followed_by_another(server: ServerProcess) -> None:
    server.start()
    path = server.folder / "audit.jsonl"
    with server.client() as client:
        client.submit("linear", {}, job_id="one")
        path.rename(server.folder / "older")
        client.submit("linear", {}, job_id="two")
    assert server.terminate() == 0
    files = [server.folder / "older", path]
    found = [record for record in read_records(files, Wanted(), lambda path, number: None) if record.get("job_id")]
    assert [(record["job_id"], record["answer"]["code"]) for record in found] == [("one", "OK"), ("two", "OK")]
    assert "two" not in (server.folder / "older").read_text()
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "stop"
