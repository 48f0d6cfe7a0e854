"""The service's methods: each reads its request, calls the store, and writes its response."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import grpc.aio
import uuid_utils
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from autopilot_server.access.identity import Identity, Right
from autopilot_server.api import convert
from autopilot_server.api.checks import MICROS
from autopilot_server.api.converters import Converters
from autopilot_server.api.credentials import Caller, current_caller
from autopilot_server.api.hub import Hub
from autopilot_server.api.limits import Places, SubmitRate
from autopilot_server.api.page_token import PageTokens
from autopilot_server.api.payload import Budget, PayloadWriter, as_text, as_value, no_payload
from autopilot_server.api.requests import RequestReader
from autopilot_server.api.tracing import current_trace
from autopilot_server.api.watch import MESSAGE_BYTES, Watch, draining
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import WorkflowNotFoundError, job_not_found, workflow_not_found
from autopilot_server.jobs.job import Checkpoint, Job, Json, Micros, Workflow, now
from autopilot_server.jobs.states import FINISHED, JobState
from autopilot_server.jobs.tenants import public, scoped
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


class JobService(job_service_pb2_grpc.JobServiceServicer):
    """Implements `autopilot.v1.JobService`."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        hub: Hub,
        converters: Converters,
        read_values: ReadValues,
        observer: Observer,
    ) -> None:
        """Serve the jobs of `store`."""
        self._observer = observer
        self._settings, self._store, self._hub, self._read_values = settings, store, hub, read_values
        self._converters = converters
        self._read = RequestReader(settings)
        self._tokens = PageTokens(store.token_key())
        self.places = Places(limit=settings.watches, tenant_limit=settings.tenant_watches, observer=observer)
        self._rate = SubmitRate(per_second=settings.tenant_submits_per_second, burst=settings.tenant_submit_burst)

    # --- submit, resume, cancel ---

    async def SubmitJob(  # noqa: N802 - the contract's name
        self, request: job_service_pb2.SubmitJobRequest, context: Context
    ) -> job_service_pb2.SubmitJobResponse:
        """Store a job and queue it."""
        self._refuse_when_draining()
        caller = current_caller().identity
        workflow = self._workflow(caller, request.workflow)
        submission = await self._converters.run(
            request.ByteSize(), lambda: self._read.submission(caller, request, workflow)
        )
        if workflow is None:
            known = self._known(submission.request_id, submission.request_digest)
            if known is None or not caller.may(Right.SUBMIT, known.spec.workflow):
                raise workflow_not_found(request.workflow)
            return job_service_pb2.SubmitJobResponse(job=convert.job(known, no_payload), deduplicated=True)
        caller.check_workflow("SubmitJob", workflow.name)
        if self._rate.limits and self._known(submission.request_id, submission.request_digest) is None:
            self._rate.take(caller.tenant)
        if not submission.spec.job_id:
            spec = replace(submission.spec, job_id=scoped(caller.tenant, str(uuid_utils.uuid7())))
            submission = replace(submission, spec=spec)
        submitted = await self._store.job_submit(replace(submission, trace=current_trace()))
        job = convert.job(submitted.job, no_payload)
        return job_service_pb2.SubmitJobResponse(job=job, deduplicated=submitted.deduplicated)

    async def Resume(  # noqa: N802
        self, request: job_service_pb2.ResumeRequest, context: Context
    ) -> job_service_pb2.ResumeResponse:
        """Continue a job."""
        self._refuse_when_draining()
        caller = current_caller().identity
        size = request.ByteSize()
        resumption = await self._converters.run(size, lambda: self._read.resumption(caller, request))
        if request.HasField("answer") or request.answers:
            job = self._controlled(caller, resumption.job_id)
            read = partial(self._read.with_answers_checked, resumption, job)
            resumption = await self._converters.run(size, read)
        resumption = replace(resumption, trace=current_trace())
        resumed = await self._store.job_resume(resumption, admit=partial(caller.check_job, "Resume"))
        return job_service_pb2.ResumeResponse(
            job=convert.job(resumed.job, no_payload), deduplicated=resumed.deduplicated
        )

    async def Cancel(  # noqa: N802
        self, request: job_service_pb2.CancelRequest, context: Context
    ) -> job_service_pb2.CancelResponse:
        """Ask a job to stop."""
        caller = current_caller().identity
        job_id, reason, grace = self._read.cancel(caller, request)
        job = await self._store.job_cancel(
            job_id,
            reason=reason,
            etag=request.etag,
            grace_period=grace,
            admit=partial(caller.check_job, "Cancel"),
        )
        return job_service_pb2.CancelResponse(job=convert.job(job, no_payload))

    # --- reading ---

    async def GetStatus(  # noqa: N802
        self, request: job_service_pb2.GetStatusRequest, context: Context
    ) -> job_service_pb2.GetStatusResponse:
        """Return a job, at once or once it is finished or INTERRUPTED."""
        caller = current_caller()
        job_id, full, wait = self._read.status(caller.identity, request)
        if wait:
            await self._wait(caller, job_id, _bounded(wait, context))
        job = self._job(caller.identity, "GetStatus", job_id, payloads=full)
        (message,) = await self._messages([job], request, full)
        return job_service_pb2.GetStatusResponse(job=message)

    async def ListJobs(  # noqa: N802
        self, request: job_service_pb2.ListJobsRequest, context: Context
    ) -> job_service_pb2.ListJobsResponse:
        """List jobs, newest first."""
        job_filter, size, full = self._read.job_list(current_caller().identity, request)
        # Not bound to the rights, which may change between two pages.
        query = ("jobs", sorted(job_filter.states), replace(job_filter, states=frozenset(), patterns=None))
        position = self._tokens.read(query, request.page_token)
        after = None if position is None else PageKey(create_time=position[0], job_id=position[1])
        jobs = self._store.job_list(job_filter, limit=size + 1, after=after)
        page = jobs[:size]
        messages = await (self._full_messages(page, request) if full else self._messages(page, request, full))
        shown = messages[: _fitting(messages)]
        response = job_service_pb2.ListJobsResponse(jobs=shown)
        if len(shown) < len(jobs):
            last = jobs[len(shown) - 1]
            response.next_page_token = self._tokens.make(query, [last.create_time, last.job_id])
        return response

    async def ListCheckpoints(  # noqa: N802
        self, request: job_service_pb2.ListCheckpointsRequest, context: Context
    ) -> job_service_pb2.ListCheckpointsResponse:
        """List a job's checkpoints, newest first."""
        caller = current_caller().identity
        job_id, size, full = self._read.checkpoint_list(caller, request)
        query = ("checkpoints", job_id)
        position = self._tokens.read(query, request.page_token)
        job = self._job(caller, "ListCheckpoints", job_id, payloads=False)
        before = None if position is None else position[0]
        found = self._store.checkpoints_list(job_id, limit=size + 1, before=before)
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

        def convert_all() -> list[job_pb2.Checkpoint]:
            return [
                convert.checkpoint(checkpoint, self._writer(request, full)(values.get(checkpoint.checkpoint_id)))
                for checkpoint in checkpoints
            ]

        return await self._converters.run(sum(map(len, values.values())), convert_all)

    async def ListWorkflows(  # noqa: N802
        self, request: job_service_pb2.ListWorkflowsRequest, context: Context
    ) -> job_service_pb2.ListWorkflowsResponse:
        """List the workflows, by name."""
        caller = current_caller().identity
        size = self._read.workflow_list(caller, request)
        query = ("workflows", caller.tenant)
        position = self._tokens.read(query, request.page_token)
        found = self._store.workflow_list(
            limit=size + 1, after="" if position is None else position[0], patterns=caller.patterns(Right.READ)
        )
        messages = [convert.workflow(workflow) for workflow in found[:size]]
        shown = messages[: _fitting(messages)]
        response = job_service_pb2.ListWorkflowsResponse(workflows=shown)
        if len(shown) < len(found):
            response.next_page_token = self._tokens.make(query, [found[len(shown) - 1].name])
        return response

    async def WatchProgress(  # type: ignore[override]  # noqa: N802 - it gives bytes, see errors.py
        self, request: job_service_pb2.WatchProgressRequest, context: Context
    ) -> AsyncIterator[bytes]:
        """Stream a job's events. Gives serialized responses."""
        caller = current_caller()
        spec = self._read.watch(caller.identity, request)
        self._refuse_when_draining()
        with self.places.place(caller.tenant):
            watch = Watch(
                store=self._store,
                hub=self._hub,
                converters=self._converters,
                spec=spec,
                caller=caller,
                observer=self._observer,
            )
            async for message in watch.messages():
                yield message

    # --- deleting ---

    async def DeleteJob(  # noqa: N802
        self, request: job_service_pb2.DeleteJobRequest, context: Context
    ) -> job_service_pb2.DeleteJobResponse:
        """Delete a finished job."""
        caller = current_caller().identity
        job_id = self._read.job_id(caller, request.job_id)
        admit = partial(caller.check_job, "DeleteJob")
        deleted = await self._store.job_delete(job_id, etag=request.etag, admit=admit)
        if not deleted and not request.allow_missing:
            raise job_not_found(request.job_id)
        return job_service_pb2.DeleteJobResponse()

    async def PruneJobs(  # noqa: N802
        self, request: job_service_pb2.PruneJobsRequest, context: Context
    ) -> job_service_pb2.PruneJobsResponse:
        """Delete what finished jobs left behind, in batches: others write between them."""
        caller = current_caller().identity
        job_filter, finished_for = self._read.prune(caller, request)
        if job_filter.workflow:
            _check_prune(caller, job_filter.workflow)
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

    def _job(self, caller: Identity, method: str, job_id: str, *, payloads: bool) -> Job:
        job = self._store.job_get(job_id, payloads=payloads)
        if job is None:
            raise job_not_found(public(job_id))
        caller.check_job(method, job_id, job.spec.workflow)
        return job

    def _controlled(self, caller: Identity, job_id: str) -> Job | None:
        """A job to check answers against, if the caller may give them."""
        job = self._store.job_get(job_id, payloads=False)
        return job if job is not None and caller.may(Right.CONTROL, job.spec.workflow) else None

    def _workflow(self, caller: Identity, name: str) -> Workflow | None:
        """A workflow, if the caller may know of it."""
        workflow = self._store.workflow_get(name) if name else None
        known = caller.may(Right.SUBMIT, name) or caller.may(Right.READ, name)
        return workflow if known else None

    async def _messages(self, jobs: Sequence[Job], request: Any, full: bool) -> list[job_pb2.Job]:
        size = sum(map(_payload_size, jobs)) if full else 0
        return await self._converters.run(size, lambda: [convert.job(job, self._writer(request, full)) for job in jobs])

    async def _full_messages(self, jobs: Sequence[Job], request: Any) -> list[job_pb2.Job]:
        """With payloads, which are read job by job until the response is full: those of a whole page may take a
        gigabyte."""
        messages: list[job_pb2.Job] = []
        size = 0
        for listed in jobs:
            found = self._store.job_get(listed.job_id, payloads=True)
            # Deleted since it was listed, and perhaps another job has its id: it is shown as it was.
            same = found is not None and found.create_time == listed.create_time
            messages += await self._messages([found if same and found is not None else listed], request, True)
            size += messages[-1].ByteSize()
            if size > MESSAGE_BYTES:
                break
        return messages

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

    async def _wait(self, caller: Caller, job_id: str, seconds: float) -> None:
        """Wait until a job is finished or INTERRUPTED, woken by the commit."""
        self._refuse_when_draining()
        end = asyncio.get_running_loop().time() + seconds
        with self.places.place(caller.tenant), self._hub.watch(job_id) as channel:
            while True:
                job = self._job(caller.identity, "GetStatus", job_id, payloads=False)
                if job.state in FINISHED | {JobState.INTERRUPTED}:
                    return
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                await channel.news(min(left, self._hub.poll_seconds))
                self._refuse_when_draining()
                await caller.check_reader(job.spec.workflow)


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


def _payload_size(job: Job) -> int:
    payloads = [job.spec.input, job.output, *(question.value for question in job.interrupts)]
    return sum(len(payload) for payload in payloads if isinstance(payload, str))


def _check_prune(caller: Identity, workflow: str) -> None:
    """MethodForbiddenError for a workflow that the caller sees. Of others there is nothing to prune for it."""
    with suppress(WorkflowNotFoundError):
        caller.check_workflow("PruneJobs", workflow)
