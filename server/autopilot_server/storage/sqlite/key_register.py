"""Which keys a database's content is encrypted with: without them no server starts on it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.keys import ENVIRONMENT
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.connections import connect


def register(path: Path, sealer: Sealer | None) -> None:
    """Note that from now on the first key seals what is new, before anything is. StartupError when a key is missing
    that content is encrypted with."""
    with closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        require_keys(connection, path, sealer)
        if sealer is not None:
            connection.execute(SQL.encryption_key_add.sqlite, {"key_id": sealer.first.name})
            connection.execute(SQL.encryption_key_choose.sqlite, {"key_id": sealer.first.name})
        connection.execute("COMMIT")


def registered(connection: sqlite3.Connection) -> dict[str, bool]:
    """The ids of the keys, and whether each seals what is new."""
    return {row["key_id"]: bool(row["seals"]) for row in connection.execute(SQL.encryption_key_list.sqlite)}


def require_keys(connection: sqlite3.Connection, path: Path, sealer: Sealer | None) -> None:
    """StartupError unless the sealer has every key that content is encrypted with."""
    given = set() if sealer is None else {key.name for key in sealer.keys.values()}
    missing = [name for name in registered(connection) if name not in given]
    if not missing:
        return
    keys = f"key {missing[0]}" if len(missing) == 1 else f"keys {', '.join(missing)}"
    which = f"which {'is' if len(missing) == 1 else 'are'} not among those given" if given else "and no key was given"
    raise StartupError(
        f"the content of the database {path} is encrypted with {keys}, {which}: name the file that has it with "
        f"--encryption-key-file, or set {ENVIRONMENT}"
    )
