"""A real server process, which the tests kill, and a real client."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, Event, Job, JobState

from tests.proof.server import ServerProcess
from tests.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with server.client() as client:
        yield client


class Watcher(threading.Thread):
    """Watches a job to its end, on a thread of its own."""

    def __init__(self, client: Client, job_id: str, after: int = 0, *, tokens: bool = False) -> None:
        super().__init__(daemon=True)
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self._client, self._job_id, self._after, self._tokens = client, job_id, after, tokens
        self.start()

    def run(self) -> None:
        try:
            for event in self._client.watch(self._job_id, after_sequence=self._after, tokens=self._tokens):
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
    wait_until(path.exists, lambda: path)


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
