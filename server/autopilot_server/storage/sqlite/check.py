"""What must hold of a database whoever wrote it, and what to do when it does not."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot_server.jobs.errors import SealBrokenError
from autopilot_server.jobs.states import UNFINISHED, JobState
from autopilot_server.jobs.tenants import SEPARATOR
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.key_register import require_keys
from autopilot_server.storage.sqlite.sealed_tables import in_plain, sealed_at_all, table_rows, tables_of
from autopilot_server.storage.sqlite.snapshot import reading, require_current, schema_version

_FROM_BACKUP = "restore a backup (autopilot restore); of what the file still holds, a copy can be read with sqlite3"
_RESUBMIT = "the job cannot be trusted: cancel or delete it, and submit it again"
_CHANGED = "it was changed by something else than Autopilot: delete the job, or restore a backup (autopilot restore)"
_RESTART = "a server gives all waiting jobs their turns anew when it starts: restart it"
_HARMLESS = "harmless, but nothing deletes it any more: please report it with the versions that wrote this database"


@dataclass(frozen=True, slots=True)
class Invariant:
    """The query that finds where something does not hold, and what to do then."""

    name: str
    query: str
    advice: str


ENCRYPTION = "encryption"
"""What is found where something cannot be decrypted."""

INVARIANTS = (
    Invariant("log", SQL.check_log.sqlite, _RESUBMIT),
    Invariant("state", SQL.check_state.sqlite, _RESUBMIT),
    Invariant("checkpoint", SQL.check_checkpoint.sqlite, _RESUBMIT),
    Invariant("parts", SQL.check_parts.sqlite, _RESUBMIT),
    Invariant("turns", SQL.check_turns.sqlite, _RESTART),
    Invariant("orphans", SQL.check_orphans.sqlite, _HARMLESS),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where something does not hold."""

    invariant: str
    subject: str
    """A job's or a thread's id, as TENANT/ID when it is a tenant's; empty when it concerns the file."""
    detail: str
    advice: str


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
        for subject, detail in connection.execute(invariant.query):
            yield Finding(invariant.name, subject.replace(SEPARATOR, "/"), detail, invariant.advice)


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
