"""After SIGKILL of the whole service with 20 jobs running: when the first step runs again, and whether all go on."""

import asyncio
import time
from pathlib import Path

from autopilot.v1 import job_pb2, job_service_pb2

from benchmarks.client import Client, connect
from benchmarks.figures import Bound, Figure
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

JOBS = 20
TICKS = 1_000_000


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Kill and start again, several times, on the same database. RuntimeError when a job does not go on."""
    steps, served = [], []
    database = folder / "server.db"
    async with ServerProcess(database) as server, connect(server.address) as client:
        jobs = [await client.submit("clock", {"left": TICKS}) for _ in range(JOBS)]
        await asyncio.gather(*(_step_of(client, job, attempt=1) for job in jobs))
        await server.kill()
    for attempt in range(2, 2 + scale.repetitions):
        began = time.time()
        async with ServerProcess(database) as server, connect(server.address) as client:
            serves = time.time()
            async with asyncio.timeout(60):
                times = await asyncio.gather(*(_step_of(client, job, attempt=attempt) for job in jobs))
            steps.append(min(times) - began)
            served.append(max(times) - serves)
            await server.kill()
    return [
        Figure(
            name=f"first step again after SIGKILL with {JOBS} jobs running, from the start of the command",
            unit="s",
            measured=steps,
            bound=Bound(kind="at most", plus=1.0),
        ),
        Figure(
            name=f"all {JOBS} jobs in their steps again, from when the server answers",
            unit="s",
            measured=served,
            bound=Bound(kind="at most", plus=1.0),
        ),
    ]


async def _step_of(client: Client, job_id: str, *, attempt: int) -> float:
    """Wait until a step of an attempt has begun. When that was, in seconds since 1970."""
    request = job_service_pb2.WatchProgressRequest(job_id=job_id)
    async for message in client.stub.WatchProgress(request):
        for event in message.events:
            if event.attempt == attempt and event.HasField("step_started"):
                return event.event_time.ToNanoseconds() / 1e9
    job = await client.wait(job_id)
    raise RuntimeError(f"a job did not go on after SIGKILL: {job_pb2.JobState.Name(job.state)}")
