"""Where jobs live. The only package that holds SQL."""

import sqlite3
import sys
from collections.abc import Callable
from functools import partial

from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import Micros, now, steady
from autopilot_server.observer import Observer
from autopilot_server.storage.address import absolute, check_address, database_path, is_postgres
from autopilot_server.storage.clock import SteppedClock
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite import migrations as sqlite_migrations
from autopilot_server.storage.sqlite.store import SqliteStore
from autopilot_server.storage.store import EncodeEvent, OnMoves, Store

__all__ = [
    "Store",
    "absolute",
    "cannot_use",
    "check_address",
    "database_path",
    "is_postgres",
    "is_unusable",
    "open_store",
]


def is_unusable(error: BaseException) -> bool:
    """Whether an error tells of a database that is away, or whose tables are not what they should be."""
    if isinstance(error, (StorageUnavailableError, sqlite3.Error)):
        return True
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(error, psycopg.Error)


def cannot_use(url: str, error: Exception) -> str:
    """A StartupError's line about a database that cannot be used."""
    if is_postgres(url):
        from autopilot_server.storage.postgres import migrations

        return migrations.cannot_use(url, error)
    return sqlite_migrations.cannot_use(database_path(url), error)


def open_store(
    url: str,
    *,
    encode_event: EncodeEvent,
    doorbell: Doorbell,
    retention: Micros,
    wall: Callable[[], Micros] = now,
    steady: Callable[[], Micros] = steady,
    on_health: Callable[[bool], None] = lambda _: None,
    on_moves: OnMoves = lambda _: None,
    observer: Observer | None = None,
    sealer: Sealer | None = None,
    joins: bool = False,
) -> Store:
    """Open the database at `url`, made when there is none.

    `retention`: how long finished jobs are kept. `on_health`: called when the database goes away (False) and comes
    back (True), on a thread of the store's. `on_moves`: called with how jobs
    moved, on the same thread. `sealer`: encrypts what clients and workflows write. `joins`: a process of the
    server that has the database open. StartupError, one line, when it cannot be opened.
    """
    check_address(url)
    return _opener(url)(
        encode_event=encode_event,
        doorbell=doorbell,
        clock=SteppedClock(wall=wall, steady=steady),
        retention=retention,
        on_health=on_health,
        on_moves=on_moves,
        observer=observer or Observer(),
        sealer=sealer,
        joins=joins,
    )


def _opener(url: str) -> Callable[..., Store]:
    if is_postgres(url):
        # Only who needs it has its packages.
        from autopilot_server.storage.postgres.store import PostgresStore

        return partial(PostgresStore, url)
    return partial(SqliteStore, database_path(url))
