"""The writer on SQLite."""

import logging
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock, enter_frame
from autopilot_server.storage.outage import RETRY_SECONDS
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.queued_write import QueuedWrite
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.connections import BUSY_SECONDS, connect, is_busy, unavailable
from autopilot_server.storage.sqlite.database_file import DatabaseFile
from autopilot_server.storage.sqlite.transaction import SqliteTransaction
from autopilot_server.storage.store import OnMoves
from autopilot_server.storage.transaction import NONE, Parameters
from autopilot_server.storage.writer import Batch, GroupWriter, Outcome

log = logging.getLogger(__name__)

# How long SQLite itself waits for the other processes that write before it is asked anew: it tries after 1, 2 and 5 ms.
# Of a longer wait each pause is longer than the one before, up to a tenth of a second. Processes that write all the
# time leave each other gaps of a millisecond only, and one with long pauses missed them for most of a second.
_TRY_SECONDS = 0.008


class _ChangedAndFailedError(Exception):
    """An operation failed, and has changed something before."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


class Writer(GroupWriter):
    """Commits to a database file."""

    def __init__(
        self,
        file: DatabaseFile,
        *,
        doorbell: Doorbell,
        clock: SteppedClock,
        on_health: Callable[[bool], None],
        on_moves: OnMoves,
        observer: Observer,
        sealer: Sealer | None = None,
    ) -> None:
        """Start to write to `file`."""
        self._file, self._sealer = file, sealer
        self._connection: sqlite3.Connection | None = connect(file.path, sealer=sealer, busy_seconds=_TRY_SECONDS)
        self._id = uuid.uuid4().hex
        super().__init__(doorbell=doorbell, clock=clock, on_health=on_health, on_moves=on_moves, observer=observer)

    def _commit(self, batch: Batch) -> None:
        self._file.check()
        self._commit_to_file(batch)
        # What went into a file that was taken away meanwhile is nowhere.
        self._file.check()

    def _commit_to_file(self, batch: Batch) -> None:
        connection = self._connected()
        self._begin(connection)
        try:
            batch.outcomes = [self._one(connection, write, batch) for write in batch.writes]
        except _ChangedAndFailedError:
            # Rare enough that everybody may be carried out again, and savepoints need not be made for all.
            connection.execute("ROLLBACK")
            self._begin(connection)
            batch.begin_anew()
            batch.outcomes = [self._one_alone(connection, write, batch) for write in batch.writes]
        connection.execute(SQL.batch_set.sqlite, {"writer": self._id, "batch": batch.number})
        connection.execute("COMMIT")

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._patiently(connection, "BEGIN IMMEDIATE")
        # First of all, so that what the batch stores is of the same frame as what it finds.
        if step := enter_frame(SqliteTransaction(connection, self._clock.now()), self._clock):
            log.warning("the clock was stepped by %.1f s; spans that run keep their length", step / SECOND)

    def _one(self, connection: sqlite3.Connection, write: QueuedWrite[Any], batch: Batch) -> Outcome:
        """One operation: it fails alone, unless the database itself is at fault.

        _ChangedAndFailedError when it failed after it had changed something, which must be undone.
        """
        transaction = SqliteTransaction(connection, self._clock.now())
        before = connection.total_changes
        try:
            result = write.carry_out(transaction)
        except Exception as error:
            # Whatever it is, it is the caller's answer; the others in the batch are carried out.
            if isinstance(error, sqlite3.Error) and unavailable(error) is not None:
                raise
            if connection.total_changes != before:
                raise _ChangedAndFailedError(error) from error
            return None, error
        batch.take(transaction)
        return result, None

    def _one_alone(self, connection: sqlite3.Connection, write: QueuedWrite[Any], batch: Batch) -> Outcome:
        """One operation, whose changes are undone when it fails."""
        connection.execute("SAVEPOINT operation")
        try:
            outcome = self._one(connection, write, batch)
        except _ChangedAndFailedError as failed:
            connection.execute("ROLLBACK TO operation")
            outcome = None, failed.why
        connection.execute("RELEASE operation")
        return outcome

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._file.path, sealer=self._sealer, busy_seconds=_TRY_SECONDS)
        return self._connection

    def _patiently(self, connection: sqlite3.Connection, sql: str, parameters: Parameters = NONE) -> sqlite3.Cursor:
        """Execute what may have to wait for other processes."""
        # Who is known to be locked out does not wait long: callers do, and the next try comes anyway.
        until = time.monotonic() + (BUSY_SECONDS if self._healthy else RETRY_SECONDS)
        while True:
            try:
                return connection.execute(sql, parameters)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > until:
                    raise

    def _was_committed(self, number: int, error: Exception) -> bool:
        """Whether a batch that failed is in the database all the same.

        When that cannot be told, its writes are answered as not done. If one was, its caller finds out by repeating it,
        or by looking for it.
        """
        if isinstance(error, StorageUnavailableError):
            # The file is not there to be asked. It may come back: the connection stays.
            self._roll_back()
            return False
        try:
            self._disconnect()
            row = self._patiently(self._connected(), SQL.batch_get.sqlite, {"writer": self._id}).fetchone()
        except sqlite3.Error:
            self._disconnect()
            return False
        return row is not None and bool(row["batch"] == number)

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        self._roll_back()
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = None

    def _outage(self, error: Exception) -> StorageUnavailableError | None:
        return unavailable(error) if isinstance(error, sqlite3.Error) else None
