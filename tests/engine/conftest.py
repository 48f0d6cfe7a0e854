"""A real engine over a real store, without the server around it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uuid_utils
from autopilot.v1 import job_pb2
from autopilot_server.api.events import encode_event
from autopilot_server.clockwork import Deadlines
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell, News
from autopilot_server.engine.engine import Engine
from autopilot_server.engine.memory import open_memory
from autopilot_server.engine.run import RunServices
from autopilot_server.engine.serializer import StrictSerializer
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.job import SECOND, Job, JobSpec, RetryPolicy
from autopilot_server.jobs.states import FINISHED, JobState
from autopilot_server.observer import Observer
from autopilot_server.storage import open_store
from autopilot_server.storage.store import Resumption, Store, Submission
from autopilot_server.tracer import Tracer

from tests.postgres import DATABASES

QUIET = RetryPolicy(max_attempts=1)
AT_ONCE = RetryPolicy(max_attempts=3, initial_backoff=0)


class World:
    """A store, an engine that can be started and stopped, and short ways to ask for things."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry = folder, registry
        self.settings = Settings(threads=8)
        self.serde = StrictSerializer(allowed_msgpack_modules=None)
        self.store: Store
        self.engine: Engine | None = None

    async def open(self) -> None:
        self.doorbell = Doorbell()
        self.store = open_store(
            DATABASES.url(self.folder),
            encode_event=encode_event,
            doorbell=self.doorbell,
            retention=3600 * SECOND,
        )
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.doorbell.subscribe(self._ring)
        await self.store.workflows_publish(self.registry.descriptors)
        await self.store.jobs_recover(max_losses=10)
        self.deadlines = Deadlines(self.doorbell)
        self._deadlines_task = asyncio.create_task(self.deadlines.run(self.store))

    def start(self) -> None:
        # One that is forgotten ends the whole process, when it finds its store closed.
        assert self.engine is None
        self.engine = Engine(
            services=RunServices(
                observer=Observer(),
                tracer=Tracer(),
                store=self.store,
                doorbell=self.doorbell,
                encode_event=encode_event,
                settings=self.settings,
                serde=self.serde,
                memory=open_memory(DATABASES.url(self.folder)),
            ),
            registry=self.registry,
            worker_id="w",
            on_deadline=self.deadlines.look_again,
        )
        self.engine.start()

    async def stop(self, drain_seconds: float = 5.0) -> None:
        if self.engine is not None:
            await self.engine.stop(drain_seconds)
            self.engine = None

    async def close(self) -> None:
        await self.stop()
        self._deadlines_task.cancel()
        await asyncio.gather(self._deadlines_task, return_exceptions=True)
        await asyncio.to_thread(self.store.close)

    async def submit(self, workflow: str, graph_input: Any = None, **spec: Any) -> str:
        spec.setdefault("job_id", str(uuid_utils.uuid7()))
        spec.setdefault("thread_id", "")
        spec.setdefault("retry_policy", QUIET)
        job_input = None if "fork_from" in spec else json.dumps(graph_input)
        submission = Submission(spec=JobSpec(workflow=workflow, input=job_input, **spec), unfinished_limit=100_000)
        return (await self.store.job_submit(submission)).job.job_id

    async def resume(self, job_id: str, *, answers: Mapping[str, Any] | None = None, **fields: Any) -> Job:
        texts = {key: json.dumps(value) for key, value in (answers or {}).items()}
        return (await self.store.job_resume(Resumption(job_id=job_id, answers=texts, **fields))).job

    def job(self, job_id: str) -> Job:
        job = self.store.job_get(job_id, payloads=True)
        assert job is not None
        return job

    async def until(self, job_id: str, condition: Callable[[Job], bool]) -> Job:
        """Wait for news until the job is as wanted."""
        async with asyncio.timeout(30):
            while True:
                self._changed.clear()
                if condition(job := self.job(job_id)):
                    return job
                await self._changed.wait()

    async def stopped(self, job_id: str) -> Job:
        """Wait until the job is finished or INTERRUPTED."""
        return await self.until(job_id, lambda job: job.state in FINISHED | {JobState.INTERRUPTED})

    async def run(self, workflow: str, graph_input: Any = None, **spec: Any) -> Job:
        return await self.stopped(await self.submit(workflow, graph_input, **spec))

    def events(self, job_id: str) -> list[job_pb2.ProgressEvent]:
        page = self.store.events_read(job_id, after_sequence=0, limit=10_000, max_bytes=1 << 30)
        assert page is not None
        assert [event.sequence for event in page.events] == list(range(1, page.latest_sequence + 1))
        return [job_pb2.ProgressEvent.FromString(event.body) for event in page.events]

    def kinds(self, job_id: str) -> list[str]:
        return [event.WhichOneof("kind") or "" for event in self.events(job_id)]

    def steps(self, job_id: str, kind: str = "step_finished") -> list[str]:
        return [getattr(e, kind).step for e in self.events(job_id) if e.WhichOneof("kind") == kind]

    def output(self, job_id: str) -> Any:
        output = self.job(job_id).output
        assert output is not None
        return json.loads(output)

    def _ring(self, news: Sequence[News]) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load(Path(__file__).parent / "graphs" / "langgraph.json")


@pytest.fixture
async def world(tmp_path: Path, registry: Registry) -> AsyncIterator[World]:
    world = World(tmp_path, registry)
    await world.open()
    yield world
    await world.close()
