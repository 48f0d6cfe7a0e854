"""Jobs a second: W, 64 in flight, each watched to its end."""

from pathlib import Path

from benchmarks.client import Client, connect, keep_in_flight
from benchmarks.figures import Bound, Figure
from benchmarks.langgraph_loop import LangGraphLoop
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

# What two processes for the engine reached beside a server's in a prototype, on a machine whose commits took longer.
LEAST = {"five_sync": 2.1, "five_async": 2.4}


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure the server, with its default of workers, with sync and with async nodes, the reference before each."""
    rates: dict[str, list[float]] = {workflow: [] for workflow in LEAST}
    references: dict[str, list[float]] = {workflow: [] for workflow in LEAST}
    async with (
        LangGraphLoop(folder / "reference.db") as loop,
        ServerProcess(folder / "server.db") as server,
        connect(server.address) as client,
    ):
        for workflow in LEAST:
            await _jobs_per_second(client, workflow, 64)
        for _ in range(scale.repetitions):
            for workflow in LEAST:
                times = await loop.run(scale.throughput_jobs // 2)
                references[workflow].append(len(times) / sum(times))
                rates[workflow].append(await _jobs_per_second(client, workflow, scale.throughput_jobs))
    return [
        Figure(
            name=f"throughput, {workflow.removeprefix('five_')} nodes",
            unit="jobs/s",
            measured=rates[workflow],
            reference=references[workflow],
            reference_name="LangGraph and SqliteSaver in a loop",
            bound=Bound(kind="at least", factor=least),
        )
        for workflow, least in LEAST.items()
    ]


async def _jobs_per_second(client: Client, workflow: str, count: int) -> float:
    return await keep_in_flight(count, lambda _: client.run(workflow, {"value": 0}))
