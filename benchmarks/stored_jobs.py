"""Makes a database with many jobs: real jobs of every kind, run by the server, then copies of their rows."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Client, connect, keep_in_flight
from benchmarks.server_process import ServerProcess

# Of twenty jobs: this many fail, are cancelled, and still wait for an answer. The others succeed.
FAILED, CANCELLED, INTERRUPTED, OF = 2, 1, 1, 20


@dataclass(frozen=True, slots=True)
class StoredJobs:
    """A database, and the ids of its jobs."""

    database: Path
    job_ids: tuple[str, ...]


async def run_jobs(database: Path, count: int) -> StoredJobs:
    """Let the server run `count` jobs in a new database. None is left that would run at the next start."""
    async with ServerProcess(database) as server, connect(server.address) as client:
        await keep_in_flight(count, lambda number: _run(client, number))
    return _read(database)


async def _run(client: Client, number: int) -> None:
    fields = {"labels": {"team": f"team-{number % 7}"}, "retry_policy": {"max_attempts": 1}}
    kind = number % OF
    if kind < FAILED:
        await client.wait(await client.submit("failure", {"value": number}, **fields))
    elif kind < FAILED + CANCELLED + INTERRUPTED:
        job = await client.wait(await client.submit("question", {"value": number}, **fields))
        if kind < FAILED + CANCELLED:
            await client.cancel(job.job_id)
    else:
        await client.wait(await client.submit("five_sync", {"value": number}, **fields))


def multiply(stored: StoredJobs, database: Path, times: int) -> StoredJobs:
    """Make `database` with each job of `stored` `times` times: with its events, checkpoints, writes and labels.

    A copy has its number behind its ids, and was created earlier than its original. What lies serialized in its
    events and checkpoints still names the original; no read that is measured looks into it.
    """
    shutil.copyfile(stored.database, database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        span = _time_span(connection)
        for table in _tables_of_jobs(connection):
            _copy_rows(connection, table, copies=times - 1, span=span)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return _read(database)


def _time_span(connection: sqlite3.Connection) -> int:
    oldest, newest = connection.execute("SELECT min(create_time), max(create_time) FROM jobs").fetchone()
    return int(newest - oldest + 1)


def _tables_of_jobs(connection: sqlite3.Connection) -> list[str]:
    """Tables that have rows of a job or of its thread."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [name for name in names if {"job_id", "thread_id"} & set(_columns(connection, name))]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _copy_rows(connection: sqlite3.Connection, table: str, *, copies: int, span: int) -> None:
    columns = _columns(connection, table)
    changed = {name: f"{name} || '-' || n" for name in ("job_id", "thread_id")}
    if table in ("jobs", "labels"):
        changed["create_time"] = f"create_time - {span} * n"
    values = ", ".join(changed.get(name, name) for name in columns)
    # CROSS JOIN keeps the copies of a row together, which is the order that the keys have.
    connection.execute(
        f"""WITH numbers (n) AS (SELECT 1 WHERE :copies > 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :copies)
        INSERT INTO {table} ({", ".join(columns)}) SELECT {values} FROM {table} CROSS JOIN numbers""",
        {"copies": copies},
    )


def _read(database: Path) -> StoredJobs:
    with closing(sqlite3.connect(database)) as connection:
        return StoredJobs(database, tuple(row[0] for row in connection.execute("SELECT job_id FROM jobs")))
