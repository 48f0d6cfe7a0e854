"""LangGraph's long-term memory, `runtime.store`, in the same file as the jobs."""

import sqlite3
from pathlib import Path

from langgraph.store.sqlite import SqliteStore


def open_memory(path: Path) -> SqliteStore:
    """Open LangGraph's own SqliteStore on the database file, and make its tables."""
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    memory = SqliteStore(connection)
    memory.setup()
    return memory
