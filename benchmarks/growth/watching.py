"""How long after an event all watchers of one job have it."""

from pathlib import Path
from statistics import median

from benchmarks.client import connect
from benchmarks.figures import percentile
from benchmarks.growth.extent import Extent
from benchmarks.growth.table import Drawing, Table, number
from benchmarks.server_process import ServerProcess
from benchmarks.watchers import watch_by_many


async def measure(folder: Path, extent: Extent) -> list[Table]:
    """So many watchers, in one process beside the server's."""
    delays: list[list[float]] = []
    async with ServerProcess(folder / "server.db") as server, connect(server.address) as client:
        for watchers in extent.watchers:
            received = await watch_by_many(client, server.address, watchers=watchers, ticks=extent.ticks)
            delays.append(received.delays_ms)
    halves, tails = [median(values) for values in delays], [percentile(values, 99) for values in delays]
    return [
        Table(
            name="watchers",
            title="Milliseconds from an event to its receipt, by watchers of the job",
            head=["watchers", "p50", "p99"],
            rows=[
                [f"{watchers:,}", number(half), number(tail)]
                for watchers, half, tail in zip(extent.watchers, halves, tails, strict=True)
            ],
            drawing=Drawing(x_label="watchers", y_label="ms", x=extent.watchers, lines={"p50": halves, "p99": tails}),
        )
    ]
