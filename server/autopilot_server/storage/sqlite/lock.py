"""The lock that keeps a second server off a database file."""

import fcntl
import os
from pathlib import Path

from autopilot_server.jobs.errors import StartupError

# What the file says behind the process's number when it is no server that has the lock.
RESTORES = "restores"
ENCRYPTS = "encrypts"

_BUSY = {RESTORES: "a backup is being restored to {}", ENCRYPTS: "the content of {} is being encrypted or decrypted"}


def lock_path(database: Path) -> Path:
    """A file of its own beside the database.

    Never the database file itself: closing a second descriptor of it would drop SQLite's own locks.
    """
    return database.with_name(database.name + ".lock")


class InUseError(StartupError):
    """Another process has the lock."""


class ServerLock:
    """An exclusive lock; the kernel frees it when the process ends. Its file tells which process that is."""

    def __init__(self, database: Path, *, purpose: str = "") -> None:
        """Take the lock. InUseError when another process has it; StartupError when it cannot be had at all."""
        try:
            self._descriptor = os.open(lock_path(database), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StartupError(
                f"cannot write beside the database {database}: {error.strerror}; choose another place with --database"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise InUseError(_in_use(database, owner)) from None
        except OSError as error:
            os.close(self._descriptor)
            raise StartupError(f"cannot lock the database {database}: {error.strerror}") from error
        # Never empty in between: who reads it always finds a process.
        line = f"{os.getpid()} {purpose}".strip().encode() + b"\n"
        os.pwrite(self._descriptor, line, 0)
        os.ftruncate(self._descriptor, len(line))

    def release(self) -> None:
        """Free the lock. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def busy_with(database: Path, process: str, purpose: str) -> str:
    """What a process that is no server does with a database; empty for a server."""
    what = _BUSY.get(purpose, "").format(database)
    return f"{what} (process {process}): wait for its end" if what else ""


def _in_use(database: Path, owner: str) -> str:
    process, _, purpose = owner.partition(" ")
    return busy_with(database, process, purpose) or (
        f"the database {database} is in use by another server (process {process or 'unknown'}): stop it, or choose "
        "another file with --database"
    )
