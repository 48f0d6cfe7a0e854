"""A Postgres of a peer's own: files in a folder, a port of the loopback, a password that nobody else knows."""

import asyncio
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import installing
from benchmarks.peers.service import HOST, free_port

PACKAGE = "postgresql"
MAKE_SECONDS = 60.0
# Postgres refuses to run as root; its package makes this user.
UNPRIVILEGED = "postgres"


class Postgres:
    """What is needed to start one. Its settings are Postgres' defaults."""

    def __init__(self, folder: Path) -> None:
        """Keep its files in `folder`. NotInstalledError when there is no Postgres."""
        self.program = installing.system_program("postgres", package=PACKAGE)
        self._initdb = installing.system_program("initdb", package=PACKAGE)
        self.user = UNPRIVILEGED if os.geteuid() == 0 else None
        self.port = free_port()
        self._folder = folder
        self._password = secrets.token_urlsafe(16)

    async def make(self) -> None:
        """Make its files."""
        self._folder.mkdir(mode=0o700)
        password = self._folder.with_suffix(".password")
        password.touch(mode=0o600)
        password.write_text(self._password)
        if self.user is not None:
            shutil.chown(self._folder, self.user)
            shutil.chown(password, self.user)
        options = ("--auth", "scram-sha-256", "--username", "postgres", "--pwfile", str(password))
        command = (str(self._initdb), "--pgdata", str(self._folder), *options)
        await asyncio.to_thread(
            subprocess.run, command, user=self.user, cwd="/", check=True, capture_output=True, timeout=MAKE_SECONDS
        )

    def command(self) -> list[str]:
        """What starts it. It listens on the loopback and nowhere else."""
        settings = [f"listen_addresses={HOST}", f"port={self.port}", "unix_socket_directories="]
        return [str(self.program), "-D", str(self._folder), *(part for each in settings for part in ("-c", each))]

    def url(self, database: str) -> str:
        """Where clients find a database of it."""
        return f"postgresql://postgres:{self._password}@{HOST}:{self.port}/{database}"
