"""What 1,000 jobs cost that wait for an answer: the server's memory with them, and without."""

import asyncio
from pathlib import Path

from autopilot.v1 import job_pb2

from benchmarks.client import Client, connect, keep_in_flight
from benchmarks.figures import Bound, Figure
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

MEGABYTE = 1e6
# Settled: no change above this much between two looks.
SETTLED_BYTES = 1 << 18
LOOK_SECONDS = 0.5
MOST_LOOKS = 20
WARM_UP = 64


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure the memory of a warm server with no job, then with many that are INTERRUPTED."""
    without, waiting = [], []
    for number in range(min(scale.repetitions, 3)):
        async with ServerProcess(folder / f"server-{number}.db") as server, connect(server.address) as client:
            # Without this the first jobs' imports and caches would count as theirs.
            await keep_in_flight(WARM_UP, lambda _: client.run("five_sync", {"value": 0}))
            without.append(await _settled_megabytes(server))
            await keep_in_flight(scale.interrupted_jobs, lambda _: _interrupt(client))
            waiting.append(await _settled_megabytes(server))
    return [
        Figure(
            name=f"memory with {scale.interrupted_jobs} INTERRUPTED jobs",
            unit="MB",
            measured=waiting,
            reference=without,
            reference_name="with none",
            bound=Bound(kind="at most", factor=1.0, plus=20.0),
        )
    ]


async def _interrupt(client: Client) -> None:
    job = await client.wait(await client.submit("question", {"value": 0}))
    assert job.state == job_pb2.JOB_STATE_INTERRUPTED, job


async def _settled_megabytes(server: ServerProcess) -> float:
    before = 0
    for _ in range(MOST_LOOKS):
        now = server.resident_bytes()
        if abs(now - before) < SETTLED_BYTES:
            break
        before = now
        await asyncio.sleep(LOOK_SECONDS)
    return server.resident_bytes() / MEGABYTE
