"""Group commit: one thread owns the writing connection and carries out all that waits in one transaction.

One fsync then serves many writes: as many as came while the one before was synced.
"""

import asyncio
import logging
import queue
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from autopilot_server.doorbell import Doorbell, News, StoredEvent
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import Micros
from autopilot_server.jobs.states import JobState
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock
from autopilot_server.storage.outage import RETRY_SECONDS
from autopilot_server.storage.queued_write import QueuedWrite
from autopilot_server.storage.store import JobMove, OnMoves
from autopilot_server.storage.transaction import Operation, Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")

# Bounds how long the write lock is held, and how much is carried out again by nobody when a commit fails.
MAX_BATCH = 512

Outcome = tuple[Any, Exception | None]
BatchNews = dict[str, list[tuple[JobState | None, list[StoredEvent], Micros]]]
"""What a batch changed, by job: one entry, and another for each job of the same id that came after a deleted one."""


@dataclass(slots=True)
class Batch:
    """What is carried out in one transaction, and what came of it."""

    writes: Sequence[QueuedWrite[Any]]
    number: int = field(default_factory=lambda: secrets.randbits(62))
    outcomes: list[Outcome] = field(default_factory=list)
    news: BatchNews = field(default_factory=dict)
    moves: list[JobMove] = field(default_factory=list)

    def take(self, transaction: Transaction) -> None:
        """Tell, once this is committed, what an operation has to tell."""
        for job_id, state, events, create_time in transaction.news:
            told = self.news.setdefault(job_id, [])
            if told and told[-1][0] is not None:
                _, before, created_before = told.pop()
                events, create_time = [*before, *events], create_time or created_before
            told.append((state, events, create_time))
        self.moves += transaction.moves

    def begin_anew(self) -> None:
        """Nothing of it was carried out."""
        self.outcomes, self.news, self.moves = [], {}, []


class ApartError(Exception):
    """What is in a batch has to be carried out one by one, each in a transaction of its own."""


class GroupWriter(ABC):
    """The writer thread. A database's own writer knows how a batch is committed."""

    max_batch = MAX_BATCH

    def __init__(
        self,
        *,
        doorbell: Doorbell,
        clock: SteppedClock,
        on_health: Callable[[bool], None],
        on_moves: OnMoves,
        observer: Observer,
    ) -> None:
        """Start to write. `on_health` is called, on the writer's thread, when the database goes or comes, `on_moves`
        with how jobs have moved, once that is committed and told."""
        self._doorbell, self._clock = doorbell, clock
        self._on_health, self._on_moves, self._observer = on_health, on_moves, observer
        self._queue: queue.SimpleQueue[QueuedWrite[Any] | None] = queue.SimpleQueue()
        self._healthy = True
        self._what_is_wrong = ""
        # Held while a write is queued or the end is: nothing is ever queued behind the end.
        self._door = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._main, name="writer", daemon=True)
        self._thread.start()

    # --- what each database does in its own way, on the writer's thread ---

    @abstractmethod
    def _commit(self, batch: Batch) -> None:
        """Carry out and commit a batch: its outcomes, news and moves. Any error: it may not have been committed.
        ApartError: it was not, and is to be divided."""

    @abstractmethod
    def _was_committed(self, number: int, error: Exception) -> bool:
        """Whether a batch that failed is in the database all the same.

        When that cannot be told, its writes are answered as not done. If one was, its caller finds out by repeating it,
        or by looking for it.
        """

    @abstractmethod
    def _outage(self, error: Exception) -> StorageUnavailableError | None:
        """The error for a caller when the database is away; None when `error` is a fault of the program."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the connection, whatever its state."""

    # --- what they have in common ---

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

    def look(self) -> None:
        """Find out whether the database is there: somebody could not read it. Health would else turn when somebody
        writes, and who cannot read comes to no write."""
        if self._healthy:
            self.submit(lambda _: None)

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
        self._disconnect()

    def _next_batch(self) -> tuple[list[QueuedWrite[Any]], bool]:
        """All that waits, and whether to go on. While the database is away, a probe each second."""
        try:
            first = self._queue.get(timeout=None if self._healthy else RETRY_SECONDS)
        except queue.Empty:
            return [QueuedWrite(lambda _: None)], True
        batch: list[QueuedWrite[Any]] = []
        while first is not None:
            batch.append(first)
            if len(batch) >= self.max_batch:
                return batch, True
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _carry_out(self, writes: Sequence[QueuedWrite[Any]]) -> None:
        """One transaction. Afterwards every write is settled."""
        batch, started, committed = Batch(writes), time.monotonic(), True
        frame = self._clock.apart
        try:
            self._commit(batch)
        except ApartError:
            for write in writes:
                self._carry_out([write])
            return
        except Exception as error:
            # Whatever it is, the thread goes on: without it nobody would be answered.
            if not self._was_committed(batch.number, error):
                batch.outcomes, batch.news, batch.moves = [(None, self._failed(error))] * len(writes), {}, []
                committed = False
                self._clock.enter(frame)
        else:
            self._set_health(None)
        news = [
            News(job_id, state, tuple(events), create_time)
            for job_id, told in batch.news.items()
            for state, events, create_time in told
        ]
        events = sum(len(item.events) for item in news)
        self._observer.batch_ended(len(writes), events, time.monotonic() - started, committed=committed)
        self._settle(batch)
        if news:
            self._ring(news)
        if batch.moves:
            self._tell_moves(batch.moves)

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

    @staticmethod
    def _settle(batch: Batch) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
        for write, (result, error) in zip(batch.writes, batch.outcomes, strict=True):
            for waiter in write.complete(result, error):
                by_loop[waiter.get_loop()].append(waiter)
        for loop, waiters in by_loop.items():
            # A loop that was closed meanwhile has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, waiters)

    def _failed(self, error: Exception) -> Exception:
        """What the writes of a batch are answered."""
        outage = error if isinstance(error, StorageUnavailableError) else self._outage(error)
        if outage is None:
            log.error("the database refused a batch", exc_info=error)
            return error
        self._set_health(outage)
        return outage

    def _set_health(self, outage: StorageUnavailableError | None) -> None:
        """The database is away, or is not."""
        what = "" if outage is None else outage.message
        if what and what != self._what_is_wrong:
            log.error("the database is away: %s (%s)", what, outage and outage.__cause__)
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
