"""A real server over a real store; the tests play the engine by hand."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from autopilot_server.access.authenticators import Authenticators
from autopilot_server.api.events import encode_event
from autopilot_server.api.server import ApiServer
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.events import Event, StepFinished
from autopilot_server.jobs.job import SECOND, Concurrency, Interrupt, Job, Json, Progress, Workflow
from autopilot_server.jobs.states import JobState
from autopilot_server.observer import Observer
from autopilot_server.storage import open_store
from autopilot_server.storage.store import (
    CheckpointPut,
    CheckpointRow,
    Claim,
    EventDraft,
    RunEnd,
    RunUpdate,
)
from autopilot_server.tracer import Tracer

from tests.postgres import DATABASES
from tests.refused import Refused

if TYPE_CHECKING:
    from autopilot_server.audit.journal import Journal

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "items": {"type": "array"}},
    "required": ["n"],
}
CONTEXT_SCHEMA = {"type": "object", "properties": {"tone": {"type": "string"}}, "additionalProperties": False}
ANSWER_SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}

WORKFLOW = Workflow(
    name="w",
    description="does things",
    revision="r1",
    input_schema=json.dumps(SCHEMA),
    output_schema="{}",
    context_schema=json.dumps(CONTEXT_SCHEMA),
    steps=("a", "b/inner"),
    mermaid="graph TD;",
    longest_path=2,
    concurrency=Concurrency(jobs=100, per_key=1),
)
OTHER = replace(WORKFLOW, name="other", context_schema=None, concurrency=Concurrency())


class Api:
    """A server, its stub, and an engine of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.doorbell = Doorbell()
        self.time_offset = 0
        self.store = open_store(
            DATABASES.url(folder),
            encode_event=encode_event,
            doorbell=self.doorbell,
            retention=3600 * SECOND,
        )
        self.settings = Settings(listen="127.0.0.1:0", watches=20, workers="inline")
        self.authenticators = Authenticators()
        self.journal: Journal | None = None
        self.values: dict[str, Json] = {}

    async def start(self) -> None:
        await self.store.workflows_publish([WORKFLOW, OTHER])
        self.server = ApiServer(
            observer=Observer(),
            tracer=Tracer(),
            settings=self.settings,
            store=self.store,
            doorbell=self.doorbell,
            read_values=self.read_values,
            authenticators=self.authenticators,
            journal=self.journal,
        )
        self.port = await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", [("grpc.use_local_subchannel_pool", 1)])
        self.stub: Any = job_service_pb2_grpc.JobServiceStub(self.channel)

    async def stop(self) -> None:
        await self.channel.close()
        await self.server.stop(0)
        self.store.close()

    async def read_values(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        return {checkpoint_id: self.values[checkpoint_id] for checkpoint_id in checkpoint_ids}

    # --- short ways ---

    async def submit(self, graph_input: Any = None, **fields: Any) -> job_pb2.Job:
        fields.setdefault("workflow", "w")
        if "fork_from" not in fields:
            text = json.dumps({"n": 1} if graph_input is None else graph_input)
            fields.setdefault("input", job_pb2.Payload(json_text=text))
        response = await self.stub.SubmitJob(job_service_pb2.SubmitJobRequest(**fields))
        return response.job

    async def get(self, job_id: str, **fields: Any) -> job_pb2.Job:
        return (await self.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id, **fields))).job

    async def refused(self, call: Any) -> Refused:
        with pytest.raises(grpc.RpcError) as caught:
            await call
        return Refused(caught.value)

    # --- the engine, by hand ---

    async def claim(self) -> Claim:
        (claim,) = await self.store.job_claim({"w": "r1", "other": "r1"}, worker_id="test", limit=1)
        return claim

    def draft(self, claim: Claim, kind: Any) -> EventDraft:
        return encode_event(Event(claim.fence.job_id, 1, claim.job.attempt, Progress(0.5), kind))

    async def step(self, claim: Claim, name: str = "a", update: str = '{"x":1}') -> None:
        kind = StepFinished(name, "run-1", update, 1000)
        await self.store.run_write(claim.fence, RunUpdate(events=[self.draft(claim, kind)]))

    async def checkpoint(self, claim: Claim, checkpoint_id: str, superstep: int = 1) -> None:
        row = CheckpointRow(
            thread_id=claim.job.spec.thread_id,
            checkpoint_ns="",
            checkpoint_id=checkpoint_id,
            parent_checkpoint_id=None,
            type="msgpack",
            checkpoint=b"",
            metadata=b"{}",
        )
        put = CheckpointPut(row=row, superstep=superstep, source="loop", next_steps=("b",), create_time=5)
        await self.store.run_write(claim.fence, RunUpdate(checkpoint=put))

    async def end(self, claim: Claim, state: JobState = JobState.SUCCEEDED, **fields: Any) -> None:
        if state is JobState.SUCCEEDED:
            fields.setdefault("output", '{"done":true}')
        await self.store.run_end(claim.fence, RunEnd(to_state=state, **fields), RunUpdate())

    async def finished(self, **fields: Any) -> job_pb2.Job:
        job = await self.submit(**fields)
        await self.end(await self.claim())
        return job

    async def interrupted(self, *questions: str, **fields: Any) -> job_pb2.Job:
        job = await self.submit(**fields)
        asked = [Interrupt(q, "a", "run-1", '"?"', 1, json.dumps(ANSWER_SCHEMA)) for q in questions]
        await self.end(await self.claim(), JobState.INTERRUPTED, interrupts=asked)
        return job


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    api = Api(tmp_path)
    await api.start()
    yield api
    await api.stop()
