"""A real server process, which the tests kill, and a real client."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, Event, Job, JobState

GRAPHS = Path(__file__).parents[1] / "engine" / "graphs" / "langgraph.json"
AUTOPILOT = Path(sys.executable).with_name("autopilot")


class ServerProcess:
    """`autopilot serve` on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        """Start, and wait until it answers. After the first time always on the same port."""
        self.process = subprocess.Popen(
            [
                *(AUTOPILOT, "serve", "--config", GRAPHS, "--database", f"sqlite:///{self.folder}/jobs.db"),
                *("--listen", self.address, *self.options),
            ],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "server.log").open("a"),
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "server.log").read_text()
        self.address = line.split()[-1]

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.process = None
        return code

    def client(self) -> Client:
        return Client(self.address)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path)
    server.start()
    yield server
    if server.process is not None:
        server.kill()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with server.client() as client:
        yield client


class Watcher(threading.Thread):
    """Watches a job to its end, on a thread of its own."""

    def __init__(self, client: Client, job_id: str, after: int = 0) -> None:
        super().__init__(daemon=True)
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self._client, self._job_id, self._after = client, job_id, after
        self.start()

    def run(self) -> None:
        try:
            for event in self._client.watch(self._job_id, after_sequence=self._after):
                self.events.append(event)
        except BaseException as error:
            self.error = error

    def finish(self) -> list[Event]:
        self.join(timeout=60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.events


def appears(path: Path) -> None:
    """Wait until a step has made a file."""
    done = threading.Event()
    for _ in range(6000):
        if path.exists():
            return
        done.wait(0.005)
    raise AssertionError(f"{path} never appeared")


def trace(folder: Path) -> list[str]:
    """The steps that really ran."""
    path = folder / "trace"
    return path.read_text().split() if path.exists() else []


def ended(client: Client, job_id: str) -> Job:
    """The job once it is finished or INTERRUPTED."""
    job = client.get(job_id, wait=60)
    assert job.state.finished or job.state is JobState.INTERRUPTED, job
    return job


def sequences(events: list[Event]) -> list[int]:
    return [event.sequence for event in events]


def dumps(value: Any) -> str:
    return json.dumps(value)
