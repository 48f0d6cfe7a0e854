"""Workers, and the process that they are forked from, that die: their jobs go on by themselves, at once."""

import os
import signal
from pathlib import Path

import pytest
from autopilot_client import Client, JobState, StepStarted

from tests.waiting import wait_until
from tests.workers.conftest import (
    Workers,
    children,
    ended,
    gone,
    kill,
    lives,
    moves,
    succeeded,
    whole_log,
)

PENDING, RUNNING, SUCCEEDED = JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED


@pytest.mark.parametrize("workers", [1, 2])
def test_the_jobs_of_a_killed_worker_go_on(tmp_path: Path, workers: int) -> None:
    """From their last checkpoint, though nobody polls; those of another worker do not notice."""
    # No worker has room for all.
    options = ["--running-jobs", str(6 // workers)]
    with Workers(tmp_path, *options, workers=workers) as server, server.client() as client:
        jobs = [server.submit(client, "holds", f"job-{number}") for number in range(6)]
        worker = {job: server.stands(job) for job in jobs}
        assert len(set(worker.values())) == workers
        victim = worker[jobs[0]]
        kill(victim)
        lost = [job for job in jobs if worker[job] == victim]
        assert all(server.stands(job, 2) != victim for job in lost)
        server.go(*jobs)
        for job_id in jobs:
            job = succeeded(client, job_id, attempts=1 + (job_id in lost))
            assert job.output["items"] == ["before", "hold", "after"]
        events = whole_log(client, ended(client, jobs[0]))
        assert moves(events) == [PENDING, RUNNING, PENDING, RUNNING, SUCCEEDED]
        steps = [event.kind.step for event in events if isinstance(event.kind, StepStarted)]
        assert (steps.count("before"), steps[-1]) == (1, "after")
        server.says(f"(process {victim}) died: SIGKILL")
        assert len(server.processes) == 1 + workers


def test_what_a_killed_worker_had_started_is_ended(server: Workers, client: Client) -> None:
    """A process that a step has started lives in nobody's name once the worker is gone."""
    job = server.submit(client, "leaves_child", "leaves")
    succeeded(client, job)
    worker, child = server.all_pids(job)[0]
    assert lives(child)
    kill(worker)
    gone(worker, child)


def test_a_step_that_crashes_fails_its_own_job_alone(tmp_path: Path) -> None:
    """It takes those that run beside it along once or twice; then it has a process of its own to crash."""
    with Workers(tmp_path, "--max-worker-losses", "5", workers=1) as server, server.client() as client:
        innocent = [server.submit(client, "holds", f"innocent-{number}") for number in range(5)]
        for job_id in innocent:
            server.stands(job_id)
        bad = [server.submit(client, "crashes", f"crash-{number}") for number in range(2)]
        for job_id in bad:
            job = ended(client, job_id)
            assert (job.state, job.failed_attempts) == (JobState.FAILED, 0)
            assert job.attempt >= 5
            assert job.error is not None
            assert job.error.reason == "WORKER_LOST"
            assert "died 5 times in a row" in job.error.message
            whole_log(client, job)
        later = server.submit(client, "holds", "later")
        server.stands(later)
        server.go(*innocent, later)
        succeeded(client, later)
        for job_id in innocent:
            job = ended(client, job_id)
            assert (job.state, job.failed_attempts) == (SUCCEEDED, 0)
            assert job.attempt <= 3
        server.go(bad[0])
        client.resume(bad[0])
        assert ended(client, bad[0]).output["items"] == ["before", "did not crash", "after"]
        server.says("died: SIGSEGV")


def test_a_killed_fork_server_is_replaced(server: Workers, client: Client) -> None:
    """With all its workers, whose jobs go on in others."""
    jobs = [server.submit(client, workflow, workflow) for workflow in ("holds", "holds_apart")]
    first = [server.stands(job) for job in jobs]
    before = server.processes
    kill(server.fork_server)
    assert {server.stands(job, 2) for job in jobs}.isdisjoint(before)
    server.go(*jobs)
    for job in jobs:
        succeeded(client, job, attempts=2)
    gone(*before, *first)
    server.says("the process that workers are forked from died; it is replaced")
    wait_until(lambda: len(children(server.fork_server)) == 2)


def test_a_stopped_worker_that_wakes_up_changes_nothing(server: Workers, client: Client) -> None:
    """Its job was cancelled, deleted, and is another's by then."""
    job_id = server.submit(client, "holds", "job")
    worker = server.stands(job_id)
    # What is committed holds no lock any more: who is stopped in the middle of a transaction is ended.
    assert any(isinstance(event.kind, StepStarted) and event.kind.step == "hold" for event in client.watch(job_id))
    os.kill(worker, signal.SIGSTOP)
    client.cancel(job_id, grace_period=0.05)
    assert ended(client, job_id).state is JobState.CANCELLED
    client.delete(job_id)
    server.submit(client, "holds", "job")
    assert server.stands(job_id, 2) != worker
    server.go(job_id)
    before = succeeded(client, job_id)
    os.kill(worker, signal.SIGCONT)
    # What it takes now, it takes after everything that it still had to do.
    jobs = [server.submit(client, "holds", f"next-{number}") for number in range(20)]
    wait_until(lambda: all(server.pids(job) for job in jobs))
    assert worker in {server.stands(job) for job in jobs}
    server.go(*jobs)
    for job in jobs:
        succeeded(client, job)
    assert client.get(job_id) == before
