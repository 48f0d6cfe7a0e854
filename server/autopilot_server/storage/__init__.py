"""Where jobs live. The only package that holds SQL."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StartupError, StorageUnavailableError
from autopilot_server.jobs.job import Micros, now, steady
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.migrations import cannot_use
from autopilot_server.storage.sqlite.store import SqliteStore
from autopilot_server.storage.store import EncodeEvent, OnMoves, Store

if TYPE_CHECKING:
    from autopilot_server.storage.postgres.store import PostgresStore

__all__ = ["UNUSABLE", "Store", "cannot_use", "database_path", "open_store"]

# What a database that cannot be used is found by: it is away, or its tables are not what they should be.
UNUSABLE = (StorageUnavailableError, sqlite3.Error)

_SCHEME = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def database_path(url: str) -> Path:
    """The file of a database, `sqlite:///PATH`, which need not be there yet. StartupError for what can be none."""
    if not url.startswith(_SCHEME) or len(url) == len(_SCHEME):
        raise StartupError(f"cannot use the database {url!r}: give it as sqlite:///PATH, with --database")
    path = Path(url.removeprefix(_SCHEME))
    # SQLite's name for a database of one connection; ours has many, and jobs must outlive the process.
    if str(path) == ":memory:":
        raise StartupError(
            f"cannot use the database {url!r}: jobs must outlive the process; give a file, as sqlite:///autopilot.db"
        )
    # os.path: answers, where pathlib raises, when a folder on the way may not be read.
    if os.path.exists(path) and not os.path.isfile(path):
        raise StartupError(f"cannot use the database {url!r}: {path} is not a file; give one with --database")
    if not os.path.isdir(path.parent):
        raise StartupError(
            f"cannot write beside the database {path}: there is no folder {path.parent}; make it, or choose another "
            "place with --database"
        )
    return path


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
    if url.startswith(_POSTGRES):
        return _postgres_store()(
            url,
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
    return SqliteStore(
        database_path(url),
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


def _postgres_store() -> "type[PostgresStore]":
    """StartupError without what only this store needs."""
    try:
        from autopilot_server.storage.postgres.store import PostgresStore
    except ImportError as error:
        raise StartupError(
            f"jobs in a Postgres need more packages ({error}): pip install 'autopilot-jobs[server,postgres]'"
        ) from error
    return PostgresStore
