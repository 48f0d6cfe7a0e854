"""Workers that die, of whatever, and what becomes of their jobs."""

import os
import signal
from pathlib import Path

import pytest
from autopilot_client import JobState

from tests.workers.conftest import ONE, ONE_AND_TWO, WorkedServer, children, is_alive, until


@ONE_AND_TWO
def test_a_killed_worker_s_jobs_go_on_from_their_last_checkpoint(server: WorkedServer) -> None:
    with server.client() as client:
        client.submit("steps", server.input, job_id="j")
        server.kill_worker(server.holding())
        assert server.holding()
        server.go()
        job = client.get("j", wait=60)
        events = list(client.watch("j"))
    assert job.state is JobState.SUCCEEDED
    assert (job.attempt, job.failed_attempts) == (2, 0)
    assert job.output["done"] == ["first", "hold"]
    assert (server.folder / "first").read_text() == "ran\n"
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert "died: SIGKILL" in server.log.read_text()


def test_what_a_killed_worker_s_steps_had_started_is_ended(server: WorkedServer) -> None:
    """And before that it ends on signals, which its parent leaves to the server."""
    with server.client() as client:
        client.submit("starts", server.input, job_id="j")
        worker = server.holding()
        child = int((server.folder / "child").read_text())
        assert is_alive(child)
        server.kill_worker(worker)
        until(lambda: not is_alive(child), "the child is ended")
        client.cancel("j", grace_period=0)


def test_a_job_that_ends_its_worker_is_failed_and_spares_the_others(tmp_path: Path) -> None:
    with WorkedServer(tmp_path, workers="2") as server, server.client() as client:
        for job_id in ("innocent-1", "innocent-2"):
            client.submit("steps", server.input | {"folder": str(tmp_path / job_id)}, job_id=job_id)
            (tmp_path / job_id).mkdir()
        until(lambda: len(list(tmp_path.glob("innocent-*/holding-*"))) == 2, "both innocent jobs hold")
        client.submit("crash", server.input, job_id="culprit")
        culprit = client.get("culprit", wait=60)
        assert culprit.state is JobState.FAILED
        assert culprit.error is not None
        assert culprit.error.reason == "WORKER_LOST"
        for job_id in ("innocent-1", "innocent-2"):
            (tmp_path / job_id / "go").touch()
            job = client.get(job_id, wait=60)
            assert job.state is JobState.SUCCEEDED
            # After the second death of its worker the culprit runs alone.
            assert job.attempt <= 3
        (tmp_path / "mended").touch()
        client.resume("culprit")
        assert client.get("culprit", wait=60).state is JobState.SUCCEEDED
    assert server.log.read_text().count("died: SIGSEGV") == 10


@pytest.mark.parametrize("step", ["hold", "seize"])
def test_all_processes_end_with_a_killed_server_and_the_next_goes_on(tmp_path: Path, step: str) -> None:
    server = WorkedServer(tmp_path, workers="2")
    with server, server.client() as client:
        client.submit("steps" if step == "hold" else "seize", server.input, job_id="j")
        if step == "hold":
            server.holding()
        until((tmp_path / "seizing").exists if step == "seize" else lambda: True, "the interpreter is held")
        processes = children(server.pid)
        assert len(processes) >= 3
        server.kill()
        until(lambda: not any(map(is_alive, processes)), "all processes end")
        server.go()
        server.start()
        assert client.get("j", wait=60).state is JobState.SUCCEEDED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_drains_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """As a terminal sends it, or a supervisor."""
    server = WorkedServer(tmp_path, options=("--drain-seconds", "1"))
    with server, server.client() as client:
        client.submit("steps", server.input, job_id="j")
        server.holding()
        processes = children(server.pid)
        for pid in [*processes, server.pid]:
            os.kill(pid, number)
        assert server.wait_for_death() == 0
        assert not any(map(is_alive, processes))
        server.go()
        server.start()
        job = client.get("j", wait=60)
        assert job.state is JobState.SUCCEEDED
        assert job.attempt == 2
    assert "died" not in server.log.read_text()


def test_a_dead_fork_server_is_replaced(server: WorkedServer) -> None:
    with server.client() as client:
        client.submit("steps", server.input, job_id="j")
        server.holding()
        (fork_server,) = {pid for pid in children(server.pid) if _parent(pid) == server.pid}
        server.kill_worker(fork_server)
        assert server.holding()
        server.go()
        assert client.get("j", wait=60).state is JobState.SUCCEEDED


@ONE
def test_a_stopped_worker_that_wakes_up_changes_nothing(server: WorkedServer) -> None:
    with server.client() as client:
        client.submit("steps", server.input, job_id="j")
        worker = server.holding()
        os.kill(worker, signal.SIGSTOP)
        client.cancel("j", grace_period=0.1)
        until(lambda: client.get("j").state is JobState.CANCELLED, "the job is cancelled")
        before = client.get("j")
        server.go()
        os.kill(worker, signal.SIGCONT)
        # It works again: nobody else could.
        assert client.run("nothing", server.input)["done"] == ["nothing"]
        assert client.get("j") == before


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
