"""What happens to jobs by the clock: deadlines end runs, retention ends jobs. Lives in the server's loop, so that a
blocked engine cannot hold up a Cancel."""

import asyncio
import logging
from collections.abc import Sequence

from autopilot_server.doorbell import Doorbell, News
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND, now
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

# Jobs deleted in one transaction, and pages given back in one: small enough that nobody waits for them.
PRUNE_BATCH = 50
RECLAIM_PAGES = 256


class Deadlines:
    """Ends the runs whose grace period or execution timeout is over."""

    def __init__(self, doorbell: Doorbell) -> None:
        """Hear of them by the doorbell."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._unsubscribe = doorbell.subscribe(self._ring)

    def look_again(self) -> None:
        """A run with a deadline has begun. From any thread."""
        self._loop.call_soon_threadsafe(self._news.set)

    async def run(self, store: Store) -> None:
        """Watch over the runs in `store` until cancelled."""
        try:
            while True:
                self._news.clear()
                try:
                    patience = await _expire(store)
                except StorageUnavailableError:
                    patience = POLL_SECONDS
                await self._wait(patience)
        finally:
            self._unsubscribe()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _ring(self, news: Sequence[News]) -> None:
        if any(item.state is JobState.CANCELLING for item in news):
            self._loop.call_soon_threadsafe(self._news.set)


async def _expire(store: Store) -> float:
    deadline = store.next_deadline()
    if deadline is not None and deadline <= now():
        ended = await store.jobs_expire()
        for job_id in ended.failed:
            log.info("execution timeout", extra={"job_id": job_id})
        deadline = store.next_deadline()
    if deadline is None:
        return POLL_SECONDS
    return min(POLL_SECONDS, max(0.0, (deadline - now()) / SECOND))


class Pruner:
    """Deletes the jobs whose retention is over, in small batches, and gives the space back."""

    def __init__(self, *, store: Store, interval_seconds: float) -> None:
        """Look each `interval_seconds`."""
        self._store, self._interval = store, interval_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.prune()
            except StorageUnavailableError:
                log.debug("pruning waits for the database")
            await asyncio.sleep(self._interval)

    async def prune(self) -> int:
        """One round. How many jobs it deleted."""
        deleted = 0
        while batch := await self._store.jobs_delete_expired(limit=PRUNE_BATCH):
            deleted += batch
        if deleted:
            log.info("deleted expired jobs", extra={"jobs": deleted})
        await self._reclaim()
        return deleted

    async def _reclaim(self) -> None:
        left, before = await self._store.space_reclaim(pages=RECLAIM_PAGES), -1
        while left and left != before:
            left, before = await self._store.space_reclaim(pages=RECLAIM_PAGES), left
