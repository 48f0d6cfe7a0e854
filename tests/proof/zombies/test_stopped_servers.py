"""A server process that is stopped (SIGSTOP), while another one takes its database over, and that wakes up late."""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import JobState, StateChanged

from tests.proof.conftest import Tried
from tests.proof.server import ServerProcess
from tests.proof.zombies.dumps import MEMORY, differences, dump
from tests.proof.zombies.graphs import deeds_of
from tests.proof.zombies.zombies import Graveyard, appears, write_config
from tests.waiting import wait_until

# --- where a process stops itself ------------------------------------------------------------------------------------


def _stop_once(trigger: Path) -> None:
    """Stop this whole process, the first time that somebody comes here after the trigger was made."""
    try:
        trigger.unlink()
    except FileNotFoundError:
        return
    # To this thread, which then does not come a step further. Of a signal to the process another thread may be told
    # first, and this one would go on until that has its turn.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def stop_before_the_write_is_queued(trigger: Path) -> None:
    from autopilot_server.storage.sqlite.store import SqliteStore
    from autopilot_server.storage.sqlite.writer import Writer

    run_write, commit = SqliteStore.run_write, Writer._commit
    # Stopped in a transaction of something else, it would keep every other process from writing.
    between_transactions = threading.Lock()

    def stopping(self: Any, fence: Any, update: Any) -> Any:
        if update.checkpoint is not None:
            with between_transactions:
                _stop_once(trigger)
        return run_write(self, fence, update)

    def committing(self: Any, batch: Any) -> None:
        with between_transactions:
            commit(self, batch)

    SqliteStore.run_write = stopping  # type: ignore[method-assign]
    Writer._commit = committing  # type: ignore[method-assign]


def stop_inside_the_transaction(trigger: Path) -> None:
    from autopilot_server.storage.runs import Runs

    write = Runs.write

    def stopping(self: Any, transaction: Any, fence: Any, update: Any) -> None:
        write(self, transaction, fence, update)
        if update.checkpoint is not None:
            _stop_once(trigger)

    Runs.write = stopping  # type: ignore[method-assign]


def stop_after_the_commit(trigger: Path) -> None:
    from autopilot_server.storage.runs import Runs
    from autopilot_server.storage.sqlite.writer import Writer

    write, settle = Runs.write, Writer._settle
    wrote: list[bool] = []

    def noting(self: Any, transaction: Any, fence: Any, update: Any) -> None:
        write(self, transaction, fence, update)
        if update.checkpoint is not None:
            wrote.append(True)

    def stopping(batch: Any) -> None:
        if wrote:
            wrote.clear()
            _stop_once(trigger)
        settle(batch)

    Runs.write = noting  # type: ignore[method-assign]
    Writer._settle = staticmethod(stopping)  # type: ignore[method-assign]


# --- two servers on one database -------------------------------------------------------------------------------------


class Pair:
    """A server, and another one that is to take its database over."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, write_config(folder)
        self.servers: list[ServerProcess] = []

    def server(self, sabotage: Any = None) -> ServerProcess:
        server = ServerProcess(self.folder, config=self.config, sabotage=sabotage)
        self.servers.append(server)
        return server

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def lose_the_lock(self) -> None:
        """What an operator does who takes the lock file for a leftover."""
        (self.folder / "jobs.db.lock").unlink()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def _is_stopped(server: ServerProcess) -> bool:
    state = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def _begin(server: ServerProcess, kind: str, folder: Path) -> str:
    """A job that stands in its step, and will act when it comes back."""
    folder.mkdir()
    (folder / "acts-1").touch()
    with server.client() as client:
        job_id = client.submit(kind, {"trail": []}, context={"folder": str(folder)}).job_id
    appears(folder / "hold-holding-1")
    return job_id


def _stop(server: ServerProcess) -> None:
    """Stop it where it does not hold the write lock of the database: there nobody could take it over."""
    while True:
        server.signal(signal.SIGSTOP)
        wait_until(lambda: _is_stopped(server), lambda: "the stop")
        if _can_be_written(server.database):
            return
        server.signal(signal.SIGCONT)


def _can_be_written(database: Path) -> bool:
    connection = sqlite3.connect(database, timeout=0.1, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def _refused(server: ServerProcess) -> str:
    """Try to start a server that must not start: what it says."""
    said = len(server.log.read_text())
    assert server.start_or_die() == ""
    assert server.wait_for_death() == 2
    return server.log.read_text()[said:]


@pytest.mark.parametrize("kind", ["sync", "stubborn"])
def test_a_stopped_server_keeps_its_database(pair: Pair, tmp_path: Path, kind: str) -> None:
    """As long as the lock file is there nobody takes it over; the server goes on when it wakes up."""
    first = pair.server()
    first.start()
    job_id = _begin(first, kind, tmp_path / "job")
    _stop(first)
    assert f"in use by another server (process {first.pid})" in _refused(pair.server())
    first.signal(signal.SIGCONT)
    for step in ("hold", "rest"):
        (tmp_path / "job" / f"{step}-back-1").touch()
    with first.client() as client:
        job = client.get(job_id, wait=60)
        assert job.state is JobState.SUCCEEDED
        assert job.attempt == 1


def _take_over(pair: Pair, first: ServerProcess, job_id: str, step: str) -> ServerProcess:
    """Start another server, whatever the lock says, and wait until the job stands in its step there."""
    assert "in use by another server" in _refused(pair.server())
    pair.lose_the_lock()
    second = pair.server()
    second.start()
    graveyard = Graveyard(second, pair.folder)
    graveyard.stands(job_id, pair.folder / "job", 2, step)
    graveyard.close()
    return second


def _wakes_up_and_changes_nothing(pair: Pair, first: ServerProcess, *files: str) -> None:
    """Whatever the first server still has to do, it does, up to an orderly end. `files` tell that its step did."""
    before = dump(first.database, without=MEMORY)
    first.signal(signal.SIGCONT)
    for step in ("hold", "rest"):
        (pair.folder / "job" / f"{step}-back-1").touch()
    for name in ("over-1", *files):
        appears(pair.folder / "job" / name)
    assert first.terminate() == 0
    assert differences(before, dump(first.database, without=MEMORY)) == []


def _ends_in_the_second(pair: Pair, second: ServerProcess, job_id: str, trail: list[str]) -> None:
    for step in ("hold", "rest"):
        (pair.folder / "job" / f"{step}-back-2").touch()
    with second.client() as client:
        job = client.get(job_id, wait=60)
        assert job.state is JobState.SUCCEEDED, job
        assert job.output["trail"] == trail
        moves = [e.kind.to_state for e in client.watch(job_id) if isinstance(e.kind, StateChanged)]
        assert moves == [JobState.PENDING, JobState.RUNNING, JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED]
    graveyard = Graveyard(second, pair.folder)
    graveyard.check_log(job_id)
    graveyard.close()


@pytest.mark.parametrize("kind", ["sync", "stubborn", "sync_beside", "stubborn_beside"])
def test_a_server_that_was_stopped_in_a_step(pair: Pair, tmp_path: Path, kind: str, tried: Tried) -> None:
    """Its lock file was deleted and its job taken over: its step comes back and does all that a step can do."""
    first = pair.server()
    first.start()
    job_id = _begin(first, kind, tmp_path / "job")
    _stop(first)
    second = _take_over(pair, first, job_id, "hold")
    _wakes_up_and_changes_nothing(pair, first, "hold-deeds-1")
    deeds = deeds_of(tmp_path / "job" / "hold-deeds-1")
    assert deeds["memory"] == "done"
    assert {deeds[deed] for deed in ("subgraph", "update_state", "checkpoint")} == {"StaleRunError"}
    quick = ["quick"] if "beside" in kind else []
    _ends_in_the_second(pair, second, job_id, ["before", "hold-2", *quick, "rest-2", "after"])
    tried(stopped_servers=1)


@pytest.mark.parametrize(
    ("sabotage", "step"), [(stop_before_the_write_is_queued, "hold"), (stop_after_the_commit, "rest")]
)
def test_a_server_that_was_stopped_at_a_checkpoint(
    pair: Pair, tmp_path: Path, sabotage: Any, step: str, tried: Tried
) -> None:
    """Before its write was queued, and between the commit and its answer: what is not stored runs again, what is
    stored does not."""
    trigger = tmp_path / "stop now"
    first = pair.server(partial(sabotage, trigger))
    first.start()
    job_id = _begin(first, "stubborn", tmp_path / "job")
    (tmp_path / "job" / "acts-1").unlink()
    trigger.touch()
    (tmp_path / "job" / "hold-back-1").touch()
    wait_until(lambda: _is_stopped(first), lambda: "the stop")
    second = _take_over(pair, first, job_id, step)
    _wakes_up_and_changes_nothing(pair, first)
    done_by = {"hold": 2, "rest": 1}[step]
    _ends_in_the_second(pair, second, job_id, ["before", f"hold-{done_by}", "rest-2", "after"])
    tried(stopped_servers=1)


def test_a_server_that_was_stopped_inside_a_transaction(pair: Pair, tmp_path: Path, tried: Tried) -> None:
    """It holds the database's own write lock: nobody can take it over, lock file or not, and nothing is torn."""
    trigger = tmp_path / "stop now"
    first = pair.server(partial(stop_inside_the_transaction, trigger))
    first.start()
    job_id = _begin(first, "stubborn", tmp_path / "job")
    (tmp_path / "job" / "acts-1").unlink()
    trigger.touch()
    (tmp_path / "job" / "hold-back-1").touch()
    wait_until(lambda: _is_stopped(first), lambda: "the stop")
    pair.lose_the_lock()
    before = dump(first.database)
    assert "database is locked" in _refused(pair.server())
    assert differences(before, dump(first.database)) == []
    first.signal(signal.SIGCONT)
    (tmp_path / "job" / "rest-back-1").touch()
    with first.client() as client:
        job = client.get(job_id, wait=60)
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    tried(stopped_servers=1)


def test_two_servers_that_are_awake(pair: Pair, tmp_path: Path, tried: Tried) -> None:
    """The first wakes up and goes on to serve: each job is claimed once, whoever claims it, and runs once."""
    first = pair.server()
    first.start()
    job_id = _begin(first, "stubborn", tmp_path / "job")
    _stop(first)
    second = _take_over(pair, first, job_id, "hold")
    first.signal(signal.SIGCONT)
    with first.client() as one, second.client() as other:
        jobs = []
        for number in range(40):
            folder = tmp_path / f"new-{number}"
            folder.mkdir()
            for step in ("hold", "rest"):
                (folder / f"{step}-back-1").touch()
            client = (one, other)[number % 2]
            jobs.append(client.submit("stubborn", {"trail": []}, context={"folder": str(folder)}).job_id)
        for new in jobs:
            job = other.get(new, wait=60)
            assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1), job
            assert job.output["trail"] == ["before", "hold-1", "rest-1", "after"]
        # Cancel and deadlines are facts of the database: either server may be told.
        assert one.cancel(job_id, grace_period=0.05).state is JobState.CANCELLING
        assert other.get(job_id, wait=60).state is JobState.CANCELLED
    tried(jobs_on_two_servers=40)


def test_a_copy_is_another_database(pair: Pair, tmp_path: Path) -> None:
    """A database that was copied away while its server was stopped has jobs of its own from then on."""
    first = pair.server()
    first.start()
    job_id = _begin(first, "stubborn", tmp_path / "job")
    _stop(first)
    away = tmp_path / "away"
    away.mkdir()
    for name in ("jobs.db", "jobs.db-wal"):
        (away / name).write_bytes((tmp_path / name).read_bytes())
    second = ServerProcess(away, config=pair.config)
    pair.servers.append(second)
    second.start()
    graveyard = Graveyard(second, away)
    graveyard.stands(job_id, tmp_path / "job", 2)
    before = dump(second.database, without=MEMORY)
    first.signal(signal.SIGCONT)
    for step in ("hold", "rest"):
        (tmp_path / "job" / f"{step}-back-1").touch()
    with first.client() as client:
        assert client.get(job_id, wait=60).state is JobState.SUCCEEDED
    assert differences(before, dump(second.database, without=MEMORY)) == []
    graveyard.close()
