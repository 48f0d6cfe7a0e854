"""The log of a real server: what it says of jobs, in which form, and what it never says."""

import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from autopilot_client import Client, JobState
from autopilot_server import logs
from autopilot_server.access.identity import Grant, Identity, Right
from autopilot_server.access.tokens import change_tokens, new_token

from tests.proof.server import ServerProcess

SECRET = "planted-secret"


def lines(server: ServerProcess) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, options=["--log-format", "json", "--log-level", "debug"])
    yield server
    server.close()


def test_a_line_a_state_change_with_what_identifies_it(server: ServerProcess, tmp_path: Path) -> None:
    """Also of a tenant, whose name stands apart from the job's id; and no payload, context or token anywhere."""
    text, kept = new_token(Identity("ada", "blue", (Grant(frozenset(Right)),)))
    change_tokens(tmp_path / "tokens.json", lambda _: (kept,))
    server.options += ["--token-file", str(tmp_path / "tokens.json")]
    server.start()
    with Client(server.address, metadata=[("authorization", f"Bearer {text}")]) as client:
        job = client.submit("linear", {"items": [SECRET]}, context={"key": SECRET}, labels={"l": SECRET}, job_id="j")
        assert client.get(job.job_id, wait=60).state is JobState.SUCCEEDED
        # Its line is written behind the answer.
        while "job SUCCEEDED" not in server.log.read_text():
            client.get(job.job_id)
    server.kill()
    moves = [line for line in lines(server) if str(line["event"]).startswith("job ")]
    assert [(line["event"], line.get("from_state"), line["attempt"]) for line in moves] == [
        ("job PENDING", None, 0),
        ("job RUNNING", "PENDING", 1),
        ("job SUCCEEDED", "RUNNING", 1),
    ]
    assert {(line["job_id"], line["tenant"], line["workflow"], line["level"]) for line in moves} == {
        ("j", "blue", "linear", "info")
    }
    assert all(line["time"] for line in lines(server))
    told = server.log.read_text()
    assert SECRET not in told
    assert text not in told
    assert "\\u001f" not in told


def test_a_failed_attempt_says_why_with_its_traceback(server: ServerProcess) -> None:
    server.start()
    with server.client() as client:
        job = client.submit("third_time", {"items": []})
        assert client.get(job.job_id, wait=60).state is JobState.FAILED
        while "job FAILED" not in server.log.read_text():
            client.get(job.job_id)
    server.kill()
    failed = [line for line in lines(server) if line["event"] == "attempt failed"]
    assert failed[-1]["job_id"] == job.job_id
    assert "KeyError" in str(failed[-1]["exception"])
    (end,) = [line for line in lines(server) if line["event"] == "job FAILED"]
    assert end["reason"] == "STEP_RAISED"


HOSTILE = "x\x1b[2J\x9b2J\u202e\x07\r\n2026-11-25T00:00:00Z [info     ] job SUCCEEDED"


def test_a_client_s_text_ends_no_line_and_moves_no_cursor() -> None:
    """By way of a message, a field or an exception, in the log for people."""
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("a", logging.INFO, "", 1, f"it says {HOSTILE}", None, sys.exc_info())
    record.step = HOSTILE
    told = logs._formatter("text").format(record)
    assert told.count("SUCCEEDED") == 3
    assert "ValueError: x\\x1b[2J\\x9b2J\\u202e\\x07\\r\n" in told
    assert all(line.isprintable() for line in told.split("\n"))
    first, *further = told.split("\n")
    assert first.count("SUCCEEDED") == 2
    assert all(line.startswith("    ") for line in further if line)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_no_payload(tmp_path: Path, form: str) -> None:
    """Lines of code, not what the variables in them held."""
    server = ServerProcess(tmp_path, options=["--log-format", form])
    server.start()
    with server.client() as client:
        job = client.submit("third_time", {"items": [SECRET]}, context={"key": SECRET})
        assert client.get(job.job_id, wait=60).state is JobState.FAILED
        while "job FAILED" not in server.log.read_text():
            client.get(job.job_id)
    server.kill()
    told = server.log.read_text()
    assert "KeyError" in told
    assert SECRET not in told


def test_the_level_is_turned_while_the_server_runs(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, options=["--log-level", "warning"])
    server.start()
    try:
        with server.client() as client:
            client.run("linear", {"items": []}, job_id="quiet")
            server.signal(signal.SIGUSR1)
            while "the log level is debug now" not in server.log.read_text():
                client.list()
            client.run("linear", {"items": []}, job_id="loud")
            server.signal(signal.SIGUSR2)
            while "the log level is warning now" not in server.log.read_text():
                client.list()
            before = server.log.read_text()
            client.run("linear", {"items": []}, job_id="quiet-again")
        assert server.log.read_text() == before
        assert "job_id=loud" in before
        assert "quiet" not in before
    finally:
        server.close()
