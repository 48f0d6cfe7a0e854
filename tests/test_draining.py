"""`autopilot drain`: ends the server of a database, and no other process, however often it is said."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, JobState, ServerDraining

from tests.forks import autopilot
from tests.promises.conftest import appears
from tests.proof.server import ServerProcess
from tests.waiting import wait_until

AUTOPILOT = Path(sys.executable).with_name("autopilot")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path)
    server.start()
    yield server
    server.close()


def command(server: ServerProcess, *options: str) -> list[str]:
    return [str(AUTOPILOT), "drain", "--database", f"sqlite:///{server.database}", *options]


def drain(server: ServerProcess, *options: str) -> subprocess.CompletedProcess[str]:
    return autopilot(*command(server, *options)[1:])


def logged(server: ServerProcess, line: str) -> None:
    wait_until(lambda: line in server.log.read_text(), server.log.read_text)


def refuses(client: Client) -> bool:
    try:
        client.submit("linear", {"items": []})
    except ServerDraining:
        return True
    return False


def hold(server: ServerProcess, job_id: str) -> None:
    """A job whose step goes on until there is a file `go`."""
    with server.client() as client:
        client.submit("holding_until_drained", {"items": [], "folder": str(server.folder)}, job_id=job_id)
    appears(server.folder / "holding")


def test_a_running_step_comes_to_its_checkpoint_and_the_next_start_goes_on(server: ServerProcess) -> None:
    hold(server, "holds")
    pid = server.pid
    with server.client() as client:
        client.run("linear", {"items": []}, job_id="done")
        client.submit("ask", {"items": []}, job_id="asks")
        assert client.get("asks", wait=60).state is JobState.INTERRUPTED
        with subprocess.Popen(command(server, "--json"), stdout=subprocess.PIPE, text=True) as draining:
            logged(server, "stopping")
            wait_until(lambda: refuses(client))
            assert draining.poll() is None
            (server.folder / "go").touch()
            told: dict[str, Any] = json.loads(draining.communicate(timeout=120)[0])
    assert draining.returncode == 0
    assert server.wait_for_death() == 0
    left = {(each["workflow"], each["state"]): each["jobs"] for each in told["left"]}
    assert told["ended"] == pid
    assert left[("holding_until_drained", "PENDING")] == left[("ask", "INTERRUPTED")] == 1
    again = drain(server)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"no server uses {server.database}; unfinished jobs, for the next start: " in again.stdout
    assert "  1 PENDING of holding_until_drained\n" in again.stdout
    server.start()
    with server.client() as client:
        done = client.get("holds", wait=60)
        assert (done.state, done.output["items"]) == (JobState.SUCCEEDED, ["before", "hold", "after"])


def test_who_drains_twice_ends_nothing_sooner(server: ServerProcess) -> None:
    """Unlike a second SIGTERM."""
    hold(server, "holds")
    for _ in range(2):
        late = drain(server, "--timeout", "1s")
        assert (late.returncode, late.stdout) == (8, "")
        assert f"the server (process {server.pid}) still drains after 1 s" in late.stderr
    (server.folder / "go").touch()
    done = drain(server)
    assert done.returncode == 0, done.stderr
    assert "unfinished jobs, for the next start: 1\n" in done.stdout
    assert server.wait_for_death() == 0


def refused(server: ServerProcess, *options: str) -> str:
    done = drain(server, *options)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_what_is_no_database_or_no_span_is_refused(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    assert refused(server) == f"autopilot: there is no database {server.database}\n"
    assert "no span of time" in refused(server, "--timeout", "soon")


@pytest.fixture
def stopped(server: ServerProcess) -> ServerProcess:
    """A server that has left its database and the lock's file behind."""
    assert server.terminate() == 0
    return server


@pytest.mark.parametrize("number", ["this", "4194304", "", "x"])
def test_a_process_that_has_not_got_the_lock_is_not_ended(stopped: ServerProcess, number: str) -> None:
    """Numbers are given again: the one in the file may be anybody's once the server is gone."""
    (stopped.folder / "jobs.db.lock").write_text(f"{os.getpid() if number == 'this' else number}\n")
    done = drain(stopped)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"autopilot: no server uses {stopped.database}; no job is left\n"


def test_a_server_that_is_not_to_be_seen_is_left_alone(stopped: ServerProcess) -> None:
    """Such as one in a container, whose numbers of processes are its own."""
    lock = stopped.folder / "jobs.db.lock"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lock.write_text(f"{os.getppid()}\n")
        assert "drain it where it runs" in refused(stopped)


def test_a_restore_is_not_drained(stopped: ServerProcess) -> None:
    lock = stopped.folder / "jobs.db.lock"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lock.write_text(f"{os.getpid()} restores\n")
        line = f"a backup is being restored to {stopped.database} (process {os.getpid()}): wait for its end"
        assert refused(stopped) == f"autopilot: {line}\n"
        assert stopped.start_or_die() == ""
        assert line in stopped.log.read_text()
