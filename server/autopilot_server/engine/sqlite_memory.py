"""LangGraph's long-term memory, `runtime.store`, in the same file as the jobs."""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langgraph.store.base import Op, PutOp, Result
from langgraph.store.sqlite import SqliteStore

from autopilot_server.engine.memory import Memory
from autopilot_server.engine.sealed_values import SealedValues
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.connections import connect, unavailable
from autopilot_server.storage.sqlite.database_file import DatabaseFile
from autopilot_server.storage.sqlite.migrations import statements


class SqliteMemory(SqliteStore, Memory):
    """LangGraph's SqliteStore, whose methods may be awaited as well, and which tells an outage as the jobs' store does.

    LangGraph's AsyncSqliteStore has both, but belongs to one event loop and its synchronous half refuses to be called
    from it: synchronous and asynchronous steps share this one.
    """

    def __init__(self, file: DatabaseFile, sealer: Sealer | None = None) -> None:
        """On a connection that any thread may use, one at a time. With a sealer the values are encrypted."""
        self._sealed = None if sealer is None else SealedValues(sealer)
        super().__init__(connect(file.path), deserializer=None if self._sealed is None else self._sealed.load)
        if self._sealed is not None:
            self._sealed.filter_in(self.conn)
        self._file = file
        # One connection: more threads would wait for each other.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="memory")

    def setup(self) -> None:
        """As LangGraph's, but in one transaction: it would commit each change of a table by itself, and its number
        after it, and a death in between would leave a database that no start can open again. Several processes may do
        it at once."""
        with self.lock:
            self.conn.execute("BEGIN IMMEDIATE")
            try:
                self.conn.execute(SQL.memory_migrations_make.sqlite)
                (newest,) = self.conn.execute(SQL.memory_migration_newest.sqlite).fetchone()
                for version, script in enumerate(self.MIGRATIONS):
                    if newest is None or version > newest:
                        for statement in statements(f"{script};"):
                            self.conn.execute(statement)
                        self.conn.execute(SQL.memory_migration_insert.sqlite, {"version": version})
                self.conn.execute("COMMIT")
            finally:
                if self.conn.in_transaction:
                    self.conn.rollback()
            self.is_setup = True

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As LangGraph's. StorageUnavailableError, which costs a job no attempt, when the database is away."""
        self._file.check()
        try:
            results = super().batch(ops)
        except sqlite3.Error as error:
            if (outage := unavailable(error)) is not None:
                raise outage from error
            raise
        self._file.check()
        return results

    def _prepare_batch_PUT_queries(  # noqa: N802 - LangGraph's name
        self, put_ops: Sequence[tuple[int, PutOp]]
    ) -> tuple[list[tuple[str, Sequence[Any]]], Any]:
        """As LangGraph's, with the values encrypted."""
        queries, embeddings = super()._prepare_batch_PUT_queries(put_ops)
        return (queries if self._sealed is None else self._sealed.sealed(queries)), embeddings

    @contextmanager
    def _cursor(self, *, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """As LangGraph's, but a batch has the write lock from its beginning, and is undone when it fails.

        A search reads and then writes when the items were last used. A batch that only becomes a writer then is refused
        at once, without any waiting, when somebody has committed since it read.
        """
        if not transaction:
            with super()._cursor(transaction=False) as cursor:
                yield cursor
            return
        with self.lock:
            self.conn.execute("BEGIN IMMEDIATE")
            try:
                yield self.conn.cursor()
                self.conn.execute("COMMIT")
            finally:
                if self.conn.in_transaction:
                    self.conn.rollback()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.batch, list(ops))

    def close(self) -> None:
        """Let go of the file. What steps that were left behind still ask for fails."""
        with self.lock:
            self.conn.close()
        self._file.close()


def open_sqlite_memory(path: Path, sealer: Sealer | None) -> SqliteMemory:
    """Open the memory in a database file. StorageUnavailableError."""
    try:
        memory = SqliteMemory(DatabaseFile(path.absolute()), sealer)
        memory.setup()
    except sqlite3.Error as error:
        if (outage := unavailable(error)) is not None:
            raise outage from error
        raise
    return memory
