"""What operations work with on Postgres: statements that change something go out without waiting for their answers."""

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor, Pipeline

from autopilot_server.jobs.job import Micros
from autopilot_server.storage.postgres.connections import Connection
from autopilot_server.storage.postgres.content import as_stored
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.transaction import NONE, Parameters, Row, Transaction


class Sent:
    """What the operations of a batch have sent, and what is to come before the commit."""

    def __init__(self, connection: Connection, sealer: Sealer | None, pipeline: Pipeline | None = None) -> None:
        """Send by the writing connection, inside its transaction."""
        self.connection, self.sealer, self._pipeline = connection, sealer, pipeline
        self.changes_of_one: list[Cursor[Any]] = []
        """Each must have changed exactly one row."""
        self.last: list[tuple[Statement, Parameters]] = []

    def wait(self) -> None:
        """Have the answers to all that was sent.

        By a Sync, and not by the Flush that psycopg would send: only behind a Sync Postgres knows that it is the client
        who has the next word, and ends the transaction of one that is silent for too long.
        """
        if self._pipeline is not None:
            self._pipeline.sync()


class PostgresTransaction(Transaction):
    """An operation's part of a batch."""

    def __init__(self, sent: Sent, now: Micros) -> None:
        """Work inside the batch's transaction."""
        super().__init__(now)
        self._sent = sent
        self.has_changed = False
        """Whether there is something to undo when the operation fails."""

    def rows(self, statement: Statement, parameters: Parameters = NONE) -> Sequence[Row]:
        """All rows of a statement."""
        cursor = self._send(statement, parameters)
        self._sent.wait()
        found: Sequence[Row] = cursor.fetchall()
        return found

    def row(self, statement: Statement, parameters: Parameters = NONE) -> Row | None:
        """The first row of a statement."""
        cursor = self._send(statement, parameters)
        self._sent.wait()
        found: Row | None = cursor.fetchone()
        return found

    def execute(self, statement: Statement, parameters: Parameters = NONE) -> None:
        """Change something."""
        self.has_changed = True
        self._send(statement, parameters)

    def execute_many(self, statement: Statement, parameters: Sequence[Parameters]) -> None:
        """Change something, once for each."""
        for each in parameters:
            self.execute(statement, each)

    def change_one(self, statement: Statement, parameters: Parameters) -> None:
        """Change exactly one row; what came of it is looked at before the commit."""
        self.has_changed = True
        self._sent.changes_of_one.append(self._send(statement, parameters))

    def change_if(self, statement: Statement, parameters: Parameters) -> Row | None:
        """Change one row if it is as the statement wants it."""
        found = self.row(statement, parameters)
        self.has_changed = self.has_changed or found is not None
        return found

    def execute_last(self, statement: Statement, parameters: Parameters) -> None:
        """Change something just before the commit."""
        self.has_changed = True
        self._sent.last.append((statement, parameters))

    def lock_thread(self, thread_id: str) -> None:
        """Until the commit."""
        self._send(SQL.thread_lock, {"thread_id": thread_id})

    def lock_turns(self, key: Parameters | None) -> None:
        """Until the commit."""
        self._send(SQL.turns_lock if key is None else SQL.turn_lock, key or NONE)

    def lock_places(self, workflows: str) -> None:
        """Until the commit."""
        self._send(SQL.workflow_lock_places, {"workflows": workflows})

    def _send(self, statement: Statement, parameters: Parameters) -> Cursor[Any]:
        cursor = self._sent.connection.cursor(binary=True)
        return cursor.execute(statement.postgres, as_stored(parameters, self._sent.sealer))
