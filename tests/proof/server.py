"""A real server process on a folder of its own, for whatever is to be done to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from autopilot_client import Client

GRAPHS = Path(__file__).parents[1] / "engine" / "graphs" / "langgraph.json"
AUTOPILOT = Path(sys.executable).with_name("autopilot")


class ServerProcess:
    """`autopilot serve`, its database and its log in a folder."""

    def __init__(
        self, folder: Path, *, config: Path = GRAPHS, options: Sequence[str] = (), command: Sequence[str] = ()
    ) -> None:
        """Prepare; nothing runs before `start`. `command`: what to start instead of `autopilot serve`."""
        self.folder, self.config = folder, config
        self.options = list(options)
        self.command = list(command) or [str(AUTOPILOT), "serve"]
        self.process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"

    @property
    def database(self) -> Path:
        return self.folder / "jobs.db"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        """Start, and wait until it answers. After the first time always on the same port."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *(*self.command, "--config", str(self.config), "--database", f"sqlite:///{self.database}"),
                    *("--listen", self.address, *self.options),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.address = line.split()[-1]

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self._gone()

    def wait_for_death(self) -> int:
        """Wait until the process ended by itself: its exit code."""
        assert self.process is not None
        code = self.process.wait(timeout=120)
        self._gone()
        return code

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.wait_for_death()

    def close(self) -> None:
        """Kill what is left."""
        if self.process is not None:
            self.kill()

    def client(self) -> Client:
        return Client(self.address)

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
