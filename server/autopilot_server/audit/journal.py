"""Writes the audit: a thread appends what the server's loop tells, all that came meanwhile with one sync.

Requests are synced before they go on; answers are written at once, and synced with the next requests or a moment later.
While the file cannot be written nothing that is to be audited goes on, and the thread tries again each second.
"""

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autopilot_server.audit.appended_file import AppendedFile
from autopilot_server.jobs.errors import StartupError, StorageUnavailableError
from autopilot_server.supervision import end_process

log = logging.getLogger(__name__)

Line = Mapping[str, Any]
"""What one line tells. The journal adds the time."""

# How long an answer that is written, and outlives the process, may not outlive a power loss.
SYNC_SECONDS = 0.5

# How often it is tried whether the file can be written again.
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line, and who waits for it: None for what has happened already, and is kept until it is written."""

    data: bytes
    written: asyncio.Future[None] | None


class Journal:
    """The audit of a server. Lives in one event loop."""

    def __init__(
        self, path: Path, *, on_health: Callable[[bool], None], on_death: Callable[[], None] = end_process
    ) -> None:
        """Open the file, and write that the server starts. StartupError.

        `on_health` hears, on a thread of the journal's own, that the file cannot be written any more, or can again;
        `on_death` that nothing will be written any more, by a fault of the program.
        """
        self._on_death = on_death
        self._path, self._on_health = path, on_health
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._entries: list[_Entry] = []
        self._away, self._closing, self._dead = False, False, False
        self._turned_away = 0
        # Not known to be on disk. Of the thread.
        self._unsynced: list[_Entry] = []
        try:
            self._file = AppendedFile(path)
            self._file.append(_encoded({"event": "start", "pid": os.getpid()}))
            self._file.sync()
        except OSError as error:
            raise StartupError(f"cannot use --audit-file {path}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._main, name="audit", daemon=True)
        self._thread.start()

    def write(self, line: Line) -> asyncio.Future[None]:
        """A line that must be on disk before anything else is done: wait for the future. StorageUnavailableError, at
        once or from the future, when it cannot be written."""
        written = self._loop.create_future()
        with self._changed:
            if self._away or self._closing:
                self._turned_away += 1
                raise _unavailable()
            self._put(_Entry(_encoded(line), written))
        return written

    def tell(self, line: Line) -> None:
        """A line about what has happened. It is written at once, or once the file can be written again; the log has it
        when the journal has died."""
        entry = _Entry(_encoded(line), None)
        with self._changed:
            dead = self._dead
            if not dead:
                self._put(entry)
        if dead:
            # Nobody would ever take it. Only calls that were under way have something to tell.
            _log_lost([entry])

    def close(self) -> None:
        """Write what is left, and that the server stops. Not in the loop."""
        with self._changed:
            self._closing = True
            self._put(_Entry(_encoded({"event": "stop"}), None))
        self._thread.join()
        self._file.close()

    def _put(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._changed.notify()

    # --- the thread ---

    def _main(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            # Whatever it is: without this thread nobody would ever be answered.
            self._die(error)

    def _die(self, error: BaseException) -> None:
        log.critical("the audit died, calls that change jobs are refused, and the server stops", exc_info=error)
        with self._changed:
            self._away, self._dead = True, True
            entries, self._unsynced = self._unsynced + self._take(), []
        self._on_health(False)
        self._wake(entries, _unavailable)
        _log_lost(_kept(entries))
        self._on_death()

    def _serve(self) -> None:
        while not self._closing or self._entries or self._unsynced:
            entries = self._next_entries()
            try:
                self._write_down(entries)
            except OSError as error:
                self._sit_out(self._turn_away(error))

    def _next_entries(self) -> list[_Entry]:
        """Those that have come. None when something is not synced and nothing came for a while, and at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._entries or self._closing, timeout=SYNC_SECONDS if self._unsynced else None
            )
            return self._take()

    def _write_down(self, entries: list[_Entry]) -> None:
        """Append entries. Somebody waits for one of them, or there are none: sync them with all that came before."""
        self._unsynced += entries
        if entries:
            self._file.append(_joined(entries))
        if not entries or any(entry.written for entry in entries):
            self._file.sync()
            synced, self._unsynced = self._unsynced, []
            self._wake(synced, None)

    def _take(self) -> list[_Entry]:
        entries, self._entries = self._entries, []
        return entries

    def _turn_away(self, error: OSError) -> list[_Entry]:
        """The file cannot be written: nobody goes on who waits for it. The entries that are kept."""
        log.error(
            "the audit file %s cannot be written, and calls that change jobs are refused: %s",
            self._path,
            error.strerror,
        )
        with self._changed:
            self._away = True
            entries, self._unsynced = self._unsynced + self._take(), []
        self._on_health(False)
        self._wake(entries, _unavailable)
        return _kept(entries)

    def _sit_out(self, kept: list[_Entry]) -> None:
        """Try again and again, until the file can be written or the server stops."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
                kept += self._take()
                closing = self._closing
            try:
                # Not the same lines again and again into a file that cannot be synced.
                self._file.append(b"")
                self._file.sync()
                self._file.append(_joined([*kept, self._back()]))
                self._file.sync()
            except OSError:
                if closing:
                    _log_lost(kept)
                    return
                continue
            self._come_back()
            return

    def _back(self) -> _Entry:
        return _Entry(_encoded({"event": "back", "refused": self._turned_away}), None)

    def _come_back(self) -> None:
        with self._changed:
            self._away, self._turned_away = False, 0
        log.info("the audit file %s is written again", self._path)
        self._on_health(True)

    def _wake(self, entries: Sequence[_Entry], error: Callable[[], Exception] | None) -> None:
        waiting = [entry.written for entry in entries if entry.written is not None]
        if waiting:
            self._loop.call_soon_threadsafe(_complete, waiting, error)


def _complete(waiting: Sequence[asyncio.Future[None]], error: Callable[[], Exception] | None) -> None:
    for future in waiting:
        if future.done():
            # Its call was given up.
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error())


def _kept(entries: Sequence[_Entry]) -> list[_Entry]:
    return [entry for entry in entries if entry.written is None]


def _joined(entries: Sequence[_Entry]) -> bytes:
    return b"".join(entry.data for entry in entries)


def _log_lost(entries: Sequence[_Entry]) -> None:
    for entry in entries:
        log.error("not in the audit file: %s", entry.data.decode().rstrip())


def _encoded(line: Line) -> bytes:
    time = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    # ASCII: no text of a client's moves a terminal's cursor, or ends a line that is not at its end.
    return json.dumps({"time": time, **line}, separators=(",", ":")).encode() + b"\n"


def _unavailable() -> StorageUnavailableError:
    return StorageUnavailableError(
        "The server cannot write its audit now, and changes nothing without it.", retry_delay=RETRY_SECONDS
    )
