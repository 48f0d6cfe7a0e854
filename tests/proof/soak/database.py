"""Looks into the database file behind the server's back."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autopilot.v1 import job_pb2

_OWNED = (job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_CANCELLING)


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads, in one snapshot."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


def left_behind(database: Path) -> list[str]:
    """The rows of jobs, or threads, that are not there: in every table that tells of jobs or threads."""
    found = []
    with reading(database) as connection:
        for table, key in _tables(connection):
            count, example = connection.execute(
                f"SELECT count(*), min({key}) FROM {table} WHERE {key} NOT IN (SELECT {key} FROM jobs)"
            ).fetchone()
            if count:
                found.append(f"{table} holds {count} rows of {key}s that are gone, as {example}")
    return found


def _tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Each table but `jobs`, with the column that says whose a row is. What is saved belongs to a thread."""
    tables = []
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'jobs'"):
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        key = next((key for key in ("thread_id", "job_id") if key in columns), None)
        if key is not None:
            tables.append((table, key))
    return tables


def unsound(database: Path) -> list[str]:
    """What is wrong with the file of a server that has stopped."""
    with reading(database) as connection:
        damages = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        owned = connection.execute(
            "SELECT count(*) FROM jobs WHERE state IN (?, ?) OR run_token IS NOT NULL", _OWNED
        ).fetchone()[0]
    found = [f"the file is damaged: {damage}" for damage in damages]
    if owned:
        found.append(f"{owned} jobs are owned by a run, and no server runs")
    return found


def free_pages(database: Path) -> int:
    """Pages of the file that hold nothing."""
    with reading(database) as connection:
        pages: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return pages
