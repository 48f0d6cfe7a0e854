"""Death before a chosen SQL statement: also where no method of the store is called, as when a server starts."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.proof.kills.kill_points import die


@dataclass(frozen=True, slots=True)
class DeathAtStatement:
    """A server dies before the N-th statement that any of its connections carries out."""

    number: int

    def __call__(self) -> None:
        counted = 0
        lock = threading.Lock()

        def count_or_die(_: str) -> None:
            nonlocal counted
            with lock:
                counted += 1
                if counted == self.number:
                    die()

        _trace(count_or_die)


@dataclass(frozen=True, slots=True)
class StatementTally:
    """Notes in a file the statements of a server's start, a line each."""

    statements: Path

    def __call__(self) -> None:
        from autopilot_server.app import App

        start, started = App.start, threading.Event()

        async def start_and_tell(*given: Any) -> App:
            app = await start(*given)
            started.set()
            return app

        App.start = start_and_tell  # type: ignore[method-assign, assignment]
        _trace(lambda statement: None if started.is_set() else self._note(statement))

    def _note(self, statement: str) -> None:
        with self.statements.open("a") as file:
            file.write(" ".join(statement.split()) + "\n")

    def count(self) -> int:
        """How many there were."""
        return len(self.statements.read_text().splitlines())


def _trace(called: Callable[[str], None]) -> None:
    connect = sqlite3.connect

    def connect_and_trace(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(called)
        return connection

    sqlite3.connect = connect_and_trace  # type: ignore[assignment]
