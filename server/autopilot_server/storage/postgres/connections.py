"""Connections to a Postgres, and what its errors mean for a caller."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from psycopg_pool import ConnectionPool, PoolTimeout

from autopilot_server.jobs.errors import StartupError, StorageUnavailableError
from autopilot_server.storage.outage import RETRY_SECONDS, away
from autopilot_server.storage.postgres.content import RowMaker, as_stored
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.transaction import NONE, Parameters, Row, Snapshot

T = TypeVar("T")

Connection = psycopg.Connection[Any]

# The least that libpq takes for a time that is not endless.
CONNECT_SECONDS = 2

# Reads are short and mostly of one thread; more wait for each other.
MOST_READERS = 8

# How long what was sent may stay unconfirmed, in milliseconds: else a connection to a machine that is gone would last
# for a quarter of an hour.
_UNCONFIRMED_MILLISECONDS = 10_000

# What of SQLSTATE, whole classes or single codes, means: not now. Any other is a fault of the program.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY = {
    "08": "the connection to the database is gone",
    "25006": "the database takes no writes, as a standby does",
    "25P03": "the database ended a transaction that stood still",
    "53": "the database is out of space, memory or connections",
    "55P03": "the database is locked by another process",
    "57": "the database is shutting down, starting up, or was told to stop what it did",
    "58": "the database's machine reports errors",
    "XX001": "the database is damaged",
    "XX002": "the database is damaged",
}


def shown(url: str) -> str:
    """A database's address without its password."""
    parts = conninfo_to_dict(url)
    host = parts.get("host") or parts.get("hostaddr") or "the local host"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"{parts.get('dbname') or parts.get('user') or 'of this user'} on {host}{port}"


def conninfo(url: str) -> str:
    """What libpq is told of a database: its address, and how long to wait for it. StartupError."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        # libpq's own text may repeat a password.
        raise StartupError(
            "cannot use the database: its address is no postgresql://USER@HOST:PORT/NAME that Postgres understands "
            "(special characters of a password are written as %XX)"
        ) from error
    usual: dict[str, Any] = {
        "application_name": "autopilot",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _UNCONFIRMED_MILLISECONDS,
    }
    return make_conninfo(**(usual | given))


def connect(info: str, sealer: Sealer | None = None) -> Connection:
    """Open a connection that commits when told to. `info` as `conninfo` gives it. psycopg.Error."""
    connection = psycopg.connect(info, autocommit=True, row_factory=RowMaker(sealer))
    configure(connection)
    return connection


def configure(connection: Connection) -> None:
    """Parameters have one type each, whatever their values: a statement is prepared once."""
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(str, StrDumper)


def open_pool(
    info: str,
    most: int,
    *,
    name: str,
    configure: Callable[[Connection], None] | None = None,
    **kwargs: Any,
) -> ConnectionPool[Connection]:
    """Connections that all threads share, opened when they are needed. `kwargs`: as psycopg.connect takes them."""
    return ConnectionPool(
        info,
        kwargs={"autocommit": True, **kwargs},
        configure=configure,
        min_size=1,
        max_size=most,
        timeout=RETRY_SECONDS,
        name=name,
        open=True,
    )


def unavailable(error: Exception) -> StorageUnavailableError | None:
    """The error for a caller when the database is away; None when `error` is a fault of the program."""
    if isinstance(error, PoolTimeout):
        return away("the database does not answer", error)
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None:
        # libpq's own: it lost the connection, or has none.
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return away(_AWAY["08"], error) if lost else None
    what = _AWAY.get(error.sqlstate[:2]) or _AWAY.get(error.sqlstate)
    return None if what is None else away(what, error)


class PostgresReading:
    """Statements on a connection that reads. See storage.transaction.Snapshot."""

    def __init__(self, connection: Connection, sealer: Sealer | None) -> None:
        """Read by `connection`."""
        self._connection, self._sealer = connection, sealer

    def rows(self, statement: Statement, parameters: Parameters = NONE) -> Sequence[Row]:
        """All rows of a statement."""
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(statement.postgres, as_stored(parameters, self._sealer)).fetchall()

    def row(self, statement: Statement, parameters: Parameters = NONE) -> Row | None:
        """The first row of a statement."""
        with self._connection.cursor(binary=True) as cursor:
            found: Row | None = cursor.execute(statement.postgres, as_stored(parameters, self._sealer)).fetchone()
            return found

    def each(self, statement: Statement, parameters: Parameters) -> Iterator[Row]:
        """The rows of a statement, which asks for no more than are needed."""
        yield from self.rows(statement, parameters)


class Readers:
    """Connections that read, for all threads."""

    def __init__(self, info: str, sealer: Sealer | None = None) -> None:
        """Read the database; connections are opened when they are first needed."""
        self._sealer = sealer
        self.on_outage: Callable[[], None] = lambda: None
        """Called, on the reader's thread, when the database cannot be read; must not raise."""
        self._away_until = 0.0
        self._pool = open_pool(
            info, MOST_READERS, name="autopilot-readers", configure=configure, row_factory=RowMaker(sealer)
        )

    def read(self, query: Callable[[Snapshot], T]) -> T:
        """Run `query` in one snapshot of the database."""

        def in_snapshot(connection: Connection) -> T:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                return query(PostgresReading(connection, self._sealer))
            finally:
                if not connection.broken:
                    connection.execute("ROLLBACK")

        return self._run(in_snapshot)

    def rows(self, statement: Statement, parameters: Parameters) -> Sequence[Row]:
        """All rows of one statement."""
        return self._run(lambda connection: PostgresReading(connection, self._sealer).rows(statement, parameters))

    def row(self, statement: Statement, parameters: Parameters) -> Row | None:
        """The first row of one statement."""
        return self._run(lambda connection: PostgresReading(connection, self._sealer).row(statement, parameters))

    def close(self) -> None:
        """Close all connections. Nobody reads any more."""
        self._pool.close()

    def _run(self, read: Callable[[Connection], T]) -> T:
        """Once more when the connection was one of before a restart of the database; it had only been kept."""
        with self._told():
            try:
                return self._once(read)
            except psycopg.Error as error:
                if isinstance(error, PoolTimeout) or unavailable(error) is None:
                    raise
                self._pool.check()
                return self._once(read)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An outage is told as one."""
        try:
            yield
        except psycopg.Error as error:
            if (outage := unavailable(error)) is not None:
                self.on_outage()
                raise outage from error
            raise

    def _once(self, read: Callable[[Connection], T]) -> T:
        now = time.monotonic()
        if now < self._away_until:
            # Who is known to be away is not waited for by every caller.
            raise PoolTimeout("the database did not answer just now")
        try:
            connection = self._pool.getconn()
        except PoolTimeout:
            self._away_until = time.monotonic() + RETRY_SECONDS
            raise
        try:
            return read(connection)
        finally:
            self._pool.putconn(connection)
