"""Everything that a database holds, to see whether anything of it has changed."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

# The number of the newest commit, which says nothing about jobs; each look for new work is one.
_NO_CONTENTS = {"writers", "clock"}

# LangGraph's long-term memory: what a step writes there is its own affair, as all its effects are.
MEMORY = {"store"}

Dump = Mapping[str, tuple[str, ...]]
"""The rows of each table, as texts, in an order of their own."""


def dump(database: Path, *, without: frozenset[str] | set[str] = frozenset()) -> Dump:
    """All rows of all tables, but for those `without`."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    try:
        connection.execute("BEGIN")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        wanted = sorted(set(names) - _NO_CONTENTS - without)
        return {name: tuple(sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))) for name in wanted}
    finally:
        connection.close()


def differences(before: Dump, after: Dump) -> list[str]:
    """What was added and what is missing, row by row."""
    found: list[str] = []
    for table in sorted(before.keys() | after.keys()):
        old, new = set(before.get(table, ())), set(after.get(table, ()))
        found += [f"{table} lost {row}" for row in sorted(old - new)]
        found += [f"{table} gained {row}" for row in sorted(new - old)]
    return found
