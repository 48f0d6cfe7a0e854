"""Calls while a step holds the interpreter of the worker for ten seconds: as fast as at idle, or nearly."""

import asyncio
import time
from pathlib import Path

from autopilot.v1 import job_pb2, job_service_pb2

from benchmarks.client import Client, connect
from benchmarks.figures import Bound, Figure, percentile
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

MILLISECONDS = 1000.0
# Less than the step holds it (workflows/graphs.py).
MEASURE_SECONDS = 8.0
WARM_UP = 50


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure unary calls one after the other, at idle and then while a step holds the only worker."""
    idle, held = [], []
    seconds = MEASURE_SECONDS if scale.repetitions > 1 else 0.5
    async with (
        ServerProcess(folder / "server.db", "--drain-seconds", "0", workers="1") as server,
        connect(server.address) as client,
    ):
        done = await client.submit("five_async", {"value": 0})
        await client.watch(done)
        for _ in range(WARM_UP):
            await _calls(client, done)
        for _ in range(min(scale.repetitions, 3)):
            idle.append(percentile(await _times(client, done, seconds), 99))
            job = await client.submit("holds", {"value": 0})
            await _runs(client, job)
            held.append(percentile(await _times(client, done, seconds), 99))
            assert (await _status(client, job)).state == job_pb2.JOB_STATE_RUNNING, "it was to be held all the time"
            if scale.repetitions > 1:
                await client.watch(job)
    return [
        Figure(
            name="GetStatus, ListJobs and Submit while a step holds the worker, p99",
            unit="ms",
            measured=held,
            reference=idle,
            reference_name="at idle",
            bound=Bound(kind="at most", factor=2.0),
        )
    ]


async def _runs(client: Client, job_id: str) -> None:
    while (await _status(client, job_id)).state != job_pb2.JOB_STATE_RUNNING:  # noqa: ASYNC110 - a held worker tells nothing
        await asyncio.sleep(0.01)
    # From the claim to the step.
    await asyncio.sleep(0.2)


async def _times(client: Client, done: str, seconds: float) -> list[float]:
    times: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        times += await _calls(client, done)
    return times


async def _calls(client: Client, done: str) -> list[float]:
    """Milliseconds that one call of each kind takes."""
    times = []
    for call in (_status(client, done), client.jobs(), client.submit("five_async", {"value": 0}, **_later())):
        started = time.perf_counter()
        await call
        times.append((time.perf_counter() - started) * MILLISECONDS)
    return times


def _later() -> dict[str, object]:
    """Stored, and not run."""
    request = job_service_pb2.SubmitJobRequest()
    request.scheduled_time.FromSeconds(4_000_000_000)
    return {"scheduled_time": request.scheduled_time}


async def _status(client: Client, job_id: str) -> job_pb2.Job:
    return (await client.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id))).job
