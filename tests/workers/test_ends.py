"""The end of the server, in order and not: no process stays, and what ran goes on with the next start."""

import itertools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from autopilot_client import JobState

from tests.forks import autopilot
from tests.postgres import SQLITE_ONLY
from tests.workers.conftest import Workers, gone, moves, poll_never, succeeded, whole_log


def drain(server: Workers) -> None:
    done = autopilot("drain", "--database", f"sqlite:///{server.database}")
    assert done.returncode == 0, done.stderr


ENDS: list[Callable[[Workers], None]] = [
    lambda server: server.signal_all(signal.SIGINT),
    lambda server: server.signal_all(signal.SIGTERM),
    drain,
    lambda server: server.signal(signal.SIGTERM),
]


@SQLITE_ONLY
def test_every_end_in_order_drains_and_counts_no_loss(tmp_path: Path) -> None:
    """Though one loss would be too many."""
    options = ("--max-worker-losses", "1", "--drain-seconds", "0.1")
    with Workers(tmp_path, *options) as server, server.client() as client:
        jobs = [server.submit(client, workflow, workflow) for workflow in ("holds", "holds_apart")]
        for attempt, end in enumerate(ENDS, start=1):
            for job in jobs:
                server.stands(job, attempt)
            processes = server.processes
            end(server)
            assert server.wait_for_death() == 0
            gone(*processes)
            server.start()
        attempts = 1 + len(ENDS)
        for job in jobs:
            server.stands(job, attempts)
        server.go(*jobs)
        for job in jobs:
            done = succeeded(client, job, attempts=attempts)
            once = [JobState.PENDING, JobState.RUNNING]
            assert moves(whole_log(client, done)) == [*(once * attempts), JobState.SUCCEEDED]
    assert "died" not in server.log.read_text()


def drain_one_after_the_other() -> None:
    """In the server's process: a worker is told long after the one before it, and each is waited for."""
    from autopilot_server.workers import pool
    from autopilot_server.workers.link import Link
    from autopilot_server.workers.messages import Drain

    poll_never()
    pool.CLAIM_NO_MORE_SECONDS = 60
    send, told = Link.send, itertools.count()

    def send_late(link: Link, message: object, *, whatever_waits: bool = False) -> bool:
        if isinstance(message, Drain) and (seconds := next(told)):
            threading.Timer(seconds / 2, send, [link, message], {"whatever_waits": whatever_waits}).start()
            return True
        return send(link, message, whatever_waits=whatever_waits)

    Link.send = send_late  # type: ignore[method-assign]


def test_what_one_worker_gives_back_no_other_takes_up_before_the_end(tmp_path: Path) -> None:
    server = Workers(tmp_path, "--drain-seconds", "0")
    server.sabotage = drain_one_after_the_other
    with server, server.client() as client:
        jobs: list[str] = []
        while len({server.stands(job) for job in jobs}) < 2:
            jobs.append(server.submit(client, "holds", f"job-{len(jobs)}"))
        assert server.terminate() == 0
        server.start()
        for job in jobs:
            server.stands(job, 2)
        server.go(*jobs)
        for job in jobs:
            succeeded(client, job, attempts=2)


def test_a_step_comes_to_its_checkpoint_before_the_end(tmp_path: Path) -> None:
    with Workers(tmp_path) as server, server.client() as client:
        jobs = [server.submit(client, workflow, workflow) for workflow in ("until_drained", "until_drained_apart")]
        for job in jobs:
            server.stands(job)
        assert server.terminate() == 0
        server.start()
        for job in jobs:
            assert succeeded(client, job, attempts=2).output["items"] == ["before", "drained", "after"]
            assert len(server.pids(job)) == 1


def test_all_processes_end_with_a_killed_server(tmp_path: Path) -> None:
    """Also those whose interpreter a step holds, and those that do nothing but run; the next server starts at once."""
    with Workers(tmp_path) as server, server.client() as client:
        # One that is held claims nothing more.
        server.fifo("seizes")
        held = server.stands(server.submit(client, "seizes", "seizes"))
        jobs = {workflow: server.submit(client, workflow, workflow) for workflow in ("holds", "holds_apart")}
        jobs["spins"] = server.submit(client, "spins_apart", "spins")
        first = {workflow: server.stands(job) for workflow, job in jobs.items()}
        processes = server.processes
        assert {held, *first.values()} < set(processes)
        assert len(processes) == 5
        server.kill()
        server.start()
        gone(*processes, *server.all_pids("spins")[0])
        # It stands before the others, and may hold a worker that has claimed them as well.
        server.stands("seizes", 2)
        server.release("seizes")
        for workflow, job in jobs.items():
            assert server.stands(job, 2) != first[workflow]
        server.go("holds", "holds_apart")
        for job_id in ("holds", "holds_apart", "seizes"):
            succeeded(client, job_id, attempts=2)
        # Also when the process that they were forked from is stopped.
        processes = [*server.processes, *server.all_pids("spins")[1]]
        os.kill(server.fork_server, signal.SIGSTOP)
        server.kill()
        gone(*processes)


def stop_soon() -> None:
    """In the server's process: it waits less for workers than it does else."""
    from autopilot_server.workers import pool

    poll_never()
    pool.STOP_SECONDS = 0.5


def test_workers_that_cannot_be_drained_are_ended(tmp_path: Path) -> None:
    """Their jobs go on at the next start."""
    server = Workers(tmp_path, "--drain-seconds", "0", workers=1)
    server.sabotage = stop_soon
    with server, server.client() as client:
        server.fifo("seizes")
        held = server.stands(server.submit(client, "seizes", "seizes"))
        assert server.terminate() == 0
        gone(held)
        assert "1 workers cannot be drained: a step holds them; they are ended" in server.log.read_text()
        server.start()
        server.stands("seizes", 2)
        server.release("seizes")
        succeeded(client, "seizes", attempts=2)
