"""What operations work with on SQLite: there is one writer at a time, so nothing need be locked."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

from autopilot_server.jobs.job import Micros
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.transaction import NONE, Parameters, Row, Transaction


class SqliteReading:
    """Statements on a connection that reads. See storage.transaction.Reading."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read by `connection`."""
        self._connection = connection

    def rows(self, statement: Statement, parameters: Parameters = NONE) -> Sequence[Row]:
        """All rows of a statement."""
        return self._connection.execute(statement.sqlite, parameters).fetchall()

    def row(self, statement: Statement, parameters: Parameters = NONE) -> Row | None:
        """The first row of a statement."""
        found: sqlite3.Row | None = self._connection.execute(statement.sqlite, parameters).fetchone()
        return found

    def each(self, statement: Statement, parameters: Parameters) -> Iterator[Row]:
        """The rows of a statement, one after the other."""
        with closing(self._connection.execute(statement.sqlite, parameters)) as cursor:
            yield from cursor


class SqliteTransaction(Transaction):
    """An operation's part of a batch."""

    def __init__(self, connection: sqlite3.Connection, now: Micros) -> None:
        """Work on the writing connection, inside its transaction."""
        super().__init__(now)
        self._connection = connection

    def rows(self, statement: Statement, parameters: Parameters = NONE) -> Sequence[Row]:
        """All rows of a statement."""
        return self._connection.execute(statement.sqlite, parameters).fetchall()

    def row(self, statement: Statement, parameters: Parameters = NONE) -> Row | None:
        """The first row of a statement."""
        found: sqlite3.Row | None = self._connection.execute(statement.sqlite, parameters).fetchone()
        return found

    def execute(self, statement: Statement, parameters: Parameters = NONE) -> None:
        """Change something."""
        self._connection.execute(statement.sqlite, parameters)

    def execute_many(self, statement: Statement, parameters: Sequence[Parameters]) -> None:
        """Change something, once for each."""
        self._connection.executemany(statement.sqlite, parameters)

    def change_one(self, statement: Statement, parameters: Parameters) -> None:
        """Change exactly one row."""
        if self._connection.execute(statement.sqlite, parameters).rowcount != 1:
            raise AssertionError("a row changed inside a transaction")

    def change_if(self, statement: Statement, parameters: Parameters) -> Row | None:
        """Change one row if it is as the statement wants it."""
        return self.row(statement, parameters)

    def execute_last(self, statement: Statement, parameters: Parameters) -> None:
        """Change something."""
        self._connection.execute(statement.sqlite, parameters)

    def lock_thread(self, thread_id: str) -> None:
        """Nobody else writes."""

    def lock_turns(self, key: Parameters | None) -> None:
        """Nobody else writes."""

    def lock_places(self, workflows: str) -> None:
        """Nobody else writes."""
