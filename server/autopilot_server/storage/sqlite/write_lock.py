"""Who writes to a database now, of all processes that have it open."""

from pathlib import Path

# Of the locks that connections in WAL mode take on the file beside the database, the one of whoever writes: its byte
# (https://www.sqlite.org/walformat.html, "WAL locks").
_BYTE = "120"

_LOCKS = Path("/proc/locks")


def writing_process(database: Path) -> int | None:
    """The process that is inside a transaction that writes. None: there is none, or the system does not tell.

    It is read where Linux tells of all locks. To ask for this one, the file would have to be opened, and to close it
    would drop SQLite's own locks.
    """
    try:
        inode = database.with_name(f"{database.name}-shm").stat().st_ino
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 fe:00:11715279 120 120; behind -> those that wait.
        _, kind, *_, access, process, file, first, last = line.split()
        if (kind, access, first, last) == ("POSIX", "WRITE", _BYTE, _BYTE) and file.endswith(f":{inode}"):
            return int(process)
    return None
