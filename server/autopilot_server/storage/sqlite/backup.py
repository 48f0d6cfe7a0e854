"""Copies of a database: taken while a server uses it, and put back while none does."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.sqlite.check import damage
from autopilot_server.storage.sqlite.lock import RESTORES, ServerLock
from autopilot_server.storage.sqlite.migrations import migrations
from autopilot_server.storage.sqlite.snapshot import reading, schema_version

# SQLite's files beside the database: its log, and the index of the log.
_COMPANIONS = ("", "-wal", "-shm")


def back_up(database: Path, target: Path) -> None:
    """Copy the database as it is at one moment into the new file `target`; a server that uses it goes on.

    The file appears once it is whole, checked and on the disk. StartupError when it cannot be made.
    """
    if target.exists():
        raise StartupError(f"{target} exists already: choose another name for the backup")
    _copy(database, target)


def restore(backup: Path, database: Path, *, replace: bool) -> Path | None:
    """Make a backup the database of the next server that starts there.

    With `replace`, a database that is there is kept under another name, which is returned. StartupError when a server
    uses the place, when something is there and `replace` is not said, or when the backup cannot be used.
    """
    lock = ServerLock(database, purpose=RESTORES)
    try:
        if database.exists() and not replace:
            raise StartupError(f"{database} exists already: --replace keeps it under another name")
        fresh = _fresh(database)
        fresh.unlink(missing_ok=True)
        _copy(backup, fresh)
        kept = _set_aside(database) if database.exists() else None
        os.replace(fresh, database)
        _sync(database.parent)
        return kept
    finally:
        lock.release()


def require_no_half_restore(database: Path) -> None:
    """StartupError when a restore was killed, whose database would be missing, or still be the old one."""
    if (fresh := _fresh(database)).exists():
        raise StartupError(
            f"a backup was being restored to {database} when its process ended: restore it again with --replace, or "
            f"remove {fresh} to go on without it"
        )


def _fresh(database: Path) -> Path:
    """Where a restored database is before it replaces the one that is there."""
    return database.with_name(database.name + ".restored")


def _copy(source: Path, target: Path) -> None:
    """One snapshot of a database as a file of its own, which is there entirely or not at all."""
    partial = target.with_name(target.name + ".partial")
    try:
        with reading(source) as connection:
            _require_known(schema_version(connection, source), source)
            partial.unlink(missing_ok=True)
            # It holds what jobs hold: for its owner only.
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            _copy_pages(connection, partial)
        _require_whole(partial, source)
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)
    except OSError as error:
        raise StartupError(f"cannot write {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy_pages(connection: sqlite3.Connection, partial: Path) -> None:
    try:
        with closing(sqlite3.connect(partial)) as copy:
            # Whatever is written meanwhile is not part of the snapshot, and does not wait for it.
            connection.backup(copy)
            # The server's log mode is part of what was copied; a backup is one file.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StartupError(f"cannot write {partial}: {error}") from error


def _require_known(version: int, path: Path) -> None:
    if version > len(migrations()):
        raise StartupError(
            f"{path} was made by a newer version of Autopilot (schema {version}, this one knows {len(migrations())})"
        )


def _require_whole(copy: Path, source: Path) -> None:
    with reading(copy) as connection:
        if found := list(damage(connection)):
            raise StartupError(f"the database {source} is damaged: {found[0].detail}; {found[0].advice}")


def _set_aside(database: Path) -> Path:
    """Rename a database together with its log, so that it can still be opened."""
    kept = database.with_name(f"{database.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    for companion in _COMPANIONS:
        old = database.with_name(database.name + companion)
        if old.exists():
            os.replace(old, kept.with_name(kept.name + companion))
    return kept


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
