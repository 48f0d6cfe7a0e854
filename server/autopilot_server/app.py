"""The server as a whole: builds its parts, starts and stops them in order."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from autopilot_server.access.callers import Callers
from autopilot_server.api.events import encode_event
from autopilot_server.api.health import Health
from autopilot_server.api.listening import check_protection, listen_address
from autopilot_server.api.server import ApiServer
from autopilot_server.audit.journal import Journal
from autopilot_server.clockwork import Deadlines, Pruner
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.garbage import spare_collections
from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.job import SECOND
from autopilot_server.logs import log_moves
from autopilot_server.metrics import Metrics, Sources
from autopilot_server.metrics_server import MetricsServer
from autopilot_server.pulse import Pulse
from autopilot_server.readiness import tell_supervisor
from autopilot_server.recovery import tell_recovery
from autopilot_server.reloading import Reloadable, Reloads
from autopilot_server.runner import Runner
from autopilot_server.running import load_runner
from autopilot_server.storage import cannot_use, check_address, is_postgres, is_unusable, open_store
from autopilot_server.storage.keys import given_keys
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.store import Store
from autopilot_server.supervision import end_process_with
from autopilot_server.tracer import Tracer, open_tracer

log = logging.getLogger(__name__)

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
        runner: Runner,
        metrics: MetricsServer | None,
        tracer: Tracer,
        journal: Journal | None,
        port: int,
    ) -> None:
        """Keep the started parts."""
        self._settings, self._store, self._api, self._runner = settings, store, api, runner
        self._metrics, self._tracer, self._journal = metrics, tracer, journal
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
        check_address(settings.database)
        # Before the workflows, whose own spans are to go the same way.
        tracer = open_tracer(settings.traces)
        callers = Callers(settings)
        # Before the workflows: they find no key in the environment.
        keys = given_keys(settings.encryption_key_file)
        if keys is not None and is_postgres(settings.database):
            raise StartupError(
                "--encryption-key-file is for database files: LangGraph's memory could not be searched in a Postgres; "
                "let that encrypt its disk, or start without keys"
            )
        doorbell = Doorbell()
        health = Health(asyncio.get_running_loop())
        measured = CollectorRegistry()
        observer = Metrics(measured)
        deadlines = Deadlines(doorbell)
        runner = await load_runner(
            settings, keys=keys, doorbell=doorbell, observer=observer, tracer=tracer, on_deadline=deadlines.look_again
        )
        store, journal = None, None
        try:
            store = open_store(
                settings.database,
                encode_event=encode_event,
                doorbell=doorbell,
                retention=round(settings.retention_seconds * SECOND),
                on_health=partial(health.changed, "database"),
                on_moves=log_moves,
                observer=observer,
                sealer=None if keys is None else Sealer(keys),
            )
            journal = _journal(settings, health)
            health.api = api = ApiServer(
                settings=settings,
                store=store,
                doorbell=doorbell,
                read_values=runner.read_values,
                authenticators=callers.authenticators,
                observer=observer,
                tracer=tracer,
                journal=journal,
            )
            metrics = _serve_metrics(settings, measured, store, runner)
            if runner.workflows is not None:
                await store.workflows_publish(runner.workflows)
            moved = await store.jobs_recover(max_losses=settings.max_worker_losses)
            tell_recovery(moved, whose="the last process", observer=observer, tracer=tracer)
            port = await api.start()
            await runner.start(store)
        except BaseException as error:
            await runner.stop(0)
            if journal is not None:
                await asyncio.to_thread(journal.close)
            if store is not None:
                store.close()
            if isinstance(error, Exception) and is_unusable(error):
                raise StartupError(cannot_use(settings.database, error)) from error
            raise
        reloads.start(_reloadables(callers.tokens, callers.provider_keys, api.certificates))
        app = cls(
            settings=settings,
            store=store,
            api=api,
            runner=runner,
            metrics=metrics,
            tracer=tracer,
            journal=journal,
            port=port,
        )
        pruner = Pruner(store=store, interval_seconds=settings.prune_interval_seconds)
        app._in_background(deadlines.run(store), pruner.run(), Pulse("server", observer).run())
        return app

    async def stop(self) -> None:
        """Refuse new work, end the watches, drain the jobs, and close."""
        await self._api.drain()
        await self._runner.stop(self._settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.stop(RPC_GRACE_SECONDS)
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        await asyncio.to_thread(self._store.close)
        await asyncio.to_thread(self._runner.close)
        await asyncio.to_thread(self._tracer.close)

    def _in_background(self, *parts: Coroutine[None, None, None]) -> None:
        for part in parts:
            task = asyncio.create_task(part, name=getattr(part, "__qualname__", None))
            task.add_done_callback(end_process_with)
            self._tasks.append(task)


def _journal(settings: Settings, health: Health) -> Journal | None:
    """The audit that the settings name. StartupError."""
    if not settings.audit_file:
        return None
    return Journal(Path(settings.audit_file), on_health=partial(health.changed, "audit file"))


def _serve_metrics(
    settings: Settings, measured: CollectorRegistry, store: Store, runner: Runner
) -> MetricsServer | None:
    if not settings.metrics_listen:
        return None
    sources = Sources(
        store=store,
        running_jobs=lambda: runner.running_jobs,
        abandoned_threads=lambda: runner.abandoned_threads,
    )
    server = MetricsServer(listen_address(settings.metrics_listen), measured, sources)
    log.info("metrics on port %d", server.port)
    return server


def _reloadables(*parts: Reloadable | None) -> list[Reloadable]:
    """Those that this server has."""
    return [part for part in parts if part is not None]


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGQUIT, then stop in order. SIGHUP: read again what can change."""
    stopped, reloads = asyncio.Event(), Reloads()
    loop = asyncio.get_running_loop()
    # Before the database's lock is taken, by which others find this process. SIGQUIT may come again: it ends nothing.
    loop.add_signal_handler(signal.SIGQUIT, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    app = await App.start(settings, reloads)
    spare_collections()
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
