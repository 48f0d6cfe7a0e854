"""The server as a whole: builds its parts, starts and stops them in order."""

import asyncio
import gc
import logging
import os
import signal
import socket
from functools import partial
from importlib.metadata import version
from pathlib import Path

import uuid_utils
from prometheus_client import CollectorRegistry

from autopilot_server.access.callers import Callers
from autopilot_server.api.events import encode_event
from autopilot_server.api.health import Health
from autopilot_server.api.listening import check_protection, listen_address
from autopilot_server.api.server import ApiServer
from autopilot_server.audit.journal import Journal
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.engine.allowed_classes import check_classes
from autopilot_server.engine.clockwork import Deadlines, Pruner
from autopilot_server.engine.engine import Engine
from autopilot_server.engine.memory import Memory, open_memory
from autopilot_server.engine.run import RunServices
from autopilot_server.engine.serializer import allowed_types, checkpoint_serializer
from autopilot_server.engine.values_reader import ValuesReader
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.job import SECOND
from autopilot_server.logs import log_moves
from autopilot_server.metrics import Metrics, Sources
from autopilot_server.metrics_server import MetricsServer
from autopilot_server.observer import Observer
from autopilot_server.pulse import Pulse
from autopilot_server.readiness import tell_supervisor
from autopilot_server.reloading import Reloadable, Reloads
from autopilot_server.storage import UNUSABLE, cannot_use, database_path, open_store
from autopilot_server.storage.keys import given_keys
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.store import Store
from autopilot_server.supervision import end_process_with
from autopilot_server.tracer import Tracer

log = logging.getLogger(__name__)

# New objects between two collections. A job makes many and few of them in cycles: Python's own 700 costs a fifth of the
# engine's time (docs/performance.md).
GC_THRESHOLD = 10_000

# How long open RPCs may take to end once the engine has stopped.
RPC_GRACE_SECONDS = 1.0


class App:
    """A running server. Build it with `App.start`, inside the event loop that serves gRPC."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        api: ApiServer,
        engine: Engine,
        memory: Memory,
        metrics: MetricsServer | None,
        tracer: Tracer,
        journal: Journal | None,
        port: int,
    ) -> None:
        """Keep the started parts."""
        self._settings, self._store, self._api, self._engine = settings, store, api, engine
        self._memory, self._metrics = memory, metrics
        self._tracer, self._journal = tracer, journal
        self._tasks: list[asyncio.Task[None]] = []
        self.port = port

    @classmethod
    async def start(cls, settings: Settings, reloads: Reloads) -> "App":
        """Load the workflows, open the database, take up what a dead process left, and serve.

        StartupError, with one line for the operator, when any of it cannot be done.
        """
        # First what is told at once: the workflows take a while to load.
        check_protection(settings)
        if settings.metrics_listen:
            listen_address(settings.metrics_listen, "--metrics-listen")
        database_path(settings.database)
        # Before the workflows, whose own spans are to go the same way.
        tracer = _tracer(settings)
        callers = Callers(settings)
        # Before the workflows: they find no key in the environment.
        keys = given_keys(settings.encryption_key_file)
        sealer = None if keys is None else Sealer(keys)
        allowed = allowed_types(settings.allowed_types)
        registry = Registry.load(Path(settings.config))
        check_classes(allowed or ())
        serde = checkpoint_serializer(allowed, sealer)
        doorbell = Doorbell()
        health = Health(asyncio.get_running_loop())
        measured = CollectorRegistry()
        observer = Metrics(measured)
        store = open_store(
            settings.database,
            encode_event=encode_event,
            doorbell=doorbell,
            retention=round(settings.retention_seconds * SECOND),
            on_health=partial(health.changed, "database"),
            on_moves=log_moves,
            observer=observer,
            sealer=sealer,
        )
        deadlines = Deadlines(store=store, doorbell=doorbell)
        journal = None
        try:
            journal = _journal(settings, health)
            reader = ValuesReader(store=store, registry=registry, serde=serde)
            health.api = api = ApiServer(
                settings=settings,
                store=store,
                doorbell=doorbell,
                read_values=reader.read,
                authenticators=callers.authenticators,
                observer=observer,
                tracer=tracer,
                journal=journal,
            )
            memory = open_memory(database_path(settings.database), sealer)
            engine = Engine(
                services=RunServices(
                    store=store,
                    doorbell=doorbell,
                    encode_event=encode_event,
                    settings=settings,
                    serde=serde,
                    memory=memory,
                    observer=observer,
                    tracer=tracer,
                ),
                registry=registry,
                worker_id=f"{socket.gethostname()}-{os.getpid()}-{uuid_utils.uuid7()}",
                on_deadline=deadlines.look_again,
            )
            metrics = _serve_metrics(settings, measured, store, engine)
            await store.workflows_publish(registry.descriptors)
            await _recover(store, settings, observer, tracer)
            port = await api.start()
        except BaseException as error:
            if journal is not None:
                await asyncio.to_thread(journal.close)
            store.close()
            if isinstance(error, UNUSABLE):
                raise StartupError(cannot_use(database_path(settings.database), error)) from error
            raise
        engine.start()
        reloads.start(_reloadables(callers.tokens, callers.provider_keys, api.certificates))
        app = cls(
            settings=settings,
            store=store,
            api=api,
            engine=engine,
            memory=memory,
            metrics=metrics,
            tracer=tracer,
            journal=journal,
            port=port,
        )
        pruner = Pruner(store=store, interval_seconds=settings.prune_interval_seconds)
        app._in_background(deadlines, pruner, Pulse("server", observer))
        return app

    async def stop(self) -> None:
        """Refuse new work, end the watches, drain the jobs, and close."""
        await self._api.drain()
        await self._engine.stop(self._settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.stop(RPC_GRACE_SECONDS)
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        await asyncio.to_thread(self._store.close)
        await asyncio.to_thread(self._memory.close)
        await asyncio.to_thread(self._tracer.close)

    def _in_background(self, *parts: Deadlines | Pruner | Pulse) -> None:
        for part in parts:
            task = asyncio.create_task(part.run(), name=type(part).__name__.lower())
            task.add_done_callback(end_process_with)
            self._tasks.append(task)


def _journal(settings: Settings, health: Health) -> Journal | None:
    """The audit that the settings name. StartupError."""
    if not settings.audit_file:
        return None
    return Journal(Path(settings.audit_file), on_health=partial(health.changed, "audit file"))


def _serve_metrics(
    settings: Settings, measured: CollectorRegistry, store: Store, engine: Engine
) -> MetricsServer | None:
    if not settings.metrics_listen:
        return None
    sources = Sources(
        store=store,
        database=database_path(settings.database),
        running_jobs=lambda: engine.running_jobs,
        abandoned_threads=lambda: engine.abandoned_threads,
    )
    server = MetricsServer(listen_address(settings.metrics_listen), measured, sources)
    log.info("metrics on port %d", server.port)
    return server


def _tracer(settings: Settings) -> Tracer:
    """StartupError when traces are asked for and cannot be had."""
    if not settings.traces:
        return Tracer()
    try:
        from autopilot_server.traces import OpenTelemetryTracer
    except ModuleNotFoundError as error:
        raise StartupError(
            f"--traces needs OpenTelemetry ({error}): install it with pip install 'autopilot-jobs[server,otel]'"
        ) from error
    return OpenTelemetryTracer(version("autopilot-jobs"))


def _reloadables(*parts: Reloadable | None) -> list[Reloadable]:
    """Those that this server has."""
    return [part for part in parts if part is not None]


async def _recover(store: Store, settings: Settings, observer: Observer, tracer: Tracer) -> None:
    moved = await store.jobs_recover(max_losses=settings.max_worker_losses)
    for run in moved.lost:
        tracer.attempt_lost(run)
    for outcome, jobs in (("requeued", moved.requeued), ("cancelled", moved.cancelled), ("failed", moved.failed)):
        observer.jobs_recovered(outcome, len(jobs))
    if moved.requeued or moved.cancelled or moved.failed:
        log.info(
            "took up what the last process left: %d jobs go on, %d are cancelled, %d failed",
            len(moved.requeued),
            len(moved.cancelled),
            len(moved.failed),
        )


def _spare_collections() -> None:
    """Modules, schemas and graphs live as long as the process: the garbage collector need not visit them each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGQUIT, then stop in order. SIGHUP: read again what can change."""
    stopped, reloads = asyncio.Event(), Reloads()
    loop = asyncio.get_running_loop()
    # Before the database's lock is taken, by which others find this process. SIGQUIT may come again: it ends nothing.
    loop.add_signal_handler(signal.SIGQUIT, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    app = await App.start(settings, reloads)
    _spare_collections()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    host = settings.listen.rpartition(":")[0]
    print(f"autopilot: serving on {host}:{app.port}", flush=True)
    tell_supervisor("READY=1")
    await stopped.wait()
    tell_supervisor("STOPPING=1")
    log.info("stopping; a second signal ends the process at once")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
    await app.stop()
