"""Times at idle: one job after the other, from Submit to its answer and to the job's end."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.client import Client, connect
from benchmarks.figures import Bound, Figure
from benchmarks.langgraph_loop import LangGraphLoop
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

MILLISECONDS = 1000.0
WORKFLOWS = ("five_sync", "five_async")
WARM_UP = 10


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure submit and submit-to-done, the references beside them."""
    submits: list[float] = []
    commits: list[float] = []
    runs: list[float] = []
    dones: dict[str, list[float]] = {workflow: [] for workflow in WORKFLOWS}
    async with (
        LangGraphLoop(folder / "reference.db") as loop,
        ServerProcess(folder / "server.db") as server,
        connect(server.address) as client,
    ):
        for workflow in WORKFLOWS:
            await _jobs(client, workflow, WARM_UP)
        for _ in range(scale.repetitions):
            runs.append(median(await loop.run(scale.idle_jobs)) * MILLISECONDS)
            commits.append(median(_durable_commits(folder / "commits.db", scale.idle_jobs)))
            submitted: list[float] = []
            for workflow in WORKFLOWS:
                times = await _jobs(client, workflow, scale.idle_jobs)
                submitted += [submit for submit, _ in times]
                dones[workflow].append(median(done for _, done in times))
            submits.append(median(submitted))
    return [
        Figure(
            name="durable submit at idle, p50",
            unit="ms",
            measured=submits,
            reference=commits,
            reference_name="one commit of SQLite's",
            bound=Bound(kind="at most", plus=3.0),
        ),
        *(
            Figure(
                name=f"submit to done at idle, p50, {workflow.removeprefix('five_')} nodes",
                unit="ms",
                measured=dones[workflow],
                reference=runs,
                reference_name="one run in process",
                bound=Bound(kind="at most", factor=1.5, plus=4.0),
            )
            for workflow in WORKFLOWS
        ),
    ]


async def _jobs(client: Client, workflow: str, count: int) -> list[tuple[float, float]]:
    """Milliseconds from Submit to its answer, and to the end of the job's watch, of each of `count` jobs."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        job_id = await client.submit(workflow, {"value": 0})
        submitted = time.perf_counter()
        await client.watch(job_id)
        times.append(((submitted - started) * MILLISECONDS, (time.perf_counter() - started) * MILLISECONDS))
    return times


def _durable_commits(database: Path, count: int) -> list[float]:
    """Milliseconds that committing one row takes, with the settings that the server has: WAL, synchronous=FULL."""
    times = []
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS rows (value BLOB)")
        for _ in range(count):
            started = time.perf_counter()
            connection.execute("INSERT INTO rows VALUES (?)", (os.urandom(500),))
            times.append((time.perf_counter() - started) * MILLISECONDS)
    return times
