"""Encrypting what a database already has, under another key or for the first time, and decrypting it again.

In batches, each a transaction of its own: a process that is killed has done what it has done, and the next one finds
the rest by what it looks like.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot_server.jobs.errors import SealBrokenError, StartupError
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.connections import connect
from autopilot_server.storage.sqlite.key_register import register, registered, require_keys
from autopilot_server.storage.sqlite.lock import ENCRYPTS, InUseError, ServerLock
from autopilot_server.storage.sqlite.sealed_tables import (
    BATCH,
    SealedTable,
    Wanted,
    batch,
    before_all,
    in_plain,
    key_of,
    sealed_at_all,
    sealed_otherwise,
    tables_of,
    under_first_key,
)
from autopilot_server.storage.sqlite.snapshot import reading, require_current


@dataclass(frozen=True, slots=True)
class Change:
    """Which rows to change, and how."""

    wanted: Callable[[SealedTable, Sealer], Wanted]
    values: Callable[[SealedTable, Any, Sealer], dict[str, Any]]


ENCRYPT = Change(sealed_otherwise, under_first_key)
DECRYPT = Change(lambda table, _: sealed_at_all(table), in_plain)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was done."""

    rows: int
    retired: tuple[str, ...] = ()
    """Ids of the keys that nothing in the database is encrypted with any more."""
    compacted: bool = True
    """False: a server runs, and pages that were freed before may still hold what was not encrypted then."""


def encrypt(path: Path, sealer: Sealer) -> Resealed:
    """Seal everything with the first key, also while a server runs that has the same first key. StartupError."""
    _look(path)
    with _server_kept_off(path) as alone:
        if alone:
            register(path, sealer)
        with _connected(path) as connection:
            _require_sealing(connection, path, sealer, alone=alone)
            rows = _everything(connection, path, sealer, ENCRYPT)
            # A fork may copy what is not encrypted yet to where the pass has gone by.
            while (retired := _retire_others(connection, path, sealer)) is None:
                rows += _everything(connection, path, sealer, ENCRYPT)
            _wipe(connection, alone=alone)
    return Resealed(rows, retired, compacted=alone)


def decrypt(path: Path, sealer: Sealer) -> Resealed:
    """Have everything in plain again. StartupError, also when a server uses the database."""
    _look(path)
    lock = ServerLock(path, purpose=ENCRYPTS)
    try:
        with _connected(path) as connection:
            require_keys(connection, path, sealer)
            rows = _everything(connection, path, sealer, DECRYPT)
            retired = tuple(registered(connection))
            connection.execute(SQL.encryption_key_forget_others.sqlite, {"key_id": ""})
            _wipe(connection, alone=True)
    finally:
        lock.release()
    return Resealed(rows, retired)


# --- what must hold ---


def _look(path: Path) -> None:
    with reading(path) as connection:
        require_current(connection, path)


@contextmanager
def _server_kept_off(path: Path) -> Iterator[bool]:
    """Whether no server uses the database, and none can until the end. StartupError when that cannot be found out."""
    try:
        lock = ServerLock(path, purpose=ENCRYPTS)
    except InUseError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _require_sealing(connection: sqlite3.Connection, path: Path, sealer: Sealer, *, alone: bool) -> None:
    """What is new is sealed with the first key: else it would never end."""
    require_keys(connection, path, sealer)
    if not registered(connection).get(sealer.first.name, False):
        what = "meanwhile a server was started" if alone else "the server that runs was started"
        raise StartupError(
            f"{what} without key {sealer.first.name} as its first: restart it with the same keys, then encrypt again"
        )


# --- the work ---


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(connect(path)) as connection:
            # What is overwritten must not stay behind in the page.
            connection.execute("PRAGMA secure_delete = ON")
            yield connection
    except sqlite3.Error as error:
        raise StartupError(f"cannot change the database {path}: {error}; try again, it goes on from there") from error


def _everything(connection: sqlite3.Connection, path: Path, sealer: Sealer, change: Change) -> int:
    """One pass over all tables. How many rows were changed."""
    try:
        return sum(_pass(connection, table, change, sealer) for table in tables_of(connection))
    except SealBrokenError as error:
        raise StartupError(_broken(path, error)) from error


def _broken(path: Path, error: SealBrokenError) -> str:
    return (
        f"the database {path}: {error}; `autopilot check` with the keys names all such jobs: delete them, or restore a "
        "backup, then encrypt again"
    )


def _pass(connection: sqlite3.Connection, table: SealedTable, change: Change, sealer: Sealer) -> int:
    changed, after, wanted = 0, before_all(table), change.wanted(table, sealer)
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            rows = batch(connection, table, wanted, after)
            for row in rows:
                _update(connection, table, row, change.values(table, row, sealer))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        changed += len(rows)
        if len(rows) < BATCH:
            return changed
        after = key_of(table, rows[-1])


def _update(connection: sqlite3.Connection, table: SealedTable, row: Any, changes: dict[str, Any]) -> None:
    key = key_of(table, row)
    sql = SQL.reseal_update.sqlite.format(
        table=table.name,
        changes=", ".join(f"{name} = :{name}" for name in changes),
        key=" AND ".join(f"{column} = :{name}" for column, name in zip(table.key, key, strict=True)),
    )
    connection.execute(sql, changes | key)


# --- the end ---


def _retire_others(connection: sqlite3.Connection, path: Path, sealer: Sealer) -> tuple[str, ...] | None:
    """Forget the other keys, if nothing is sealed with them: in one transaction, so that none is copied meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        _require_sealing(connection, path, sealer, alone=True)
        left = any(
            batch(connection, table, sealed_otherwise(table, sealer), before_all(table), limit=1)
            for table in tables_of(connection)
        )
        others = tuple(name for name in registered(connection) if name != sealer.first.name)
        if not left:
            connection.execute(SQL.encryption_key_forget_others.sqlite, {"key_id": sealer.first.name})
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return None if left else others


def _wipe(connection: sqlite3.Connection, *, alone: bool) -> None:
    """Leave nothing of what was overwritten, in free pages and in the log."""
    if alone:
        connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
