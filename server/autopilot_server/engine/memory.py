"""LangGraph's long-term memory, `runtime.store`, in the same file as the jobs."""

import asyncio
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from langgraph.store.base import Op, Result
from langgraph.store.sqlite import SqliteStore


class Memory(SqliteStore):
    """LangGraph's SqliteStore, whose methods may be awaited as well.

    LangGraph's AsyncSqliteStore has both, but belongs to one event loop and its synchronous half refuses to be called
    from it: synchronous and asynchronous steps share this one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """On a connection that any thread may use, one at a time."""
        super().__init__(connection)
        # One connection: more threads would wait for each other.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="memory")

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.batch, list(ops))


def open_memory(path: Path) -> Memory:
    """Open the memory in the database file, and make its tables."""
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    memory = Memory(connection)
    memory.setup()
    return memory
