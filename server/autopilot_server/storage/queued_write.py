"""A write on its way to the disk, for whoever waits for it: on an event loop, on a thread, or by a callback."""

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from autopilot_server.storage.transaction import Operation, Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")


class QueuedWrite(Generic[T]):
    """A write on its way to the disk. See storage.store.Write."""

    __slots__ = ("_after", "_callbacks", "_done", "_error", "_event", "_lock", "_operation", "_result", "_waiters")

    def __init__(self, operation: Operation[T], after: "QueuedWrite[Any] | None" = None) -> None:
        """Queue `operation`, which may be carried out more than once before it is committed. It is not when `after`
        has failed."""
        self._operation, self._after = operation, after
        self._lock = threading.Lock()
        self._done = False
        self._result: Any = None
        self._error: Exception | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[Exception], None]] = []
        self._event: threading.Event | None = None

    def __await__(self) -> Generator[object, None, T]:
        """Wait on an event loop."""
        with self._lock:
            if not self._done:
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
        if not self._done:
            yield from waiter
        return self._outcome()

    def result(self) -> T:
        """Wait on a thread."""
        with self._lock:
            if not self._done and self._event is None:
                self._event = threading.Event()
        if self._event is not None:
            self._event.wait()
        return self._outcome()

    def on_failure(self, callback: Callable[[Exception], None]) -> None:
        """Call back with the error."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        if self._error is not None:
            callback(self._error)

    def carry_out(self, transaction: Transaction) -> T:
        """Do it, in a transaction. Whether it failed, those behind it in the same batch know at once."""
        self._error = None
        try:
            if self._after is not None and self._after._error is not None:
                raise self._after._error
            return self._operation(transaction)
        except Exception as error:
            # Whatever it is: writes that come after this one fail with it.
            self._error = error
            raise

    def complete(self, result: Any, error: Exception | None) -> list[asyncio.Future[None]]:
        """Settle the write. Whom to wake, on their own loops."""
        with self._lock:
            self._result, self._error, self._done = result, error, True
            # Or the first write of a run would be kept until its last.
            self._after = None
            waiters, callbacks = self._waiters, self._callbacks
            if self._event is not None:
                self._event.set()
        if error is not None:
            for callback in callbacks:
                _tell(callback, error)
        return waiters

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result


def _tell(callback: Callable[[Exception], None], error: Exception) -> None:
    try:
        callback(error)
    except Exception:
        # The other writes of the batch wait for their answers.
        log.exception("whoever hears of a write's failure failed")
