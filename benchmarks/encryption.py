"""What encryption at rest costs: the same jobs on a server with a key, and in turn on one without."""

import time
from pathlib import Path
from statistics import median

from autopilot_server.storage.keys import add_key

from benchmarks.client import Client, connect, keep_in_flight
from benchmarks.figures import Bound, Figure
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

WORKFLOW = "five_async"
MILLISECONDS = 1000.0


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure jobs a second and a durable submit at idle, each with the same without encryption."""
    add_key(folder / "keys.txt")
    rates: tuple[list[float], list[float]] = ([], [])
    submits: tuple[list[float], list[float]] = ([], [])
    async with (
        ServerProcess(folder / "sealed.db", "--encryption-key-file", str(folder / "keys.txt")) as sealed,
        ServerProcess(folder / "plain.db") as plain,
        connect(sealed.address) as client_of_sealed,
        connect(plain.address) as client_of_plain,
    ):
        clients = (client_of_sealed, client_of_plain)
        for client in clients:
            await _jobs_per_second(client, 64)
        for _ in range(scale.repetitions):
            for client, rate, submit in zip(clients, rates, submits, strict=True):
                submit.append(await _submit_time(client, scale.idle_jobs))
                rate.append(await _jobs_per_second(client, scale.throughput_jobs))
    return [
        Figure(
            name="throughput with encryption, async nodes",
            unit="jobs/s",
            measured=rates[0],
            reference=rates[1],
            reference_name="without encryption",
            bound=Bound(kind="at least", factor=0.8),
        ),
        Figure(
            name="durable submit at idle with encryption, p50",
            unit="ms",
            measured=submits[0],
            reference=submits[1],
            reference_name="without encryption",
            bound=Bound(kind="at most", factor=1.25),
        ),
    ]


async def _jobs_per_second(client: Client, count: int) -> float:
    return await keep_in_flight(count, lambda _: client.run(WORKFLOW, {"value": 0}))


async def _submit_time(client: Client, count: int) -> float:
    """Milliseconds from Submit to its answer, one job after the other: the median."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        job_id = await client.submit(WORKFLOW, {"value": 0})
        times.append((time.perf_counter() - started) * MILLISECONDS)
        await client.watch(job_id)
    return median(times)
