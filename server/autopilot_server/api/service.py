"""The service's methods: each reads its request, calls the store, and writes its response."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc.aio
import uuid_utils
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from autopilot_server.api import convert
from autopilot_server.api.checks import MICROS
from autopilot_server.api.hub import Hub
from autopilot_server.api.page_token import PageTokens
from autopilot_server.api.payload import Budget, PayloadWriter, as_text, as_value, no_payload
from autopilot_server.api.requests import RequestReader
from autopilot_server.api.watch import MESSAGE_BYTES, Watch, draining
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import JobNotFoundError, LimitExceededError, WorkflowNotFoundError
from autopilot_server.jobs.job import Checkpoint, Job, Json, Micros, now
from autopilot_server.jobs.states import FINISHED, JobState
from autopilot_server.observer import Observer
from autopilot_server.storage.store import PageKey, Pruned, Store

ReadValues = Callable[[Job, Sequence[str]], Awaitable[Mapping[str, Json]]]
"""Reads the values of a job's checkpoints, as JSON text by checkpoint id."""

Context = grpc.aio.ServicerContext[Any, Any]

PRUNE_BATCH = 50

# Room that is left in a response for what is not payload, in bytes a job or checkpoint.
_OVERHEAD = 2048

# A wait answers this long before the call's deadline, so that the client gets the answer and not the deadline.
_MARGIN_SECONDS = 0.1

_WATCH_RETRY_SECONDS = 5.0


class JobService(job_service_pb2_grpc.JobServiceServicer):
    """Implements `autopilot.v1.JobService`."""

    def __init__(
        self, *, settings: Settings, store: Store, hub: Hub, read_values: ReadValues, observer: Observer
    ) -> None:
        """Serve the jobs of `store`."""
        self._observer = observer
        self._settings, self._store, self._hub, self._read_values = settings, store, hub, read_values
        self._read = RequestReader(settings)
        self._tokens = PageTokens(store.token_key())
        self._waiting = 0

    # --- submit, resume, cancel ---

    async def SubmitJob(  # noqa: N802 - the contract's name
        self, request: job_service_pb2.SubmitJobRequest, context: Context
    ) -> job_service_pb2.SubmitJobResponse:
        """Store a job and queue it."""
        self._refuse_when_draining()
        workflow = self._store.workflow_get(request.workflow) if request.workflow else None
        submission = self._read.submission(request, workflow)
        if workflow is None:
            known = self._known(submission.request_id, submission.request_digest)
            if known is None:
                raise _no_workflow(request.workflow)
            return job_service_pb2.SubmitJobResponse(job=convert.job(known, no_payload), deduplicated=True)
        if not submission.spec.job_id:
            spec = replace(submission.spec, job_id=str(uuid_utils.uuid7()))
            submission = replace(submission, spec=spec)
        submitted = await self._store.job_submit(submission)
        job = convert.job(submitted.job, no_payload)
        return job_service_pb2.SubmitJobResponse(job=job, deduplicated=submitted.deduplicated)

    async def Resume(  # noqa: N802
        self, request: job_service_pb2.ResumeRequest, context: Context
    ) -> job_service_pb2.ResumeResponse:
        """Continue a job."""
        self._refuse_when_draining()
        resumption = self._read.resumption(request)
        if request.HasField("answer") or request.answers:
            job = self._store.job_get(request.job_id, payloads=False)
            resumption = self._read.with_answers_checked(resumption, job)
        resumed = await self._store.job_resume(resumption)
        return job_service_pb2.ResumeResponse(
            job=convert.job(resumed.job, no_payload), deduplicated=resumed.deduplicated
        )

    async def Cancel(  # noqa: N802
        self, request: job_service_pb2.CancelRequest, context: Context
    ) -> job_service_pb2.CancelResponse:
        """Ask a job to stop."""
        reason, grace = self._read.cancel(request)
        job = await self._store.job_cancel(request.job_id, reason=reason, etag=request.etag, grace_period=grace)
        return job_service_pb2.CancelResponse(job=convert.job(job, no_payload))

    # --- reading ---

    async def GetStatus(  # noqa: N802
        self, request: job_service_pb2.GetStatusRequest, context: Context
    ) -> job_service_pb2.GetStatusResponse:
        """Return a job, at once or once it is finished or INTERRUPTED."""
        full, wait = self._read.status(request)
        if wait:
            await self._wait(request.job_id, _bounded(wait, context))
        job = self._job(request.job_id, payloads=full)
        return job_service_pb2.GetStatusResponse(job=convert.job(job, self._writer(request, full)))

    async def ListJobs(  # noqa: N802
        self, request: job_service_pb2.ListJobsRequest, context: Context
    ) -> job_service_pb2.ListJobsResponse:
        """List jobs, newest first."""
        job_filter, size, full = self._read.job_list(request)
        query = ("jobs", sorted(job_filter.states), replace(job_filter, states=frozenset()))
        position = self._tokens.read(query, request.page_token)
        after = None if position is None else PageKey(create_time=position[0], job_id=position[1])
        jobs = self._store.job_list(job_filter, limit=size + 1, after=after, payloads=full)
        fitting = [convert.job(job, self._writer(request, full)) for job in jobs[:size]]
        shown = fitting[: _fitting(fitting)]
        response = job_service_pb2.ListJobsResponse(jobs=shown)
        if len(shown) < len(jobs):
            last = jobs[len(shown) - 1]
            response.next_page_token = self._tokens.make(query, [last.create_time, last.job_id])
        return response

    async def ListCheckpoints(  # noqa: N802
        self, request: job_service_pb2.ListCheckpointsRequest, context: Context
    ) -> job_service_pb2.ListCheckpointsResponse:
        """List a job's checkpoints, newest first."""
        size, full = self._read.checkpoint_list(request)
        query = ("checkpoints", request.job_id)
        position = self._tokens.read(query, request.page_token)
        job = self._job(request.job_id, payloads=False)
        before = None if position is None else position[0]
        found = self._store.checkpoints_list(request.job_id, limit=size + 1, before=before)
        messages = await self._with_values(job, found[:size], request, full)
        shown = messages[: _fitting(messages)]
        response = job_service_pb2.ListCheckpointsResponse(checkpoints=shown)
        if len(shown) < len(found):
            response.next_page_token = self._tokens.make(query, [found[len(shown) - 1].checkpoint_id])
        return response

    async def _with_values(
        self,
        job: Job,
        checkpoints: Sequence[Checkpoint],
        request: job_service_pb2.ListCheckpointsRequest,
        full: bool,
    ) -> list[job_pb2.Checkpoint]:
        values: Mapping[str, Json] = {}
        if full and checkpoints:
            values = await self._read_values(job, [checkpoint.checkpoint_id for checkpoint in checkpoints])
        return [
            convert.checkpoint(checkpoint, self._writer(request, full)(values.get(checkpoint.checkpoint_id)))
            for checkpoint in checkpoints
        ]

    async def ListWorkflows(  # noqa: N802
        self, request: job_service_pb2.ListWorkflowsRequest, context: Context
    ) -> job_service_pb2.ListWorkflowsResponse:
        """List the workflows, by name."""
        size = self._read.workflow_list(request)
        position = self._tokens.read("workflows", request.page_token)
        found = self._store.workflow_list(limit=size + 1, after="" if position is None else position[0])
        messages = [convert.workflow(workflow) for workflow in found[:size]]
        shown = messages[: _fitting(messages)]
        response = job_service_pb2.ListWorkflowsResponse(workflows=shown)
        if len(shown) < len(found):
            response.next_page_token = self._tokens.make("workflows", [found[len(shown) - 1].name])
        return response

    async def WatchProgress(  # type: ignore[override]  # noqa: N802 - it gives bytes, see errors.py
        self, request: job_service_pb2.WatchProgressRequest, context: Context
    ) -> AsyncIterator[bytes]:
        """Stream a job's events. Gives serialized responses."""
        spec = self._read.watch(request)
        self._refuse_when_draining()
        with self._place_to_wait():
            watch = Watch(store=self._store, hub=self._hub, spec=spec, observer=self._observer)
            async for message in watch.messages():
                yield message

    # --- deleting ---

    async def DeleteJob(  # noqa: N802
        self, request: job_service_pb2.DeleteJobRequest, context: Context
    ) -> job_service_pb2.DeleteJobResponse:
        """Delete a finished job."""
        job_id = self._read.job_id(request.job_id)
        deleted = await self._store.job_delete(job_id, etag=request.etag)
        if not deleted and not request.allow_missing:
            raise _no_job(job_id)
        return job_service_pb2.DeleteJobResponse()

    async def PruneJobs(  # noqa: N802
        self, request: job_service_pb2.PruneJobsRequest, context: Context
    ) -> job_service_pb2.PruneJobsResponse:
        """Delete what finished jobs left behind, in batches: others write between them."""
        job_filter, finished_for = self._read.prune(request)
        total = job_service_pb2.PruneJobsResponse()
        finished_before = now() - finished_for
        batch = Pruned(0, 0, more=True)
        while batch.more:
            batch = await self._store.jobs_prune(
                job_filter,
                finished_before=finished_before,
                checkpoints_only=request.checkpoints_only,
                dry_run=request.dry_run,
                limit=PRUNE_BATCH,
                after=batch.resume_after,
            )
            total.deleted_jobs += batch.jobs
            total.deleted_checkpoints += batch.checkpoints
        return total

    # --- parts ---

    def _job(self, job_id: str, *, payloads: bool) -> Job:
        job = self._store.job_get(job_id, payloads=payloads)
        if job is None:
            raise _no_job(job_id)
        return job

    def _known(self, request_id: str, digest: bytes) -> Job | None:
        return self._store.job_get_by_request(request_id, digest) if request_id else None

    def _refuse_when_draining(self) -> None:
        if self._hub.draining:
            raise draining()

    @staticmethod
    def _writer(request: Any, full: bool) -> PayloadWriter:
        if not full:
            return no_payload
        write = as_text if request.payload_format == job_pb2.PAYLOAD_FORMAT_JSON_TEXT else as_value
        return Budget(write, MESSAGE_BYTES - _OVERHEAD)

    @contextmanager
    def _place_to_wait(self) -> Iterator[None]:
        """A place among the watches and waits. LimitExceededError when all are taken."""
        limit = self._settings.watches
        if self._waiting >= limit:
            raise LimitExceededError(
                f"{limit} watches and waits are open, and the server takes no more.",
                retry_delay=_WATCH_RETRY_SECONDS,
                limit=limit,
                name="watches",
            )
        self._waiting += 1
        self._observer.waiter_came()
        try:
            yield
        finally:
            self._waiting -= 1
            self._observer.waiter_went()

    async def _wait(self, job_id: str, seconds: float) -> None:
        """Wait until a job is finished or INTERRUPTED, woken by the commit."""
        self._refuse_when_draining()
        end = asyncio.get_running_loop().time() + seconds
        with self._place_to_wait(), self._hub.watch(job_id) as channel:
            while self._job(job_id, payloads=False).state not in FINISHED | {JobState.INTERRUPTED}:
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                await channel.news(min(left, self._hub.poll_seconds))
                self._refuse_when_draining()


def _bounded(wait: Micros, context: Context) -> float:
    """Seconds to wait, not beyond the call's deadline."""
    remaining = context.time_remaining()
    seconds = wait / MICROS
    return seconds if remaining is None else max(0.0, min(seconds, remaining - _MARGIN_SECONDS))


def _fitting(messages: Sequence[Any]) -> int:
    """How many of a page's messages fit into a response; at least one."""
    size = 0
    for index, message in enumerate(messages):
        size += message.ByteSize() + 8
        if size > MESSAGE_BYTES and index:
            return index
    return len(messages)


def _no_job(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"There is no job {job_id!r}.", job_id=job_id)


def _no_workflow(name: str) -> WorkflowNotFoundError:
    return WorkflowNotFoundError(
        f"There is no workflow {name!r} here. ListWorkflows names those that there are.", workflow=name
    )
