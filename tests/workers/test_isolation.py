"""Jobs in processes of their own."""

from pathlib import Path

import pytest
from autopilot_client import JobState

from tests.workers.conftest import WorkedServer, children, is_alive, until


@pytest.mark.parametrize("grace", [0.0, 0.5])
def test_cancel_ends_a_step_that_never_returns_and_what_it_started(server: WorkedServer, grace: float) -> None:
    with server.client() as client:
        client.submit("spin", server.input, job_id="j")
        spinning = server.folder / "spinning"
        until(lambda: spinning.exists() and spinning.read_text(), "the step spins")
        process, child = map(int, spinning.read_text().split())
        client.cancel("j", grace_period=grace)
        until(lambda: client.get("j").state is JobState.CANCELLED, "the job is cancelled")
        until(lambda: not is_alive(process) and not is_alive(child), "its processes are gone")
        assert client.run("nothing", server.input)["done"] == ["nothing"]
    assert "died" not in server.log.read_text()


def test_a_cancel_right_after_the_claim_leaves_no_process(tmp_path: Path) -> None:
    with WorkedServer(tmp_path) as server, server.client() as client:
        client.run("nothing", server.input)
        usual = children(server.pid)
        for number in range(10):
            job_id = f"j{number}"
            client.submit("spin", server.input, job_id=job_id)
            if number % 2:
                until(lambda job_id=job_id: client.get(job_id).state is JobState.RUNNING, "it is claimed")
            client.cancel(job_id, grace_period=0)
            client.delete(job_id)
        until(lambda: children(server.pid) == usual, "all processes but the usual ones are gone")


def test_a_memory_limit_fails_the_step_and_nobody_else(server: WorkedServer) -> None:
    with server.client() as client:
        client.submit("eat", server.input, job_id="j")
        job = client.get("j", wait=60)
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.exception_type == "MemoryError"
        assert client.run("nothing", server.input)["done"] == ["nothing"]


def test_each_job_has_its_process_and_none_is_left(tmp_path: Path) -> None:
    with WorkedServer(tmp_path, options=("--apart-jobs", "2")) as server, server.client() as client:
        client.run("nothing", server.input)
        usual = children(server.pid)
        jobs = [client.submit("alone", server.input) for _ in range(6)]
        outputs = [client.get(job.job_id, wait=60).output for job in jobs]
        assert len({output["pid"] for output in outputs}) == 6
        until(lambda: children(server.pid) == usual, "all processes but the usual ones are gone")


def test_inline_refuses_isolated_workflows(tmp_path: Path) -> None:
    server = WorkedServer(tmp_path, workers="inline")
    assert not server.start_or_die()
    assert server.wait_for_death() == 2
    assert "--workers inline" in server.log.read_text()
