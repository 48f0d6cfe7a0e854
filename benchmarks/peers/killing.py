"""What survives SIGKILL: twenty jobs are under way, processes die, and the trace of the steps tells what came of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers import service, steps
from benchmarks.peers.peer import Peer
from benchmarks.peers.steps import Mark

LOOK_SECONDS = 0.02
BEGIN_SECONDS = 30.0
# Jobs are killed once one of them is here: it has steps behind it that need not be done again.
KILL_AT_STEP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the jobs. Seconds count from the kill."""

    submitted: int
    running: int
    """Jobs that had begun and not ended, in the processes that were killed."""
    first_step_after: float | None
    """Until one of those took a step again. None: none has, within the time that was waited."""
    all_done_after: float | None
    """Until all that were submitted had ended. None: some had not."""
    unfinished: int
    """Jobs that had not ended when it was waited no longer."""
    again: int
    """Steps that had ended before the kill and were done once more."""
    waited: float


async def kill_steps(peer: Peer, *, jobs: int, limit: float) -> Outcome:
    """Kill every process in which a step is running."""
    return await _kill(peer, "steps", jobs, limit, lambda marks: _running_in(marks))


async def kill_everything(peer: Peer, *, jobs: int, limit: float) -> Outcome:
    """Kill all processes of the peer's, and start them again."""
    return await _kill(peer, "everything", jobs, limit, lambda _: set(peer.pids()))


async def _kill(peer: Peer, name: str, count: int, limit: float, victims: Callable[[list[Mark]], set[int]]) -> Outcome:
    jobs = [f"{name}-{number}" for number in range(count)]
    await peer.driver.ask("submit", jobs=jobs)
    async with asyncio.timeout(BEGIN_SECONDS):
        while not any(mark.step == KILL_AT_STEP for mark in _marks(peer, name)):
            await asyncio.sleep(LOOK_SECONDS)
    pids = victims(_marks(peer, name))
    service.kill(pids)
    killed = time.monotonic()
    while time.monotonic() < killed + limit:
        await peer.revive()
        if len(_ended(_marks(peer, name))) == count:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return outcome(_marks(peer, name), count, pids, killed, limit)


def outcome(marks: list[Mark], count: int, pids: set[int], killed: float, limit: float) -> Outcome:
    """What the trace tells. A process that was killed has the last word before the kill, however late it comes."""
    before = [mark for mark in marks if mark.at < killed or mark.pid in pids]
    after = [mark for mark in marks if mark.at >= killed and mark.pid not in pids]
    last = {mark.job: mark.pid for mark in before}
    running = {job for job, pid in last.items() if pid in pids} - _ended(before)
    finished = {(mark.job, mark.step) for mark in before if mark.ended}
    first = [mark.at for mark in after if mark.job in running and not mark.ended]
    done = _ended(marks)
    return Outcome(
        submitted=count,
        running=len(running),
        first_step_after=min(first) - killed if first else None,
        all_done_after=max(mark.at for mark in marks) - killed if len(done) == count else None,
        unfinished=count - len(done),
        again=len({(mark.job, mark.step) for mark in after if not mark.ended} & finished),
        waited=limit,
    )


def _marks(peer: Peer, name: str) -> list[Mark]:
    return [mark for mark in steps.read(peer.trace) if mark.job.startswith(f"{name}-")]


def _ended(marks: list[Mark]) -> set[str]:
    return {mark.job for mark in marks if mark.ended and mark.step == steps.STEPS}


def _running_in(marks: list[Mark]) -> set[int]:
    """Processes with a step that has begun and not ended."""
    ended = {(mark.job, mark.step) for mark in marks if mark.ended}
    return {mark.pid for mark in marks if (mark.job, mark.step) not in ended}
