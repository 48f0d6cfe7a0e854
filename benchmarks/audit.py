"""What the audit costs: Submit with `--audit-file`, and without it on a server beside."""

import time
from pathlib import Path
from statistics import median

from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.client import Client, connect, keep_in_flight
from benchmarks.figures import Figure
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

MILLISECONDS = 1000.0
WORKFLOW = "five_sync"
WARM_UP = 20


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure one Submit after the other, and 64 at once. The jobs are for tomorrow: nothing of them runs."""
    waits: dict[str, list[float]] = {"with": [], "without": []}
    rates: dict[str, list[float]] = {"with": [], "without": []}
    async with (
        ServerProcess(folder / "with.db", "--audit-file", str(folder / "audit.jsonl")) as audited,
        ServerProcess(folder / "without.db") as bare,
        connect(audited.address) as audited_client,
        connect(bare.address) as bare_client,
    ):
        clients = {"with": audited_client, "without": bare_client}
        for client in clients.values():
            await _submits(client, WARM_UP)
        for _ in range(scale.repetitions):
            for name, client in clients.items():
                waits[name].append(median(await _submits(client, scale.idle_jobs)) * MILLISECONDS)
                rates[name].append(await keep_in_flight(scale.throughput_jobs, lambda _, to=client: _submit(to)))
    return [
        Figure(
            name="durable submit at idle with an audit, p50",
            unit="ms",
            measured=waits["with"],
            reference=waits["without"],
            reference_name="without",
        ),
        Figure(
            name="submits with an audit, 64 in flight",
            unit="1/s",
            measured=rates["with"],
            reference=rates["without"],
            reference_name="without",
        ),
    ]


async def _submits(client: Client, count: int) -> list[float]:
    """Seconds that each took."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        await _submit(client)
        times.append(time.perf_counter() - started)
    return times


async def _submit(client: Client) -> None:
    tomorrow = Timestamp(seconds=int(time.time()) + 86400)
    await client.submit(WORKFLOW, {"value": 0}, scheduled_time=tomorrow)
