"""Files that a power loss has torn, that are damaged, or copied while a server uses them."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc

from tests.proof.conftest import Tried
from tests.proof.histories.checkers import check
from tests.proof.histories.history import History, JobRecord
from tests.proof.histories.recording import TEXT
from tests.proof.histories.states import FINISHED, INTERRUPTED
from tests.proof.seed import LONG
from tests.proof.storage.faults import FailingDisk, NotPossibleError, TormentedServer, online_backup
from tests.proof.storage.torment import REFUSALS, Torment, interrupted_work, quiet, under_way
from tests.proof.storage.witness import NOT_SERVING, Health, Witness
from tests.proof.storage.write_ahead_log import HEADER, TAILS, WriteAheadLog


@pytest.fixture
def torment(tmp_path: Path) -> Torment:
    return Torment(tmp_path)


def test_power_losses_leave_torn_logs(torment: Torment, tried: Tried) -> None:
    """Killed, and behind its last commit lies what a power loss leaves: nobody sees it, and nothing else is lost."""
    torn = 0
    with torment.server() as server:
        work = torment.workload(server)
        work.start()
        for tail in TAILS.values():
            work.finished.wait(torment.rng.uniform(0.05, 0.5))
            with work.history.server_away():
                server.kill()
                if (wal := server.files[1]).exists() and wal.stat().st_size > HEADER:
                    log = WriteAheadLog(wal)
                    log.leave_behind(tail(log, torment.rng))
                    torn += 1
                server.start()
        assert work.finished.wait(240)
        torment.judge(work.end())
    assert torn
    tried(torn_logs=torn, kills=len(TAILS))


POWER_LOSSES = 4


def test_power_losses_take_what_was_not_synced(torment: Torment, tried: Tried) -> None:
    """Each file is as it was at its last sync, and not as it was written: whatever was answered and shown is in it."""
    try:
        disk = FailingDisk(torment.folder, torment.folder / "jobs.db", "sync KEEP")
    except NotPossibleError as error:
        pytest.skip(str(error))
    disk.begin()
    with torment.server(environment=disk.environment) as server:
        # Whoever has the database open keeps in memory what its log holds: no power loss leaves anybody.
        work = torment.workload(server, looks_into_the_database=False)
        work.start()
        for _ in range(POWER_LOSSES):
            work.finished.wait(torment.rng.uniform(0.05, 0.5))
            with work.history.server_away():
                server.kill()
                _lose_power(server)
                server.start()
        assert work.finished.wait(240)
        torment.judge(work.end())
    tried(power_losses=POWER_LOSSES)


def _lose_power(server: TormentedServer) -> None:
    for path in server.files:
        path.unlink(missing_ok=True)
        if (synced := path.with_name(f"{path.name}.synced")).exists():
            shutil.copy(synced, path)
    server.database.with_name("jobs.db-shm").unlink(missing_ok=True)


def test_a_log_that_has_lost_its_end(torment: Torment, tried: Tried) -> None:
    """As after a disk that lied about its syncs: the server goes on from the last transaction that is whole."""
    with torment.server() as server:
        interrupted_work(torment, server)
        # It may have died just when SQLite began the log anew.
        while not (log := WriteAheadLog(server.files[1])).commits:
            server.start()
            interrupted_work(torment, server)
    places = [end + more for end in log.commits[-3:] for more in (-1, -log.frame // 2, 0)]
    for number, place in enumerate(places if LONG else torment.rng.sample(places, 3)):
        copy = _copied(torment, server.files, f"torn-{number}")
        os.truncate(copy.files[1], place)
        _goes_on(copy)
        tried(torn_logs=1)


def test_a_database_that_is_damaged(torment: Torment, tried: Tried) -> None:
    """Nobody can mend it: the server says so in a line and does not start, or it answers UNAVAILABLE."""
    with torment.server() as server:
        interrupted_work(torment, server)
    with sqlite3.connect(server.database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = server.database.stat().st_size
    for number in range(40 if LONG else 6):
        copy = _copied(torment, server.files[:1], f"damaged-{number}")
        place = 0 if number == 0 else torment.rng.randrange(1, size // 4096) * 4096
        with copy.database.open("r+b") as file:
            file.seek(place)
            file.write(torment.rng.randbytes(4096))
        _says_that_it_is_damaged(copy)
        tried(damaged_databases=1)


def _says_that_it_is_damaged(server: TormentedServer) -> None:
    line = server.start_or_die()
    if not line:
        assert server.wait_for_death() == 2
        said = server.log.read_text().splitlines()[-1]
        assert said.startswith("autopilot: cannot use the database")
    else:
        with grpc.insecure_channel(server.address) as channel:
            witness = Witness(channel, payload_bytes=10)
            witness.wait_for_calls(20)
            witness.end()
        assert not witness.strange
        assert server.is_alive()
        server.close()
    quiet(server)


def test_a_log_that_was_deleted_is_in_the_file_after_an_orderly_stop(torment: Torment) -> None:
    """What it held is not lost while the server lives, which has it open."""
    with torment.server() as server:
        with grpc.insecure_channel(server.address) as channel:
            health, witness = Health(channel), Witness(channel, payload_bytes=10_000)
            witness.wait_for_answers(20)
            server.files[1].unlink()
            health.wait_for(NOT_SERVING)
            witness.wait_for_refusals(REFUSALS)
            witness.end()
            health.close()
        assert server.terminate() == 0
        server.start()
        with grpc.insecure_channel(server.address) as channel:
            assert not witness.strange
            assert not witness.lost(channel)


def test_copies_of_a_database_that_is_in_use(torment: Torment, tried: Tried) -> None:
    """By SQLite's own means, and by a snapshot of the file system: a second server goes on from each."""
    with torment.server() as server:
        work = torment.workload(server)
        work.start()
        under_way(server)
        backup = torment.second_server("backup")
        online_backup(server.database, backup.database)
        server.signal(signal.SIGSTOP)
        snapshot = _copied(torment, server.files, "snapshot")
        server.signal(signal.SIGCONT)
        assert work.finished.wait(240)
        torment.judge(work.end())
    for copy in (backup, snapshot):
        _goes_on(copy)
    tried(copies=2)


def _copied(torment: Torment, files: Sequence[Path], name: str) -> TormentedServer:
    server = torment.second_server(name)
    for path in files:
        if path.exists():
            shutil.copy(path, server.folder / path.name)
    return server


# Nobody answers a copy's questions; its jobs were resumed, and steps of them ran, at the server that it was taken from.
_NOT_OF_COPIES = ("jobs_come_to_their_end", "resumes_happen_once", "steps_run_at_least_once")


def _goes_on(server: TormentedServer) -> None:
    """A server on this database runs the jobs that it finds there, and their logs are as logs are."""
    before = {row[0]: row[1:] for row in _rows(server, "SELECT job_id, state, latest_sequence FROM jobs")}
    with server:
        records = {}
        with grpc.insecure_channel(server.address) as channel:
            stub = job_service_pb2_grpc.JobServiceStub(channel)
            for job_id in before:
                records[job_id] = _at_rest(stub, job_id)
        assert server.terminate() == 0
    found = check(History(jobs=records))
    assert not {name: what for name, what in found.items() if name not in _NOT_OF_COPIES}, server.folder
    for job_id, (_, latest) in before.items():
        assert records[job_id].parsed().latest_sequence >= latest
    quiet(server)


def _rows(server: TormentedServer, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(server.database) as connection:
        rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def _at_rest(stub: Any, job_id: str) -> JobRecord:
    request = job_service_pb2.GetStatusRequest(job_id=job_id, payload_format=TEXT)
    request.wait_timeout.FromSeconds(120)
    job = stub.GetStatus(request).job
    assert job.state in FINISHED | {INTERRUPTED}, job
    watch = job_service_pb2.WatchProgressRequest(job_id=job_id, payload_format=TEXT, stop_when_caught_up=True)
    log = tuple(event.SerializeToString() for message in stub.WatchProgress(watch) for event in message.events)
    return JobRecord(job=job.SerializeToString(), log=log)
