"""Connections to the database file, and what SQLite's errors mean for a caller."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.storage.outage import away
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.sealing import SealedConnection, Sealer, sealed_rows
from autopilot_server.storage.sqlite.database_file import DatabaseFile
from autopilot_server.storage.sqlite.transaction import SqliteReading
from autopilot_server.storage.transaction import Parameters, Row, Snapshot

T = TypeVar("T")

# How long a connection waits for a lock that another process holds.
BUSY_SECONDS = 5.0

# SQLite's primary result codes that mean: not now. Any other is a fault of the program.
_AWAY = {
    sqlite3.SQLITE_PERM: "the database file cannot be accessed",
    sqlite3.SQLITE_BUSY: "the database is locked by another process",
    sqlite3.SQLITE_LOCKED: "the database is locked",
    sqlite3.SQLITE_NOMEM: "the database is out of memory",
    sqlite3.SQLITE_READONLY: "the database is read-only",
    sqlite3.SQLITE_IOERR: "the database's disk reports errors",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_FULL: "the database's disk is full",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "the database is locked",
    sqlite3.SQLITE_NOTADB: "the database file is not a database",
}


def connect(
    path: Path,
    *,
    sealer: Sealer | None = None,
    read_only: bool = False,
    create: bool = False,
    busy_seconds: float | None = None,
) -> sqlite3.Connection:
    """Open a connection that commits when told to, and may be used from any thread, one at a time.

    With a sealer content is encrypted on its way in and decrypted on its way out. Without `create` a missing file is an
    error: jobs that were there must not turn into an empty database.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=BUSY_SECONDS if busy_seconds is None else busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=sqlite3.Connection if sealer is None else SealedConnection,
    )
    try:
        connection.row_factory = sqlite3.Row
        if sealer is not None:
            connection.sealer = sealer  # type: ignore[attr-defined]
            connection.row_factory = sealed_rows(sealer)
        # Durable through power loss: the log is synced at each commit.
        connection.execute("PRAGMA synchronous = FULL")
        # Some builds of SQLite write zeros over all that is deleted: as many bytes as were ever written.
        connection.execute("PRAGMA secure_delete = FAST").fetchall()
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def unavailable(error: sqlite3.Error) -> StorageUnavailableError | None:
    """The error for a caller when the database is away; None when `error` is a fault of the program."""
    what = _AWAY.get(_primary_code(error))
    return None if what is None else away(what, error)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has the lock."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _primary_code(error: sqlite3.Error) -> int:
    # sqlite3 gives no code to what it finds out by itself, such as a closed connection.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF


class _Reading:
    """A thread's connection. Closed with the thread: synchronous subgraphs run on threads that live as long as they."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Readers:
    """A read-only connection for each thread that reads."""

    def __init__(self, file: DatabaseFile, sealer: Sealer | None = None) -> None:
        """Read `file`; connections are opened when they are first needed."""
        self._file, self._sealer = file, sealer
        self.on_outage: Callable[[], None] = lambda: None
        """Called, on the reader's thread, when the database cannot be read; must not raise."""
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: WeakSet[_Reading] = WeakSet()

    def read(self, query: Callable[[Snapshot], T]) -> T:
        """Run `query` on this thread's connection, in one snapshot of the database."""
        with self._mapped() as connection:
            connection.execute("BEGIN")
            try:
                return query(SqliteReading(connection))
            finally:
                # What failed may have ended the transaction: then there is nothing to commit, and its error is told.
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def rows(self, statement: Statement, parameters: Parameters) -> Sequence[Row]:
        """All rows of one statement."""
        with self._mapped() as connection:
            return SqliteReading(connection).rows(statement, parameters)

    def row(self, statement: Statement, parameters: Parameters) -> Row | None:
        """The first row of one statement."""
        with self._mapped() as connection:
            return SqliteReading(connection).row(statement, parameters)

    def close(self) -> None:
        """Close all connections. Nobody reads any more."""
        with self._lock:
            for reading in list(self._open):
                reading.connection.close()

    @contextmanager
    def _mapped(self) -> Iterator[sqlite3.Connection]:
        try:
            self._file.check()
            yield self._connection()
        except StorageUnavailableError:
            self.on_outage()
            raise
        except sqlite3.Error as error:
            self._forget()
            if (unreachable := unavailable(error)) is not None:
                self.on_outage()
                raise unreachable from error
            raise

    def _connection(self) -> sqlite3.Connection:
        reading: _Reading | None = getattr(self._local, "reading", None)
        if reading is None:
            reading = self._local.reading = _Reading(connect(self._file.path, sealer=self._sealer, read_only=True))
            with self._lock:
                self._open.add(reading)
        return reading.connection

    def _forget(self) -> None:
        # The next read opens the file anew, which may have been replaced or come back.
        self._local.reading = None
