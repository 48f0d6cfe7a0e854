"""Delivery: brings runnable jobs to this worker, and tells their runs what others decided about them.

Here it is a claim from the store, woken by the commit that made a job runnable. A ticket from a queue would lead to
the same claim: only the claim counts.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from structlog.contextvars import bind_contextvars

from autopilot_server.doorbell import News
from autopilot_server.engine.outcome import Failed, given_back, run_end
from autopilot_server.engine.run import Run, RunServices, store_end, tell_end
from autopilot_server.engine.threads import StepThreads, current_run
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND, JobError, JobErrorReason, now
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import Claim, Fence, RunUpdate, Share
from autopilot_server.tracer import AttemptSpan

log = logging.getLogger(__name__)

# Jobs claimed in one transaction. Starting thousands at once would hold the loop for seconds.
CLAIM_BATCH = 16

# Stands behind every wake-up.
POLL_SECONDS = 1.0

_ENGINE_FAULT = JobError(JobErrorReason.STEP_RAISED, "The server failed to run the job; its log says why.")


class Dispatcher:
    """Claims jobs and runs them, as many at once as the settings allow. Lives in the engine's loop."""

    def __init__(
        self,
        *,
        services: RunServices,
        registry: Registry,
        threads: StepThreads,
        worker_id: str,
        on_deadline: Callable[[], None],
        share: Share | None,
    ) -> None:
        """Dispatch the registry's workflows, of their jobs a share. `on_deadline` hears of each run that has one."""
        self._services, self._registry, self._threads = services, registry, threads
        self._share = share
        self._worker_id, self._on_deadline = worker_id, on_deadline
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, Run] = {}
        # With the tokens of the runs that they carry out.
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._news = asyncio.Event()
        self._claiming, self._draining = True, False
        self._ended = asyncio.Event()
        self._next_look = 0.0
        self._unsubscribe = services.doorbell.subscribe(self.ring)

    @property
    def running(self) -> int:
        """Jobs that run here now."""
        return len(self._tasks)

    async def run(self) -> None:
        """Claim and start until drained. Apart from others: one job, until it has ended."""
        try:
            await (self._run_one() if self._share is not None and self._share.apart else self._dispatch())
        finally:
            self._ended.set()

    async def _dispatch(self) -> None:
        while self._claiming:
            self._news.clear()
            try:
                # Others may take what is runnable: to look costs less than a claim, which is a commit.
                patience = self._patience()
                if not patience:
                    await self._claim_some(CLAIM_BATCH)
                self._look_after_runs()
            except StorageUnavailableError:
                patience = POLL_SECONDS
            if patience:
                await self._wait_for_news(patience)

    async def _run_one(self) -> None:
        try:
            await self._claim_some(1)
        except StorageUnavailableError:
            return
        self._ended.set()
        while self._tasks:
            self._news.clear()
            await self._wait_for_news(POLL_SECONDS)
            with suppress(StorageUnavailableError):
                self._look_after_runs()

    async def claim_no_more(self) -> None:
        """What runs goes on. A claim that is under way still starts its runs."""
        self._claiming = False
        self._news.set()
        await self._ended.wait()

    async def drain(self, seconds: float) -> None:
        """Claim nothing any more, let the runs stop at their next checkpoint, and after `seconds` wherever they are."""
        await self.claim_no_more()
        self._draining = True
        for run in list(self._runs.values()):
            run.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for run in list(self._runs.values()):
            run.release()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
        self._unsubscribe()

    async def _claim_some(self, most: int) -> None:
        free = min(most, self._services.settings.running_jobs - len(self._tasks))
        claims = await self._services.store.job_claim(
            self._registry.revisions, worker_id=self._worker_id, limit=free, share=self._share
        )
        for claim in claims:
            self._start(claim)

    def _start(self, claim: Claim) -> None:
        if claim.deadline is not None:
            self._on_deadline()
        self._carry(claim.fence, self._run(claim))

    def _carry(self, fence: Fence, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"run of {fence.job_id}")
        self._tasks[task] = fence.run_token
        task.add_done_callback(self._ended_run)

    def _ended_run(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        # Only now is there room for the next job.
        self._news.set()

    async def _run(self, claim: Claim) -> None:
        """Run a claimed job. Whatever happens, the job is not left RUNNING without anybody who runs it."""
        token = claim.fence.run_token
        current_run.set(token)
        _log_for(claim)
        span = self._services.tracer.attempt_began(claim)
        try:
            with span.current():
                await self._execute(claim, span)
        except StorageUnavailableError as error:
            await self._give_back(claim.fence, error.retry_delay or POLL_SECONDS)
        except Exception:
            log.exception("the engine failed to run a job", extra={"job_id": claim.fence.job_id})
            end = run_end(Failed(_ENGINE_FAULT, retryable=True), claim.job, completed_steps=0)
            state = await store_end(self._services.store, claim.fence, end, RunUpdate())
            if state is not None:
                tell_end(span, state, end.error)
        finally:
            # Unless its end was told: then it is over, and somebody else has decided about the job.
            span.ended("")
            self._runs.pop(token, None)
            if held := self._threads.abandon(token):
                log.warning(
                    "%d threads of a job's synchronous steps do not return; they are replaced",
                    held,
                    extra={"job_id": claim.fence.job_id},
                )

    async def _execute(self, claim: Claim, span: AttemptSpan) -> None:
        workflow = self._registry.get(claim.job.spec.workflow)
        run = Run(claim=claim, workflow=workflow, services=self._services, span=span)
        self._runs[claim.fence.run_token] = run
        if self._draining:
            run.drain()
        if not await run.execute():
            log.warning("a step does not stop and is left behind", extra={"job_id": claim.fence.job_id})

    async def _give_back(self, fence: Fence, wait_seconds: float = 0.0) -> None:
        """The job goes on, in another attempt."""
        await store_end(self._services.store, fence, given_back(wait_seconds=wait_seconds), RunUpdate())

    def _look_after_runs(self) -> None:
        """What the doorbell tells, in case it did not; and what is claimed without anybody who runs it, because the
        claim was taken for failed when the database went away, or because its end could not be stored."""
        moment = self._loop.time()
        if moment < self._next_look:
            return
        self._next_look = moment + POLL_SECONDS
        owned = self._services.store.runs_of(self._worker_id)
        for run in list(self._runs.values()):
            self._tell(run, owned.get(run.fence))
        # Read after the last claim was started or had failed: no claim can be on its way.
        carried = set(self._tasks.values())
        for fence in owned:
            if fence.run_token not in carried:
                log.warning("a job is claimed and does not run: it is given back", extra={"job_id": fence.job_id})
                self._carry(fence, self._give_back(fence))

    @staticmethod
    def _tell(run: Run, state: JobState | None) -> None:
        match state:
            case JobState.CANCELLING:
                run.drain()
            case JobState.RUNNING:
                pass
            case _:
                run.abandon()

    def _patience(self) -> float:
        """Seconds until there is a job to claim, at most until the next poll."""
        if len(self._tasks) >= self._services.settings.running_jobs:
            return POLL_SECONDS
        runnable = self._services.store.next_runnable_time(self._registry.revisions, share=self._share)
        if runnable is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, (runnable - now()) / SECOND))

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def ring(self, news: Sequence[News]) -> None:
        """Hear what a commit changed. On any thread: keep only what concerns this worker."""
        pending = any(item.state is JobState.PENDING for item in news)
        decided = [item.job_id for item in news if item.state not in (JobState.PENDING, JobState.RUNNING)]
        if pending or decided:
            # A commit that was told while the engine stopped: its loop is closed, and runs nothing any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._heard, pending, decided)

    def _heard(self, pending: bool, decided: Sequence[str]) -> None:
        if pending:
            self._news.set()
        if decided and self._runs:
            mine = set(decided)
            for run in list(self._runs.values()):
                if run.fence.job_id in mine:
                    self._check(run)

    def _check(self, run: Run) -> None:
        try:
            self._tell(run, self._services.store.run_state(run.fence))
        except StorageUnavailableError:
            # The next look asks again.
            return


def _log_for(claim: Claim) -> None:
    """Every line that is logged for the run, those of the workflow's own code included, says for which job."""
    job = claim.job
    bind_contextvars(job_id=job.job_id, workflow=job.spec.workflow, attempt=job.attempt)
    if claim.trace.trace_id:
        bind_contextvars(trace_id=claim.trace.trace_id)
