"""The lock that keeps a second server off a database: held by a session of its own, which the database ends with it."""

import logging
import os
import select
import signal
import threading
import time

import psycopg

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.outage import RETRY_SECONDS
from autopilot_server.storage.postgres.connections import Connection, connect, shown
from autopilot_server.storage.queries import SQL

log = logging.getLogger(__name__)

# How long the database may take to notice that the server before has died.
NOTICE_SECONDS = 5.0

_LOOK_SECONDS = 0.1

# A session of a machine that is gone ends after half a minute: the usual time is two hours.
_KEEPALIVES = ("SET tcp_keepalives_idle = 15", "SET tcp_keepalives_interval = 5", "SET tcp_keepalives_count = 3")


class ServerLock:
    """Held until `release`. When the session breaks it is taken again; when another server was faster this one ends."""

    def __init__(self, info: str) -> None:
        """Take the lock. StartupError when another server has it; psycopg.Error."""
        self._info = info
        taken = self._take()
        if taken is None:
            raise StartupError(
                f"the database {shown(info)} is in use by another server: stop it, or choose another database with "
                "--database"
            )
        self._connection = taken
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="server lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Free the lock."""
        os.write(self._stop, b".")
        self._thread.join()
        self._connection.close()
        os.close(self._stopped)
        os.close(self._stop)

    def _take(self) -> Connection | None:
        """The session that has it; None when another's has. psycopg.Error."""
        connection = connect(self._info)
        deadline = time.monotonic() + NOTICE_SECONDS
        try:
            for setting in _KEEPALIVES:
                connection.execute(setting)
            while True:
                found = connection.execute(SQL.server_lock.postgres).fetchone()
                if found is not None and found["is_taken"]:
                    return connection
                if time.monotonic() > deadline:
                    connection.close()
                    return None
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            connection.close()
            raise

    def _watch(self) -> None:
        while not self._stops_before_it_breaks():
            self._connection.close()
            if not self._take_again():
                return

    def _stops_before_it_breaks(self) -> bool:
        """Nobody sends anything on this session, but the database that ends it."""
        try:
            ready, _, _ = select.select([self._stopped, self._connection.fileno()], [], [])
        except (OSError, ValueError, psycopg.Error):
            return False
        return self._stopped in ready

    def _take_again(self) -> bool:
        """False: the server stops."""
        while not select.select([self._stopped], [], [], RETRY_SECONDS)[0]:
            try:
                taken = self._take()
            except psycopg.Error:
                # Away: the writer tells of it.
                continue
            if taken is not None:
                self._connection = taken
                return True
            log.critical("another server has taken the database %s meanwhile: this one ends", shown(self._info))
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        return False
