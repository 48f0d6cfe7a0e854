"""Jobs a second, 64 in flight, each watched to its end: by workers, by nodes, by the size of the state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.client import IN_FLIGHT, Client, connect, keep_in_flight
from benchmarks.growth.extent import Extent
from benchmarks.growth.table import Drawing, Table, number, spread
from benchmarks.langgraph_loop import LangGraphLoop
from benchmarks.server_process import ServerProcess

# Measured first, to know how many jobs fill the time.
FEWEST = 16


@dataclass(frozen=True, slots=True)
class Work:
    """A workflow and its input."""

    workflow: str
    given: Mapping[str, Any]
    alone: str = ""
    """The graph that LangGraph runs alone, if not the same: in a loop only sync nodes make sense."""


@dataclass(slots=True)
class Rates:
    """Runs a second, repetition by repetition: the server's, and LangGraph's own."""

    server: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median of the repetitions' own ratios."""
        return median(s / a for s, a in zip(self.server, self.alone, strict=True))


async def by_workers(folder: Path, extent: Extent) -> list[Table]:
    """W, with sync and with async nodes, on servers with so many workers; they take turns."""
    works = [Work("five_sync", {"value": 0}), Work("five_async", {"value": 0}, alone="five_sync")]
    found = {workers: await _rates(folder, works, extent, workers=str(workers)) for workers in extent.workers}
    rows = [
        [str(workers), *(f"{spread(r.server)}, {r.ratio:.2f} ×" for r in rates), spread(rates[0].alone)]
        for workers, rates in found.items()
    ]
    lines = {
        name: [median(rates[place].server) for rates in found.values()]
        for place, name in enumerate(("sync nodes", "async nodes"))
    } | {"LangGraph and SqliteSaver in a loop": [median(rates[0].alone) for rates in found.values()]}
    return [
        Table(
            name="workers",
            title="Jobs/s of W by worker processes",
            head=["workers", "sync nodes", "async nodes", "LangGraph and SqliteSaver in a loop"],
            rows=rows,
            drawing=Drawing(x_label="workers", y_label="jobs/s", x=extent.workers, lines=lines),
        )
    ]


async def by_nodes(folder: Path, extent: Extent) -> list[Table]:
    """Lines of nodes that do nothing."""
    works = [Work(f"line_{nodes}", {"value": 0}) for nodes in extent.nodes]
    rates = await _rates(folder, works, extent)
    return [_table("nodes", "Jobs/s by the nodes of a line", "nodes", extent.nodes, rates)]


async def by_state(folder: Path, extent: Extent) -> list[Table]:
    """Lines of five nodes, the first of which makes a state of so many bytes."""
    works = [Work("sized", {"size": size}) for size in extent.state_bytes]
    rates = await _rates(folder, works, extent)
    return [_table("state", "Jobs/s of five nodes by the bytes of their state", "bytes", extent.state_bytes, rates)]


def _table(name: str, title: str, x_label: str, x: Sequence[int], rates: Sequence[Rates]) -> Table:
    head = [x_label, "jobs/s", "LangGraph and SqliteSaver in a loop", "ratio", f"{x_label} × jobs/s"]
    rows = [
        [f"{value:,}", spread(r.server), spread(r.alone), f"{r.ratio:.2f}", number(value * median(r.server))]
        for value, r in zip(x, rates, strict=True)
    ]
    lines = {
        "server": [median(r.server) for r in rates],
        "LangGraph and SqliteSaver in a loop": [median(r.alone) for r in rates],
    }
    return Table(
        name=name,
        title=title,
        head=head,
        rows=rows,
        drawing=Drawing(x_label=x_label, y_label="jobs/s", x=x, lines=lines),
    )


async def _rates(folder: Path, works: Sequence[Work], extent: Extent, *, workers: str = "") -> list[Rates]:
    """Each work in turn, LangGraph alone before the server. `workers`: if not as many as a server has by default."""
    found = [Rates() for _ in works]
    options = ["--workers", workers] if workers else []
    async with ServerProcess(folder / f"server{workers}.db", *options) as server, connect(server.address) as client:
        counts = [await _jobs_that_fill(client, work, extent.seconds) for work in works]
        for repetition in range(extent.repetitions):
            for place, (work, count, rates) in enumerate(zip(works, counts, found, strict=True)):
                database = folder / f"alone{workers}-{place}-{repetition}.db"
                async with LangGraphLoop(database, work.alone or work.workflow, work.given) as loop:
                    rates.alone.append(await _runs_a_second(loop, extent.seconds / 2))
                database.unlink()
                rates.server.append(await _jobs_a_second(client, work, count))
    return found


async def _jobs_that_fill(client: Client, work: Work, seconds: float) -> int:
    """So many jobs that all workers have work for the time. Warms the server up, too."""
    await _jobs_a_second(client, work, FEWEST)
    rate = await _jobs_a_second(client, work, FEWEST)
    return max(IN_FLIGHT, round(rate * seconds))


async def _jobs_a_second(client: Client, work: Work, count: int) -> float:
    return await keep_in_flight(count, lambda _: client.run(work.workflow, work.given))


async def _runs_a_second(loop: LangGraphLoop, seconds: float) -> float:
    first = await loop.run(3)
    times = await loop.run(max(3, round(seconds * len(first) / sum(first))))
    return len(times) / sum(times)
