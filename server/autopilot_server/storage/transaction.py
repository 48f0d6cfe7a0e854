"""What operations work with, whatever the database."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from autopilot_server.doorbell import StoredEvent
from autopilot_server.jobs.job import Micros
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.store import JobMove

T = TypeVar("T")

Parameters = Mapping[str, Any]
NONE: Parameters = {}


class Row(Protocol):
    """A row, whose columns are read by their names. Content is decrypted then."""

    def __getitem__(self, column: Any, /) -> Any:
        """A column by its name; a row of a statement also has them by their places."""
        ...

    def keys(self) -> Any:
        """The columns' names."""
        ...


class Reading(Protocol):
    """A snapshot of the database, or the transaction that changes it."""

    def rows(self, statement: Statement, parameters: Parameters = NONE) -> Sequence[Row]:
        """All rows of a statement."""
        ...

    def row(self, statement: Statement, parameters: Parameters = NONE) -> Row | None:
        """The first row of a statement."""
        ...


class Snapshot(Reading, Protocol):
    """One snapshot of the database."""

    def each(self, statement: Statement, parameters: Parameters) -> Iterator[Row]:
        """The rows of a statement, one after the other: those that are not asked for need not be in memory."""
        ...


class Transaction(ABC):
    """What an operation works with: statements, the time, and the news that it makes.

    Several servers may write to one database at once. An operation that decides by a row first reads it by a statement
    that locks it (`job_lock`).
    """

    def __init__(self, now: Micros) -> None:
        """Begin an operation's part of a batch."""
        self.now = now
        self.news: list[tuple[str, JobState | None, list[StoredEvent], Micros]] = []
        self.moves: list[JobMove] = []

    @abstractmethod
    def rows(self, statement: Statement, parameters: Parameters = NONE) -> Sequence[Row]:
        """All rows of a statement."""

    @abstractmethod
    def row(self, statement: Statement, parameters: Parameters = NONE) -> Row | None:
        """The first row of a statement."""

    @abstractmethod
    def execute(self, statement: Statement, parameters: Parameters = NONE) -> None:
        """Change something. The database may get the statement later, but before the next one."""

    @abstractmethod
    def execute_many(self, statement: Statement, parameters: Sequence[Parameters]) -> None:
        """Change something, once for each."""

    @abstractmethod
    def change_one(self, statement: Statement, parameters: Parameters) -> None:
        """Change exactly one row, which this transaction has locked; else AssertionError, now or when the operation
        ends."""

    @abstractmethod
    def change_if(self, statement: Statement, parameters: Parameters) -> Row | None:
        """Change one row if it is as the statement wants it, and read what the statement returns of it; else None."""

    @abstractmethod
    def execute_last(self, statement: Statement, parameters: Parameters) -> None:
        """Change a row that many operations change, just before the commit, so that it is locked for a moment only."""

    @abstractmethod
    def lock_thread(self, thread_id: str) -> None:
        """Let nobody else add a job to a thread, or delete the thread, until the commit."""

    @abstractmethod
    def lock_turns(self, key: Parameters | None) -> None:
        """Let nobody else give turns to jobs with a key, or claim one of them, until the commit. None: with any key."""

    @abstractmethod
    def lock_places(self, workflows: str) -> None:
        """Let nobody else claim jobs of those of the workflows, a JSON list, that have a limit, until the commit."""

    def lock_each(self, listed: Iterable[Row], still: Callable[[Row], bool]) -> Iterator[Row]:
        """The jobs of a list, one after the other: those that are still what they were listed for, and that nobody
        changes from now on."""
        for job_id in [row["job_id"] for row in listed]:
            row = self.row(SQL.job_lock, {"job_id": job_id})
            if row is not None and still(row):
                yield row

    def tell(
        self, job_id: str, state: JobState | None, events: list[StoredEvent] | None = None, *, create_time: Micros = 0
    ) -> None:
        """Ring for a job once this is committed. With events, or when it was deleted: also when it was created."""
        self.news.append((job_id, state, events or [], create_time))


Operation = Callable[[Transaction], T]
