"""The server's side of its fork server."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from autopilot_server.config import Settings
from autopilot_server.jobs.errors import StartupError
from autopilot_server.workers.command import command
from autopilot_server.workers.link import Link
from autopilot_server.workers.messages import Exited, Fork, Forked, Load, Loaded, Refused
from autopilot_server.workers.notes import Notes, notes_file

log = logging.getLogger(__name__)


class ForkServerLostError(Exception):
    """The fork server has died, and all workers with it."""


@dataclass(slots=True, kw_only=True)
class Process:
    """A worker's process."""

    worker_id: str
    pid: int
    link: Link
    stacks: int
    """The file that it writes its stacks to."""
    notes: Notes
    exited: asyncio.Future[int] = field(repr=False)
    """Its exit code, less than 0 for a signal. Set once it is dead, whatever killed it."""

    def kill(self) -> None:
        """End it at once, and what it has started."""
        if not self.exited.done():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                # It is no group yet, or it has ended just now.
                self._kill_alone()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if not self.exited.done():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def _kill_alone(self) -> None:
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of it."""
        self.link.close()
        os.close(self.stacks)
        self.notes.close()


class Forks:
    """A fork server, and the workers that were forked from it. Lives in the server's loop."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        """Of a process that was just started."""
        self._process, self._control = process, control
        self._link = Link(control)
        self._processes: dict[str, Process] = {}
        self._answers: asyncio.Queue[Loaded | Refused | Forked | None] = asyncio.Queue()
        self._one_at_a_time = asyncio.Lock()
        self._listening = asyncio.create_task(self._listen(), name="fork server")
        self.lost = False
        self.loaded: Loaded
        self.load_seconds = 0.0

    @classmethod
    async def start(cls, settings: Settings) -> "Forks":
        """Start one, and load the workflows. StartupError when they cannot be."""
        ours, theirs = socket.socketpair()
        # In this thread, which must be the main one: the kernel ends a child with the thread that started it.
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - it does not block; the command is ours
            [*command("autopilot_server.workers.fork_server", "main"), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        forks, began = cls(process, ours), time.monotonic()
        forks._link.send(Load(settings=settings, parent=os.getpid()))
        try:
            forks.loaded = await forks._load()
            forks.load_seconds = time.monotonic() - began
        except BaseException:
            forks.close()
            raise
        return forks

    async def _load(self) -> Loaded:
        match await self._answers.get():
            case Loaded() as loaded:
                return loaded
            case Refused(why):
                raise StartupError(why)
            case _:
                code = await asyncio.to_thread(self._process.wait)
                raise StartupError(
                    f"the process that loads the workflows ended by itself ({_named(code)}) while it did"
                )

    async def fork(self, worker_id: str, *, limits: Sequence[tuple[int, int]] = ()) -> Process:
        """Make a worker. ForkServerLostError."""
        async with self._one_at_a_time:
            if self.lost:
                raise ForkServerLostError
            ours, theirs = socket.socketpair()
            stacks, notes = _nameless_file(), notes_file()
            exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            process = Process(
                worker_id=worker_id, pid=0, link=Link(ours), stacks=stacks, notes=Notes(notes), exited=exited
            )
            self._processes[worker_id] = process
            socket.send_fds(self._control, [b"f"], [theirs.fileno(), stacks, notes])
            self._link.send(Fork(worker_id, tuple(limits)))
            theirs.close()
            os.close(notes)
            forked = await self._answers.get()
            if not isinstance(forked, Forked):
                process.close()
                raise ForkServerLostError
            process.pid = forked.pid
            return process

    def has(self, process: Process) -> bool:
        """Whether a worker that lives was forked here."""
        return self._processes.get(process.worker_id) is process

    def close(self) -> None:
        """End it, and all workers that still live with it."""
        self._listening.cancel()
        self._process.kill()
        self._process.wait()
        self._link.close()
        self._lose()

    async def _listen(self) -> None:
        async for message in self._link.messages():
            match message:
                case Exited(worker_id, code):
                    if (process := self._processes.pop(worker_id, None)) is not None:
                        process.exited.set_result(code)
                case answer:
                    self._answers.put_nowait(answer)
        self._lose()

    def _lose(self) -> None:
        """It is gone: the kernel has ended all workers with it."""
        self.lost = True
        self._answers.put_nowait(None)
        for process in self._processes.values():
            if process.pid:
                process.kill()
            if not process.exited.done():
                process.exited.set_result(-signal.SIGKILL)
        self._processes.clear()


def _nameless_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
