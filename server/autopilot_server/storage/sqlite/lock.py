"""The lock that keeps a second server off a database file."""

import fcntl
import os
from pathlib import Path

from autopilot_server.jobs.errors import StartupError


class ServerLock:
    """An exclusive lock on a file of its own beside the database; the kernel frees it when the process ends.

    Never on the database file itself: closing a second descriptor of it would drop SQLite's own locks.
    """

    def __init__(self, database: Path) -> None:
        """Take the lock. StartupError when another process has it, or the file cannot be made."""
        path = database.with_name(database.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StartupError(
                f"cannot write beside the database {database}: {error.strerror}; choose another place with --database"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StartupError(
                f"the database {database} is in use by another server (process {owner or 'unknown'}): stop it, or "
                "choose another file with --database"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Free the lock. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
