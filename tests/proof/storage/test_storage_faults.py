"""The database goes away under a running server, in every way that we could think of, and comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.proof.conftest import Tried
from tests.proof.storage.faults import (
    FailingDisk,
    ForeignWriter,
    NotPossibleError,
    ReadOnlyFiles,
    SizeLimit,
    SmallDisk,
    TakenAway,
)
from tests.proof.storage.torment import Torment


@pytest.fixture
def torment(tmp_path: Path) -> Torment:
    return Torment(tmp_path)


@contextmanager
def _or_skip() -> Iterator[None]:
    try:
        yield
    except NotPossibleError as error:
        pytest.skip(str(error))


def test_a_full_disk(torment: Torment, tried: Tried) -> None:
    with _or_skip():
        disk = SmallDisk(torment.folder / "disk", megabytes=24)
    try:
        with torment.server(place=disk.folder) as server:
            assert "disk is full" in torment.run(server, disk, payload_bytes=100_000)
    finally:
        disk.unmount()
    tried(storage_faults=1)


def test_files_that_may_not_grow(torment: Torment, tried: Tried) -> None:
    with torment.server() as server:
        assert "disk" in torment.run(server, SizeLimit(server), payload_bytes=100_000)
    tried(storage_faults=1)


def test_files_that_may_not_be_written(torment: Torment, tried: Tried) -> None:
    with torment.server() as server, _or_skip():
        torment.run(server, ReadOnlyFiles(server))
    tried(storage_faults=1)


def test_a_foreign_writer_that_does_not_let_go(torment: Torment, tried: Tried) -> None:
    with torment.server() as server:
        assert "locked by another process" in torment.run(server, ForeignWriter(server))
    tried(storage_faults=1)


@pytest.mark.parametrize(
    "order", ["pwrite EIO", "pwrite ENOSPC", "pwrite TORN", "sync EIO", "sync ENOSPC", "pread EIO pwrite EIO sync EIO"]
)
def test_a_disk_that_fails(order: str, torment: Torment, tried: Tried) -> None:
    with _or_skip():
        disk = FailingDisk(torment.folder, torment.folder / "jobs.db", order)
    with torment.server(environment=disk.environment) as server:
        torment.run(server, disk)
    tried(storage_faults=1)


@pytest.mark.parametrize("what", ["the database", "its log", "both", "the database, and something else is there"])
def test_files_that_are_taken_away_and_brought_back(what: str, torment: Torment, tried: Tried) -> None:
    """SQLite itself would go on in the files that nobody can find any more."""
    with torment.server() as server:
        database, wal = server.files
        files = {"its log": [wal], "both": [database, wal]}.get(what, [database])
        put_there = (lambda path: path.write_bytes(b"?" * 10_000)) if "else" in what else None
        log = torment.run(server, TakenAway(files, put_there=put_there))
        assert ("another file" if put_there else "removed") in log
    tried(storage_faults=1)


@pytest.mark.parametrize("order", ["sync EIO", "pwrite TORN"])
def test_a_server_that_is_killed_while_its_disk_fails(order: str, torment: Torment, tried: Tried) -> None:
    """The frames of a commit whose sync failed lie in the log: the next start may find them, and nothing is lost."""
    with _or_skip():
        disk = FailingDisk(torment.folder, torment.folder / "jobs.db", order)
    with torment.server(environment=disk.environment) as server:
        torment.run_killed(server, disk)
    tried(storage_faults=1, kills=1)


def test_a_disk_that_is_read_only_from_the_start(torment: Torment) -> None:
    with _or_skip():
        disk = SmallDisk(torment.folder / "disk", megabytes=8)
    try:
        server = torment.server(place=disk.folder)
        with server:
            assert server.terminate() == 0
        disk.make_read_only()
        assert server.start_or_die() == ""
        assert server.wait_for_death() == 2
        said = server.log.read_text().splitlines()[-1]
        assert said.startswith("autopilot: cannot write beside the database")
    finally:
        disk.unmount()
