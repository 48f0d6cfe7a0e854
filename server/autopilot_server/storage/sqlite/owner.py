"""The server that uses a database, from outside: found by its lock, told to drain, waited for."""

import fcntl
import os
import select
import signal
import sys
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.sqlite.lock import busy_with, lock_path


class Owner:
    """The process of a server, and no other that has its number later."""

    def __init__(self, pid: int, handle: int) -> None:
        """`handle`: a descriptor that stands for the process."""
        self.pid, self._handle = pid, handle

    def drain(self) -> None:
        """Tell it to drain, however often: unlike a second SIGTERM this ends nothing at once."""
        try:
            signal.pidfd_send_signal(self._handle, signal.SIGQUIT)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise StartupError(f"process {self.pid} is another user's: drain it as that user, or as root") from error

    def ended(self, within_seconds: float | None) -> bool:
        """Wait for its end: whether it came. None: however long it takes."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(None if within_seconds is None else within_seconds * 1000))

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._handle)


def find_owner(database: Path) -> Owner | None:
    """The server that uses a database; None when there is none. StartupError when it cannot be told from here."""
    if sys.platform != "linux":
        raise StartupError(f"only Linux tells who has a lock: send SIGTERM to the process in {lock_path(database)}")
    if not database.exists():
        raise StartupError(f"there is no database {database}")
    try:
        with lock_path(database).open("rb") as lock:
            return _holder(database, lock.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartupError(f"cannot read {lock_path(database)}: {error.strerror}") from error


def _holder(database: Path, lock: int) -> Owner | None:
    number, _, purpose = os.read(lock, 32).decode("ascii", "replace").strip().partition(" ")
    handle = _open_process(number)
    if handle is not None and _has_open(number, os.fstat(lock)):
        if what := busy_with(database, number, purpose):
            os.close(handle)
            raise StartupError(what)
        return Owner(int(number), handle)
    if handle is not None:
        os.close(handle)
    # The number of a process that is gone, or one that means another process here.
    if _is_locked(lock):
        raise StartupError(
            f"the database {database} is in use by a process that is not to be seen from here: drain it where it "
            "runs (its container, its machine), as its user or as root"
        )
    return None


def _open_process(number: str) -> int | None:
    try:
        return os.pidfd_open(int(number))
    except (ValueError, OSError):
        return None


def _has_open(number: str, file: os.stat_result) -> bool:
    try:
        return any(_is(each, file) for each in os.scandir(f"/proc/{number}/fd"))
    except OSError:
        # Another user's, or it has ended.
        return False


def _is(descriptor: os.DirEntry[str], file: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), file)
    except OSError:
        # Closed just now.
        return False


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False
