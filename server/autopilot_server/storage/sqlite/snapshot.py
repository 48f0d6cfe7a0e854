"""A database as it is at one moment, for whoever checks, copies or changes it without being its server."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sqlite.connections import connect
from autopilot_server.storage.sqlite.migrations import migrations


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One snapshot of a database that is there. StartupError when it cannot be read."""
    if not path.exists():
        raise StartupError(f"there is no database {path}")
    try:
        with closing(connect(path, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise StartupError(f"cannot read the database {path}: {error}") from error


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Which schema a database has. StartupError when it is none of Autopilot's."""
    tables = {name for (name,) in connection.execute(SQL.table_list.sqlite)}
    if not {"jobs", "events", "checkpoints"} <= tables:
        raise StartupError(f"{path} is not a database of Autopilot")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def require_current(connection: sqlite3.Connection, path: Path) -> None:
    """StartupError unless the database has this version's schema."""
    if (version := schema_version(connection, path)) != len(migrations()):
        raise StartupError(
            f"the database {path} has schema {version}, and this version of Autopilot knows schema "
            f"{len(migrations())}: use the version that wrote it, or start this one on it once"
        )
