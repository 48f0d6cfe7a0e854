"""Death at a chosen point: around the N-th call of one method of the store."""

import inspect
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autopilot_server.storage.store import Store

from tests.proof.kills.kinds import KINDS, Given, Result
from tests.proof.server import DEATH

_RETURNS = {
    name: str(inspect.signature(method).return_annotation)
    for name, method in vars(Store).items()
    if inspect.isfunction(method) and not name.startswith("_")
}
METHODS = list(_RETURNS)
WRITES = [name for name, returned in _RETURNS.items() if "Write[" in returned]

# Nothing is done yet; done in the transaction, which is not committed; committed, and nobody knows it.
BEFORE, INSIDE, AFTER = "before", "inside", "after"

DRAIN = "drain"


# Enough for the writer to commit what was queued before, and for an answer to reach its client.
LAST_SECONDS = 0.1


def die() -> None:
    """As kill -9: no handler, no flush, and no goodbye but to who takes the time."""
    os.write(2, f"{DEATH}{time.monotonic_ns()}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def _tell_nobody() -> None:
    pass


@dataclass(frozen=True, slots=True)
class KillPoint:
    """Where a server dies. Called inside it, before it serves."""

    method: str
    moment: str
    occurrence: int
    since: str = ""
    """Count from the first call of this kind on, or (DRAIN) once the server was told to stop."""
    one_by_one: bool = False
    """A run's writes wait for each other: none is committed together with the one behind it."""

    def __call__(self, tell: Callable[[], None] = _tell_nobody) -> None:
        """Set the trap. `tell`: called when it is died in."""
        from autopilot_server.storage.queued_write import QueuedWrite
        from autopilot_server.storage.sqlite.writer import Writer

        trap = _Trap(self, tell)
        submit, complete = Writer.submit, QueuedWrite.complete

        def submit_prepared(writer: Any, operation: Any, **options: Any) -> Any:
            return submit(writer, trap.prepared(operation), **options)

        def complete_or_die(write: Any, *outcome: Any) -> Any:
            # Its batch is committed: this is the first word about any of it.
            if trap.committing == threading.get_ident():
                trap.die()
            return complete(write, *outcome)

        Writer.submit = submit_prepared  # type: ignore[method-assign]
        QueuedWrite.complete = complete_or_die  # type: ignore[method-assign]
        tap(trap.around)
        if self.since == DRAIN:
            _at_the_drain(trap.count_from_now)


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Where servers die: each at the first that it comes to of those points where none before it died."""

    points: Sequence[KillPoint]
    deaths: Path
    """The file where they tell of it."""

    def __call__(self) -> None:
        died_at = self._numbers()
        for number, point in enumerate(self.points):
            if number not in died_at:
                point(tell=partial(self._note, number))

    def died_at(self) -> Sequence[KillPoint]:
        """Those points, in that order."""
        return [self.points[number] for number in self._numbers()]

    def _note(self, number: int) -> None:
        with self.deaths.open("a") as file:
            file.write(f"{number}\n")

    def _numbers(self) -> list[int]:
        return [int(line) for line in self.deaths.read_text().split()] if self.deaths.exists() else []


@dataclass(frozen=True, slots=True)
class Tally:
    """Notes each call of the store in a file: which points there are."""

    calls: Path

    def __call__(self) -> None:
        tap(self._note)

    def _note(self, method: str, _arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        with self.calls.open("a") as file:
            file.write(f"{method}\n")
        return call()

    def counts(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(self.calls.read_text().split())


Around = Callable[[str, tuple[Any, ...], Callable[[], Any]], Any]
"""Called with a method's name, the arguments that go by place, and the call, which it carries out."""


def tap(around: Around) -> None:
    """Put `around` around each call of the store that the server opens."""
    from autopilot_server import app

    open_store = app.open_store
    app.open_store = lambda *args, **kwargs: Tapped(open_store(*args, **kwargs), around)  # type: ignore[assignment]


class Tapped:
    """A store with something around each call."""

    def __init__(self, store: Any, around: Around) -> None:
        self._store, self._around = store, around

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *args, **kwargs: self._around(name, args, lambda: method(*args, **kwargs))


def _at_the_drain(then: Callable[[], None]) -> None:
    from autopilot_server.app import App

    stop = App.stop

    async def stop_and_tell(self: App) -> None:
        then()
        await stop(self)

    App.stop = stop_and_tell  # type: ignore[method-assign]


class _Trap:
    """Waits for the call that it is set for."""

    def __init__(self, point: KillPoint, tell: Callable[[], None]) -> None:
        self._point, self._kind, self._tell = point, KINDS.get(point.since), tell
        self._counts = not point.since
        self._calls = 0
        self._lock = threading.Lock()
        self._thread = threading.local()
        self.committing = 0
        """The thread that commits the call, once it has carried it out."""

    def count_from_now(self) -> None:
        self._counts = True

    def die(self) -> None:
        """Of this trap."""
        self._tell()
        die()

    def _die_soon(self) -> None:
        """Go no further here and die, but not before the rest of the process has done what it does by then: commit
        the halves of what should be one, answer what is not committed."""
        time.sleep(LAST_SECONDS)
        self.die()

    def _die_at_a_commit(self, statement: str) -> None:
        if statement == "COMMIT":
            self._die_soon()

    def around(self, method: str, arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """A call of the store."""
        result = self._carried_out(method, arguments, call)
        if self._point.one_by_one and method == "run_write":
            result.result()
        return result

    def _carried_out(self, method: str, arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        if not self._may_be_it(method, arguments):
            return call()
        if self._point.moment == BEFORE:
            self._die_soon()
        self._thread.armed = True
        result = call()
        if self._thread.armed:
            # Not a write: what it did is done when it returns.
            self.die()
        return result

    def _may_be_it(self, method: str, arguments: tuple[Any, ...]) -> bool:
        match self._kind:
            case Given(of, is_one) if method == of and is_one(*arguments):
                self._counts = True
            case Result():
                return method == self._point.method
        return method == self._point.method and self._counts and self._is_the_one()

    def _is_the_one(self) -> bool:
        with self._lock:
            self._calls += 1
            return self._calls == self._point.occurrence

    def prepared(self, operation: Any) -> Any:
        """The operation that the awaited call puts into the writer's queue."""
        if not getattr(self._thread, "armed", False):
            return operation
        self._thread.armed = False

        def carried_out(transaction: Any) -> Any:
            if not isinstance(self._kind, Result):
                # Also when it is refused.
                set_for_the_commit(transaction)
            result = operation(transaction)
            if isinstance(self._kind, Result) and self._kind.is_one(result) and self._is_the_one():
                set_for_the_commit(transaction)
            return result

        def set_for_the_commit(transaction: Any) -> None:
            self.committing = threading.get_ident()
            if self._point.moment == INSIDE:
                transaction.connection.set_trace_callback(self._die_at_a_commit)

        return carried_out
