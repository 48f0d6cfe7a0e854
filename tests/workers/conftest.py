"""A real server with worker processes, and what the tests know of these."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, Event, Job, JobState, StateChanged

from tests.promises.conftest import sequences
from tests.proof.server import ServerProcess
from tests.waiting import wait_until

GRAPHS = Path(__file__).with_name("langgraph.json")


def poll_never() -> None:
    """In the server's process: what looks for work only because nobody told it of any, does not."""
    from autopilot_server import clockwork
    from autopilot_server.workers import apart

    apart.POLL_SECONDS = clockwork.POLL_SECONDS = 3600.0


class Workers(ServerProcess):
    """A server with worker processes, none of which polls."""

    def __init__(self, folder: Path, *options: str, workers: int | str = 2, config: Path = GRAPHS) -> None:
        super().__init__(folder, config=config, options=options, workers=str(workers), sabotage=poll_never)

    @property
    def fork_server(self) -> int:
        """The process that the workers are forked from."""
        (found,) = children(self.pid)
        return found

    @property
    def processes(self) -> list[int]:
        """All that it has started, and those have."""
        return [pid for child in children(self.pid) for pid in (child, *children(child))]

    def submit(self, client: Client, workflow: str, job_id: str, **options: Any) -> str:
        """Submit a job whose files are in the server's folder."""
        return client.submit(workflow, {"folder": str(self.folder)}, job_id=job_id, **options).job_id

    def file(self, job_id: str, what: str) -> Path:
        return self.folder / f"{job_id}.{what}"

    def go(self, *job_ids: str) -> None:
        """Let steps that wait go on."""
        for job_id in job_ids:
            self.file(job_id, "go").touch()

    def signal_all(self, number: signal.Signals) -> None:
        """As a terminal sends it, or a supervisor: also to the processes that the server alone ends."""
        for pid in [*self.processes, self.pid]:
            os.kill(pid, number)

    def fifo(self, job_id: str) -> None:
        """Make what a job waits for that seizes the interpreter."""
        os.mkfifo(self.file(job_id, "go"))

    def release(self, job_id: str) -> None:
        """Let it go on."""
        self.file(job_id, "go").write_bytes(b"x")

    def pids(self, job_id: str) -> list[int]:
        """The processes that the job's step came to, by attempt."""
        return [pids[0] for pids in self.all_pids(job_id)]

    def all_pids(self, job_id: str) -> list[list[int]]:
        """With those that the step has started."""
        file = self.file(job_id, "pids")
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [[int(pid) for pid in line.split()] for line in lines if line.endswith("\n")]

    def stands(self, job_id: str, attempt: int = 1) -> int:
        """Wait until the job stands in its step: in which process."""
        wait_until(lambda: len(self.pids(job_id)) >= attempt, lambda: f"{job_id}: {self.log.read_text()[-4000:]}")
        return self.pids(job_id)[attempt - 1]

    def says(self, text: str, times: int = 1) -> None:
        """Wait until its log says something."""
        wait_until(lambda: self.log.read_text().count(text) >= times, lambda: f"{text}: {self.log.read_text()[-4000:]}")


def children(pid: int) -> list[int]:
    """The living children of a process, the oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))) and int(stat[1]) == pid and stat[0] != "Z":
            found.append((int(stat[19]), int(entry.name)))
    return [child for _, child in sorted(found)]


def _stat(pid: int) -> Sequence[str]:
    """What the kernel says of a process, from its state on; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ()


def lives(pid: int) -> bool:
    """Whether a process does, or might."""
    stat = _stat(pid)
    return bool(stat) and stat[0] not in "ZX"


def gone(*pids: int) -> None:
    """Wait until processes are."""
    wait_until(lambda: not any(map(lives, pids)), lambda: [pid for pid in pids if lives(pid)])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def ended(client: Client, job_id: str) -> Job:
    """The job once it is finished or INTERRUPTED."""
    job = client.get(job_id, wait=90)
    assert job.state.finished or job.state is JobState.INTERRUPTED, job
    return job


def moves(events: Sequence[Event]) -> list[JobState]:
    """The states that a job's log tells of."""
    return [event.kind.to_state for event in events if isinstance(event.kind, StateChanged)]


def whole_log(client: Client, job: Job) -> list[Event]:
    """A job's log, of which nothing is missing."""
    events = list(client.watch(job.job_id, stop_when_caught_up=True))
    assert sequences(events) == list(range(1, job.latest_sequence + 1))
    return events


def succeeded(client: Client, job_id: str, *, attempts: int = 1) -> Job:
    """A job that did, with a whole log, and to which no failure was counted."""
    job = ended(client, job_id)
    assert (job.state, job.attempt, job.failed_attempts) == (JobState.SUCCEEDED, attempts, 0), job
    whole_log(client, job)
    return job


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Workers]:
    with Workers(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: Workers) -> Iterator[Client]:
    with server.client() as client:
        yield client
