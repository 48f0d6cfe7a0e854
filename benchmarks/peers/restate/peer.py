"""Restate: its server, and the service's endpoint that the server calls."""

import asyncio
import json
import os
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import installing
from benchmarks.peers.peer import Peer
from benchmarks.peers.service import HOST, Service, free_port

REGISTER_SECONDS = 30.0
LOOK_SECONDS = 0.1


class Restate(Peer):
    """A server of one node, and Hypercorn with a process for each core."""

    title = "Restate"
    work = "a handler of five ctx.run steps, async, without LangGraph"
    durable = "server: its defaults, one node; service: Hypercorn, a process a core"
    packages = ("restate-sdk", "hypercorn")
    licences = "BUSL-1.1 (server), MIT (SDK, Hypercorn)"
    module = "benchmarks.peers.restate.app"
    environment_name = "restate"

    def install(self) -> Path:
        """The server comes from npm: the program itself, without the Node.js that would start it."""
        packages = installing.npm_packages("restate")
        programs = sorted(packages.glob("@restatedev/restate-server-*/bin/restate-server"))
        if not programs:
            raise installing.NotInstalledError("npm has no restate-server for this platform")
        self._server = programs[0]
        return super().install()

    def settings(self) -> Mapping[str, str]:
        """Where everything listens: on the loopback; and nothing is told to anybody."""
        self._fabric, self._ingress, self._admin, self._endpoint = (free_port() for _ in range(4))
        return {
            "PEER_URL": f"http://{HOST}:{self._ingress}",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_ADDRESS": f"{HOST}:{self._fabric}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"{HOST}:{self._ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"{HOST}:{self._admin}",
            "RESTATE_DISABLE_TELEMETRY": "true",
        }

    def make_services(self) -> list[Service]:
        """The server, and the endpoint."""
        server = self.service(self._server, "--base-dir", self.folder / "restate", "--no-logo", port=self._ingress)
        hypercorn = (self.python.with_name("hypercorn"), "benchmarks.peers.restate.app:app")
        bound = ("--bind", f"{HOST}:{self._endpoint}", "--workers", str(os.cpu_count()))
        return [server, self.service(*hypercorn, *bound, port=self._endpoint)]

    async def introduce(self) -> None:
        """Register the endpoint with the server, as soon as that is up."""
        async with asyncio.timeout(REGISTER_SECONDS):
            while not await asyncio.to_thread(self._register):
                await asyncio.sleep(LOOK_SECONDS)

    def _register(self) -> bool:
        body = json.dumps({"uri": f"http://{HOST}:{self._endpoint}"}).encode()
        request = urllib.request.Request(
            f"http://{HOST}:{self._admin}/deployments", data=body, headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=REGISTER_SECONDS):  # noqa: S310
                return True
        except OSError:
            return False

    def programs(self) -> Sequence[Sequence[str | Path]]:
        """The server."""
        return [(self._server, "--version")]
