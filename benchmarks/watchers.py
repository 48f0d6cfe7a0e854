"""Many watchers of one job, in a process of their own: how long after an event each of them has it.

As a program it watches a job with many streams, and writes what they received as JSON.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from autopilot.v1 import job_service_pb2

from benchmarks.client import Client, connect
from benchmarks.figures import Bound, Figure, percentile
from benchmarks.langgraph_loop import REPOSITORY
from benchmarks.scale import Scale
from benchmarks.server_process import ServerProcess

CONNECTIONS = 10
# The job starts this long after the watchers, so that all of them are there.
HEAD_START_SECONDS = 3.0
_WATCH = "/autopilot.v1.JobService/WatchProgress"


@dataclass(frozen=True, slots=True)
class Received:
    """What all watchers of a job got."""

    delays_ms: list[float]
    """From each event's event_time to each watcher's receipt."""
    complete: int
    """Watchers that got every event 1, 2, 3 … of the log, once and in order."""
    events: int
    """Events in the log."""


async def measure(folder: Path, scale: Scale) -> list[Figure]:
    """Watch one job with many watchers, several times. RuntimeError when one of them misses an event."""
    delays: list[float] = []
    async with ServerProcess(folder / "server.db") as server, connect(server.address) as client:
        for _ in range(min(scale.repetitions, 3)):
            received = await watch_by_many(client, server.address, watchers=scale.watchers, ticks=scale.ticks)
            delays.append(percentile(received.delays_ms, 99))
    return [
        Figure(
            name=f"{scale.watchers} watchers of one job, event to receipt, p99",
            unit="ms",
            measured=delays,
            bound=Bound(kind="at most", plus=150.0),
        )
    ]


async def watch_by_many(client: Client, address: str, *, watchers: int, ticks: int) -> Received:
    """Let many watch a job of so many supersteps. RuntimeError when one of them misses an event."""
    start = round(time.time() + HEAD_START_SECONDS + watchers / 1000)
    job_id = await client.submit("clock", {"left": ticks}, scheduled_time={"seconds": start})
    received = await _watch_elsewhere(address, job_id, watchers)
    if received.complete != watchers:
        raise RuntimeError(f"{watchers - received.complete} watchers did not get every event")
    return received


async def _watch_elsewhere(address: str, job_id: str, watchers: int) -> Received:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, address, job_id, str(watchers)),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the watchers' process has failed")
    return Received(**json.loads(output))


async def _watch(address: str, job_id: str, watchers: int) -> Received:
    request = job_service_pb2.WatchProgressRequest(job_id=job_id)
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(CONNECTIONS)
        ]
        streams = [_stream(channels[number % CONNECTIONS], request) for number in range(watchers)]
        logs = await asyncio.gather(*streams)
    return _evaluate(logs)


async def _stream(
    channel: grpc.aio.Channel, request: job_service_pb2.WatchProgressRequest
) -> list[tuple[float, bytes]]:
    """The messages as they came, with the time of each: they are parsed afterwards, not while others arrive."""
    call = channel.unary_stream(
        _WATCH,
        request_serializer=job_service_pb2.WatchProgressRequest.SerializeToString,
        response_deserializer=bytes,
    )
    return [(time.time(), message) async for message in call(request)]


def _evaluate(logs: list[list[tuple[float, bytes]]]) -> Received:
    delays: list[float] = []
    sequences: list[list[int]] = []
    for log in logs:
        seen = []
        for received, message in log:
            for event in job_service_pb2.WatchProgressResponse.FromString(message).events:
                seen.append(event.sequence)
                # What happened before the watch began was not delayed by it.
                if event.attempt > 0:
                    delays.append((received - event.event_time.ToMicroseconds() / 1e6) * 1000)
        sequences.append(seen)
    latest = max(max(seen, default=0) for seen in sequences)
    complete = sum(seen == list(range(1, latest + 1)) for seen in sequences)
    return Received(delays, complete, latest)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_watch(sys.argv[1], sys.argv[2], int(sys.argv[3]))))))
