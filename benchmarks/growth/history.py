"""What a job of many steps costs in bytes and in time, each step of which adds a kilobyte to the state."""

import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.client import Client, connect
from benchmarks.growth.extent import Extent
from benchmarks.growth.table import Drawing, Table, number, spread
from benchmarks.langgraph_loop import LangGraphLoop
from benchmarks.server_process import ServerProcess

STEP_BYTES = 1_000
MEGABYTE = 1e6

# What is kept, by the workflow that keeps it.
KINDS = {
    "conversation": "all",
    "conversation_last": "the last 10",
    "conversation_newest": "the newest, once succeeded",
    "conversation_delta": "all, DeltaChannel",
}
ALONE = "SqliteSaver in a loop"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one job."""

    seconds: list[float]
    kept: float
    """Megabytes that are used in the database when it is over, more than before."""
    largest: float
    """By how many megabytes the file grew meanwhile."""


@dataclass(frozen=True, slots=True)
class _Pages:
    used: int
    all: int
    size: int

    @classmethod
    def of(cls, database: Path) -> "_Pages":
        with closing(sqlite3.connect(database)) as connection:
            names = ("page_count", "freelist_count", "page_size")
            count, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        return cls(count - free, count, size)


Run = Callable[[int], Awaitable[float]]
"""Runs a job of so many steps. The seconds that it took."""


async def measure(folder: Path, extent: Extent) -> list[Table]:
    """Each kind on a server and a database of its own."""
    costs: dict[str, dict[int, Cost]] = {}
    for workflow, kept in KINDS.items():
        database = folder / f"{workflow}.db"
        async with ServerProcess(database) as server, connect(server.address) as client:
            costs[kept] = await _costs(database, _on_server(client, workflow), extent)
    database = folder / "alone.db"
    async with LangGraphLoop(database, "conversation", _given(5)) as loop:

        async def alone(steps: int) -> float:
            return sum(await loop.run(1, _given(steps)))

        costs[ALONE] = await _costs(database, alone, extent)
    return [_kept(costs, extent), _in_detail(costs, extent)]


async def _costs(database: Path, run: Run, extent: Extent) -> dict[int, Cost]:
    await run(5)
    return {steps: await _cost(database, run, steps, extent.repetitions) for steps in extent.steps}


async def _cost(database: Path, run: Run, steps: int, repetitions: int) -> Cost:
    """The file can only grow at the first of the jobs, when the others find the room that it left."""
    before = _Pages.of(database)
    seconds = [await run(steps)]
    after = _Pages.of(database)
    seconds += [await run(steps) for _ in range(repetitions - 1)]
    kept = (after.used - before.used) * after.size
    # Pages that were free before are used first.
    largest = kept + (after.all - after.used) * after.size
    return Cost(seconds, kept / MEGABYTE, largest / MEGABYTE)


def _on_server(client: Client, workflow: str) -> Run:
    async def run(steps: int) -> float:
        started = time.perf_counter()
        await client.run(workflow, _given(steps))
        return time.perf_counter() - started

    return run


def _given(steps: int) -> dict[str, int]:
    return {"left": steps, "size": STEP_BYTES}


def _kept(costs: dict[str, dict[int, Cost]], extent: Extent) -> Table:
    rows = [[kind, *(number(found[steps].kept) for steps in extent.steps)] for kind, found in costs.items()]
    lines = {kind: [found[steps].kept for steps in extent.steps] for kind, found in costs.items()}
    return Table(
        name="history",
        title=f"Megabytes in the database of one job, each step of which adds {STEP_BYTES:,} bytes",
        head=["kept", *(f"{steps} steps" for steps in extent.steps)],
        rows=rows,
        drawing=Drawing(x_label="steps", y_label="MB", x=extent.steps, lines=lines),
    )


def _in_detail(costs: dict[str, dict[int, Cost]], extent: Extent) -> Table:
    steps = 200 if 200 in extent.steps else extent.steps[-1]
    rows = [
        [
            kind,
            number(cost.kept),
            number(cost.largest),
            spread(cost.seconds),
            number(1000 * median(cost.seconds) / steps),
        ]
        for kind, cost in ((kind, found[steps]) for kind, found in costs.items())
    ]
    lines = {kind: [median(found[n].seconds) for n in extent.steps] for kind, found in costs.items()}
    return Table(
        name="history-time",
        title=f"One job of {steps} steps, {STEP_BYTES:,} bytes each",
        head=["kept", "MB in the end", "MB meanwhile", "seconds", "ms a step"],
        rows=rows,
        drawing=Drawing(x_label="steps", y_label="seconds", x=extent.steps, lines=lines),
    )
