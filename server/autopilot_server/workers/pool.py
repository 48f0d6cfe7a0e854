"""The worker processes of a server: started, heard, and replaced when they die."""

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import uuid_utils

from autopilot_server import logs
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell, News
from autopilot_server.jobs.errors import StartupError, StorageUnavailableError
from autopilot_server.jobs.job import Job, JobError, JobErrorReason, Json, Workflow
from autopilot_server.jobs.states import JobState
from autopilot_server.observer import Observer
from autopilot_server.recovery import tell_recovery
from autopilot_server.storage import absolute
from autopilot_server.storage.keys import KeyRing
from autopilot_server.storage.store import Share, Store
from autopilot_server.supervision import end_process_with
from autopilot_server.tracer import Tracer
from autopilot_server.workers.apart import Apart
from autopilot_server.workers.changes import Changes
from autopilot_server.workers.forks import Forks, ForkServerLostError
from autopilot_server.workers.member import Member
from autopilot_server.workers.messages import (
    Begin,
    ClaimNoMore,
    DatabaseAway,
    DeadlineBegan,
    Drain,
    Heard,
    Observed,
    Rang,
    SetLogLevel,
    Told,
    Values,
    news_of,
)
from autopilot_server.workers.reader import Reader
from autopilot_server.workers.silence import Silence

log = logging.getLogger(__name__)

# Before what has just failed to start is tried again.
RETRY_SECONDS = 1.0

# How long running steps may go on with code that has changed.
RELOAD_DRAIN_SECONDS = 2.0

# How long workers may take to stop claiming, before they are drained.
CLAIM_NO_MORE_SECONDS = 1.0

# How much longer than the drain a worker may take to end.
STOP_SECONDS = 10.0


class WorkerPool:
    """Runs jobs in worker processes. Lives in the server's loop. See `runner.Runner`."""

    def __init__(
        self,
        *,
        settings: Settings,
        forks: Forks,
        keys: KeyRing | None,
        doorbell: Doorbell,
        observer: Observer,
        tracer: Tracer,
        on_deadline: Callable[[], None],
    ) -> None:
        """Of a fork server that has loaded the workflows. `on_deadline` hears of each run that has one."""
        self._settings, self._forks, self._keys = settings, forks, keys
        self._doorbell, self._observer, self._tracer, self._on_deadline = doorbell, observer, tracer, on_deadline
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.cannot_load = False
        """The fork server has died, and the workflows cannot be loaded any more."""
        self._loading = asyncio.Lock()
        self._apart = Apart(self, settings.apart_jobs)
        self._reader = Reader(self)
        self._store: Store
        self._unsubscribe: Callable[[], None] = lambda: None

    @classmethod
    async def load(cls, settings: Settings, **parts: Any) -> "WorkerPool":
        """Load the workflows. StartupError when they cannot be."""
        settings = _settled(settings)
        return cls(settings=settings, forks=await Forks.start(settings), **parts)

    @property
    def workflows(self) -> Sequence[Workflow]:
        """What can be run."""
        return self._forks.loaded.workflows

    @property
    def isolated(self) -> frozenset[str]:
        """The workflows whose jobs all run apart."""
        return frozenset(workflow.name for workflow in self.workflows if workflow.isolation is not None)

    @property
    def running_jobs(self) -> int:
        """Jobs that run now."""
        return sum(member.load.running_jobs for member in self._members.values())

    @property
    def abandoned_threads(self) -> int:
        """Threads that runs which are over still hold."""
        return sum(member.load.abandoned_threads for member in self._members.values())

    # --- the story ---

    async def start(self, store: Store) -> None:
        """Start the workers."""
        self._store = store
        self._unsubscribe = self._doorbell.subscribe(self._ring)
        logs.follow_level(self._turn_level)
        for number in range(int(self._settings.workers)):
            self.in_background(self._keep(f"worker {number + 1}"))
        self._apart.start()
        if self._settings.reload:
            self.in_background(self._reload_for_ever())
        self.in_background(Silence(self._members, self._settings.loop_stall_seconds, store).run())

    async def stop(self, drain_seconds: float) -> None:
        """Drain the workers, and end those that do not."""
        self._stopping = True
        self._unsubscribe()
        living = await self._drain(drain_seconds)
        if living:
            _, late = await asyncio.wait(living, timeout=drain_seconds + STOP_SECONDS)
            if late:
                log.error("%d workers cannot be drained: a step holds them; they are ended", len(late))
        self._forks.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, seconds: float) -> Sequence[asyncio.Future[int]]:
        """Let all workers give back what they run, and end. What is set when each of them has."""
        members = list(self._members.values())
        for member in members:
            member.process.link.send(ClaimNoMore(), whatever_waits=True)
        with suppress(TimeoutError):
            # Not for ever: a step may hold one, which then claims nothing either.
            async with asyncio.timeout(CLAIM_NO_MORE_SECONDS):
                await asyncio.gather(*(member.claims_no_more.wait() for member in members))
        for member in members:
            member.process.link.send(Drain(seconds), whatever_waits=True)
        return [member.process.exited for member in members]

    def close(self) -> None:
        """Nothing is open."""

    async def read_values(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        """See Runner."""
        return await self._reader.read(job, checkpoint_ids)

    async def _keep(self, name: str) -> None:
        while not self._stopping:
            share = Share(apart=False, isolated=self.isolated)
            names = [workflow.name for workflow in self.workflows if workflow.name not in share.isolated]
            await self.live(name, share, names)

    async def live(
        self,
        name: str,
        share: Share | None,
        workflows: Sequence[str],
        *,
        limits: Sequence[tuple[int, int]] = (),
        on_start: Callable[[Member], None] = lambda _: None,
    ) -> None:
        """The whole life of one worker, and what has to be done after it."""
        try:
            forks = self._forks
            process = await forks.fork(_new_id(), limits=limits)
        except ForkServerLostError:
            await self._replace_fork_server()
            return
        member = Member(process, name, forks.load_seconds)
        self._members[member.worker_id] = member
        try:
            process.link.send(self._begin(member, share, workflows))
            if self._stopping:
                process.link.send(Drain(0))
            on_start(member)
            code = await member.hear(self._heard)
        finally:
            del self._members[member.worker_id]
            process.close()
        await self._after(member, code, _limit_reached(code, limits))

    def _begin(self, member: Member, share: Share | None, workflows: Sequence[str]) -> Begin:
        return Begin(
            settings=self._settings,
            worker_id=member.worker_id,
            name=member.name,
            secrets=[key.secret for key in self._keys or ()],
            share=share,
            workflows=tuple(workflows),
        )

    async def _after(self, member: Member, code: int, reached: JobError | None) -> None:
        if code != 0 and not (self._stopping or member.was_ended):
            log.error("%s (process %d) died: %s", member.name, member.process.pid, _cause(code))
            self._observer.worker_died(_cause(code))
        if member.worker_id:
            await self._recover(member, reached)
        if not member.is_ready and not self._stopping:
            await asyncio.sleep(RETRY_SECONDS)

    async def _recover(self, member: Member, reached: JobError | None) -> None:
        """Let its jobs go on, at once: nobody else can say that it is dead. `reached`: the limit of its only job that
        ended it, which it would come to again."""
        while True:
            try:
                moved = await self._store.jobs_recover(
                    max_losses=self._settings.max_worker_losses, worker_id=member.worker_id, error=reached
                )
            except StorageUnavailableError as error:
                await asyncio.sleep(error.retry_delay or RETRY_SECONDS)
            else:
                tell_recovery(moved, whose=member.name, observer=self._observer, tracer=self._tracer)
                return

    async def _replace_fork_server(self) -> None:
        async with self._loading:
            if not self._forks.lost or self._stopping:
                return
            log.error("the process that workers are forked from died; it is replaced")
            self._forks.close()
            try:
                self._forks = await Forks.start(self._settings)
            except StartupError as error:
                log.error("no worker can be started: %s", error)
                self.cannot_load = True
                await asyncio.sleep(RETRY_SECONDS)
                return
            self.cannot_load = False
            # Their files may have changed meanwhile.
            await self._publish()

    async def _publish(self) -> None:
        """Let what comes from now on be checked and run by the workflows that there are now."""
        while True:
            try:
                await self._store.workflows_publish(self.workflows)
            except StorageUnavailableError as error:
                await asyncio.sleep(error.retry_delay or RETRY_SECONDS)
            else:
                break
        self._apart.start()

    async def _reload_for_ever(self) -> None:
        changes = Changes(self._forks.loaded.sources)
        while True:
            await changes.wait()
            try:
                new = await Forks.start(self._settings)
            except StartupError as error:
                log.error("reload: the changed workflows cannot be loaded, those from before stay: %s", error)
                continue
            changes = Changes(new.loaded.sources)
            await self._go_over_to(new)

    async def _go_over_to(self, new: Forks) -> None:
        """Run what comes from now on with other workflows, and what runs as well, from its last checkpoint."""
        old, self._forks = self._forks, new
        try:
            await self._publish()
            if living := await self._drain(RELOAD_DRAIN_SECONDS):
                await asyncio.wait(living, timeout=RELOAD_DRAIN_SECONDS + STOP_SECONDS)
        finally:
            for member in self._members.values():
                member.was_ended = member.was_ended or old.has(member.process)
            old.close()
        log.info("reload: %s", ", ".join(f"{workflow.name} {workflow.revision}" for workflow in self.workflows))

    def in_background(self, work: Any) -> asyncio.Task[None]:
        """Run something as long as the pool."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(end_process_with)
        return task

    @property
    def store(self) -> Store:
        """Where the jobs are."""
        return self._store

    @property
    def stopping(self) -> bool:
        """No more workers are started."""
        return self._stopping

    # --- what the workers say ---

    def _heard(self, member: Member, message: Any) -> None:
        match message:
            case Rang():
                self._rang(member, news_of(message))
            case Told(chunk):
                self._doorbell.send_tokens(chunk)
            case Observed(calls):
                for method, arguments, named in calls:
                    getattr(self._observer, method)(*arguments, **named)
            case DeadlineBegan():
                self._on_deadline()
            case DatabaseAway():
                # Health is the server's own to find out.
                self._store.probe()
            case Values():
                self._reader.answered(message)

    def _rang(self, member: Member, news: Sequence[News]) -> None:
        self._doorbell.ring(news, but=self._ring)
        self._apart.rang(member, news)
        # What it has decided is its own affair; what it has left to be done is everybody's.
        self._forward([item for item in news if item.state is JobState.PENDING], but=member)

    # --- what the server tells them ---

    def _ring(self, news: Sequence[News]) -> None:
        # On the store's thread.
        self._apart.decided(news)
        self._forward([item for item in news if item.state is not JobState.RUNNING])

    def _forward(self, news: Sequence[News], *, but: Member | None = None) -> None:
        if not news:
            return
        message = Heard([(item.job_id, item.state) for item in news])
        for member in list(self._members.values()):
            if member is not but:
                member.process.link.send(message)

    def _turn_level(self, level: str) -> None:
        # Also of those that come later.
        self._settings = replace(self._settings, log_level=level)
        for member in self._members.values():
            member.process.link.send(SetLogLevel(level))


def _settled(settings: Settings) -> Settings:
    """For processes whose workflows may change their folder."""
    return replace(settings, database=absolute(settings.database))


def _new_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid_utils.uuid7()}"


def _limit_reached(code: int, limits: Sequence[tuple[int, int]]) -> JobError | None:
    """Why a process with limits has ended, if by one of them."""
    seconds = dict(limits).get(resource.RLIMIT_CPU)
    if code != -signal.SIGXCPU or seconds is None:
        return None
    return JobError(
        JobErrorReason.RESOURCE_LIMIT_REACHED,
        f"The attempt used more processor time than the {seconds:,} s that the workflow's isolation allows "
        "(cpu_seconds). Resume goes on from the job's last checkpoint, with the whole time again.",
    )


def _cause(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
