"""LangGraph's long-term memory, `runtime.store`, in the same Postgres as the jobs."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from langgraph.store.base import Op, Result
from langgraph.store.postgres import PostgresStore

from autopilot_server.engine.memory import Memory
from autopilot_server.storage.postgres.connections import conninfo, open_pool, unavailable
from autopilot_server.storage.queries import SQL

# Steps that use the memory at the same time; more wait for each other.
MOST_CONNECTIONS = 4


class PostgresMemory(PostgresStore, Memory):
    """LangGraph's PostgresStore, which tells an outage as the jobs' store does."""

    def __init__(self, url: str) -> None:
        """On connections that any thread may use."""
        # With LangGraph's own settings of them: its statements are written for these.
        self._pool = open_pool(conninfo(url), MOST_CONNECTIONS, name="autopilot-memory", prepare_threshold=0)
        super().__init__(self._pool)
        self._threads = ThreadPoolExecutor(MOST_CONNECTIONS, thread_name_prefix="memory")

    def setup(self) -> None:
        """As LangGraph's, but in one transaction, and by one process after the other: it would commit each change of a
        table by itself, and its number after it, and a death in between would leave a database that no start can open
        again."""
        with self._pool.connection() as connection, connection.transaction():
            connection.execute(SQL.schema_lock.postgres)
            connection.execute(SQL.memory_migrations_make.postgres)
            row = connection.execute(SQL.memory_migration_newest.postgres).fetchone()
            newest = None if row is None else row[0]
            for version, script in enumerate(self.MIGRATIONS):
                if newest is None or version > newest:
                    # Nobody uses the tables yet; and no transaction can do it concurrently.
                    connection.execute(script.replace(" CONCURRENTLY", "").encode())
                    connection.execute(SQL.memory_migration_insert.postgres, {"version": version})

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As LangGraph's. StorageUnavailableError, which costs a job no attempt, when the database is away."""
        try:
            return super().batch(ops)
        except Exception as error:
            # Whatever it is, unless it tells of an outage.
            if (outage := unavailable(error)) is not None:
                raise outage from error
            raise

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.batch, list(ops))

    def close(self) -> None:
        """Let go of the database. What steps that were left behind still ask for fails."""
        self._pool.close()


def open_postgres_memory(url: str) -> PostgresMemory:
    """Open the memory in a Postgres. StorageUnavailableError."""
    memory = PostgresMemory(url)
    try:
        memory.setup()
    except Exception as error:
        memory.close()
        if (outage := unavailable(error)) is not None:
            raise outage from error
        raise
    return memory
