"""Autopilot by its own Python client."""

import os

from autopilot_client import AsyncClient

from benchmarks.peers import client
from benchmarks.peers.graphs import value_of


class Client(client.Client):
    """Submits jobs, and follows each to its result."""

    async def open(self) -> None:
        """Take one channel for all."""
        self._client = AsyncClient(os.environ["PEER_ADDRESS"])

    async def run(self, workflow: str, job: str) -> None:
        """Submit a job, and wait for its result."""
        await self._client.run(workflow, value_of(workflow, job))

    async def submit(self, workflow: str, job: str) -> None:
        """Submit a job."""
        await self._client.submit(workflow, value_of(workflow, job))
