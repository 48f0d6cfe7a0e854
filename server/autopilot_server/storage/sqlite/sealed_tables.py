"""Where content stands in the database: each table with sealed columns, and how its values are opened and sealed."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import (
    CHECKPOINT,
    CHECKPOINT_CIPHER,
    COLUMNS,
    MAGIC,
    MEMORY,
    OVERHEAD,
    Sealer,
    is_sealed,
    place_of,
)

# Rows of a transaction: a server that writes to the same database waits for one, and not for all.
BATCH = 200

Wanted = tuple[str, dict[str, Any]]
"""A condition on rows, and its parameters."""

_SUFFIX = f"+{CHECKPOINT_CIPHER}"

# Bytes of a workflow's own may look sealed, and they stand as they are in a checkpoint: there only the type tells.
_SEALED_TYPE = "(substr(type, -length(:suffix)) = :suffix)"


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table, its key, and its columns with content."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    others: tuple[str, ...] = ()
    """Further columns that the places of its values need."""
    kind: bytes = b""
    """What its values are bound to, if not to their places."""

    @property
    def has_types(self) -> bool:
        """Whether a column says of a value that it is encrypted, as LangGraph does."""
        return self.kind == CHECKPOINT

    @property
    def names(self) -> tuple[str, ...]:
        """All columns to read."""
        return (*self.key, *self.others, *self.columns, *(("type",) if self.has_types else ()))

    def place(self, column: str, row: Any) -> bytes:
        """What a value is bound to."""
        return self.kind or place_of(column, row)

    def is_text(self, column: str) -> bool:
        """Whether a value is text in plain."""
        return not self.kind and COLUMNS[column].is_text


TABLES = (
    SealedTable(
        "jobs", ("job_id",), ("progress", "error", "cancel_reason", "start_point", "request_digest"), ("request_id",)
    ),
    SealedTable("payloads", ("job_id",), ("input", "context", "output")),
    SealedTable("events", ("job_id", "sequence"), ("body",)),
    SealedTable("interrupts", ("job_id", "position"), ("question", "response_schema")),
    SealedTable("answers", ("job_id", "interrupt_id"), ("answer",)),
    SealedTable("resume_requests", ("job_id", "request_id"), ("request_digest",)),
    SealedTable("checkpoints", ("thread_id", "checkpoint_ns", "checkpoint_id"), ("checkpoint",), kind=CHECKPOINT),
    SealedTable(
        "writes",
        ("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx"),
        ("value",),
        kind=CHECKPOINT,
    ),
    SealedTable("store", ("prefix", "key"), ("value",), kind=MEMORY),
)


# --- rows ---


def tables_of(connection: sqlite3.Connection) -> list[SealedTable]:
    """The tables that a database has: LangGraph's store is only made by a server."""
    names = {name for (name,) in connection.execute(SQL.table_list.sqlite)}
    return [table for table in TABLES if table.name in names]


def table_rows(connection: sqlite3.Connection, table: SealedTable, wanted: Wanted) -> Iterator[sqlite3.Row]:
    """All rows as wanted."""
    after = before_all(table)
    while rows := batch(connection, table, wanted, after):
        yield from rows
        after = key_of(table, rows[-1])


def batch(
    connection: sqlite3.Connection, table: SealedTable, wanted: Wanted, after: dict[str, Any], *, limit: int = BATCH
) -> list[sqlite3.Row]:
    """The next rows as wanted, behind a key."""
    condition, parameters = wanted
    sql = SQL.reseal_list.sqlite.format(
        names=", ".join(table.names),
        table=table.name,
        keys=", ".join(table.key),
        after=", ".join(f":{name}" for name in after),
        wanted=condition,
    )
    return connection.execute(sql, parameters | after | {"limit": limit}).fetchall()


def before_all(table: SealedTable) -> dict[str, Any]:
    """A key before all rows: the first column of each key is a text that is never empty."""
    return {f"key_{column}": "" for column in table.key}


def key_of(table: SealedTable, row: Any) -> dict[str, Any]:
    """A row's key, as parameters."""
    return {f"key_{column}": row[column] for column in table.key}


def sealed_otherwise(table: SealedTable, sealer: Sealer) -> Wanted:
    """The condition that a row has a value which is not sealed with the first key."""
    prefix = sealer.prefix
    otherwise = f"substr({{0}}, 1, {len(prefix)}) <> :prefix"
    if table.has_types:
        otherwise = f"(NOT {_SEALED_TYPE} OR {otherwise})"
    each = (f"(length({name}) > 0 AND {otherwise.format(name)})" for name in table.columns)
    return " OR ".join(each), {"prefix": prefix, "suffix": _SUFFIX}


def sealed_at_all(table: SealedTable) -> Wanted:
    """The condition that a row has a sealed value."""
    if table.has_types:
        return _SEALED_TYPE, {"suffix": _SUFFIX}
    each = (f"(length({name}) >= {OVERHEAD} AND substr({name}, 1, {len(MAGIC)}) = :magic)" for name in table.columns)
    return " OR ".join(each), {"magic": MAGIC}


# --- values ---


def in_plain(table: SealedTable, row: Any, sealer: Sealer) -> dict[str, Any]:
    """The values of a row as they are without a key. SealBrokenError."""
    changes: dict[str, Any] = {}
    for column in _with(table, row, sealed=True):
        content = sealer.open(row[column], table.place(column, row))
        changes[column] = content.decode() if table.is_text(column) else content
    if changes and table.has_types:
        changes["type"] = row["type"].removesuffix(_SUFFIX)
    return changes


def under_first_key(table: SealedTable, row: Any, sealer: Sealer) -> dict[str, Any]:
    """The values of a row that are not sealed with the first key, sealed with it. SealBrokenError."""
    plain = {column: row[column] for column in _with(table, row, sealed=False) if row[column]}
    old = in_plain(table, row, sealer)
    changes = {
        column: sealer.seal(content.encode() if isinstance(content, str) else content, table.place(column, row))
        for column, content in (plain | {column: old[column] for column in table.columns if column in old}).items()
    }
    if changes and table.has_types:
        changes["type"] = row["type"].removesuffix(_SUFFIX) + _SUFFIX
    return changes


def _with(table: SealedTable, row: Any, *, sealed: bool) -> Iterator[str]:
    return (column for column in table.columns if _is_sealed(table, row, column) is sealed)


def _is_sealed(table: SealedTable, row: Any, column: str) -> bool:
    return row["type"].endswith(_SUFFIX) if table.has_types else is_sealed(row[column])
