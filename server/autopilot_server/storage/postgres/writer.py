"""Commits to a Postgres: all that waits in one transaction, and few round trips."""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors

from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock, enter_frame
from autopilot_server.storage.outage import away
from autopilot_server.storage.postgres.connections import Connection, connect, unavailable
from autopilot_server.storage.postgres.transaction import PostgresTransaction, Sent
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.queued_write import QueuedWrite
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.store import OnMoves
from autopilot_server.storage.writer import ApartError, Batch, GroupWriter

log = logging.getLogger(__name__)

# Of one operation that others get in the way of: they met at the same rows, or came first with the same name.
TRIES = 5

_MET_OTHERS = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)

# A process that is held in the middle of a transaction keeps others from its jobs: the database ends it. And nobody
# waits for longer than that for somebody else's.
_LIMITS = "SET LOCAL idle_in_transaction_session_timeout = 5000; SET LOCAL lock_timeout = 6000"


class _UndoError(Exception):
    """An operation failed, and has changed something before."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


class Writer(GroupWriter):
    """Commits to a database that others write to as well."""

    # Each operation has a few locks, and the database has room for some thousands in all.
    max_batch = 128

    def __init__(
        self,
        info: str,
        *,
        doorbell: Doorbell,
        clock: SteppedClock,
        on_health: Callable[[bool], None],
        on_moves: OnMoves,
        observer: Observer,
        sealer: Sealer | None = None,
    ) -> None:
        """Start to write. psycopg.Error."""
        self._info, self._sealer = info, sealer
        self._connection: Connection | None = connect(info, sealer)
        self._id = uuid.uuid4().hex
        # Its row is there before the first batch: who asks for a batch waits for the row.
        self._connection.execute(SQL.batch_set.postgres, {"writer": self._id, "batch": 0})
        super().__init__(doorbell=doorbell, clock=clock, on_health=on_health, on_moves=on_moves, observer=observer)

    def _commit(self, batch: Batch) -> None:
        for left in reversed(range(TRIES)):
            batch.begin_anew()
            try:
                self._try(batch)
                return
            except _UndoError as failed:
                self._roll_back()
                if len(batch.writes) > 1:
                    raise ApartError from None
                batch.begin_anew()
                batch.outcomes = [(None, failed.why)]
                return
            except psycopg.Error as error:
                waits = isinstance(error, errors.LockNotAvailable)
                if unavailable(error) is not None and not waits:
                    raise
                self._roll_back()
                if len(batch.writes) > 1:
                    # Whoever it is of, the others are not to fail with it.
                    raise ApartError from None
                if not isinstance(error, _MET_OTHERS):
                    raise
                if not left:
                    raise away("others write to the same jobs", error) from error

    def _try(self, batch: Batch) -> None:
        connection = self._connected()
        with connection.pipeline() as pipeline:
            connection.execute("BEGIN")
            for limit in _LIMITS.split("; "):
                connection.execute(limit)
            connection.execute(SQL.clock_lock.postgres)
            sent = Sent(connection, self._sealer, pipeline)
            # First of all, so that what the batch stores is of the same frame as what it finds.
            if step := enter_frame(PostgresTransaction(sent, self._clock.now()), self._clock):
                log.warning("the clock was stepped by %.1f s; spans that run keep their length", step / SECOND)
            for write in batch.writes:
                batch.outcomes.append(self._one(sent, write, batch))
            self._send_last(sent)
            connection.execute(SQL.batch_set.postgres, {"writer": self._id, "batch": batch.number})
            sent.wait()
            if any(cursor.rowcount != 1 for cursor in sent.changes_of_one):
                raise _UndoError(AssertionError("a row changed inside a transaction"))
            connection.execute("COMMIT")

    @staticmethod
    def _send_last(sent: Sent) -> None:
        # In the same order everywhere: nobody waits for a row while somebody waits for theirs.
        for statement, parameters in sorted(sent.last, key=lambda each: repr(sorted(each[1].items()))):
            PostgresTransaction(sent, 0).execute(statement, parameters)

    def _one(self, sent: Sent, write: QueuedWrite[Any], batch: Batch) -> tuple[Any, Exception | None]:
        """One operation: it fails alone, unless the database itself is at fault.

        _UndoError when it failed after it had changed something.
        """
        transaction = PostgresTransaction(sent, self._clock.now())
        try:
            result = write.carry_out(transaction)
        except psycopg.Error:
            # It may be of a statement of another operation, which was sent before.
            raise
        except Exception as error:
            # Whatever it is, it is the caller's answer; the others in the batch are carried out.
            if transaction.has_changed:
                raise _UndoError(error) from error
            return None, error
        batch.take(transaction)
        return result, None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._info, self._sealer)
        return self._connection

    def _was_committed(self, number: int, error: Exception) -> bool:
        if isinstance(error, StorageUnavailableError):
            return False
        try:
            self._disconnect()
            row = self._connected().execute(SQL.batch_get.postgres, {"writer": self._id}).fetchone()
        except psycopg.Error:
            self._disconnect()
            return False
        return row is not None and bool(row["batch"] == number)

    def _roll_back(self) -> None:
        try:
            if self._connection is not None and not self._connection.closed:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._disconnect()

    def _disconnect(self) -> None:
        with suppress(psycopg.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = None

    def _outage(self, error: Exception) -> StorageUnavailableError | None:
        return unavailable(error)
