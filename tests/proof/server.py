"""A real server process on a folder of its own, for whatever is to be done to it."""

import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Self

from autopilot_client import Client

from tests.forks import FORKS, PROCESSES
from tests.postgres import DATABASES

GRAPHS = Path(__file__).parents[1] / "engine" / "graphs" / "langgraph.json"
AUTOPILOT = Path(sys.executable).with_name("autopilot")

# What a server that kills itself leaves in its log before the moment when it does.
DEATH = "kills itself at "

# A start that takes longer has found a bug.
START_SECONDS = 60

# Inline, so that sabotage reaches what runs jobs. Another number tries the same with processes of their own.
WORKERS = os.environ.get("AUTOPILOT_PROOF_WORKERS", "inline")

_count = itertools.count()


def _own_host() -> str:
    """A loopback address of its own for each server: nobody takes its port while it is dead, and no client of another
    one finds it there. Only Linux has so many."""
    if sys.platform != "linux":
        return "127.0.0.1"
    pid, number = os.getpid(), next(_count)
    return f"127.{1 + (pid >> 8) % 254}.{pid & 255}.{1 + number % 254}"


Sabotage = Callable[[], None]


class ServerProcess:
    """`autopilot serve`, its database and its log in a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        config: Path = GRAPHS,
        options: Sequence[str] = (),
        workers: str = WORKERS,
        sabotage: Sabotage | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`. `sabotage`: called in the process before it serves; of a module's
        top level."""
        self.workers = workers
        self.folder, self.config = folder, config
        self.options = list(options)
        self.sabotage = sabotage
        self.process: ForkServerProcess | None = None
        self.host = _own_host()
        self.address = f"{self.host}:0"

    def __enter__(self) -> Self:
        """Start; it is killed in the end, also when it does not start."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def database(self) -> Path:
        return self.folder / "jobs.db"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def errors(self) -> list[str]:
        """What its log tells of as an error, but that its database was away."""
        return re.findall(r"^\S+ \[(?:error|critical) *\] (?!the database )(.*)", self.log.read_text(), re.MULTILINE)

    @property
    def died_at(self) -> int | None:
        """When it killed itself last, by the machine's monotonic clock in nanoseconds; None: it never did."""
        moments = re.findall(rf"^{DEATH}(\d+)$", self.log.read_text(), re.MULTILINE)
        return int(moments[-1]) if moments else None

    @property
    def pid(self) -> int:
        assert self.process is not None
        assert self.process.pid is not None
        return self.process.pid

    def arguments(self) -> list[str]:
        """What follows `autopilot serve`."""
        database = DATABASES.url(self.database.parent)
        where = ["--config", str(self.config), "--database", database, "--listen", self.address]
        return [*where, "--workers", self.workers, *self.options]

    def start(self) -> None:
        """Start, and wait until it answers. After the first time always on the same port."""
        line = self.start_or_die()
        assert line, self.log.read_text()

    def start_or_die(self) -> str:
        """Start, and wait until it answers or is dead: its first line, or nothing."""
        reader, writer = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_serve, args=(self.arguments(), writer, self.log, self.sabotage))
        with PROCESSES:
            self.process.start()
        writer.close()
        if not reader.poll(START_SECONDS):
            self.kill()
            raise AssertionError(f"the server neither answers nor ends:\n{self.log.read_text()[-4000:]}")
        with os.fdopen(os.dup(reader.fileno())) as stdout:
            reader.close()
            line = stdout.readline()
        if line:
            self.address = line.split()[-1]
        return line

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.wait_for_death()

    def wait_for_death(self) -> int:
        """Wait until the process has ended: its exit code, below 0 for a signal."""
        assert self.process is not None
        self.process.join(timeout=120)
        code = self.process.exitcode
        assert code is not None, "the server does not end"
        with PROCESSES:
            self.process.close()
        self.process = None
        return code

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

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


def _serve(arguments: list[str], stdout: Connection, log: Path, sabotage: Sabotage | None) -> None:
    """In the new process: become `autopilot serve`."""
    with log.open("a") as stderr:
        os.dup2(stderr.fileno(), 2)
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    if sabotage is not None:
        sabotage()
    from autopilot_server import cli

    cli.serve(arguments, prog_name="autopilot serve")
