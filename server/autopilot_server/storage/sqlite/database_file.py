"""Whether the database's files are still those that the server has opened.

SQLite goes on in a file that was removed or replaced: everybody would be answered, and all of it would be gone with the
process. A file that is away is an outage like any other, and over when the same file is back.
"""

import os
import sqlite3
from pathlib import Path

from autopilot_server.storage.outage import away

_REMOVED = "the database file was removed"
_REPLACED = "another file was put in the place of the database"


class DatabaseFile:
    """The database and its write-ahead log, by their inodes."""

    def __init__(self, path: Path) -> None:
        """Remember what `path` is now. Opens it, and keeps it open.

        While a connection is open, SQLite neither deletes the log nor reads it anew. It would take the frames of a
        COMMIT that failed for committed then: they lie in the log, although their sync failed.
        """
        self.path = path
        self._paths = (path, path.with_name(path.name + "-wal"))
        self._anchor = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        self._anchor.execute("PRAGMA schema_version").fetchall()
        self._inodes = self._look()

    def check(self) -> None:
        """StorageUnavailableError when the files at the path are not the ones that are open."""
        if self._look() != self._inodes:
            raise away(_REPLACED)

    def close(self) -> None:
        """Let go of it. The last one who does moves the log into the file."""
        self._anchor.close()

    def _look(self) -> list[tuple[int, int]]:
        try:
            return [(found.st_dev, found.st_ino) for found in map(os.stat, self._paths)]
        except FileNotFoundError as error:
            raise away(_REMOVED, error) from error
        except OSError as error:
            raise away("the database file cannot be accessed", error) from error
