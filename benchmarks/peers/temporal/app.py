"""Temporal by its Python SDK: the client; and the worker, as a program."""

import asyncio
import os
import uuid

from temporalio import client as temporal
from temporalio.worker import Worker

from benchmarks.peers import client
from benchmarks.peers.temporal.work import Five, Slow, nothing, slow_step

QUEUE = "jobs"


class Client(client.Client):
    """Starts workflows."""

    async def open(self) -> None:
        """Connect."""
        self._client = await temporal.Client.connect(os.environ["PEER_ADDRESS"])

    async def run(self, workflow: str, job: str) -> None:
        """Start a workflow, and wait for its result."""
        await self._client.execute_workflow(workflow, job, id=str(uuid.uuid4()), task_queue=QUEUE)

    async def submit(self, workflow: str, job: str) -> None:
        """Start a workflow."""
        await self._client.start_workflow(workflow, job, id=str(uuid.uuid4()), task_queue=QUEUE)


async def work() -> None:
    """Run the worker."""
    connection = await temporal.Client.connect(os.environ["PEER_ADDRESS"])
    await Worker(connection, task_queue=QUEUE, workflows=[Five, Slow], activities=[nothing, slow_step]).run()


if __name__ == "__main__":
    asyncio.run(work())
