"""What reading costs when many jobs are stored: GetStatus, and the first page of ListJobs."""

import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from autopilot.v1 import job_pb2, job_service_pb2

from benchmarks.client import Client, connect
from benchmarks.figures import Bound, Figure
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess
from benchmarks.stored_jobs import StoredJobs, multiply, run_jobs

MILLISECONDS = 1000.0
WARM_UP = 20

Call = Callable[[Client, StoredJobs], Awaitable[object]]


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Measure two servers side by side, one with few stored jobs and one with many."""
    few = await run_jobs(folder / "few.db", scale.few_stored)
    many = multiply(few, folder / "many.db", scale.many_stored // scale.few_stored)
    measured: dict[str, list[float]] = {name: [] for name in CALLS}
    reference: dict[str, list[float]] = {name: [] for name in CALLS}
    async with (
        ServerProcess(few.database) as small,
        ServerProcess(many.database) as large,
        connect(small.address) as client_of_small,
        connect(large.address) as client_of_large,
    ):
        for name, call in CALLS.items():
            for _ in range(WARM_UP):
                await call(client_of_small, few)
                await call(client_of_large, many)
            for _ in range(scale.repetitions):
                times = await _in_turn(call, scale.reads, (client_of_small, few), (client_of_large, many))
                reference[name].append(times[0])
                measured[name].append(times[1])
    return [
        Figure(
            name=f"{name}, {len(many.job_ids):,} stored jobs, p50",
            unit="ms",
            measured=measured[name],
            reference=reference[name],
            reference_name=f"{len(few.job_ids):,} stored jobs",
            bound=Bound(kind="at most", factor=1.5),
        )
        for name in CALLS
    ]


async def _in_turn(call: Call, count: int, *servers: tuple[Client, StoredJobs]) -> list[float]:
    """The median milliseconds that `call` takes on each server. They take turns, call by call."""
    times: list[list[float]] = [[] for _ in servers]
    for _ in range(count):
        for (client, stored), own in zip(servers, times, strict=True):
            started = time.perf_counter()
            await call(client, stored)
            own.append((time.perf_counter() - started) * MILLISECONDS)
    return [median(own) for own in times]


async def _get_status(client: Client, stored: StoredJobs) -> object:
    job_id = random.choice(stored.job_ids)  # noqa: S311 - not a secret
    return await client.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id))


async def _list_jobs(client: Client, _stored: StoredJobs) -> object:
    return await client.stub.ListJobs(job_service_pb2.ListJobsRequest())


async def _list_failed(client: Client, _stored: StoredJobs) -> object:
    wanted = job_service_pb2.JobFilter(states=[job_pb2.JOB_STATE_FAILED])
    return await client.stub.ListJobs(job_service_pb2.ListJobsRequest(filter=wanted))


async def _list_team(client: Client, _stored: StoredJobs) -> object:
    wanted = job_service_pb2.JobFilter(labels={"team": "team-3"})
    return await client.stub.ListJobs(job_service_pb2.ListJobsRequest(filter=wanted))


CALLS: dict[str, Call] = {
    "GetStatus": _get_status,
    "ListJobs, first page": _list_jobs,
    "ListJobs, first page of a state": _list_failed,
    "ListJobs, first page of a label": _list_team,
}
