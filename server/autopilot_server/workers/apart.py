"""Jobs that run apart, each in a process of its own: those of isolated workflows, and suspects."""

import asyncio
import logging
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopilot_server.doorbell import News
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND, Isolation, JobErrorReason, now
from autopilot_server.jobs.states import OWNED, JobState
from autopilot_server.storage.store import Share
from autopilot_server.workers.member import Member

if TYPE_CHECKING:
    from autopilot_server.workers.pool import WorkerPool

log = logging.getLogger(__name__)

# Stands behind every wake-up.
POLL_SECONDS = 1.0

# How long a process may take to end once it has ended its job.
END_SECONDS = 5.0

# Of jobs whose run somebody else has ended: nothing that the process still does has a meaning.
_ENDED_BY_OTHERS = (JobErrorReason.CANCELLED, JobErrorReason.EXECUTION_TIMED_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Jobs whose processes are alike."""

    name: str
    workflows: Sequence[str]
    share: Share
    limits: Sequence[tuple[int, int]] = ()


class Apart:
    """Starts a process for each job that is to run apart, and ends it with the job. Lives in the server's loop."""

    def __init__(self, pool: "WorkerPool", most: int) -> None:
        """At most `most` at once."""
        self._pool = pool
        self._room = asyncio.Semaphore(most)
        self._loop = asyncio.get_running_loop()
        self._by_job: dict[str, Member] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._keeping: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Look for such jobs from now on, of the workflows that there are now."""
        for task in self._keeping:
            task.cancel()
        kinds = self._kinds()
        self._news = {kind.name: asyncio.Event() for kind in kinds}
        self._keeping = [self._pool.in_background(self._keep(kind, self._news[kind.name])) for kind in kinds]

    def rang(self, member: Member, news: Sequence[News]) -> None:
        """A worker has committed something."""
        if member.is_apart and member.job_id and self._by_job.get(member.job_id) is not member:
            self._by_job[member.job_id] = member
            self._check(member)
        self._look(news)

    def decided(self, news: Sequence[News]) -> None:
        """Somebody else has committed something. From any thread."""
        over = [item for item in news if item.job_id in self._by_job and item.state not in OWNED]
        if over or any(item.state is JobState.PENDING for item in news):
            self._loop.call_soon_threadsafe(self._hear_decided, over, news)

    def _hear_decided(self, over: Sequence[News], news: Sequence[News]) -> None:
        for item in over:
            if (member := self._by_job.get(item.job_id)) is not None:
                self._end(member)
        self._look(news)

    def _look(self, news: Sequence[News]) -> None:
        if any(item.state is JobState.PENDING for item in news):
            for event in self._news.values():
                event.set()

    def _check(self, member: Member) -> None:
        """What the doorbell tells, in case it told it before the claim was heard of; and a process that does not end
        although its job has."""
        if member.process.exited.done():
            return
        try:
            seconds = self._seconds_left(member)
        except StorageUnavailableError:
            seconds = None
        if seconds is None:
            self._loop.call_later(POLL_SECONDS, self._check, member)
        else:
            self._loop.call_later(seconds, self._end, member)

    def _seconds_left(self, member: Member) -> float | None:
        """How long a process may still live. None: as long as its job runs."""
        store = self._pool.store
        if store.runs_of(member.worker_id):
            return None
        job = store.job_get(member.job_id, payloads=False)
        was_ended = job is None or (job.error is not None and job.error.reason in _ENDED_BY_OTHERS)
        return 0.0 if was_ended else END_SECONDS

    @staticmethod
    def _end(member: Member) -> None:
        if not member.process.exited.done():
            log.info("the process of a job that is over is ended", extra={"job_id": member.job_id})
            member.end()

    # --- one kind ---

    def _kinds(self) -> Sequence[Kind]:
        isolated = self._pool.isolated
        share = Share(apart=True, isolated=isolated)
        kinds = [
            Kind(name=workflow.name, workflows=[workflow.name], share=share, limits=_limits(workflow.isolation))
            for workflow in self._pool.workflows
            if workflow.isolation is not None
        ]
        shared = [workflow.name for workflow in self._pool.workflows if workflow.isolation is None]
        return [*kinds, Kind(name="suspect", workflows=shared, share=share)]

    async def _keep(self, kind: Kind, news: asyncio.Event) -> None:
        while not self._pool.stopping:
            news.clear()
            if patience := self._patience(kind):
                await _wait(news, patience)
                continue
            await self._room.acquire()
            begun = asyncio.get_running_loop().create_future()
            self._pool.in_background(self._live(kind, begun))
            # It is no more runnable once it is claimed: only then it can be told whether there is another one.
            member = await begun
            if member is not None:
                await member.claimed.wait()

    async def _live(self, kind: Kind, begun: "asyncio.Future[Member | None]") -> None:
        member: Member | None = None

        def started(new: Member) -> None:
            nonlocal member
            member = new
            new.is_apart = True
            begun.set_result(new)

        try:
            await self._pool.live(kind.name, kind.share, kind.workflows, limits=kind.limits, on_start=started)
        finally:
            self._room.release()
            if not begun.done():
                begun.set_result(None)
            if member is not None and self._by_job.get(member.job_id) is member:
                del self._by_job[member.job_id]

    def _patience(self, kind: Kind) -> float:
        """Seconds until there is a job to run, at most until the next poll."""
        try:
            runnable = self._pool.store.next_runnable_time(dict.fromkeys(kind.workflows, ""), share=kind.share)
        except StorageUnavailableError:
            return POLL_SECONDS
        return POLL_SECONDS if runnable is None else min(POLL_SECONDS, max(0.0, (runnable - now()) / SECOND))


def _limits(isolation: Isolation | None) -> Sequence[tuple[int, int]]:
    if isolation is None:
        return ()
    found = {resource.RLIMIT_AS: isolation.memory_bytes, resource.RLIMIT_CPU: isolation.cpu_seconds}
    return [(kind, most) for kind, most in found.items() if most is not None]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
