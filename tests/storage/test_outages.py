"""Commits of which nobody knows whether they happened, and files that are not where they were."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.doorbell import Doorbell, News
from autopilot_server.engine.memory import open_memory
from autopilot_server.jobs.errors import StaleRunError, StartupError, StorageUnavailableError
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.store import EventDraft, Fence, RunUpdate
from autopilot_server.storage.transaction import Snapshot

from tests.storage.conftest import Box


@pytest.fixture
def box(sqlite_box: Box) -> Box:
    """SQLite's alone."""
    return sqlite_box


def database(box: Box) -> Path:
    return Path(box.url.removeprefix("sqlite:///"))


class FailingCommits:
    """Stands for the writer's connection: its next COMMIT reports an I/O error."""

    def __init__(self, box: Box, *, commits: bool) -> None:
        """`commits`: it happens all the same."""
        self._writer: Any = box.store._writer  # type: ignore[attr-defined]
        self._real, self._commits = self._writer._connection, commits
        self._writer._connection = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        if sql != "COMMIT":
            return self._real.execute(sql, parameters)
        self._real.execute("COMMIT" if self._commits else "ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error


def nobody_can_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr("autopilot_server.storage.sqlite.writer.connect", fail)


def test_a_commit_that_fails_and_happened_is_answered_as_done(box: Box) -> None:
    FailingCommits(box, commits=True)
    assert box.submit("j").job.job_id == "j"
    assert box.health == []
    assert [news.job_id for news in box.news] == ["j"]


def test_a_commit_that_fails_is_answered_as_not_done(box: Box) -> None:
    FailingCommits(box, commits=False)
    with pytest.raises(StorageUnavailableError) as away:
        box.submit("j")
    assert away.value.retry_delay
    assert box.store.job_get("j", payloads=False) is None
    assert box.news == []


def test_a_claim_that_was_taken_for_failed_is_found(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.submit()
    FailingCommits(box, commits=True)
    with monkeypatch.context() as blind:
        nobody_can_look(blind)
        with pytest.raises(StorageUnavailableError):
            box.claims()
    assert box.job().state is JobState.RUNNING
    ((fence, state),) = box.store.runs_of("test").items()
    assert (fence.job_id, state) == ("j", JobState.RUNNING)
    assert box.store.runs_of("another") == {}


def test_runs_of_a_worker(box: Box) -> None:
    claims = [box.running(job_id) for job_id in ("a", "b", "c")]
    box.store.job_cancel("b", reason="", etag="", grace_period=10).result()
    box.end(claims[2], JobState.PENDING)
    assert box.store.runs_of("test") == {claims[0].fence: JobState.RUNNING, claims[1].fence: JobState.CANCELLING}


def told(what: str, **fields: Any) -> RunUpdate:
    return RunUpdate(events=[EventDraft(what.encode(), False)], **fields)


def test_a_write_that_was_lost_takes_those_behind_it_along(box: Box) -> None:
    """A log has no holes: who saw a step finish has seen it start."""
    fence = box.running().fence
    gate = threading.Event()
    hold = box.store._writer.submit(lambda _: gate.wait(30))  # type: ignore[attr-defined]
    first = box.store.run_write(fence, told("first"))
    FailingCommits(box, commits=False)
    # It is queued when the first one fails, and carried out when the database is back.
    first.on_failure(lambda _: after.append(box.store.run_write(fence, told("second", after=first))))
    after: list[Any] = []
    gate.set()
    with pytest.raises(StorageUnavailableError):
        first.result()
    with pytest.raises(StorageUnavailableError):
        after[0].result()
    box.store.run_write(fence, told("third")).result()
    assert hold is not None
    assert box.log()[-1] == "third"
    assert "second" not in box.log()


def test_all_that_stand_behind_a_lost_write_are_lost_with_it(box: Box) -> None:
    """Also those that are carried out in one batch: the second is not yet answered then, and the third is told."""
    fence = box.running().fence
    gate = threading.Event()
    box.store._writer.submit(lambda _: gate.wait(30))  # type: ignore[attr-defined]
    first = box.store.run_write(fence, told("first"))
    FailingCommits(box, commits=False)
    behind: list[Any] = [first]

    def queue_two(_: Exception) -> None:
        for what in ("second", "third"):
            behind.append(box.store.run_write(fence, told(what, after=behind[-1])))

    first.on_failure(queue_two)
    gate.set()
    with pytest.raises(StorageUnavailableError):
        first.result()
    for write in behind:
        with pytest.raises(StorageUnavailableError):
            write.result()
    assert not {"first", "second", "third"} & set(box.log())


def test_a_write_behind_one_that_fails_in_the_same_batch_fails_too(box: Box) -> None:
    fence = box.running().fence
    gate = threading.Event()
    box.store._writer.submit(lambda _: gate.wait(30))  # type: ignore[attr-defined]
    stale = box.store.run_write(Fence("j", "another"), told("first"))
    behind = box.store.run_write(fence, told("second", after=stale))
    gate.set()
    for write in (stale, behind):
        with pytest.raises(StaleRunError):
            write.result()
    assert "second" not in box.log()


def test_a_write_behind_one_that_is_stored_is_stored(box: Box) -> None:
    fence = box.running().fence
    first = box.store.run_write(fence, told("first"))
    second = box.store.run_write(fence, told("second", after=first))
    box.store.run_write(fence, told("third", after=second)).result()
    assert box.log()[-3:] == ["first", "second", "third"]
    with pytest.raises(StaleRunError):
        box.store.run_write(Fence("j", "another"), told("fourth", after=second)).result()


def removed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    removed(path)
    path.write_bytes(path.with_name("elsewhere").read_bytes())


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize(("take_away", "says"), [(removed, "was removed"), (replaced, "another file")])
def test_a_file_that_is_taken_away_is_an_outage(
    box: Box, suffix: str, take_away: Callable[[Path], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopilot_server.storage.writer.RETRY_SECONDS", 0.01)
    box.submit("before")
    memory = open_memory(box.url)
    path = Path(f"{database(box)}{suffix}")
    take_away(path)
    for call in (
        lambda: box.submit("during"),
        lambda: box.job("before"),
        lambda: box.store.runs_of("test"),
        lambda: memory.put(("a",), "k", {"v": 1}),
    ):
        with pytest.raises(StorageUnavailableError, match=says) as away:
            call()
        assert away.value.retry_delay
    assert box.health == [False]
    assert path.exists() == (take_away is replaced)
    back = threading.Event()
    box.store._writer._on_health = lambda healthy: back.set() if healthy else None  # type: ignore[attr-defined]
    path.with_name("elsewhere").rename(path)
    # Without anybody writing: the writer itself looks.
    assert back.wait(20)
    box.submit("after")
    memory.put(("a",), "k", {"v": 2})
    assert box.job("before").state is JobState.PENDING
    assert box.store.job_get("during", payloads=False) is None
    box.reopen()
    assert box.job("after").state is JobState.PENDING


def test_a_read_that_fails_is_enough_for_health_to_turn(box: Box) -> None:
    """Who cannot read comes to no write."""
    turned = threading.Event()
    box.store._writer._on_health = lambda healthy: healthy or turned.set()  # type: ignore[attr-defined]
    path = database(box)
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(StorageUnavailableError):
        box.store.job_get("j", payloads=False)
    assert turned.wait(20)


def test_a_file_that_goes_while_it_is_written_is_not_answered_as_done(box: Box) -> None:
    box.submit("before")
    path = database(box)
    write = box.store._writer.submit(lambda _: removed(path))  # type: ignore[attr-defined]
    with pytest.raises(StorageUnavailableError, match="was removed"):
        write.result()
    path.with_name("elsewhere").rename(path)
    box.submit("after")


def test_a_read_tells_its_own_error_when_its_transaction_is_gone(box: Box) -> None:
    def query(snapshot: Snapshot) -> None:
        snapshot.rows(Statement(sqlite="ROLLBACK"))
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    with pytest.raises(StorageUnavailableError, match="reports errors"):
        box.store._readers.read(query)  # type: ignore[attr-defined]
    box.submit()
    assert box.log()


def test_the_memory_lets_go_of_the_lock_when_it_cannot_commit(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot_server.storage.sqlite.connections.BUSY_SECONDS", 0.01)
    memory = open_memory(box.url)
    foreign = sqlite3.connect(database(box), isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError, match="locked by another process"):
        memory.put(("a",), "k", {"v": 1})
    assert not memory.conn.in_transaction
    foreign.execute("ROLLBACK")
    foreign.close()
    memory.put(("a",), "k", {"v": 2})
    box.submit()


def test_a_database_that_is_damaged_is_refused_in_one_line(box: Box) -> None:
    box.submit()
    box.store.close()
    path = database(box)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(StartupError, match="cannot use the database") as refused:
        box.open()
    assert "\n" not in str(refused.value)
    # Nothing holds the file any more.
    path.write_bytes(content)
    box.open()
    assert box.job().state is JobState.PENDING


def test_the_memory_writes_behind_what_it_has_read(box: Box) -> None:
    """Nobody commits in between: SQLite would refuse its write at once."""
    memory = open_memory(box.url)
    memory.put(("a",), "k", {"v": 1})
    foreign = sqlite3.connect(database(box), isolation_level=None, timeout=0)
    refused: list[str] = []

    def in_between(statement: str) -> None:
        if statement.lstrip().startswith(("SELECT", "UPDATE")) and not refused:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                foreign.execute("BEGIN IMMEDIATE")
            refused.append(statement)

    memory.conn.set_trace_callback(in_between)
    assert [item.value for item in memory.search(("a",))] == [{"v": 1}]
    assert refused
    foreign.close()


def test_a_write_that_meets_the_shutdown_is_answered(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the store is closed between the look whether it is and the place in the queue."""
    writer = box.store._writer  # type: ignore[attr-defined]
    closer = threading.Thread(target=writer.close)
    real = writer._queue

    class Queue:
        def put(self, write: object) -> None:
            if write is not None:
                closer.start()
                # It ends within this time when nothing holds it up.
                closer.join(timeout=0.5)
            real.put(write)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    monkeypatch.setattr(writer, "_queue", Queue())
    write = box.store.probe()
    closer.join()
    assert write._done  # type: ignore[attr-defined]


def test_a_listener_that_fails_keeps_nobody_from_hearing(box: Box) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("loop is closed")

    doorbell, heard = Doorbell(), []
    doorbell.subscribe(fails)
    doorbell.subscribe(heard.extend)
    doorbell.ring([News("j", JobState.PENDING)])
    assert [news.job_id for news in heard] == ["j"]
    claim = box.running()
    box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    write = box.store.run_write(claim.fence, RunUpdate())
    write.on_failure(fails)
    # The writer lives on, and the next one is answered.
    assert box.submit("k").job.job_id == "k"
