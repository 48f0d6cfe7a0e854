"""Notices workers that say nothing: a step holds their interpreter, or they are stopped."""

import asyncio
import logging
from collections.abc import Mapping

from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import Job
from autopilot_server.jobs.tenants import public
from autopilot_server.storage.store import Store
from autopilot_server.workers.member import Member
from autopilot_server.workers.messages import BEAT_SECONDS, STACKS_SIGNAL

log = logging.getLogger(__name__)

# A worker that has said nothing for so long is taken for dead, and ended (semantics.md, "Leases").
STALL_LIMIT_SECONDS = 60.0

# The same for one that keeps all others from writing: it was in the middle of a transaction. Less than others wait
# before they take the database for away.
LOCK_LIMIT_SECONDS = 2.0

# A worker that loads the workflows anew says nothing meanwhile. It may take so many times as long as the first time.
START_FACTOR = 10

# How long a worker may take to write its stacks.
_STACKS_SECONDS = 0.25

# Jobs that a warning names.
_MOST_NAMED = 10


class Silence:
    """A task in the server's loop that looks after the workers."""

    def __init__(self, members: Mapping[str, Member], stall_seconds: float, store: Store) -> None:
        """Warn of those that say nothing for `stall_seconds`."""
        self._members, self._store = members, store
        self._writing: int | None = None
        self._stall_seconds = max(stall_seconds, 2 * BEAT_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            late = loop.time() - due > BEAT_SECONDS
            for member in list(self._members.values()):
                if late:
                    # This process itself was held up.
                    member.excuse_silence()
                elif member.is_ready:
                    await self._look_at(member)
                else:
                    self._look_at_start(member)

    @staticmethod
    def _look_at_start(member: Member) -> None:
        if member.silence > max(STALL_LIMIT_SECONDS, START_FACTOR * member.load_seconds):
            log.error("%s has not begun to work for %.0f s and is ended", member.name, member.silence)
            member.end()

    async def _look_at(self, member: Member) -> None:
        if member.silence > STALL_LIMIT_SECONDS:
            log.error("%s has said nothing for %.0f s and is ended", member.name, member.silence)
            member.end()
        elif member.silence > LOCK_LIMIT_SECONDS and self._keeps_others_from_writing(member):
            await self._warn_of(member)
            log.error("%s keeps all others from writing to the database meanwhile, and is ended", member.name)
            member.end()
        elif member.silence > self._stall_seconds and not member.reported_silence:
            member.reported_silence = True
            await self._warn_of(member)

    def _keeps_others_from_writing(self, member: Member) -> bool:
        """Whether it did already the last time."""
        before, self._writing = self._writing, self._store.writing_process()
        return self._writing == before == member.process.pid

    async def _warn_of(self, member: Member) -> None:
        member.process.signal(STACKS_SIGNAL)
        await asyncio.sleep(_STACKS_SECONDS)
        log.warning(
            "a step has held the interpreter of %s for %.1f s; there run: %s\n%s",
            member.name,
            member.silence,
            "; ".join(self._running(member)) or "no jobs",
            member.stacks() or "no stacks: the process is stopped",
        )

    def _running(self, member: Member) -> list[str]:
        """The steps that run there, those of the job whose step began last first."""
        noted = {note.job_id: note.step for note in reversed(member.process.notes.newest())}
        try:
            ids = {fence.job_id for fence in self._store.runs_of(member.worker_id)}
            newest = [*(job_id for job_id in reversed(noted) if job_id in ids), *(ids - noted.keys())]
            jobs = [self._store.job_get(job_id, payloads=False) for job_id in newest[:_MOST_NAMED]]
        except StorageUnavailableError:
            return []
        named = [_named(job, noted.get(job.job_id)) for job in jobs if job is not None]
        return [*named, f"{len(ids) - len(jobs)} more"] if len(ids) > len(jobs) else named


def _named(job: Job, newest: str | None) -> str:
    """A job by its steps: the one that began last, which need not be told yet, and those that run as far as is told."""
    told = [step for step in job.progress.active_steps if step != newest]
    steps = ", ".join([newest, *told] if newest else told) or "unknown"
    return f"step {steps} of workflow {job.spec.workflow}, job {public(job.job_id)}"
