"""`langgraph dev` by LangGraph's own SDK."""

import os

from langgraph_sdk import get_client

from benchmarks.peers import client


class Client(client.Client):
    """Makes a thread for each job, and runs the graph on it."""

    async def open(self) -> None:
        """Take one client for all."""
        self._client = get_client(url=os.environ["PEER_URL"])

    async def run(self, workflow: str, job: str) -> None:
        """Run a graph, and wait for its values."""
        thread = await self._client.threads.create()
        await self._client.runs.wait(thread["thread_id"], workflow, input=_value(workflow, job))

    async def submit(self, workflow: str, job: str) -> None:
        """Run a graph in the background."""
        thread = await self._client.threads.create()
        await self._client.runs.create(thread["thread_id"], workflow, input=_value(workflow, job))


def _value(workflow: str, job: str) -> dict[str, object]:
    return {"value": 0} if workflow == "five" else {"job": job}
