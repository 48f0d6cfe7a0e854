"""A file that is only ever appended to, and follows its path when it is moved away."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


class AppendedFile:
    """Lines, on disk once `sync` has returned. One process writes it, from one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it for its owner only. OSError."""
        self._path = path
        self._handle: int | None = self._open()

    def append(self, data: bytes) -> None:
        """Write whole lines. OSError: some, or a part of one, may be in the file nevertheless."""
        with self._closed_on_error():
            handle = self._current()
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]

    def sync(self) -> None:
        """Wait until all that was written is on disk. OSError: nobody knows what is, of what was not synced before."""
        with self._closed_on_error():
            if self._handle is not None:
                os.fsync(self._handle)

    def close(self) -> None:
        """Write no more, until the next `append`."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """The next write begins with the file as it is then."""
        try:
            yield
        except OSError:
            self.close()
            raise

    def _current(self) -> int:
        """The file that is at the path now."""
        if self._handle is not None and _moved_away(self._path, self._handle):
            os.fsync(self._handle)
            self.close()
        if self._handle is None:
            self._handle = self._open()
        return self._handle

    def _open(self) -> int:
        try:
            handle, made = os.open(self._path, _FLAGS), False
        except FileNotFoundError:
            handle, made = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600), True
        try:
            _check(handle)
            if made:
                _sync_folder(self._path.parent)
            elif _torn(handle):
                # Its last line was never written to its end; it stays a line of its own.
                os.write(handle, b"\n")
        except BaseException:
            os.close(handle)
            raise
        return handle


def _moved_away(path: Path, handle: int) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return True
    return not os.path.samestat(there, os.fstat(handle))


def _check(handle: int) -> None:
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(errno.EPERM, "it can be written by others: chmod go-w it")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another server writes it") from None
    if os.pread(handle, 1, 0) not in (b"", b"{", b"\n"):
        raise OSError(errno.EINVAL, "it holds something else")


def _torn(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
