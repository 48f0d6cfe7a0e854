"""What is SQLite's own: group commit, faults of the file, a second server, other readers."""

import asyncio
import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from autopilot_server.doorbell import Doorbell, News, StoredEvent
from autopilot_server.jobs.errors import JobAlreadyExistsError, StartupError, StorageUnavailableError
from autopilot_server.jobs.job import JobFilter
from autopilot_server.jobs.states import JobState
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.sqlite.database_file import DatabaseFile
from autopilot_server.storage.sqlite.lock import InUseError, ServerLock
from autopilot_server.storage.sqlite.writer import Writer
from autopilot_server.storage.store import Resumption, RunUpdate
from autopilot_server.storage.transaction import Transaction
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from tests.storage.conftest import Box, put, row, workflow


@pytest.fixture
def box(sqlite_box: Box) -> Box:
    """SQLite's alone."""
    return sqlite_box


def database(box: Box) -> Path:
    return Path(box.url.removeprefix("sqlite:///"))


async def test_writes_that_wait_share_a_commit_and_fail_alone(box: Box) -> None:
    writes = [box.store.job_submit(box.submission(f"j{number % 50}")) for number in range(60)]
    results = await asyncio.gather(*(_outcome(write) for write in writes))
    assert [isinstance(result, JobAlreadyExistsError) for result in results] == [False] * 50 + [True] * 10
    assert len(box.store.job_list(JobFilter(), limit=100, after=None)) == 50


async def _outcome(write: object) -> object:
    try:
        return await write  # type: ignore[misc]
    except JobAlreadyExistsError as error:
        return error


def test_an_operation_that_fails_halfway_leaves_nothing_and_the_others_of_its_batch_are_there(box: Box) -> None:
    box.store.close()
    rung: list[News] = []
    doorbell = Doorbell()
    doorbell.subscribe(rung.extend)
    file = DatabaseFile(database(box))
    writer = Writer(
        file,
        doorbell=doorbell,
        clock=SteppedClock(wall=box.clock, steady=box.clock.steady),
        on_health=box.health.append,
        on_moves=box.moves.extend,
        observer=Observer(),
    )
    gate = threading.Event()

    statement = Statement(sqlite="INSERT INTO secrets (name, value) VALUES (:name, x'00')")

    def insert(name: str, fails: bool = False) -> Callable[[Transaction], None]:
        def operation(transaction: Transaction) -> None:
            transaction.execute(statement, {"name": name})
            transaction.tell(name, JobState.PENDING, [StoredEvent(1, b"", False)])
            if fails:
                raise ValueError(name)

        return operation

    # Whoever comes while the first one waits shares the next batch.
    first = writer.submit(lambda _: gate.wait(30))
    before, halfway, after = [writer.submit(insert(name, name == "halfway")) for name in ("a", "halfway", "b")]
    gate.set()
    assert first.result()
    before.result()
    after.result()
    with pytest.raises(ValueError, match="halfway"):
        halfway.result()
    writer.close()
    with sqlite3.connect(database(box)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM secrets ORDER BY name")]
    assert names == ["a", "b", "page_tokens"]
    assert [(news.job_id, len(news.events)) for news in rung] == [("a", 1), ("b", 1)]


def test_on_failure_is_told_once_and_late_too(box: Box) -> None:
    box.submit()
    told: list[Exception] = []
    write = box.store.job_submit(box.submission())
    write.on_failure(told.append)
    with pytest.raises(JobAlreadyExistsError):
        write.result()
    write.on_failure(told.append)
    assert [type(error) for error in told] == [JobAlreadyExistsError] * 2


def test_threads_that_end_leave_no_files_open(box: Box) -> None:
    folder = database(box).parent

    def read_on_a_thread() -> list[str]:
        thread = threading.Thread(target=box.job)
        thread.start()
        thread.join()
        return open_files(folder)

    box.submit()
    # SQLite keeps a file that another connection has locked, for the next one that opens it.
    first = read_on_a_thread()
    assert first
    assert [read_on_a_thread() for _ in range(5)] == [first] * 5


def _missing_folder(_monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.rmdir()


def _no_permission(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> None:
    # Root, as which tests often run, may open everything.
    monkeypatch.setattr(os, "open", _failing(errno.EACCES))


def _no_locks(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> None:
    """As some network file systems have none."""
    monkeypatch.setattr(fcntl, "flock", _failing(errno.ENOLCK))


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_missing_folder, "cannot write beside the database .*: No such file or directory"),
        (_no_permission, "cannot write beside the database .*: Permission denied"),
        (_no_locks, "cannot lock the database .*: No locks available"),
    ],
)
def test_a_lock_that_cannot_be_had_is_not_one_that_another_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch, Path], None],
    why: str,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with monkeypatch.context() as spoilt:
        spoil(spoilt, folder)
        with pytest.raises(StartupError, match=why) as refused:
            ServerLock(folder / "jobs.db")
    assert not isinstance(refused.value, InUseError)
    assert open_files(tmp_path) == []
    folder.mkdir(exist_ok=True)
    lock = ServerLock(folder / "jobs.db")
    with pytest.raises(InUseError, match=f"in use by another server .process {os.getpid()}"):
        ServerLock(folder / "jobs.db")
    assert open_files(tmp_path) == ["folder/jobs.db.lock"]
    lock.release()


def open_files(folder: Path) -> list[str]:
    """The names of the files below a folder that this process has open, one for each time.

    No others: what earlier tests have left to the garbage collector is closed whenever it comes by.
    """
    targets = []
    for number in os.listdir("/proc/self/fd"):
        # The one that lists them is gone by now, and others may be.
        with suppress(FileNotFoundError):
            targets.append(Path(os.readlink(f"/proc/self/fd/{number}")))
    return sorted(str(target.relative_to(folder)) for target in targets if target.is_relative_to(folder))


def test_everything_is_there_after_a_restart(box: Box) -> None:
    claim = box.running()
    box.end(claim, JobState.SUCCEEDED, output='{"x":1}')
    before, log = box.job(), box.log()
    box.reopen()
    assert box.job() == before
    assert box.log() == log


CHILD = """
import sys
from tests.storage.conftest import Box
box = Box(sys.argv[1])
for number in range(100000):
    write = box.store.job_submit(box.submission(f"j{number}"))
    write.result()
    print(number, flush=True)
"""


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert child.stdout is not None
    answered = [int(child.stdout.readline()) for _ in range(100)]
    child.send_signal(signal.SIGKILL)
    answered += [int(line) for line in child.stdout if line.endswith("\n")]
    child.wait()
    box = Box(url)
    for number in answered:
        assert box.store.job_get(f"j{number}", payloads=False) is not None
    box.store.close()


def test_a_second_server_is_refused_and_the_message_says_whom_to_stop(box: Box) -> None:
    with pytest.raises(StartupError, match=f"in use by another server \\(process {os.getpid()}\\)"):
        Box(box.url)
    with database(box).with_name("jobs.db.lock").open() as lock, pytest.raises(OSError, match="unavailable"):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_newer_database_is_refused(box: Box) -> None:
    box.store.close()
    with sqlite3.connect(database(box)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StartupError, match="newer version of Autopilot"):
        box.open()
    with sqlite3.connect(database(box)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    box.open()


@pytest.mark.parametrize("url", ["mysql://x", "sqlite:///", "sqlite://x", "jobs.db"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StartupError, match="sqlite:///PATH"):
        Box(url)


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot write beside the database"):
        Box(f"sqlite:///{tmp_path}/missing/jobs.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StartupError, match="cannot use the database"):
        Box(f"sqlite:///{tmp_path}/folder")
    (tmp_path / "text").write_text("this is no database, but long enough to be looked at" * 100)
    with pytest.raises(StartupError, match="not a database"):
        Box(f"sqlite:///{tmp_path}/text")


def test_a_foreign_writer_holds_up_writes_and_everything_recovers(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.store.close()
    monkeypatch.setattr("autopilot_server.storage.sqlite.writer.BUSY_SECONDS", 0.01)
    monkeypatch.setattr("autopilot_server.storage.writer.RETRY_SECONDS", 0.01)
    box.open()
    box.submit("before")
    foreign = sqlite3.connect(database(box), isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError) as away:
        box.submit("during")
    assert away.value.retry_delay
    assert "locked by another process" in away.value.message
    assert box.health == [False]
    # Reading goes on.
    assert box.job("before").state is JobState.PENDING
    back = threading.Event()
    box.store._writer._on_health = lambda healthy: back.set() if healthy else None  # type: ignore[attr-defined]
    foreign.execute("ROLLBACK")
    # Without anybody writing: the writer itself looks.
    assert back.wait(20)
    box.submit("after")
    assert box.store.job_get("during", payloads=False) is None
    foreign.close()


def test_a_full_disk_fails_writes_and_loses_nothing(box: Box) -> None:
    box.submit("before")
    box.store.probe().result()
    writer = box.store._writer  # type: ignore[attr-defined]
    # No page more than there are now: SQLite reports the disk as full.
    writer._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageUnavailableError, match="disk is full"):
        box.submit("during", input='"' + "x" * 1_000_000 + '"')
    box.store.probe()
    assert box.job("before").state is JobState.PENDING
    # The writer has opened the file anew, without the limit.
    box.submit("after", input='"' + "x" * 100_000 + '"')


def test_a_stock_saver_reads_our_checkpoints_and_we_read_its(box: Box) -> None:
    saver_of = SqliteSaver(sqlite3.connect(":memory:"))
    kind, data = saver_of.serde.dumps_typed(empty_checkpoint() | {"id": "c1", "channel_values": {"x": [1]}})
    claim = box.running()
    ours = row("j", "c1", parent="c0", step=3, source="loop")
    ours = type(ours)(**{name: getattr(ours, name) for name in ours.__slots__} | {"type": kind, "checkpoint": data})
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(ours))).result()
    with sqlite3.connect(database(box), check_same_thread=False) as connection:
        saver = SqliteSaver(connection)
        config = {"configurable": {"thread_id": "j", "checkpoint_ns": ""}}
        found = saver.get_tuple(config)  # type: ignore[arg-type]
        assert found is not None
        assert found.checkpoint["channel_values"] == {"x": [1]}
        assert found.metadata["step"] == 3
        assert len(list(saver.list(config))) == 1  # type: ignore[arg-type]
        checkpoint = empty_checkpoint() | {"id": "c2"}
        saver.put(config, checkpoint, {"source": "loop", "step": 4}, {})  # type: ignore[arg-type]
    newest = box.store.checkpoint_get("j", "", None)
    assert newest is not None
    assert newest.checkpoint_id == "c2"
    # A checkpoint that no job of ours wrote is not listed as one's.
    assert [c.checkpoint_id for c in box.store.checkpoints_list("j", limit=9, before=None)] == ["c1"]


def test_space_is_given_back(box: Box) -> None:
    for number in range(50):
        claim = box.running(f"j{number}", input='"' + "x" * 50_000 + '"')
        box.end(claim, JobState.SUCCEEDED, output="1")
    box.clock.advance(1000)
    while box.store.jobs_delete_expired(limit=10).result():
        pass
    left = box.store.space_reclaim(pages=100).result()
    assert left > 0
    while left:
        left = box.store.space_reclaim(pages=100).result()
    box.store.close()
    assert database(box).stat().st_size < 500_000
    box.open()


class Instructions:
    """Counts what SQLite's machine does in the writer and for readers: the same each time, however fast the machine."""

    def __init__(self, box: Box) -> None:
        self.box, self.count = box, 0
        self._watch(box.store._writer._connection)  # type: ignore[attr-defined]
        box.store._readers.read(lambda reading: self._watch(reading._connection))  # type: ignore[attr-defined]

    def _watch(self, connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(self._step, 10)

    def _step(self) -> None:
        self.count += 10

    def of(self, what: Callable[[], object]) -> int:
        before = self.count
        what()
        return self.count - before


def wait_in_vain(box: Box, count: int) -> None:
    """Jobs that nobody may claim, before one that may be claimed: of a full key, and of a full workflow."""
    box.publish(workflow("w", per_key=1), workflow("x", jobs=1))
    fields = [{"workflow": "w", "concurrency_key": "k"}, {"workflow": "x"}]
    box.end(box.running("asked", concurrency_key="k"), JobState.INTERRUPTED, interrupts=())
    for kind in fields:
        box.submit(f"{kind['workflow']}", **kind)
    assert len(box.claims(2, "w", "x")) == 2
    for number in range(count):
        for kind in fields:
            kind = {"priority": 9 * (number % 2), "unfinished_limit": 10 * count} | kind
            box.store.job_submit(box.submission(f"{kind['workflow']}-{number}", **kind))
    box.submit("other", unfinished_limit=10 * count)


def test_jobs_that_no_limit_lets_run_cost_claims_nothing(box: Box, tmp_path: Path) -> None:
    """A claim looks at no more of the index, and nor does what comes to a full key or leaves one."""
    costs: dict[int, dict[str, int]] = {}
    for count in (50, 2000):
        crowd = Box(f"sqlite:///{tmp_path}/{count}.db", box.sealer)
        wait_in_vain(crowd, count)
        cost = Instructions(crowd)
        claim = partial(crowd.claims, 16, "w", "x")
        costs[count] = {
            "a claim": cost.of(claim),
            "a claim of nothing": cost.of(claim),
            "when there is something": cost.of(lambda c=crowd: c.store.next_runnable_time({"w": "r", "x": "r"})),
            "since when": cost.of(crowd.store.oldest_ready_time),
            "one more": cost.of(lambda c=crowd: c.store.job_resume(Resumption(job_id="asked")).result()),
            "a place": cost.of(lambda c=crowd: c.store.job_cancel("w", reason="", etag="", grace_period=0).result()),
            "another place": cost.of(
                lambda c=crowd: c.store.job_cancel("x", reason="", etag="", grace_period=0).result()
            ),
            "a claim of both": cost.of(claim),
        }
        assert {crowd.job(name).state for name in ("other", "w-1", "x-1")} == {JobState.RUNNING}
        crowd.store.close()
    few, many = costs.values()
    assert all(few.values()), few
    # As deep as the tree of the index, which grows by a level.
    assert not {name: (few[name], many[name]) for name in few if many[name] > 1.3 * few[name] + 100}


def test_what_is_not_kept_makes_room_for_what_comes(box: Box) -> None:
    claim = box.running()
    for number in range(200):
        item = replace(row("j", f"c{number:04}"), checkpoint=os.urandom(100_000))
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(item, keep=3))).result()
    box.store.close()
    assert database(box).stat().st_size < 10 * 100_000
    box.open()


def test_deleting_writes_little(box: Box) -> None:
    """Also where SQLite was built to write zeros over what is deleted."""
    claim = box.running()
    for number in range(40):
        item = replace(row("j", f"c{number:04}"), checkpoint=os.urandom(250_000))
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(item))).result()
    with closing(sqlite3.connect(database(box))) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    box.end(claim, JobState.SUCCEEDED, output="1", keeps_newest=True)
    assert len(box.store.checkpoints_list("j", limit=99, before=None)) == 1
    assert Path(f"{database(box)}-wal").stat().st_size < 1_000_000
