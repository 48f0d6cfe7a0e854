"""One process of a peer's, with all that it starts: begun, looked at, killed, begun again. Linux."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.installing import REPOSITORY

START_SECONDS = 60.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.02
LAST_LINES = 5
HOST = "127.0.0.1"


class Service:
    """A process that is started and ended. What it says goes to a file of its name."""

    def __init__(
        self,
        *command: str | Path,
        folder: Path,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Run `command` in `folder`, which is where its words go too. It serves once something listens on `port`."""
        self.command = [str(part) for part in command]
        self.port = port
        self._folder, self._user = folder, user
        self._environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | (environment or {})
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it serves. RuntimeError with its last words when it does not."""
        self._process = await self._begin(stdin=asyncio.subprocess.DEVNULL, stdout=None)
        latest = time.monotonic() + START_SECONDS
        while self.port and not _is_open(self.port):
            if self._process.returncode is not None or time.monotonic() > latest:
                raise RuntimeError(f"{self._name()} does not serve: {self._last_words()}")
            await asyncio.sleep(LOOK_SECONDS)

    async def revive(self) -> None:
        """Start it again when it has ended."""
        if self._process is not None and self._process.returncode is not None:
            await self.start()

    async def stop(self) -> None:
        """End it and all that it started: in order, or else by SIGKILL."""
        if self._process is None:
            return
        tree = self.tree()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        kill(tree)
        await self._process.wait()

    def tree(self) -> list[int]:
        """Ids of the process and of all that descends from it."""
        if self._process is None or self._process.returncode is not None:
            return []
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        tree = [self._process.pid]
        for pid in tree:
            tree += children.get(pid, [])
        return tree

    async def _begin(self, *, stdin: int, stdout: int | None) -> asyncio.subprocess.Process:
        with self._log().open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self._folder,
                env=self._environment,
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                limit=1 << 24,
            )

    def _name(self) -> str:
        return Path(self.command[0]).name

    def _log(self) -> Path:
        return self._folder / f"{self._name()}.log"

    def _last_words(self) -> str:
        return " / ".join(self._log().read_text(errors="replace").strip().splitlines()[-LAST_LINES:])


class Driver(Service):
    """The process of benchmarks.peers.driver, with a peer's client."""

    def __init__(self, python: Path, module: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        """Drive a peer by its `module`, with the Python of its environment."""
        super().__init__(python, "-m", "benchmarks.peers.driver", module, folder=folder, environment=environment)

    async def start(self) -> None:
        """Start it. Whether it could connect shows at the first question."""
        self._process = await self._begin(stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)

    async def ask(self, question: str, **arguments: Any) -> Any:
        """Its answer. RuntimeError with its last words when it has ended."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps([question, arguments])}\n".encode())
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client has ended: {self._last_words()}")
        return json.loads(line)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def memory(pids: Iterable[int]) -> tuple[int, int]:
    """Bytes that processes have in RAM: RSS added up, and PSS, which counts what they share once."""
    resident = shared = 0
    for pid in pids:
        # One that has ended has none.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                resident += int(line.split()[1]) * 1024 if line.startswith("Rss:") else 0
                shared += int(line.split()[1]) * 1024 if line.startswith("Pss:") else 0
    return resident, shared


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        return int(listening.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0


def _parents() -> Iterable[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # A name may have spaces and brackets in it: the last bracket ends it.
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            yield int(folder.name), int(after_name[1])
