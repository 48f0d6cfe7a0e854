"""A real server process with workflows that keep not all of their history, and a real client."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, Job, JobState, StepFinished
from autopilot_server.storage.sqlite.check import check

from tests.proof.server import ServerProcess
from tests.waiting import wait_until

CONFIG = Path(__file__).with_name("langgraph.json")


class Place:
    """A server, its client and its database, and short ways."""

    def __init__(self, server: ServerProcess, client: Client) -> None:
        self.server, self.client, self.folder = server, client, server.folder

    def submit(self, workflow: str, **graph_input: Any) -> Job:
        return self.client.submit(workflow, {"folder": str(self.folder), **graph_input})

    def ended(self, job_id: str) -> Job:
        """The job once it is finished or INTERRUPTED."""
        job = self.client.get(job_id, wait=60)
        assert job.state.finished or job.state is JobState.INTERRUPTED, job
        return job

    def run(self, workflow: str, **graph_input: Any) -> Job:
        job = self.ended(self.submit(workflow, **graph_input).job_id)
        assert job.state is JobState.SUCCEEDED, job.error
        return job

    def holds(self, job_id: str, *siblings: str, rounds: int = 1) -> None:
        """Wait until a step waits, and those beside it were told as finished, once in each round."""
        wait_until((self.folder / "holding").exists)
        missing = Counter(dict.fromkeys(siblings, rounds))
        for event in self.client.watch(job_id):
            if isinstance(event.kind, StepFinished):
                missing[event.kind.step] -= 1
            if not +missing:
                return

    def let_go(self) -> None:
        (self.folder / "go").touch()

    def kill_and_start(self) -> None:
        """kill -9, and what is left is whole."""
        self.server.kill()
        assert check(self.server.database) == []
        self.server.start()

    def trace(self) -> list[str]:
        return (self.folder / "trace").read_text().split()

    def checkpoints(self, job_id: str) -> list[str]:
        """The root checkpoints that ListCheckpoints shows, newest first."""
        return [checkpoint.checkpoint_id for checkpoint in self.client.checkpoints(job_id)]

    def stored(self, job_id: str) -> dict[str, int]:
        """How many checkpoints there are of each kind of namespace: of the root, of subgraphs of steps, and of those
        that keep their state."""
        with closing(sqlite3.connect(self.server.database)) as connection:
            rows = connection.execute("SELECT checkpoint_ns FROM checkpoints WHERE thread_id = ?", [job_id]).fetchall()
        counts = {"root": 0, "inside": 0, "memory": 0}
        for (namespace,) in rows:
            counts["root" if not namespace else "inside" if ":" in namespace else "memory"] += 1
        return counts

    def bytes_of(self, table: str) -> int:
        """What a table's values take."""
        column = {"checkpoints": "checkpoint", "writes": "value"}[table]
        with closing(sqlite3.connect(self.server.database)) as connection:
            return int(connection.execute(f"SELECT sum(length({column})) FROM {table}").fetchone()[0])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ServerProcess(tmp_path, config=CONFIG) as server, server.client() as client:
        yield Place(server, client)
