"""What a peer is for the one who measures it: how it is installed, which processes and which client it has."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from benchmarks.peers import installing, steps
from benchmarks.peers.service import Driver, Service


class Peer:
    """A peer with its processes. An async context manager: inside, it serves."""

    title: ClassVar[str]
    """As the table has it."""
    work: ClassVar[str]
    """What W is in the peer's own terms."""
    durable: ClassVar[str]
    """How it is set up: what of its durability is its default, what its documentation recommends, what W needs."""
    packages: ClassVar[Sequence[str]]
    """Python packages whose versions are told."""
    licences: ClassVar[str]
    module: ClassVar[str]
    """Where its client is."""
    environment_name: ClassVar[str | None] = None
    """Its virtual environment. None: the measuring process's own."""
    is_its_client: ClassVar[bool] = False
    """Whether the process that submits also runs the jobs."""

    def __init__(self, folder: Path) -> None:
        """Keep all files in `folder`. NotInstalledError when the peer cannot be installed."""
        self.folder = folder
        self.trace = folder / "trace"
        self.trace.touch()
        self.python = self.install()
        self._environment = {steps.TRACE_FILE: str(self.trace), "PEER_FOLDER": str(folder), **self.settings()}
        self.driver = Driver(self.python, self.module, folder=folder, environment=self._environment)
        self.services = self.make_services()

    # --- what the peers differ in ---

    def install(self) -> Path:
        """Install what is missing. The Python that drives the peer."""
        return installing.environment(self.environment_name or "")

    def settings(self) -> Mapping[str, str]:
        """Choose its ports. The environment variables that its processes have beyond the machine's own."""
        return {}

    def make_services(self) -> list[Service]:
        """Its processes besides the client's, in the order of their start."""
        return []

    async def prepare(self) -> None:
        """Do what comes before the first start."""

    async def introduce(self) -> None:
        """Make its processes known to each other, once they serve."""

    def programs(self) -> Sequence[Sequence[str | Path]]:
        """Commands that tell the versions of its programs."""
        return ()

    # --- what they have in common ---

    def service(self, *command: str | Path, port: int = 0, user: str | None = None) -> Service:
        """A process of its own, not started yet."""
        return Service(*command, folder=self.folder, port=port, environment=self._environment, user=user)

    async def __aenter__(self) -> Self:
        """Start everything."""
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._stop)
            await self.prepare()
            for service in self.services:
                await service.start()
            await self.introduce()
            await self.driver.start()
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        await self._stop()

    async def _stop(self) -> None:
        for service in (self.driver, *reversed(self.services)):
            await service.stop()

    async def revive(self) -> None:
        """Start again what has ended, as whoever supervises processes would."""
        for service in self.own():
            await service.revive()

    async def reconnect(self) -> None:
        """Take a new client, unless it is the peer itself."""
        if not self.is_its_client:
            await self.driver.stop()
            await self.driver.start()

    def own(self) -> list[Service]:
        """The processes that are the peer, and not only its client."""
        return [*self.services, self.driver] if self.is_its_client else self.services

    def pids(self) -> list[int]:
        """Ids of the processes that are the peer, with all that they have started."""
        return [pid for service in self.own() for pid in service.tree()]


def folder_for_all(parent: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A folder that other users can go through, for the databases that do not run as root."""
    folder = tempfile.TemporaryDirectory(prefix="autopilot-peers-", dir=parent)
    os.chmod(folder.name, 0o711)  # noqa: S103
    return folder
