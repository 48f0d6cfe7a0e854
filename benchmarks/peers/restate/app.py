"""Restate: a service with a handler of five journaled steps, called through the server's HTTP ingress."""

import os

import httpx
import restate

from benchmarks.peers import client, steps

RUN_SECONDS = 60.0

jobs = restate.Service("jobs")


async def _nothing() -> None:
    pass


@jobs.handler()
async def five(ctx: restate.Context, job: str) -> None:  # noqa: ARG001
    """W."""
    for number in range(1, steps.STEPS + 1):
        await ctx.run_typed(f"step_{number}", _nothing)


@jobs.handler()
async def slow(ctx: restate.Context, job: str) -> None:
    """Five slow steps."""
    for number in range(1, steps.STEPS + 1):
        await ctx.run_typed(f"step_{number}", steps.slow_async, job=job, step=number)


app = restate.app(services=[jobs])


class Client(client.Client):
    """Calls handlers over HTTP."""

    async def open(self) -> None:
        """Take one pool of connections for all."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(base_url=os.environ["PEER_URL"], timeout=RUN_SECONDS, limits=limits)

    async def run(self, workflow: str, job: str) -> None:
        """Call a handler, and wait for its response."""
        (await self._client.post(f"/jobs/{workflow}", json=job)).raise_for_status()

    async def submit(self, workflow: str, job: str) -> None:
        """Send a handler its call."""
        (await self._client.post(f"/jobs/{workflow}/send", json=job)).raise_for_status()
