"""The measuring client: the generated stubs and the format that typed clients ask for, without their conveniences."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot.v1.job_service_pb2_grpc import JobServiceStub
from google.protobuf.duration_pb2 import Duration

if TYPE_CHECKING:
    # Exists in the stubs only.
    from autopilot.v1.job_service_pb2_grpc import JobServiceAsyncStub

IN_FLIGHT = 64
WAIT_SECONDS = 60


class Client:
    """Calls one server over one connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over `channel`."""
        self.stub: JobServiceAsyncStub = JobServiceStub(channel)

    async def submit(self, workflow: str, value: Mapping[str, object], **fields: Any) -> str:
        """Submit a job with `value` as its input. Its id."""
        request = job_service_pb2.SubmitJobRequest(
            workflow=workflow, input=job_pb2.Payload(json_text=json.dumps(value)), **fields
        )
        response = await self.stub.SubmitJob(request)
        return response.job.job_id

    async def watch(self, job_id: str) -> job_pb2.ProgressEvent:
        """Watch a job from its first event to the end of the stream. Its last event."""
        last = job_pb2.ProgressEvent()
        request = job_service_pb2.WatchProgressRequest(job_id=job_id, payload_format=job_pb2.PAYLOAD_FORMAT_JSON_TEXT)
        async for message in self.stub.WatchProgress(request):
            if message.events:
                last = message.events[-1]
        return last

    async def run(self, workflow: str, value: Mapping[str, object]) -> None:
        """Submit a job and watch it to its end. RuntimeError when it does not succeed."""
        last = await self.watch(await self.submit(workflow, value))
        if last.state_changed.to != job_pb2.JOB_STATE_SUCCEEDED:
            raise RuntimeError(f"a job of {workflow} did not succeed: {last}")

    async def wait(self, job_id: str) -> job_pb2.Job:
        """Wait until a job is finished or INTERRUPTED."""
        response = await self.stub.GetStatus(
            job_service_pb2.GetStatusRequest(job_id=job_id, wait_timeout=Duration(seconds=WAIT_SECONDS))
        )
        return response.job

    async def jobs(self, *states: job_pb2.JobState.ValueType) -> list[job_pb2.Job]:
        """The newest jobs in some states, a page of them."""
        request = job_service_pb2.ListJobsRequest(page_size=20, filter=job_service_pb2.JobFilter(states=states))
        return list((await self.stub.ListJobs(request)).jobs)

    async def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        await self.stub.Cancel(job_service_pb2.CancelRequest(job_id=job_id))


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Client]:
    """A client of the server at `address`, connected. Connections are never shared between clients."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        await channel.channel_ready()
        yield Client(channel)


async def keep_in_flight(count: int, work: Callable[[int], Coroutine[Any, Any, None]], width: int = IN_FLIGHT) -> float:
    """Do `work(0)` to `work(count - 1)`, `width` at a time. How many were done a second."""
    numbers = itertools.count()

    async def worker() -> None:
        while (number := next(numbers)) < count:
            await work(number)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(width):
            tasks.create_task(worker())
    return count / (time.perf_counter() - started)
