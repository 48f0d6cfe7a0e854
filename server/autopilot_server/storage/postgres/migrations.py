"""The database's schema: numbered files, applied in order when a server starts, by one server after the other."""

from importlib.resources import files

import psycopg

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.postgres.connections import Connection, connect, shown
from autopilot_server.storage.queries import SQL

_FOLDER = files("autopilot_server.storage") / "migrations" / "postgres"

# For gen_random_uuid(), and generated columns.
OLDEST_VERSION = 130_000


def migrations() -> list[str]:
    """The migrations' texts, in order. The schema's version is how many were applied."""
    names = sorted(file.name for file in _FOLDER.iterdir() if file.name.endswith(".sql"))
    return [(_FOLDER / name).read_text() for name in names]


def migrate(info: str) -> None:
    """Bring the database to this program's schema, making it when there is none. StartupError."""
    try:
        with connect(info) as connection, connection.transaction():
            _require_usable(connection, info)
            connection.execute(SQL.schema_lock.postgres)
            _migrate(connection, info)
    except psycopg.Error as error:
        raise StartupError(cannot_use(info, error)) from error


def cannot_use(url: str, error: Exception) -> str:
    """A StartupError's line about a database that cannot be opened or read."""
    why = " ".join(str(error.__cause__ or error).split())
    return f"cannot use the database {shown(url)}: {why}"


def _require_usable(connection: Connection, info: str) -> None:
    if connection.info.server_version < OLDEST_VERSION:
        raise StartupError(f"the database {shown(info)} is older than PostgreSQL 13: upgrade it, or use another")
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        raise StartupError(
            f"the database {shown(info)} is in {encoding}, and texts of jobs need UTF8: make one with "
            "createdb --encoding UTF8 --template template0"
        )


def _migrate(connection: Connection, info: str) -> None:
    known = migrations()
    version = _version(connection, info)
    if version > len(known):
        raise StartupError(
            f"the database {shown(info)} was made by a newer version of Autopilot (schema {version}, this one knows "
            f"{len(known)}): start the newer version, or choose another database with --database"
        )
    for text in known[version:]:
        connection.execute(text)
    if version < len(known):
        connection.execute(SQL.schema_version_set.postgres, {"version": len(known)})


def _version(connection: Connection, info: str) -> int:
    found = connection.execute(SQL.schema_find.postgres).fetchone()
    assert found is not None  # noqa: S101 - a row of expressions
    if found["is_ours"]:
        row = connection.execute(SQL.schema_version.postgres).fetchone()
        return int(row["version"]) if row is not None else 0
    if found["is_taken"]:
        raise StartupError(
            f"the database {shown(info)} has a table jobs that is not Autopilot's: give Autopilot a database of its own"
        )
    return 0


def require_current(connection: Connection, info: str) -> None:
    """StartupError unless the database has this version's schema."""
    if (version := _version(connection, info)) != len(migrations()):
        raise StartupError(
            f"the database {shown(info)} has schema {version}, and this version of Autopilot knows schema "
            f"{len(migrations())}: use the version that wrote it, or start this one on it once"
        )
