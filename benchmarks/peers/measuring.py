"""One peer measured: the reference beside it, the load, the times at idle, the memory, the kills."""

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.langgraph_loop import LangGraphLoop
from benchmarks.peers import killing
from benchmarks.peers.killing import Outcome
from benchmarks.peers.peer import Peer
from benchmarks.peers.service import memory

IN_FLIGHT = 64
WARM_UP_IDLE_JOBS = 5
WARM_UP_JOBS = 64
WARM_UP_LOAD_SECONDS = 2.0
WARM_UP_SECONDS = 60.0
MILLISECONDS = 1000.0
# Of what a program says of its version: its name and the number come first.
VERSION_WORDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done with each peer."""

    repetitions: int = 2
    load_seconds: float = 6.0
    load_jobs: int = 3000
    """At most, a repetition."""
    reference_runs: int = 250
    idle_seconds: float = 8.0
    idle_jobs: int = 100
    """At most."""
    killed_jobs: int = 20
    kill_limit: float = 25.0
    """Seconds until a job that has not gone on is given up."""
    peer_seconds: float = 200.0
    """For one peer in all."""


FULL = Scale()
QUICK = Scale(
    repetitions=1,
    load_seconds=1.0,
    load_jobs=100,
    reference_runs=20,
    idle_seconds=1.0,
    idle_jobs=5,
    killed_jobs=4,
    kill_limit=15.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of a peer."""

    throughput: Figure
    idle_milliseconds: list[float]
    resident_bytes: int
    shared_once_bytes: int
    steps_killed: Outcome
    everything_killed: Outcome | None
    """None: what runs the steps is all there is."""
    versions: str


async def measure(kind: type[Peer], folder: Path, scale: Scale) -> Result:
    """Measure one peer. NotInstalledError when it cannot be installed."""
    peer = await asyncio.to_thread(kind, folder)
    async with asyncio.timeout(scale.peer_seconds), peer:
        await _warm_up(peer)
        versions = await _versions(peer)
        throughput = await _throughput(peer, folder, scale)
        idle = await peer.driver.ask("idle", seconds=scale.idle_seconds, most=scale.idle_jobs)
        resident, shared_once = memory(peer.pids())
        steps_killed = await killing.kill_steps(peer, jobs=scale.killed_jobs, limit=scale.kill_limit)
        everything_killed = None
        if len(peer.own()) > 1 or len(peer.pids()) > 1:
            await peer.reconnect()
            everything_killed = await killing.kill_everything(peer, jobs=scale.killed_jobs, limit=scale.kill_limit)
    return Result(
        throughput=throughput,
        idle_milliseconds=[each * MILLISECONDS for each in idle],
        resident_bytes=resident,
        shared_once_bytes=shared_once,
        steps_killed=steps_killed,
        everything_killed=everything_killed,
        versions=versions,
    )


async def _warm_up(peer: Peer) -> None:
    """What starts with the first jobs, in every process, has started. The first of them also waits for the workers."""
    async with asyncio.timeout(WARM_UP_SECONDS):
        await peer.driver.ask("idle", seconds=WARM_UP_LOAD_SECONDS, most=WARM_UP_IDLE_JOBS)
        await peer.driver.ask("load", seconds=WARM_UP_LOAD_SECONDS, most=WARM_UP_JOBS, width=IN_FLIGHT)


async def _throughput(peer: Peer, folder: Path, scale: Scale) -> Figure:
    rates, references = [], []
    async with LangGraphLoop(folder / "reference.db") as loop:
        for _ in range(scale.repetitions):
            times = await loop.run(scale.reference_runs)
            references.append(len(times) / sum(times))
            load = await peer.driver.ask("load", seconds=scale.load_seconds, most=scale.load_jobs, width=IN_FLIGHT)
            rates.append(load["done"] / load["seconds"])
    return Figure(name=peer.title, unit="jobs/s", measured=rates, reference=references)


async def _versions(peer: Peer) -> str:
    numbers = await peer.driver.ask("versions", packages=list(peer.packages))
    told = [f"{name} {number}" for name, number in zip(peer.packages, numbers, strict=True)]
    for command in peer.programs():
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=20)
        told.append(" ".join(done.stdout.split()[:VERSION_WORDS]))
    return ", ".join(told)
