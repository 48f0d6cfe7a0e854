"""Autopilot itself: `autopilot serve` with its defaults."""

import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers.peer import Peer
from benchmarks.peers.service import HOST, Service, free_port

CONFIG = Path(__file__).with_name("langgraph.json")


class Autopilot(Peer):
    """The server and its workers."""

    title = "Autopilot"
    work = "the graph, sync nodes"
    durable = "its defaults: SQLite, WAL, synchronous=FULL; a job is watched to its result"
    packages = ("autopilot-jobs", "langgraph")
    licences = "Apache-2.0"
    module = "benchmarks.peers.autopilot.app"

    def install(self) -> Path:
        """It is what measures."""
        return Path(sys.executable)

    def settings(self) -> Mapping[str, str]:
        """Where the client finds it."""
        self._port = free_port()
        return {"PEER_ADDRESS": f"{HOST}:{self._port}"}

    def make_services(self) -> list[Service]:
        """The server, which starts its workers."""
        listen = ("--listen", f"{HOST}:{self._port}", "--database", f"sqlite:///{self.folder / 'jobs.db'}")
        return [
            self.service(
                *(self.python.with_name("autopilot"), "serve", "--config", CONFIG, "--log-level", "warning", *listen),
                port=self._port,
            )
        ]
