"""LangGraph's long-term memory, `runtime.store`, in the same database as the jobs."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

from langgraph.store.base import BaseStore

from autopilot_server.storage import database_path, is_postgres
from autopilot_server.storage.sealing import Sealer


class Memory(BaseStore):
    """LangGraph's store of a kind of database."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Let go of the database. What steps that were left behind still ask for fails."""


def open_memory(url: str, sealer: Sealer | None = None) -> Memory:
    """Open the memory in a database, and make its tables. StorageUnavailableError."""
    return opener(url)(sealer)


def opener(url: str) -> Callable[[Sealer | None], Memory]:
    """What opens the memory in a database, with all imported that it needs, which takes a while."""
    if is_postgres(url):
        # Only who needs it has its packages.
        from autopilot_server.engine.postgres_memory import open_postgres_memory

        return lambda _: open_postgres_memory(url)
    from autopilot_server.engine.sqlite_memory import open_sqlite_memory

    return partial(open_sqlite_memory, database_path(url))
