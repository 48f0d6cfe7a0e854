"""What does not hold of a database file, and what to do then."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from autopilot_server.jobs.errors import SealBrokenError
from autopilot_server.jobs.states import UNFINISHED, JobState
from autopilot_server.jobs.tenants import SEPARATOR
from autopilot_server.storage.invariants import INVARIANTS, Finding
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.key_register import require_keys
from autopilot_server.storage.sqlite.sealed_tables import in_plain, sealed_at_all, table_rows, tables_of
from autopilot_server.storage.sqlite.snapshot import reading, require_current, schema_version

_FROM_BACKUP = "restore a backup (autopilot restore); of what the file still holds, a copy can be read with sqlite3"
_CHANGED = "it was changed by something else than Autopilot: delete the job, or restore a backup (autopilot restore)"


ENCRYPTION = "encryption"
"""What is found where something cannot be decrypted."""


def check(path: Path, sealer: Sealer | None = None) -> list[Finding]:
    """Everything that does not hold of the database at `path`, in one snapshot, while a server may use it.

    StartupError when it cannot be read, or is none of Autopilot's or of this version, or when the sealer has not got
    the keys that its content is encrypted with.
    """
    with reading(path) as connection:
        require_current(connection, path)
        require_keys(connection, path, sealer)
        if found := list(damage(connection)):
            return found
        return [*_violations(connection), *_unreadable(connection, sealer)]


def unfinished(path: Path) -> list[tuple[str, str, int]]:
    """Of how many jobs a database knows that are not finished: workflow, state, number. StartupError."""
    with reading(path) as connection:
        schema_version(connection, path)
        counts = [(row[0], JobState(row[1]), row[2]) for row in connection.execute(SQL.job_count_by_state.sqlite)]
    return [(workflow, state.name, jobs) for workflow, state, jobs in counts if state in UNFINISHED]


def damage(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What SQLite itself finds; nothing else can be believed then."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("file", "", line, _FROM_BACKUP)


def _violations(connection: sqlite3.Connection) -> Iterator[Finding]:
    for invariant in INVARIANTS:
        for subject, detail in connection.execute(invariant.query.sqlite):
            yield invariant.violated(subject, detail)


def _unreadable(connection: sqlite3.Connection, sealer: Sealer | None) -> Iterator[Finding]:
    """The rows with a value that cannot be decrypted."""
    if sealer is None:
        return
    for table in tables_of(connection):
        for row in table_rows(connection, table, sealed_at_all(table)):
            try:
                in_plain(table, row, sealer)
            except SealBrokenError as error:
                subject = str(row[table.key[0]]).replace(SEPARATOR, "/")
                yield Finding(ENCRYPTION, subject, f"{table.name}: {error}", _CHANGED)
