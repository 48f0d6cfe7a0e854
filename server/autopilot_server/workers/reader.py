"""Reads the values of checkpoints, in a process of its own: it needs the workflows' code, and no job delays it."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import Job, Json
from autopilot_server.runner import no_values
from autopilot_server.workers.member import Member
from autopilot_server.workers.messages import ReadValues, Values

if TYPE_CHECKING:
    from autopilot_server.workers.pool import WorkerPool

RETRY_SECONDS = 1.0


class ReaderLostError(Exception):
    """The process that was to read the values has died."""


class Reader:
    """The process, made when it is first asked. Lives in the server's loop."""

    def __init__(self, pool: "WorkerPool") -> None:
        """Nothing is started yet."""
        self._pool = pool
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Values]] = {}
        self._member: asyncio.Future[Member] | None = None

    async def read(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        """See Runner.read_values."""
        if job.spec.workflow not in {workflow.name for workflow in self._pool.workflows}:
            raise no_values(job.spec.workflow)
        if self._pool.cannot_load:
            raise StorageUnavailableError(
                "The values of checkpoints cannot be read now, because the server cannot load its workflows; list them "
                "with VIEW_BASIC.",
                retry_delay=RETRY_SECONDS,
            )
        with suppress(ReaderLostError):
            return await self._read(job, checkpoint_ids)
        # It may have died before it came to this.
        return await self._read(job, checkpoint_ids)

    async def _read(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        member = await self._living()
        number = next(self._numbers)
        answer: asyncio.Future[Values] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            member.process.link.send(ReadValues(number, job, checkpoint_ids), whatever_waits=True)
            found = await answer
        finally:
            del self._waiting[number]
        if found.database_away:
            raise StorageUnavailableError("The job cannot be read now.", retry_delay=RETRY_SECONDS)
        if found.values is None:
            raise RuntimeError(f"the values of job {job.job_id} cannot be read; the reader's log says why")
        return found.values

    def answered(self, answer: Values) -> None:
        """The process has answered."""
        waiting = self._waiting.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _living(self) -> Member:
        if self._member is None:
            self._member = asyncio.get_running_loop().create_future()
            self._pool.in_background(self._live(self._member))
        return await asyncio.shield(self._member)

    async def _live(self, begun: "asyncio.Future[Member]") -> None:
        names = [workflow.name for workflow in self._pool.workflows]
        try:
            await self._pool.live("reader", None, names, on_start=begun.set_result)
        finally:
            self._member = None
            _fail(begun)
            for waiting in self._waiting.values():
                _fail(waiting)


def _fail(waiting: "asyncio.Future[Any]") -> None:
    if not waiting.done():
        waiting.set_exception(ReaderLostError("the process that reads values has died"))
        # Whoever waited may have gone.
        waiting.exception()
