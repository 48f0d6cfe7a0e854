"""What 5,000 jobs cost that sleep in async nodes at once, in two workers: the memory of all processes together."""

import asyncio
from pathlib import Path

from autopilot.v1 import job_pb2

from benchmarks.client import Client, connect, keep_in_flight
from benchmarks.figures import Bound, Figure
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

MEGABYTE = 1e6
LOOK_SECONDS = 0.5
# As long as the memory still grows by more than this between two looks.
SETTLED_BYTES = 1 << 20
WARM_UP = 64


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure all of a warm server's processes with no job, then with many that sleep."""
    without, sleeping = [], []
    options = ("--running-jobs", str(scale.sleeping_jobs), "--drain-seconds", "0")
    for number in range(min(scale.repetitions, 2)):
        async with (
            ServerProcess(folder / f"server-{number}.db", *options, workers="2") as server,
            connect(server.address) as client,
        ):
            await keep_in_flight(WARM_UP, lambda _: client.run("five_async", {"value": 0}))
            without.append(await _settled_megabytes(server))
            await keep_in_flight(scale.sleeping_jobs, lambda _: _sleep(client))
            await _all_run(client)
            sleeping.append(await _settled_megabytes(server))
    return [
        Figure(
            name=f"memory with {scale.sleeping_jobs} jobs that sleep in 2 workers, all processes",
            unit="MB",
            measured=sleeping,
            reference=without,
            reference_name="with none",
            bound=Bound(kind="at most", plus=600.0),
        )
    ]


async def _sleep(client: Client) -> None:
    await client.submit("sleeps", {"value": 0})


async def _all_run(client: Client) -> None:
    """Wait until none is left that waits, or has ended."""
    while await client.jobs(job_pb2.JOB_STATE_PENDING):  # noqa: ASYNC110 - the server tells nobody of all jobs
        await asyncio.sleep(LOOK_SECONDS)
    ended = await client.jobs(job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)
    assert not ended, ended[0]


async def _settled_megabytes(server: ServerProcess) -> float:
    before, now = -1, server.proportional_bytes()
    while now - before > SETTLED_BYTES:
        await asyncio.sleep(LOOK_SECONDS)
        before, now = now, server.proportional_bytes()
    return now / MEGABYTE
