"""Jobs that run in the server's own process."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uuid_utils

from autopilot_server.api.events import encode_event
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.engine.allowed_classes import check_classes
from autopilot_server.engine.engine import Engine
from autopilot_server.engine.memory import Memory, open_memory
from autopilot_server.engine.run import RunServices
from autopilot_server.engine.serializer import allowed_types, checkpoint_serializer
from autopilot_server.engine.values_reader import ValuesReader
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.job import Job, Json, Workflow
from autopilot_server.observer import Observer
from autopilot_server.storage import absolute
from autopilot_server.storage.keys import KeyRing
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.store import Store
from autopilot_server.tracer import Tracer


class InlineRunner:
    """See `runner.Runner`."""

    def __init__(
        self,
        *,
        settings: Settings,
        keys: KeyRing | None,
        doorbell: Doorbell,
        observer: Observer,
        tracer: Tracer,
        on_deadline: Callable[[], None],
    ) -> None:
        """Load the workflows. `on_deadline` hears of each run that has one. StartupError."""
        allowed = allowed_types(settings.allowed_types)
        self._settings, self._doorbell, self._observer, self._tracer = settings, doorbell, observer, tracer
        self._on_deadline = on_deadline
        self._sealer = None if keys is None else Sealer(keys)
        # Workflows' modules may change the process's folder.
        self._database = absolute(settings.database)
        self._registry = Registry.load(Path(settings.config))
        check_classes(allowed or ())
        _refuse_isolation(self._registry)
        self._serde = checkpoint_serializer(allowed, self._sealer)
        self.workflows: Sequence[Workflow] = self._registry.descriptors
        self._engine: Engine | None = None
        self._memory: Memory | None = None
        self._reader: ValuesReader

    async def start(self, store: Store) -> None:
        """Begin to run jobs."""
        self._memory = open_memory(self._database, self._sealer)
        self._reader = ValuesReader(store=store, registry=self._registry, serde=self._serde)
        services = RunServices(
            store=store,
            doorbell=self._doorbell,
            encode_event=encode_event,
            settings=self._settings,
            serde=self._serde,
            memory=self._memory,
            observer=self._observer,
            tracer=self._tracer,
        )
        self._engine = Engine(
            services=services,
            registry=self._registry,
            worker_id=f"{socket.gethostname()}-{os.getpid()}-{uuid_utils.uuid7()}",
            on_deadline=self._on_deadline,
        )
        self._engine.start()

    async def stop(self, drain_seconds: float) -> None:
        """Drain."""
        if self._engine is not None:
            await self._engine.stop(drain_seconds)

    def close(self) -> None:
        """Let go of the database."""
        if self._memory is not None:
            self._memory.close()

    async def read_values(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        """See Runner."""
        return await self._reader.read(job, checkpoint_ids)

    @property
    def running_jobs(self) -> int:
        """Jobs that run now."""
        return 0 if self._engine is None else self._engine.running_jobs

    @property
    def abandoned_threads(self) -> int:
        """Threads that runs which are over still hold."""
        return 0 if self._engine is None else self._engine.abandoned_threads


def _refuse_isolation(registry: Registry) -> None:
    for workflow in registry.descriptors:
        if workflow.isolation is not None:
            raise StartupError(
                f"workflow {workflow.name!r} asks for processes of its own, and --workers inline has none: start with "
                "--workers 1 or more"
            )
