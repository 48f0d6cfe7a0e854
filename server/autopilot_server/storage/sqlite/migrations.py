"""The database's schema: numbered files, applied in order when a database is opened."""

import os
import sqlite3
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.sqlite.connections import connect

_FOLDER = files("autopilot_server.storage") / "migrations"


def migrations() -> list[str]:
    """The migrations' texts, in order. The schema's version is how many were applied."""
    names = sorted(file.name for file in _FOLDER.iterdir() if file.name.endswith(".sql"))
    return [(_FOLDER / name).read_text() for name in names]


def _make_private(path: Path) -> None:
    """Make a new file, for its owner only: it holds what jobs hold. SQLite gives its log the same mode."""
    with suppress(OSError):
        # It is there already; or it cannot be made, as SQLite is about to find out.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def migrate(path: Path) -> None:
    """Bring the database at `path` to this program's schema, making it when there is none. StartupError."""
    _make_private(path)
    try:
        connection = connect(path, create=True)
        try:
            _migrate(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StartupError(cannot_use(path, error)) from error


def cannot_use(path: Path, error: Exception) -> str:
    """A StartupError's line about a database that cannot be opened or read."""
    return f"cannot use the database {path}: {error.__cause__ or error}; choose another with --database"


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    # Both only take effect before the first table is made.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    known = migrations()
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(known):
        connection.execute("ROLLBACK")
        raise StartupError(
            f"the database {path} was made by a newer version of Autopilot (schema {version}, this one knows "
            f"{len(known)}): start the newer version, or choose another file with --database"
        )
    for text in known[version:]:
        for statement in statements(text):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(known)}")
    connection.execute("COMMIT")


def statements(text: str) -> list[str]:
    """The statements of a script; sqlite3's own executescript would commit in between."""
    statements, statement = [], ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            statements.append(statement)
            statement = ""
    return statements
