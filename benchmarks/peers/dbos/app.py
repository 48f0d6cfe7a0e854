"""DBOS: a workflow of five steps, started by the process that runs it, as its users' web servers do."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSConfig

from benchmarks.peers import client, steps

WIDTH = 64


@DBOS.step()
def nothing() -> None:
    """A step of W."""


@DBOS.step()
def slow_step(job: str, number: int) -> None:
    """A step of the kills."""
    steps.slow(job, number)


@DBOS.workflow()
def five(job: str) -> None:  # noqa: ARG001
    """W."""
    for _ in range(steps.STEPS):
        nothing()


@DBOS.workflow()
def slow(job: str) -> None:
    """Five slow steps."""
    for number in range(1, steps.STEPS + 1):
        slow_step(job, number)


WORKFLOWS = {"five": five, "slow": slow}


class Client(client.Client):
    """Starts workflows, each waited for in a thread."""

    async def open(self) -> None:
        """Launch DBOS, which goes on with what was left unfinished."""
        config: DBOSConfig = {"name": "peer", "system_database_url": os.environ["PEER_DATABASE"], "log_level": "ERROR"}
        DBOS(config=config)
        DBOS.launch()
        self._threads = ThreadPoolExecutor(WIDTH)

    async def run(self, workflow: str, job: str) -> None:
        """Start a workflow, and wait for its result."""
        await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: DBOS.start_workflow(WORKFLOWS[workflow], job).get_result()
        )

    async def submit(self, workflow: str, job: str) -> None:
        """Start a workflow."""
        await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: DBOS.start_workflow(WORKFLOWS[workflow], job)
        )
