"""Group commit: one thread owns the writing connection and carries out all that waits in one transaction.

One fsync then serves many writes: as many as came while the one before was synced.
"""

import asyncio
import logging
import queue
import secrets
import sqlite3
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from autopilot_server.doorbell import Doorbell, News, StoredEvent
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND
from autopilot_server.jobs.states import JobState
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock, enter_frame
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.queued_write import QueuedWrite
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.connections import connect, unavailable
from autopilot_server.storage.sqlite.database_file import RETRY_SECONDS, DatabaseFile
from autopilot_server.storage.sqlite.transaction import SqliteTransaction
from autopilot_server.storage.store import JobMove, OnMoves
from autopilot_server.storage.transaction import Operation

log = logging.getLogger(__name__)

T = TypeVar("T")

# Bounds how long the write lock is held, and how much is carried out again by nobody when a commit fails.
MAX_BATCH = 512


Outcome = tuple[Any, Exception | None]
BatchNews = dict[str, list[tuple[JobState | None, list[StoredEvent]]]]
"""What a batch changed, by job: one entry, and another for each job of the same id that came after a deleted one."""


@dataclass(slots=True)
class _Batch:
    """What is carried out in one transaction, and what came of it."""

    writes: Sequence["QueuedWrite[Any]"]
    number: int = field(default_factory=lambda: secrets.randbits(62))
    outcomes: list[Outcome] = field(default_factory=list)
    news: BatchNews = field(default_factory=dict)
    moves: list[JobMove] = field(default_factory=list)


class _ChangedAndFailedError(Exception):
    """An operation failed, and has changed something before."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


class Writer:
    """The writer thread."""

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
        """Start to write to `file`. `on_health` is called, on the writer's thread, when the database goes or comes,
        `on_moves` with how jobs have moved, once that is committed and told."""
        self._on_moves = on_moves
        self._file, self._doorbell, self._clock, self._on_health = file, doorbell, clock, on_health
        self._observer, self._sealer = observer, sealer
        self._queue: queue.SimpleQueue[QueuedWrite[Any] | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = connect(file.path, sealer=sealer)
        self._id = uuid.uuid4().hex
        self._healthy = True
        self._what_is_wrong = ""
        # Held while a write is queued or the end is: nothing is ever queued behind the end.
        self._door = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._main, name="writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T], *, after: QueuedWrite[Any] | None = None) -> QueuedWrite[T]:
        """Queue an operation; one that fails when `after` does."""
        write = QueuedWrite(operation, after)
        with self._door:
            closed = self._closed
            if not closed:
                self._queue.put(write)
        if closed:
            write.complete(None, StorageUnavailableError("The server is stopping.", retry_delay=RETRY_SECONDS))
        return write

    def close(self) -> None:
        """Carry out what is queued, then end."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _main(self) -> None:
        running = True
        while running:
            batch, running = self._next_batch()
            if batch:
                self._carry_out(batch)
        if self._connection is not None:
            self._connection.close()

    def _next_batch(self) -> tuple[list[QueuedWrite[Any]], bool]:
        """All that waits, and whether to go on. While the database is away, a probe each second."""
        try:
            first = self._queue.get(timeout=None if self._healthy else RETRY_SECONDS)
        except queue.Empty:
            return [QueuedWrite(lambda _: None)], True
        batch: list[QueuedWrite[Any]] = []
        while first is not None:
            batch.append(first)
            if len(batch) >= MAX_BATCH:
                return batch, True
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _carry_out(self, writes: list[QueuedWrite[Any]]) -> None:
        """One transaction. Afterwards every write is settled."""
        batch, started, committed = _Batch(writes), time.monotonic(), True
        frame = self._clock.apart
        try:
            self._file.check()
            self._commit(batch)
            # What went into a file that was taken away meanwhile is nowhere.
            self._file.check()
        except Exception as error:
            # Whatever it is, the thread goes on: without it nobody would be answered.
            if not self._was_committed(batch.number, error):
                batch.outcomes, batch.news, batch.moves = [(None, self._failed(error))] * len(writes), {}, []
                committed = False
                self._clock.enter(frame)
        else:
            self._set_health(None)
        news = [News(job_id, state, tuple(events)) for job_id, told in batch.news.items() for state, events in told]
        events = sum(len(item.events) for item in news)
        self._observer.batch_ended(len(writes), events, time.monotonic() - started, committed=committed)
        self._settle(batch)
        if news:
            self._ring(news)
        if batch.moves:
            self._tell_moves(batch.moves)

    def _commit(self, batch: _Batch) -> None:
        connection = self._connected()
        self._begin(connection)
        try:
            batch.outcomes = [self._one(connection, write, batch) for write in batch.writes]
        except _ChangedAndFailedError:
            # Rare enough that everybody may be carried out again, and savepoints need not be made for all.
            connection.execute("ROLLBACK")
            self._begin(connection)
            batch.news, batch.moves = {}, []
            batch.outcomes = [self._one_alone(connection, write, batch) for write in batch.writes]
        connection.execute(SQL.batch_set.sqlite, {"writer": self._id, "batch": batch.number})
        connection.execute("COMMIT")

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        # First of all, so that what the batch stores is of the same frame as what it finds.
        if step := enter_frame(SqliteTransaction(connection, self._clock.now()), self._clock):
            log.warning("the clock was stepped by %.1f s; spans that run keep their length", step / SECOND)

    def _ring(self, news: list[News]) -> None:
        try:
            self._doorbell.ring(news)
        except Exception:
            # The log is the truth and the poll finds it: a listener's fault must not end all writing.
            log.exception("a listener of the doorbell failed")

    def _tell_moves(self, moves: list[JobMove]) -> None:
        try:
            self._on_moves(moves)
        except Exception:
            # As in _ring.
            log.exception("a listener of moves failed")

    def _one(self, connection: sqlite3.Connection, write: QueuedWrite[Any], batch: _Batch) -> Outcome:
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
        for job_id, state, events in transaction.news:
            told = batch.news.setdefault(job_id, [])
            if told and told[-1][0] is not None:
                events = [*told.pop()[1], *events]
            told.append((state, events))
        batch.moves += transaction.moves
        return result, None

    def _one_alone(self, connection: sqlite3.Connection, write: QueuedWrite[Any], batch: _Batch) -> Outcome:
        """One operation, whose changes are undone when it fails."""
        connection.execute("SAVEPOINT operation")
        try:
            outcome = self._one(connection, write, batch)
        except _ChangedAndFailedError as failed:
            connection.execute("ROLLBACK TO operation")
            outcome = None, failed.why
        connection.execute("RELEASE operation")
        return outcome

    @staticmethod
    def _settle(batch: _Batch) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
        for write, (result, error) in zip(batch.writes, batch.outcomes, strict=True):
            for waiter in write.complete(result, error):
                by_loop[waiter.get_loop()].append(waiter)
        for loop, waiters in by_loop.items():
            # A loop that was closed meanwhile has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, waiters)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            # Who is known to be locked out does not wait long: callers do, and the next try comes anyway.
            self._connection = connect(
                self._file.path, sealer=self._sealer, busy_seconds=None if self._healthy else RETRY_SECONDS
            )
        return self._connection

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
            row = self._connected().execute(SQL.batch_get.sqlite, {"writer": self._id}).fetchone()
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

    def _failed(self, error: Exception) -> Exception:
        """What the writes of a batch are answered."""
        outage = unavailable(error) if isinstance(error, sqlite3.Error) else error
        if not isinstance(outage, StorageUnavailableError):
            log.error("the database refused a batch", exc_info=error)
            return error
        self._set_health(outage)
        return outage

    def _set_health(self, outage: StorageUnavailableError | None) -> None:
        """The database is away, or is not."""
        what = "" if outage is None else outage.message
        if what and what != self._what_is_wrong:
            log.error("the database %s is away: %s (%s)", self._file.path, what, outage and outage.__cause__)
        self._what_is_wrong = what
        if (not what) != self._healthy:
            self._healthy = not what
            try:
                self._on_health(self._healthy)
            except Exception:
                # As in `_ring`.
                log.exception("a listener of the database's health failed")


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
