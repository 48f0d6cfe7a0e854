"""Limits of how many jobs run at once: they hold for all workers together, and nobody polls for a turn."""

import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, JobState, StepStarted

from tests.waiting import wait_until
from tests.workers.conftest import GRAPHS, Workers, ended, kill, lives, succeeded

LIMITED = pytest.mark.parametrize(
    ("workflow", "key"),
    [
        ("holds_one", {}),
        ("holds_one_of_a_key", {"concurrency_key": "k"}),
        ("holds_one_of_a_key_apart", {"concurrency_key": "k"}),
    ],
)


def standing(server: Workers, *job_ids: str) -> list[str]:
    """Those whose step has begun."""
    return [job_id for job_id in job_ids if server.pids(job_id)]


def test_no_more_run_at_once_than_may_in_all_workers(tmp_path: Path) -> None:
    """Of a key, and of the workflow, which are more than one worker runs; and no fewer."""
    with Workers(tmp_path, "--running-jobs", "3") as server, server.client() as client:
        jobs = [server.submit(client, "passes", f"{n // 20}-{n:02}", concurrency_key=f"k{n // 20}") for n in range(60)]
        wait_until(lambda: (tmp_path / "passes").exists() and (tmp_path / "passes").read_text().count("\n") == 5)
        (tmp_path / "pass").touch()
        for job in jobs:
            succeeded(client, job)
    passes = [line.split() for line in (tmp_path / "passes").read_text().splitlines()]
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for sign, _, job_id in passes:
        for place in (f"k{job_id[0]}", "all"):
            running[place] += 1 if sign == "+" else -1
            most[place] = max(most[place], running[place])
    assert len(passes) == 2 * len(jobs)
    assert most <= Counter({"k0": 2, "k1": 2, "k2": 2, "all": 5})
    assert most["all"] == 5
    assert len({pid for _, pid, _ in passes}) == 2


@LIMITED
def test_turns_come_by_priority_and_then_in_order(server: Workers, client: Client, workflow: str, key: Any) -> None:
    """Each as soon as the one before it has ended, whatever worker that was in."""
    first = server.submit(client, workflow, "first", **key)
    server.stands(first)
    later = [server.submit(client, workflow, f"later-{name}", **key) for name in "dac"]
    urgent = server.submit(client, workflow, "urgent", priority=5, **key)
    order = [first, urgent, *later]
    for number, job in enumerate(order):
        server.stands(job)
        assert set(standing(server, *order)) == set(order[: number + 1])
        server.go(job)
    for job in order:
        succeeded(client, job)


@LIMITED
def test_what_ends_by_cancel_gives_its_turn_to_the_next(
    server: Workers, client: Client, workflow: str, key: Any
) -> None:
    """Though the worker that it ran in is stopped, and hears of nothing."""
    jobs = [server.submit(client, workflow, f"job-{number}", **key) for number in range(2)]
    held = server.stands(jobs[0])
    # What is committed holds no lock any more: who is stopped in the middle of a transaction is ended.
    assert any(isinstance(event.kind, StepStarted) and event.kind.step == "hold" for event in client.watch(jobs[0]))
    os.kill(held, signal.SIGSTOP)
    client.cancel(jobs[0], grace_period=0)
    assert ended(client, jobs[0]).state is JobState.CANCELLED
    assert server.stands(jobs[1]) != held
    assert lives(held) == (not workflow.endswith("apart"))
    server.go(jobs[1])
    succeeded(client, jobs[1])


@LIMITED
def test_a_lost_or_drained_job_keeps_its_turn(tmp_path: Path, workflow: str, key: Any) -> None:
    with Workers(tmp_path, "--drain-seconds", "0") as server, server.client() as client:
        jobs = [server.submit(client, workflow, f"job-{name}", **key) for name in "cab"]
        first, *others = jobs
        kill(server.stands(first))
        server.stands(first, 2)
        assert server.terminate() == 0
        server.start()
        server.stands(first, 3)
        assert standing(server, *others) == []
        for job in jobs:
            server.stands(job)
            server.go(job)
            succeeded(client, job, attempts=3 if job is first else 1)


def test_limits_that_change_hold_once_they_are_loaded_again(tmp_path: Path) -> None:
    """What waited for them runs at once, what runs goes on, and what comes is checked by them."""
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(GRAPHS.with_name("graphs.py"), project)
    config = project / "langgraph.json"

    def limit(**limits: int) -> None:
        draft = config.with_suffix(".draft")
        draft.write_text(json.dumps({"graphs": {"holds": {"path": "./graphs.py:holds", "concurrency": limits}}}))
        draft.replace(config)

    limit(per_key=1)
    with Workers(tmp_path, "--reload", config=config) as server, server.client() as client:
        jobs = [server.submit(client, "holds", f"job-{number}", concurrency_key="k") for number in range(4)]
        server.stands(jobs[0])
        limit(per_key=3)
        # It was given back for it, and is the first again.
        for job, attempt in zip(jobs[:3], (2, 1, 1), strict=True):
            server.stands(job, attempt)
        assert standing(server, *jobs) == jobs[:3]
        assert [(w.max_running_jobs, w.max_running_jobs_per_key) for w in client.workflows()] == [(0, 3)]
        limit(per_key=2)
        for job, attempt in zip(jobs[:2], (3, 2), strict=True):
            server.stands(job, attempt)
        assert client.get(jobs[2]).state is JobState.PENDING
        server.go(*jobs)
        for job in jobs:
            assert ended(client, job).state is JobState.SUCCEEDED
        assert not server.errors
