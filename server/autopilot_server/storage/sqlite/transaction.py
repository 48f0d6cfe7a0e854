"""What an operation on the database works with."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from autopilot_server.doorbell import StoredEvent
from autopilot_server.jobs.job import Micros
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import JobMove

T = TypeVar("T")


class Transaction:
    """What an operation works with: the connection, the time, and the news that it makes."""

    def __init__(self, connection: sqlite3.Connection, now: Micros) -> None:
        """Begin an operation's part of a batch."""
        self.connection = connection
        self.now = now
        self.news: list[tuple[str, JobState | None, list[StoredEvent]]] = []
        self.moves: list[JobMove] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run a statement."""
        return self.connection.execute(sql, parameters)

    def row(self, sql: str, parameters: Any = ()) -> sqlite3.Row | None:
        """The first row of a statement."""
        found: sqlite3.Row | None = self.connection.execute(sql, parameters).fetchone()
        return found

    def tell(self, job_id: str, state: JobState | None, events: list[StoredEvent]) -> None:
        """Ring for a job once this is committed."""
        self.news.append((job_id, state, events))


Operation = Callable[[Transaction], T]
