"""The peers' benchmark says what it could not run, and tells from a trace what a kill has done."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.killing import outcome
from benchmarks.peers.steps import STEPS, Mark

REPOSITORY = Path(__file__).parents[2]
KILLED, OTHER, NEW = 100, 101, 102


def test_a_peer_that_cannot_be_installed_is_reported_as_not_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--quick", "--only", "celery", "--folder", str(tmp_path)]
    # Neither Redis nor anything that would install it.
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| Celery"))
    assert "not run: cannot be installed here: there is no redis-server; Debian has it" in row
    assert list(tmp_path.iterdir()) == []


def marks(job: str, pid: int, *steps: int, at: float) -> list[Mark]:
    """Steps of a job, each a tenth of a second."""
    return [
        Mark(job=job, step=step, ended=ended, pid=pid, at=at + number / 10 + ended / 10)
        for number, step in enumerate(steps)
        for ended in (False, True)
    ]


def test_only_jobs_of_killed_processes_count_as_gone_on() -> None:
    before = marks("a", KILLED, 1, 2, at=9) + marks("b", OTHER, 1, 2, at=9)
    untouched = marks("b", OTHER, 3, 4, 5, at=10.1)
    gone_on = marks("a", NEW, 3, 4, 5, at=12)
    found = outcome(before + untouched + gone_on, 2, {KILLED}, 10, 25)
    assert (found.running, found.first_step_after, found.unfinished, found.again) == (1, 2, 0, 0)
    lost = outcome(before + untouched, 2, {KILLED}, 10, 25)
    assert (lost.running, lost.first_step_after, lost.unfinished, lost.all_done_after) == (1, None, 1, None)


def test_steps_that_are_done_once_more_are_counted() -> None:
    before = marks("a", KILLED, 1, 2, at=9)
    from_the_start = marks("a", NEW, *range(1, STEPS + 1), at=11)
    assert outcome(before + from_the_start, 1, {KILLED}, 10, 25).again == 2


def test_what_a_killed_process_still_wrote_is_from_before() -> None:
    before = [*marks("a", KILLED, 1, at=9), Mark(job="a", step=2, ended=False, pid=KILLED, at=10.001)]
    found = outcome(before, 1, {KILLED}, 10, 25)
    assert (found.running, found.first_step_after) == (1, None)
