"""The synchronous client."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc

from autopilot_client import _convert, _requests
from autopilot_client._channel import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_SECONDS,
    CallMetadata,
    Token,
    check_secrecy,
    open_channel,
)
from autopilot_client._errors import CallFailed, JobCancelled, JobEnded, JobFailed, JobInterrupted, from_rpc
from autopilot_client._model import MISSING, Checkpoint, Event, Job, JobState, Pruned, Workflow
from autopilot_client._requests import ResumeOptions, Span, SubmitOptions
from autopilot_client._watching import Following, Patience, Place

R = TypeVar("R")

ENDS: dict[JobState, type[JobEnded]] = {
    JobState.FAILED: JobFailed,
    JobState.CANCELLED: JobCancelled,
    JobState.INTERRUPTED: JobInterrupted,
}


def seconds(span: Span) -> float:
    """A span in seconds."""
    return span if isinstance(span, int | float) else span.total_seconds()


class Client:
    """Submits, watches and controls jobs. Thread-safe; a context manager.

    with Client() as client:
        print(client.run("hello", {"name": "Ada"}))
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel: grpc.Channel | None = None,
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
        self._owned, self._closing = channel is None, threading.Event()
        self._server = address if channel is None else "the server"
        self._channel = open_channel(address, credentials) if channel is None else channel
        self._stub = job_service_pb2_grpc.JobServiceStub(self._channel)
        self._timeout, self._metadata = timeout, CallMetadata(metadata, token)

    def close(self) -> None:
        """Close the connection, and end what is open, pauses as well. The client cannot be used any more."""
        self._closing.set()
        if self._owned:
            self._channel.close()

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- jobs ---

    def submit(
        self,
        workflow: str,
        input: Any = MISSING,  # noqa: A002 - the contract's name
        *,
        timeout: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Job:
        """Submit a job. Returns once it is durable. See `SubmitOptions`; a repeated `request_id` submits nothing."""
        request = _requests.submit(workflow, input, **options)
        return _convert.answered(self._call(self._stub.SubmitJob, request, timeout))

    def get(self, job_id: str, *, wait: Span = 0, payloads: bool = True, timeout: float | None = None) -> Job:
        """Read a job. `wait`: at most this long for it to be finished or INTERRUPTED, which is no error."""
        waiting = seconds(wait)
        request = job_service_pb2.GetStatusRequest(
            job_id=job_id,
            view=_requests.view(payloads),
            payload_format=_requests.TEXT,
            wait_timeout=_convert.duration(waiting) if waiting else None,
        )
        allowed = waiting + self._timeout if timeout is None else timeout
        return _convert.job(self._call(self._stub.GetStatus, request, allowed).job)

    def list(
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
    ) -> Iterator[Job]:
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
        for page in self._pages(self._stub.ListJobs, request):
            yield from map(_convert.job, page.jobs)

    def watch(
        self,
        job_id: str,
        *,
        after_sequence: int = 0,
        stop_when_caught_up: bool = False,
        tokens: bool = False,
        reconnect_for: Span = 300,
    ) -> Generator[Event, None, None]:
        """A job's events: the stored ones, then new ones as they happen, until the job is finished.

        Goes on by itself when the connection or the server breaks, each stored event exactly once, in order.
        `reconnect_for`: how long a break may last before its error is raised.
        """
        place = Place(job_id, after_sequence, stop_when_caught_up, tokens, Patience(seconds(reconnect_for)))
        while True:
            self._check_open()
            stream: Any = self._stub.WatchProgress(place.request(), metadata=self._metadata())
            try:
                for response in stream:
                    yield from place.take(response)
            except grpc.RpcError as error:
                pause = place.patience.pause(self._failure(error))
            else:
                return
            finally:
                stream.cancel()
            self._rest(pause)

    def follow(
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
        following = Following(self._reread(job_id, reconnect_for), after_sequence)
        while not following.over:
            watched = self.watch(job_id, after_sequence=following.sequence, tokens=tokens, reconnect_for=reconnect_for)
            with closing(watched) as events:
                for event in events:
                    on_event(event)
                    if following.take(event):
                        break
            following.job = self._reread(job_id, reconnect_for)
        return following.job

    def _reread(self, job_id: str, reconnect_for: Span) -> Job:
        """A job, as patiently as a watch."""
        patience = Patience(seconds(reconnect_for))
        while True:
            try:
                return self.get(job_id)
            except CallFailed as error:
                pause = patience.pause(error)
            self._rest(pause)

    def run(
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
        submitted = self.submit(workflow, input, **options)
        job = self.follow(submitted.job_id, on_event=on_event)
        if job.state in ENDS:
            raise ENDS[job.state](job)
        return job.output

    def cancel(
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
        return _convert.job(self._call(self._stub.Cancel, request, timeout).job)

    def resume(self, job_id: str, *, timeout: float | None = None, **options: Unpack[ResumeOptions]) -> Job:
        """Continue a job: with answers, after a failure, or from an earlier or edited state. See `ResumeOptions`."""
        request = _requests.resume(job_id, **options)
        return _convert.answered(self._call(self._stub.Resume, request, timeout))

    def delete(self, job_id: str, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None) -> None:
        """Delete a finished job, its events and its checkpoints."""
        request = job_service_pb2.DeleteJobRequest(job_id=job_id, etag=etag, allow_missing=allow_missing)
        self._call(self._stub.DeleteJob, request, timeout)

    def prune(
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
        response = self._call(self._stub.PruneJobs, request, timeout)
        return Pruned(response.deleted_jobs, response.deleted_checkpoints)

    def checkpoints(self, job_id: str, *, values: bool = False, page_size: int = 100) -> Iterator[Checkpoint]:
        """A job's checkpoints, newest first."""
        request = job_service_pb2.ListCheckpointsRequest(
            job_id=job_id, page_size=page_size, view=_requests.view(values), payload_format=_requests.TEXT
        )
        for page in self._pages(self._stub.ListCheckpoints, request):
            yield from map(_convert.checkpoint, page.checkpoints)

    def workflows(self) -> Iterator[Workflow]:
        """The workflows that the server can run."""
        request = job_service_pb2.ListWorkflowsRequest(page_size=100)
        for page in self._pages(self._stub.ListWorkflows, request):
            yield from map(_convert.workflow, page.workflows)

    # --- calls ---

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise RuntimeError("this client is closed")

    def _rest(self, pause: float) -> None:
        self._closing.wait(pause)
        self._check_open()

    def _failure(self, error: grpc.RpcError, timeout: float = 0) -> CallFailed:
        # What is open when the client is closed ends with gRPC's CANCELLED, which nobody asked for.
        self._check_open()
        return from_rpc(error, server=self._server, timeout=timeout)

    def _call(self, method: Callable[..., R], request: Any, timeout: float | None) -> R:
        self._check_open()
        allowed = self._timeout if timeout is None else timeout
        try:
            return method(request, timeout=allowed, metadata=self._metadata())
        except grpc.RpcError as error:
            raise self._failure(error, allowed) from None

    def _pages(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        while True:
            page = self._call(method, request, None)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
