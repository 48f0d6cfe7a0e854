"""Jobs that have a process each: what they do is ended with them, and what they may use is limited."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, JobError, JobState, RetryPolicy

from tests.waiting import wait_until
from tests.workers.conftest import Workers, children, ended, gone, lives, poll_never, succeeded

APART_JOBS = 2

QUICK = RetryPolicy(max_attempts=5, initial_backoff=0.01, max_backoff=0.01)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(tmp_path_factory.mktemp("apart"), "--apart-jobs", str(APART_JOBS), workers=1) as server:
        yield server


@pytest.fixture
def client(server: Workers) -> Iterator[Client]:
    """In the end nothing is left of the jobs, but the worker for all others."""
    with server.client() as client:
        yield client
    wait_until(lambda: len(server.processes) == 2, lambda: server.processes)


def failed(client: Client, job_id: str, reason: str) -> JobError:
    job = ended(client, job_id)
    assert job.state is JobState.FAILED, job
    assert job.error is not None
    assert job.error.reason == reason
    return job.error


def test_cancel_ends_what_never_returns(server: Workers, client: Client) -> None:
    """And the processes that it has started."""
    beside = server.submit(client, "holds", "beside-cancel")
    server.stands(beside)
    for number, grace in enumerate((0.3, 0)):
        job_id = server.submit(client, "spins_apart", f"spins-{number}")
        server.stands(job_id)
        pids = server.all_pids(job_id)[0]
        client.cancel(job_id, grace_period=grace)
        assert ended(client, job_id).state is JobState.CANCELLED
        gone(*pids)
        client.delete(job_id)
    server.go(beside)
    succeeded(client, beside)


def test_cancel_at_any_moment_after_submit(server: Workers, client: Client) -> None:
    """Before the claim, in it, and while the process begins: nothing runs on."""
    cancelled = 25
    for number in range(cancelled):
        job_id = server.submit(client, "spins_apart", f"soon-{number}")
        # As many different moments, up to when the step stands there.
        for _ in range(number * number):
            if client.get(job_id).attempt and server.pids(job_id):
                break
        client.cancel(job_id, grace_period=0)
        assert ended(client, job_id).state is JobState.CANCELLED
    wait_until(lambda: len(server.processes) == 2, lambda: server.processes)
    begun = [server.all_pids(f"soon-{number}") for number in range(cancelled)]
    gone(*(pid for attempts in begun for pids in attempts for pid in pids))
    # Some of each kind, or the moments were not so many.
    assert 0 < sum(map(bool, begun)) < cancelled


def test_a_timeout_ends_what_never_returns(server: Workers, client: Client) -> None:
    job_id = server.submit(client, "spins_apart", "too-long", execution_timeout=0.5)
    failed(client, job_id, "EXECUTION_TIMED_OUT")
    gone(*(pid for pids in server.all_pids(job_id) for pid in pids))


def test_more_memory_than_a_job_may_have_fails_its_step(server: Workers, client: Client) -> None:
    beside = server.submit(client, "holds", "beside-memory")
    worker = server.stands(beside)
    job_id = server.submit(client, "eats_apart", "eats")
    error = failed(client, job_id, "RESOURCE_LIMIT_REACHED")
    assert (error.exception_type, error.step) == ("MemoryError", "eat")
    assert "4,000,000,000 bytes of addresses" in error.message
    assert client.get(job_id).attempt == 1
    server.go(beside)
    succeeded(client, beside)
    assert server.pids(beside) == [worker]


def test_more_processor_time_than_a_job_may_have_ends_it(server: Workers, client: Client) -> None:
    """It would come to it again. What somebody changes, Resume goes on with."""
    job_id = server.submit(client, "burns_apart", "burns")
    error = failed(client, job_id, "RESOURCE_LIMIT_REACHED")
    assert "more processor time than the 1 s" in error.message
    assert client.get(job_id).attempt == 1
    gone(*server.pids(job_id))
    server.go(job_id)
    client.resume(job_id)
    assert succeeded(client, job_id, attempts=2).output["items"] == ["before", "burnt", "after"]


def hear_late(heard: Path) -> None:
    """In the server's process: what a process of one job has claimed is heard when the file `heard` is there; and one
    whose job has ended by itself may take as long as it likes to end."""
    from autopilot_server.workers import apart

    poll_never()
    apart.END_SECONDS = 3600.0
    rang = apart.Apart.rang

    def rang_late(self: apart.Apart, member: Any, news: Any) -> None:
        if member.is_apart and not heard.exists():
            asyncio.get_running_loop().call_later(0.01, rang_late, self, member, news)
        else:
            rang(self, member, news)

    apart.Apart.rang = rang_late  # type: ignore[method-assign]


def test_a_cancel_that_comes_before_the_claim_is_heard_of_ends_the_process(tmp_path: Path) -> None:
    """At once, though nothing tells of it any more."""
    server = Workers(tmp_path, workers=1)
    server.sabotage = partial(hear_late, tmp_path / "heard")
    with server, server.client() as client:
        job_id = server.submit(client, "spins_apart", "spins")
        server.stands(job_id)
        client.cancel(job_id, grace_period=0)
        assert ended(client, job_id).state is JobState.CANCELLED
        assert lives(server.pids(job_id)[0])
        (tmp_path / "heard").touch()
        gone(*server.all_pids(job_id)[0])


def test_each_job_has_a_process_of_its_own_and_leaves_nothing(server: Workers, client: Client) -> None:
    (worker,) = set(client.run("tells", {})["items"][:1])
    processes = [client.run("tells_apart", {})["items"][0] for _ in range(3)]
    assert len({worker, *processes}) == 4
    gone(*processes)
    job_id = server.submit(client, "leaves_child_apart", "leaves")
    succeeded(client, job_id)
    gone(*server.all_pids(job_id)[0])
    assert lives(worker)


def test_what_a_step_starts_ends_on_signals(server: Workers, client: Client) -> None:
    """Though its worker does not: those are the server's affair."""
    assert client.run("ends_child", {})["items"] == [-signal.SIGTERM, -signal.SIGTERM]


def test_no_more_than_the_limit_at_once_and_the_most_urgent_first(server: Workers, client: Client) -> None:
    jobs = [server.submit(client, "holds_apart", f"many-{number}", priority=9 - number) for number in range(6)]
    waiting = list(jobs)
    while waiting:
        wait_until(lambda: sum(bool(server.pids(job)) for job in waiting) == min(APART_JOBS, len(waiting)))
        standing = [job for job in waiting if server.pids(job)]
        # Before a process of one's own has begun, a more urgent job may have come.
        assert jobs[0] in standing or jobs[0] not in waiting
        assert len(children(server.fork_server)) <= 1 + APART_JOBS
        server.go(standing[0])
        succeeded(client, standing[0])
        waiting.remove(standing[0])
    assert len({pid for job in jobs for pid in server.pids(job)}) == 6


def test_questions_and_retries_and_times_of_jobs_that_run_apart(server: Workers, client: Client) -> None:
    """Whatever stops a job ends its process; it goes on in another one."""
    asks = server.submit(client, "asks_apart", "asks")
    assert ended(client, asks).state is JobState.INTERRUPTED
    gone(*server.pids(asks))
    client.resume(asks, answer="this")
    done = ended(client, asks)
    assert done.output["items"][:2] == ["before", "this"]
    assert (done.attempt, len(set(server.pids(asks)))) == (2, 2)

    fails = server.submit(client, "fails_apart", "fails", retry_policy=QUICK)
    server.stands(fails, 3)
    server.go(fails)
    done = ended(client, fails)
    assert (done.state, done.failed_attempts) == (JobState.SUCCEEDED, done.attempt - 1)
    assert len(set(server.pids(fails))) == done.attempt


def test_drain_gives_them_back(tmp_path: Path) -> None:
    """No loss is counted; the next start goes on with them."""
    with Workers(tmp_path, "--max-worker-losses", "1", "--drain-seconds", "0.2") as server, server.client() as client:
        jobs = [server.submit(client, workflow, workflow) for workflow in ("holds", "holds_apart")]
        for job in jobs:
            server.stands(job)
        before = server.processes
        assert server.terminate() == 0
        gone(*before)
        server.start()
        for job in jobs:
            assert client.get(job).state in (JobState.PENDING, JobState.RUNNING)
            server.stands(job, 2)
        server.go(*jobs)
        for job in jobs:
            succeeded(client, job, attempts=2)
        assert not server.errors


def test_a_killed_process_of_one_job_is_that_jobs_loss(server: Workers, client: Client) -> None:
    job_id = server.submit(client, "holds_apart", "killed")
    os.kill(server.stands(job_id), signal.SIGKILL)
    server.stands(job_id, 2)
    server.go(job_id)
    succeeded(client, job_id, attempts=2)
