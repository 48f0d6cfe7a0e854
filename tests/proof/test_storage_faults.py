"""The database goes away under a running server, in every way that we could think of, and comes back."""

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.proof import recording, workload
from tests.proof.checkers import check
from tests.proof.conftest import Tried
from tests.proof.faults import (
    FailingDisk,
    Fault,
    ForeignWriter,
    NotPossibleError,
    ReadOnlyFiles,
    SizeLimit,
    SmallDisk,
    TormentedServer,
)
from tests.proof.histories import History
from tests.proof.random_graphs import Outcome
from tests.proof.witness import NOT_SERVING, SERVING, Health, Witness
from tests.proof.workload import OPTIONS, Workload, outcomes, write_config

SEED = int(os.environ.get("AUTOPILOT_PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
LONG = bool(os.environ.get("AUTOPILOT_PROOF_LONG"))
JOBS = 40

# Calls that were refused while a fault lasted, before it ends.
REFUSALS = 30 if LONG else 5


class Torment:
    """A server, clients that work with it, and witnesses of what happens to it."""

    def __init__(self, folder: Path) -> None:
        print(f"AUTOPILOT_PROOF_SEED={SEED}")
        self.folder, self._rng = folder, random.Random(SEED)
        seeds = self._rng.sample(range(1000), 15)
        self._expected: dict[int, Outcome] = outcomes(folder, seeds)
        self.config = write_config(folder, seeds)

    def server(self, **options: object) -> TormentedServer:
        return TormentedServer(self.folder, config=self.config, options=OPTIONS, **options)  # type: ignore[arg-type]

    def workload(self, server: TormentedServer) -> Workload:
        return Workload(
            address=server.address,
            database=server.database,
            folder=self.folder,
            outcomes=self._expected,
            jobs=JOBS,
            watchers=8,
            rng=self._rng,
        )

    def run(self, server: TormentedServer, fault: Fault, *, payload_bytes: int = 2000) -> str:
        """The whole story of one fault. The server's log."""
        work = self.workload(server)
        with grpc.insecure_channel(server.address) as channel:
            health, witness = Health(channel), Witness(channel, payload_bytes=payload_bytes)
            health.wait_for(SERVING)
            work.start()
            witness.wait_for_answers(5)
            fault.begin()
            health.wait_for(NOT_SERVING)
            witness.wait_for_refusals(REFUSALS)
            fault.end()
            health.wait_for(SERVING)
            witness.wait_for_answers(5)
            assert work.finished.wait(240), "jobs do not come to their end"
            history = work.end()
            witness.end()
            health.close()
            self._judge(history, witness)
        assert server.is_alive()
        assert server.terminate() == 0
        return _quiet(server)

    def _judge(self, history: History, witness: Witness) -> None:
        if found := check(history):
            history.save(self.folder / "history.jsonl")
        assert not found, self.folder
        assert not witness.strange
        assert not witness.lost()


def _quiet(server: TormentedServer) -> str:
    """The log, in which nothing is that an outage does not explain. (Workflows may raise, which is told as info.)"""
    log = server.log.read_text()
    errors = re.findall(r"^\S+ (?:error|critical) +(.*)", log, re.MULTILINE)
    assert [error for error in errors if not error.startswith("the database ")] == []
    assert "Exception in thread" not in log
    return log


@pytest.fixture
def torment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Torment:
    # Clients repeat their calls for as long as a fault may last.
    for module in (recording, workload):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 240)
    return Torment(tmp_path)


@contextmanager
def _or_skip() -> Iterator[None]:
    try:
        yield
    except NotPossibleError as error:
        pytest.skip(str(error))


@contextmanager
def _running(server: TormentedServer) -> Iterator[TormentedServer]:
    server.start()
    try:
        yield server
    finally:
        server.close()


def test_a_full_disk(torment: Torment, tried: Tried) -> None:
    with _or_skip():
        disk = SmallDisk(torment.folder / "disk", megabytes=24)
    try:
        with _running(torment.server(place=disk.folder)) as server:
            assert "disk is full" in torment.run(server, disk, payload_bytes=100_000)
    finally:
        disk.unmount()
    tried(storage_faults=1)


def test_files_that_may_not_grow(torment: Torment, tried: Tried) -> None:
    with _running(torment.server()) as server:
        assert "disk" in torment.run(server, SizeLimit(server), payload_bytes=100_000)
    tried(storage_faults=1)


def test_files_that_may_not_be_written(torment: Torment, tried: Tried) -> None:
    with _running(torment.server()) as server, _or_skip():
        torment.run(server, ReadOnlyFiles(server))
    tried(storage_faults=1)


def test_a_foreign_writer_that_does_not_let_go(torment: Torment, tried: Tried) -> None:
    with _running(torment.server()) as server:
        assert "locked by another process" in torment.run(server, ForeignWriter(server))
    tried(storage_faults=1)


@pytest.mark.parametrize(
    "order", ["pwrite EIO", "pwrite ENOSPC", "pwrite TORN", "sync EIO", "sync ENOSPC", "pread EIO pwrite EIO sync EIO"]
)
def test_a_disk_that_fails(order: str, torment: Torment, tried: Tried) -> None:
    with _or_skip():
        disk = FailingDisk(torment.folder, torment.folder / "jobs.db", order)
    with _running(torment.server(environment=disk.environment)) as server:
        torment.run(server, disk)
    tried(storage_faults=1)
