"""What must hold of a database whoever wrote it, and what to do when it does not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.states import UNFINISHED, JobState
from autopilot_server.jobs.tenants import SEPARATOR
from autopilot_server.storage.sqlite.connections import connect
from autopilot_server.storage.sqlite.migrations import migrations
from autopilot_server.storage.sqlite.queries import SQL

_FROM_BACKUP = "restore a backup (autopilot restore); of what the file still holds, a copy can be read with sqlite3"
_RESUBMIT = "the job cannot be trusted: cancel or delete it, and submit it again"
_HARMLESS = "harmless, but nothing deletes it any more: please report it with the versions that wrote this database"


@dataclass(frozen=True, slots=True)
class Invariant:
    """The query that finds where something does not hold, and what to do then."""

    name: str
    query: str
    advice: str


INVARIANTS = (
    Invariant("log", SQL.check_log, _RESUBMIT),
    Invariant("state", SQL.check_state, _RESUBMIT),
    Invariant("checkpoint", SQL.check_checkpoint, _RESUBMIT),
    Invariant("parts", SQL.check_parts, _RESUBMIT),
    Invariant("orphans", SQL.check_orphans, _HARMLESS),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where something does not hold."""

    invariant: str
    subject: str
    """A job's or a thread's id, as TENANT/ID when it is a tenant's; empty when it concerns the file."""
    detail: str
    advice: str


def check(path: Path) -> list[Finding]:
    """Everything that does not hold of the database at `path`, in one snapshot, while a server may use it.

    StartupError when it cannot be read, or is none of Autopilot's or of this version.
    """
    with reading(path) as connection:
        version = schema_version(connection, path)
        if version != len(migrations()):
            raise StartupError(
                f"the database {path} has schema {version}, and this version of Autopilot checks schema "
                f"{len(migrations())}: use the version that wrote it, or start this one on it once"
            )
        return list(damage(connection)) or list(_violations(connection))


def unfinished(path: Path) -> list[tuple[str, str, int]]:
    """Of how many jobs a database knows that are not finished: workflow, state, number. StartupError."""
    with reading(path) as connection:
        schema_version(connection, path)
        counts = [(row[0], JobState(row[1]), row[2]) for row in connection.execute(SQL.job_count_by_state)]
    return [(workflow, state.name, jobs) for workflow, state, jobs in counts if state in UNFINISHED]


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
    tables = {name for (name,) in connection.execute(SQL.table_list)}
    if not {"jobs", "events", "checkpoints"} <= tables:
        raise StartupError(f"{path} is not a database of Autopilot")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def damage(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What SQLite itself finds; nothing else can be believed then."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("file", "", line, _FROM_BACKUP)


def _violations(connection: sqlite3.Connection) -> Iterator[Finding]:
    for invariant in INVARIANTS:
        for subject, detail in connection.execute(invariant.query):
            yield Finding(invariant.name, subject.replace(SEPARATOR, "/"), detail, invariant.advice)
