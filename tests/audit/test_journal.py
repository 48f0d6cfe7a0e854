"""The audit's file: appended to, synced, moved away, torn, full."""

import asyncio
import errno
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.audit.journal import Journal
from autopilot_server.audit.records import Wanted, read_records
from autopilot_server.jobs.errors import StartupError, StorageUnavailableError

from tests.waiting import until


def events(path: Path) -> list[Any]:
    """The numbers that were told, and the names of what else was; None for a line that is none."""
    found: list[Any] = []
    for line in path.read_text().splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            found.append(None)
        else:
            found.append(content.get("n", content["event"]))
    return found


class Opened:
    """A journal on a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.health: list[bool] = []
        self.journal = Journal(path, on_health=self.health.append)

    async def write(self, number: int) -> None:
        await self.journal.write({"event": "x", "n": number})

    async def close(self) -> None:
        await asyncio.to_thread(self.journal.close)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    before = os.umask(0)
    opened = Opened(tmp_path / "audit.jsonl")
    os.umask(before)
    yield opened
    await opened.close()


async def test_lines_are_there_once_they_are_written(opened: Opened) -> None:
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600
    for number in range(3):
        await opened.write(number)
        assert events(opened.path) == ["start", *range(number + 1)]


async def test_what_was_told_is_there_after_the_end(opened: Opened) -> None:
    for number in range(100):
        opened.journal.tell({"event": "x", "n": number})
    await opened.close()
    assert events(opened.path) == ["start", *range(100), "stop"]
    with pytest.raises(StorageUnavailableError):
        await opened.write(1)


async def test_a_file_that_is_moved_away_is_followed_by_a_new_one(opened: Opened) -> None:
    await opened.write(1)
    older = opened.path.with_suffix(".1")
    opened.path.rename(older)
    await opened.write(2)
    assert events(older) == ["start", 1]
    assert events(opened.path) == [2]
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600
    # As logrotate does with `create`, and one who copies and truncates.
    opened.path.unlink()
    opened.path.touch(mode=0o640)
    await opened.write(3)
    os.truncate(opened.path, 0)
    await opened.write(4)
    assert events(opened.path) == [4]


async def test_a_torn_line_stays_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first = Opened(path)
    await first.write(1)
    await first.close()
    with path.open("ab") as file:
        file.write(b'{"time":"2026-11-25T')
    second = Opened(path)
    await second.write(2)
    await second.close()
    assert events(path) == ["start", 1, "stop", None, "start", 2, "stop"]
    told: list[int] = []
    found = list(read_records([path], Wanted(), lambda path, number: told.append(number)))
    assert len(found) == 6
    assert told == [4]


async def test_a_write_may_take_several_steps(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    await opened.write(1)
    monkeypatch.undo()
    assert events(opened.path) == ["start", 1]


@pytest.mark.parametrize("where", ["write", "fsync"])
async def test_a_full_disk_tears_a_line_and_loses_none(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    write, fails = os.write, True

    def some(handle: int, data: Any) -> int:
        if not fails or data[:1] != b"{":
            return write(handle, data)
        write(handle, data[:7])
        raise OSError(errno.ENOSPC, "no space left")

    def no_sync(handle: int) -> None:
        if fails:
            raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, where, some if where == "write" else no_sync)
    opened.journal.tell({"event": "x", "n": 1})
    await until(lambda: opened.health)
    for number in (2, 3):
        with pytest.raises(StorageUnavailableError):
            await opened.write(number)
    opened.journal.tell({"event": "x", "n": 4})
    fails = False
    await until(lambda: opened.health == [False, True])
    await opened.write(5)
    whole = [event for event in events(opened.path) if event is not None]
    # After a failed sync nobody knows what is on disk: it is written once more.
    again = [number for number in whole if number == 1]
    assert whole == ["start", *again, 4, "back", 5]
    assert None in events(opened.path) or where == "fsync"


async def test_who_waits_when_the_file_fails_is_refused(opened: Opened) -> None:
    aside = opened.path.with_suffix(".aside")
    opened.path.rename(aside)
    opened.path.mkdir()
    writes = [asyncio.ensure_future(opened.write(number)) for number in range(20)]
    for each in await asyncio.gather(*writes, return_exceptions=True):
        assert isinstance(each, StorageUnavailableError)
        assert each.retry_delay
    opened.path.rmdir()
    await until(lambda: opened.health == [False, True])
    assert events(aside) == ["start"]
    assert events(opened.path) == ["back"]


async def test_a_server_that_stops_before_the_disk_is_back_logs_what_it_could_not_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Opened(tmp_path / "audit.jsonl")
    opened.path.unlink()
    opened.path.mkdir()
    opened.journal.tell({"event": "answer", "n": 7})
    await until(lambda: opened.health)
    await opened.close()
    assert '"n":7' in caplog.text


async def test_a_file_that_cannot_be_an_audit_is_refused_at_the_start(tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(StartupError) as error:
            Opened(path)
        return str(error.value)

    (tmp_path / "folder").mkdir()
    assert "Is a directory" in refusal(tmp_path / "folder")
    assert "No such file" in refusal(tmp_path / "nowhere" / "audit.jsonl")
    database = tmp_path / "jobs.db"
    database.write_bytes(b"SQLite format 3\0")
    assert "it holds something else" in refusal(database)
    assert database.read_bytes() == b"SQLite format 3\0"
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")
    shared = tmp_path / "shared"
    shared.touch()
    shared.chmod(0o622)
    assert "chmod go-w" in refusal(shared)
    taken = Opened(tmp_path / "taken")
    assert "another server" in refusal(taken.path)
    await taken.close()
    await Opened(taken.path).close()


@pytest.mark.parametrize("moment", [0.01, 3600.0])
async def test_answers_are_written_at_once_and_synced_in_a_moment(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, moment: float
) -> None:
    syncs, sync = [], os.fsync

    def count(handle: int) -> None:
        sync(handle)
        syncs.append(events(opened.path)[-1])

    monkeypatch.setattr("autopilot_server.audit.journal.SYNC_SECONDS", moment)
    monkeypatch.setattr(os, "fsync", count)
    await opened.write(1)
    opened.journal.tell({"event": "x", "n": 2})
    await until(lambda: events(opened.path)[-1] == 2)
    if moment < 1:
        await until(lambda: syncs == [1, 2])
    await opened.write(3)
    opened.journal.tell({"event": "x", "n": 4})
    await opened.close()
    assert [each for each in syncs if each != 4] == ([1, 2, 3, "stop"] if moment < 1 else [1, 3, "stop"])


async def test_a_file_that_is_moved_away_is_synced_before_it_is_left(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, sync = [], os.fsync

    def note(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr("autopilot_server.audit.journal.SYNC_SECONDS", 3600.0)
    monkeypatch.setattr(os, "fsync", note)
    opened.journal.tell({"event": "x", "n": 1})
    await until(lambda: events(opened.path)[-1] == 1)
    older = opened.path.with_suffix(".1")
    opened.path.rename(older)
    assert not synced
    await opened.write(2)
    assert synced[0] == older.stat().st_ino
    assert synced[-1] == opened.path.stat().st_ino


@pytest.mark.filterwarnings("error")
async def test_a_journal_that_dies_says_so_and_refuses_all_that_wait_or_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    health: list[bool] = []
    dead = asyncio.Event()
    loop = asyncio.get_running_loop()
    journal = Journal(
        tmp_path / "audit.jsonl", on_health=health.append, on_death=lambda: loop.call_soon_threadsafe(dead.set)
    )

    def broken(_data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(journal._file, "append", broken)
    with pytest.raises(StorageUnavailableError):
        await journal.write({"event": "x", "n": 1})
    await dead.wait()
    assert health == [False]
    with pytest.raises(StorageUnavailableError):
        await journal.write({"event": "x", "n": 2})
    # What calls that were under way tell is kept for nobody: the log has it.
    journal.tell({"event": "answer", "n": 3})
    assert journal._entries == []
    assert '"n":3' in caplog.text
    # And the end of the process does not wait for it.
    await asyncio.to_thread(journal.close)
