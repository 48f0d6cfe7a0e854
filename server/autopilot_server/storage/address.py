"""Where a database is: what `--database` says, and what can be said of it before it is opened."""

import os
from pathlib import Path

from autopilot_server.jobs.errors import StartupError

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def is_postgres(url: str) -> bool:
    """Whether a database is in a Postgres."""
    return url.startswith(_POSTGRES)


def check_address(url: str) -> None:
    """StartupError for what can be no database. A database file need not be there yet, and no Postgres is asked."""
    if is_postgres(url):
        from autopilot_server.storage.postgres import required

        required()
    else:
        database_path(url)


def absolute(url: str) -> str:
    """The same database for processes that may change their folder."""
    return url if is_postgres(url) else f"{_SQLITE}{os.path.abspath(database_path(url))}"


def database_path(url: str, *, instead: str = "there is no file of it") -> Path:
    """The file of a database, `sqlite:///PATH`, which need not be there yet. StartupError for what can be none.

    `instead`: what to do with a database in a Postgres, for who needs a file.
    """
    if is_postgres(url):
        raise StartupError(f"this is for database files, and the database is in a Postgres: {instead}")
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StartupError(
            f"cannot use the database {url!r}: give it as sqlite:///PATH or postgresql://USER@HOST/NAME, with "
            "--database"
        )
    path = Path(url.removeprefix(_SQLITE))
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
