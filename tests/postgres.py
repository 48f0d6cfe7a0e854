"""A real Postgres for tests: started once for a process of pytest, each test has a database of its own in it."""

import atexit
import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.waiting import wait_until

# Where Debian's packages put what is not in the path.
_PACKAGED = "/usr/lib/postgresql"

# Postgres refuses to run as root; its package makes this user.
_USER = "postgres"

# A test kills processes, and no machine: what is committed survives without being synced.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "5s",
    "deadlock_timeout": "100ms",
}


def program(name: str) -> str | None:
    """A program of Postgres; None where it is not installed."""
    packaged = sorted(Path(_PACKAGED).glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(packaged[-1]) if packaged else None)


ON_POSTGRES = os.environ.get("AUTOPILOT_TEST_DATABASE", "sqlite") == "postgres"
"""Whether tests of servers and engines, which run on SQLite, are to run on Postgres."""

SQLITE_ONLY = pytest.mark.skipif(ON_POSTGRES, reason="looks into SQLite's files")

MISSING = None if program("postgres") and program("initdb") else "Postgres is not installed: apt-get install postgresql"
"""Why tests that need one are skipped."""


class Server:
    """A Postgres with files and a socket in a folder of its own. It listens on nothing else."""

    def __init__(self) -> None:
        """Make its files and start it."""
        self.folder = Path(tempfile.mkdtemp(prefix="autopilot-postgres-"))
        self.user = _USER if os.geteuid() == 0 else None
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self._names = (f"t{number}" for number in itertools.count())
        command = [
            "initdb",
            "--pgdata",
            "data",
            "--auth",
            "trust",
            "--username",
            _USER,
            "--encoding",
            "UTF8",
            "--no-sync",
        ]
        # Another order of texts than that of their bytes, as most installations have one.
        self._run(*command, "--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US")
        self.start()

    def start(self) -> None:
        """Start it, again after `stop`."""
        settings = _SETTINGS | {"unix_socket_directories": str(self.folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program("postgres"), "-D", "data", *options],
                user=self.user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Postgres has ended"
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it at once, as when its machine is switched off: connections break."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def close(self) -> None:
        """End it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder.parent / f"{self.folder.name}.log").unlink(missing_ok=True)

    def url(self, database: str) -> str:
        """Where clients find a database of it."""
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A database that nobody else has, empty. Gives its address."""
        name = next(self._names)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        try:
            yield self.url(name)
        finally:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self._program(name), *arguments],
            user=self.user,
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=120,
        )

    @staticmethod
    def _program(name: str) -> str:
        found = program(name)
        assert found is not None, MISSING
        return found


class Databases:
    """The databases of folders, for tests that know nothing of what database they are on."""

    def __init__(self) -> None:
        """No Postgres is started yet."""
        self._server: Server | None = None
        self._urls: dict[Path, str] = {}
        self._stack = contextlib.ExitStack()

    def url(self, folder: Path) -> str:
        """The address of a folder's database, always the same one."""
        if not ON_POSTGRES:
            return f"sqlite:///{folder}/jobs.db"
        if self._server is None:
            assert MISSING is None, MISSING
            self._server = Server()
            atexit.register(self._server.close)
        if folder not in self._urls:
            self._urls[folder] = self._stack.enter_context(self._server.database())
        return self._urls[folder]

    def look(self, folder: Path, query: str) -> Any:
        """One value of a folder's database."""
        if ON_POSTGRES:
            with psycopg.connect(self.url(folder)) as connection:
                row = connection.execute(query.encode()).fetchone()
        else:
            with contextlib.closing(sqlite3.connect(folder / "jobs.db")) as connection:
                row = connection.execute(query).fetchone()
        return None if row is None else row[0]

    def drop(self) -> None:
        """All of them: the test is over."""
        self._urls = {}
        self._stack.close()


DATABASES = Databases()
