"""The server's memory, threads, files and load, each second."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.proof.histories.states import UNFINISHED
from tests.proof.soak.database import reading

INTERVAL_SECONDS = 1.0

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. `at`: seconds since the start."""

    at: float
    pid: int
    """The server's: another one after each restart."""
    resident_bytes: int
    threads: int
    files: int
    """Open file descriptors."""
    database_bytes: int
    wal_bytes: int
    jobs: int
    unfinished: int
    events_a_second: float
    """Stored since the sample before."""
    own_resident_bytes: int
    """Of the soak itself."""


class Sampler:
    """Takes a sample each second while there is a server."""

    def __init__(self, database: Path, pid: Callable[[], int | None]) -> None:
        """`pid`: tells the server's, when there is one."""
        self.samples: list[Sample] = []
        self._database, self._pid = database, pid
        self._began = self._looked = time.monotonic()
        self._sequences: dict[str, int] = {}

    def run(self, over: threading.Event) -> None:
        """Until it is `over`."""
        while not over.wait(INTERVAL_SECONDS):
            try:
                self._look()
            except (OSError, sqlite3.Error):
                # The server, or what it makes beside the file, went away meanwhile.
                continue

    def _look(self) -> None:
        if (pid := self._pid()) is None:
            return
        jobs, unfinished, events = self._jobs()
        elapsed, self._looked = time.monotonic() - self._looked, time.monotonic()
        self.samples.append(
            Sample(
                at=self._looked - self._began,
                pid=pid,
                resident_bytes=resident_bytes(pid),
                threads=len(os.listdir(f"/proc/{pid}/task")),
                files=len(os.listdir(f"/proc/{pid}/fd")),
                database_bytes=self._database.stat().st_size,
                wal_bytes=self._database.with_name(self._database.name + "-wal").stat().st_size,
                jobs=jobs,
                unfinished=unfinished,
                events_a_second=events / elapsed,
                own_resident_bytes=resident_bytes(os.getpid()),
            )
        )

    def _jobs(self) -> tuple[int, int, int]:
        """Stored jobs, unfinished ones, and the events that are new."""
        with reading(self._database) as connection:
            rows = connection.execute("SELECT job_id, latest_sequence, state FROM jobs").fetchall()
        sequences = {job_id: sequence for job_id, sequence, _ in rows}
        events = sum(max(0, sequence - self._sequences.get(job, 0)) for job, sequence in sequences.items())
        self._sequences = sequences
        return len(rows), sum(1 for _, _, state in rows if state in UNFINISHED), events


def resident_bytes(pid: int) -> int:
    """A process's resident memory, shared pages included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
