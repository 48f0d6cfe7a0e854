"""The asynchronous client: the synchronous one, awaited."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
import grpc.aio
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc

from autopilot_client import _convert, _requests
from autopilot_client._channel import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_SECONDS,
    OPTIONS,
    CallMetadata,
    Token,
    check_secrecy,
)
from autopilot_client._errors import CallFailed, from_rpc
from autopilot_client._model import MISSING, Checkpoint, Event, Job, JobState, Pruned, Workflow
from autopilot_client._requests import ResumeOptions, Span, SubmitOptions
from autopilot_client._sync import ENDS, seconds
from autopilot_client._watching import Following, Patience, Place

R = TypeVar("R")


class AsyncClient:
    """Submits, watches and controls jobs. For one event loop; an async context manager.

    async with AsyncClient() as client:
        print(await client.run("hello", {"name": "Ada"}))
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel: grpc.aio.Channel | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        metadata: Sequence[tuple[str, str]] = (),
        token: Token | None = None,
        insecure: bool = False,
    ) -> None:
        """Talk to a server.

        `credentials` for TLS, as `tls_credentials` makes them, else plain text. `channel`: one that the caller made,
        and closes. `timeout`: seconds that each call but a watch may take. `metadata` goes with each call.

        `token`: a bearer token, or a function that gives the one to use now and is called for each call. It is sent
        over TLS and to this machine; elsewhere only when `insecure` is said, or on a `channel` of the caller's.
        ValueError when it may not be sent, or is none.
        """
        if channel is None and not insecure:
            check_secrecy(address, credentials, token)
        self._owned, self._closing = channel is None, asyncio.Event()
        self._server = address if channel is None else "the server"
        if channel is None and credentials is not None:
            channel = grpc.aio.secure_channel(address, credentials, OPTIONS)
        elif channel is None:
            channel = grpc.aio.insecure_channel(address, OPTIONS)
        self._channel = channel
        self._stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
        self._timeout, self._metadata = timeout, CallMetadata(metadata, token)

    async def close(self) -> None:
        """Close the connection, and end what is open, pauses as well. The client cannot be used any more."""
        self._closing.set()
        if self._owned:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        """Use as a context manager."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # --- jobs ---

    async def submit(
        self,
        workflow: str,
        input: Any = MISSING,  # noqa: A002 - the contract's name
        *,
        timeout: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Job:
        """Submit a job. Returns once it is durable. See `SubmitOptions`; a repeated `request_id` submits nothing."""
        request = _requests.submit(workflow, input, **options)
        return _convert.answered(await self._call(self._stub.SubmitJob, request, timeout))

    async def get(self, job_id: str, *, wait: Span = 0, payloads: bool = True, timeout: float | None = None) -> Job:
        """Read a job. `wait`: at most this long for it to be finished or INTERRUPTED, which is no error."""
        waiting = seconds(wait)
        request = job_service_pb2.GetStatusRequest(
            job_id=job_id,
            view=_requests.view(payloads),
            payload_format=_requests.TEXT,
            wait_timeout=_convert.duration(waiting) if waiting else None,
        )
        allowed = waiting + self._timeout if timeout is None else timeout
        return _convert.job((await self._call(self._stub.GetStatus, request, allowed)).job)

    async def list(
        self,
        *,
        states: Sequence[JobState] = (),
        workflow: str = "",
        thread_id: str = "",
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        payloads: bool = False,
        page_size: int = 100,
    ) -> AsyncIterator[Job]:
        """All jobs that match, newest first, read page by page."""
        request = job_service_pb2.ListJobsRequest(
            page_size=page_size,
            filter=_convert.job_filter(
                states=states,
                workflow=workflow,
                thread_id=thread_id,
                labels=labels,
                created_after=created_after,
                created_before=created_before,
            ),
            view=_requests.view(payloads),
            payload_format=_requests.TEXT,
        )
        async for page in self._pages(self._stub.ListJobs, request):
            for message in page.jobs:
                yield _convert.job(message)

    async def watch(
        self,
        job_id: str,
        *,
        after_sequence: int = 0,
        stop_when_caught_up: bool = False,
        tokens: bool = False,
        reconnect_for: Span = 300,
    ) -> AsyncGenerator[Event, None]:
        """A job's events: the stored ones, then new ones as they happen, until the job is finished.

        Goes on by itself when the connection or the server breaks, each stored event exactly once, in order.
        `reconnect_for`: how long a break may last before its error is raised.
        """
        place = Place(job_id, after_sequence, stop_when_caught_up, tokens, Patience(seconds(reconnect_for)))
        while True:
            self._check_open()
            stream: Any = self._stub.WatchProgress(place.request(), metadata=self._metadata())
            try:
                async for response in stream:
                    for event in place.take(response):
                        yield event
            except grpc.RpcError as error:
                pause = place.patience.pause(self._failure(error))
            except asyncio.CancelledError:
                self._check_task()
                raise
            else:
                return
            finally:
                stream.cancel()
            await self._rest(pause)

    async def follow(
        self,
        job_id: str,
        *,
        after_sequence: int = 0,
        tokens: bool = False,
        on_event: Callable[[Event], None] = lambda _: None,
        reconnect_for: Span = 300,
    ) -> Job:
        """Watch a job until it is finished or INTERRUPTED, and return it as it then is.

        An INTERRUPTED of its past, which was resumed since, is an event like the others. `on_event` may resume the job.
        """
        following = Following(await self._reread(job_id, reconnect_for), after_sequence)
        while not following.over:
            watched = self.watch(job_id, after_sequence=following.sequence, tokens=tokens, reconnect_for=reconnect_for)
            async with aclosing(watched) as events:
                async for event in events:
                    on_event(event)
                    if following.take(event):
                        break
            following.job = await self._reread(job_id, reconnect_for)
        return following.job

    async def _reread(self, job_id: str, reconnect_for: Span) -> Job:
        """A job, as patiently as a watch."""
        patience = Patience(seconds(reconnect_for))
        while True:
            try:
                return await self.get(job_id)
            except CallFailed as error:
                pause = patience.pause(error)
            await self._rest(pause)

    async def run(
        self,
        workflow: str,
        input: Any = MISSING,  # noqa: A002 - the contract's name
        *,
        on_event: Callable[[Event], None] = lambda _: None,
        **options: Unpack[SubmitOptions],
    ) -> Any:
        """Submit a job, watch it, and return its output.

        Raises JobFailed, JobCancelled, or JobInterrupted when it waits for answers.
        """
        submitted = await self.submit(workflow, input, **options)
        job = await self.follow(submitted.job_id, on_event=on_event)
        if job.state in ENDS:
            raise ENDS[job.state](job)
        return job.output

    async def cancel(
        self,
        job_id: str,
        *,
        reason: str = "",
        grace_period: Span | None = None,
        etag: str = "",
        timeout: float | None = None,
    ) -> Job:
        """Ask a job to stop; its running steps may go on for `grace_period` (default: the server's)."""
        request = job_service_pb2.CancelRequest(
            job_id=job_id, reason=reason, etag=etag, grace_period=_convert.duration(grace_period)
        )
        return _convert.job((await self._call(self._stub.Cancel, request, timeout)).job)

    async def resume(self, job_id: str, *, timeout: float | None = None, **options: Unpack[ResumeOptions]) -> Job:
        """Continue a job: with answers, after a failure, or from an earlier or edited state. See `ResumeOptions`."""
        request = _requests.resume(job_id, **options)
        return _convert.answered(await self._call(self._stub.Resume, request, timeout))

    async def delete(
        self, job_id: str, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None
    ) -> None:
        """Delete a finished job, its events and its checkpoints."""
        request = job_service_pb2.DeleteJobRequest(job_id=job_id, etag=etag, allow_missing=allow_missing)
        await self._call(self._stub.DeleteJob, request, timeout)

    async def prune(
        self,
        finished_for: Span,
        *,
        states: Sequence[JobState] = (),
        workflow: str = "",
        labels: Mapping[str, str] | None = None,
        checkpoints_only: bool = False,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Pruned:
        """Delete what jobs left behind that were finished at least `finished_for` ago."""
        request = job_service_pb2.PruneJobsRequest(
            finished_for=_convert.duration(finished_for),
            filter=_convert.job_filter(states=states, workflow=workflow, labels=labels),
            checkpoints_only=checkpoints_only,
            dry_run=dry_run,
        )
        response = await self._call(self._stub.PruneJobs, request, timeout)
        return Pruned(response.deleted_jobs, response.deleted_checkpoints)

    async def checkpoints(
        self, job_id: str, *, values: bool = False, page_size: int = 100
    ) -> AsyncIterator[Checkpoint]:
        """A job's checkpoints, newest first."""
        request = job_service_pb2.ListCheckpointsRequest(
            job_id=job_id, page_size=page_size, view=_requests.view(values), payload_format=_requests.TEXT
        )
        async for page in self._pages(self._stub.ListCheckpoints, request):
            for message in page.checkpoints:
                yield _convert.checkpoint(message)

    async def workflows(self) -> AsyncIterator[Workflow]:
        """The workflows that the server can run."""
        request = job_service_pb2.ListWorkflowsRequest(page_size=100)
        async for page in self._pages(self._stub.ListWorkflows, request):
            for message in page.workflows:
                yield _convert.workflow(message)

    # --- calls ---

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise RuntimeError("this client is closed")

    def _check_task(self) -> None:
        # gRPC cancels what is open when the client is closed, which looks as if somebody had cancelled the task.
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            self._check_open()

    async def _rest(self, pause: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), pause)
        self._check_open()

    def _failure(self, error: grpc.RpcError, timeout: float = 0) -> CallFailed:
        self._check_open()
        return from_rpc(error, server=self._server, timeout=timeout)

    async def _call(self, method: Callable[..., Awaitable[R]], request: Any, timeout: float | None) -> R:
        self._check_open()
        allowed = self._timeout if timeout is None else timeout
        try:
            return await method(request, timeout=allowed, metadata=self._metadata())
        except grpc.RpcError as error:
            raise self._failure(error, allowed) from None
        except asyncio.CancelledError:
            self._check_task()
            raise

    async def _pages(self, method: Callable[..., Any], request: Any) -> AsyncIterator[Any]:
        while True:
            page = await self._call(method, request, None)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
