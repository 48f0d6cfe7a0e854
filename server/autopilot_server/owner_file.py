"""Files that only their owner may read, replaced as a whole: who reads meanwhile sees the old one or the new one."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def changing(path: Path) -> Iterator[Path]:
    """Keep others from changing the file until the end. Gives where it is: a link stays one. OSError."""
    path = Path(os.path.realpath(path))
    # A file of its own: the lock on one that is replaced would be on the old one.
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(lock)


def replace(path: Path, text: str) -> None:
    """Put a file with `text` there, durably. It stays its owner's, with its mode, whoever replaces it. OSError."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "w") as file:
            _give_as(path, file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _give_as(path: Path, new: int) -> None:
    """Give a new file the owner and the mode of the one that it is to replace.

    Else what root changes for a server that runs as another user could not be read by it any more, and a token that
    was revoked would stay good there.
    """
    if not path.exists():
        return
    old, mine = os.stat(path), os.fstat(new)
    if (old.st_uid, old.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(new, old.st_uid, old.st_gid)
        except PermissionError as error:
            why = "it is another user's or group's: change it as that user, or as root"
            raise PermissionError(error.errno, why, str(path)) from error
    os.fchmod(new, old.st_mode & 0o777)
