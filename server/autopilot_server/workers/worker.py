"""A worker: a process that runs jobs, or reads values, until the server tells it to end or is gone."""

import asyncio
import faulthandler
import importlib
import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import uuid_utils

from autopilot_server import logs
from autopilot_server.api.events import encode_event
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell, News
from autopilot_server.engine import memory
from autopilot_server.engine.allowed_classes import check_classes
from autopilot_server.engine.engine import Engine
from autopilot_server.engine.run import RunServices
from autopilot_server.engine.serializer import allowed_types, checkpoint_serializer
from autopilot_server.engine.values_reader import ValuesReader
from autopilot_server.engine.workflows import Registry
from autopilot_server.garbage import spare_collections
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.events import TokenChunk
from autopilot_server.jobs.job import SECOND
from autopilot_server.storage import open_store
from autopilot_server.storage.keys import Key
from autopilot_server.storage.sealing import Sealer
from autopilot_server.tracer import open_tracer
from autopilot_server.workers.link import Link, receive_exactly
from autopilot_server.workers.messages import (
    BEAT_SECONDS,
    STACKS_SIGNAL,
    Alive,
    Begin,
    ClaimNoMore,
    ClaimsNoMore,
    DatabaseAway,
    DeadlineBegan,
    Drain,
    Heard,
    ReadValues,
    Ready,
    SetLogLevel,
    Told,
    Values,
    rang,
)
from autopilot_server.workers.notes import Notes
from autopilot_server.workers.observed import Observations
from autopilot_server.workers.parent import end_with_parent, give_signals_to_children, leave_signals_to_parent

log = logging.getLogger(__name__)


def main() -> None:
    """A worker that loads the workflows itself. Its arguments are the numbers of its link and of its files for stacks
    and notes, and its parent's."""
    link, stacks, notes, parent = map(int, sys.argv[1:5])
    run(link, stacks, notes, parent, None)
    os._exit(0)


def run(link: int, stacks: int, notes: int, parent: int, registry: Registry | None) -> None:
    """A worker's whole life, on its main thread. `registry`: what was loaded before the fork."""
    end_with_parent(parent)
    leave_signals_to_parent()
    give_signals_to_children()
    faulthandler.register(STACKS_SIGNAL, file=stacks, all_threads=True)
    connection = socket.socket(fileno=link)
    begin: Begin = receive_exactly(connection)
    _draw_own_random_numbers()
    logs.configure(level=begin.settings.log_level, log_format=begin.settings.log_format, process=begin.name)
    if registry is None:
        registry = load_registry(begin.settings)
    threading.Thread(target=_end_with_server, args=(link,), name="parent", daemon=True).start()
    asyncio.run(Worker(begin, Link(connection), Notes(notes), registry).serve())
    logging.shutdown()


def import_for(settings: Settings) -> None:
    """What workers need for their database, so that those that are forked have it; and NumPy, which LangGraph needs
    for some databases, and workflows may."""
    memory.opener(settings.database)
    with suppress(ImportError):
        importlib.import_module("numpy")


def load_registry(settings: Settings) -> Registry:
    """Load the workflows. StartupError."""
    registry = Registry.load(Path(settings.config))
    check_classes(allowed_types(settings.allowed_types) or ())
    return registry


def _draw_own_random_numbers() -> None:
    """Processes that were forked from one another would draw the same; Python's own random takes care of itself."""
    uuid_utils.reseed_rng()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


def _end_with_server(link: int) -> None:
    """For systems whose kernel does not end a process with its parent; also when the main thread is held."""
    poll = select.poll()
    poll.register(link, select.POLLHUP)
    while not poll.poll():
        continue
    os._exit(1)


class Worker:
    """Runs jobs, or reads values, and answers the server. Lives in the main thread's loop."""

    def __init__(self, begin: Begin, link: Link, notes: Notes, registry: Registry) -> None:
        """Open the database that the server has open. StartupError."""
        settings = begin.settings
        self._link = link
        self._observations = Observations(notes)
        self._doorbell = Doorbell()
        sealer = Sealer(tuple(Key(secret) for secret in begin.secrets)) if begin.secrets else None
        serde = checkpoint_serializer(allowed_types(settings.allowed_types), sealer)
        self._tracer = open_tracer(settings.traces)
        self._store = open_store(
            settings.database,
            encode_event=encode_event,
            doorbell=self._doorbell,
            retention=round(settings.retention_seconds * SECOND),
            on_health=self._health_changed,
            on_moves=logs.log_moves,
            observer=self._observations,
            sealer=sealer,
            joins=True,
        )
        self._doorbell.subscribe(self._ring)
        self._doorbell.subscribe_tokens(self._pass_tokens)
        self._memory = memory.open_memory(settings.database, sealer)
        self._reader = ValuesReader(store=self._store, registry=registry, serde=serde)
        services = RunServices(
            store=self._store,
            doorbell=self._doorbell,
            encode_event=encode_event,
            settings=settings,
            serde=serde,
            memory=self._memory,
            observer=self._observations,
            tracer=self._tracer,
        )
        self._engine = Engine(
            services=services,
            registry=registry.only(begin.workflows),
            worker_id=begin.worker_id,
            on_deadline=self._deadline_began,
            share=begin.share,
        )
        self._runs_jobs = begin.share is not None
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Until the server says that it is over, or the only job of a worker for one is."""
        spare_collections()
        beat = asyncio.create_task(self._beat(), name="beat")
        if self._runs_jobs:
            self._engine.start()
        self._link.send(Ready())
        listening = asyncio.create_task(self._listen(), name="link")
        over = {listening}
        if self._runs_jobs:
            over.add(asyncio.create_task(self._engine.finished(), name="engine"))
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        if self._draining:
            # Nothing more is claimed, and still something may run.
            await listening
        listening.cancel()
        beat.cancel()
        await self._close()

    async def _listen(self) -> None:
        async for message in self._link.messages():
            match message:
                case Heard(news):
                    self._engine.hear([News(job_id, state) for job_id, state in news])
                case ReadValues():
                    self._in_background(self._read(message))
                case ClaimNoMore():
                    # Drain comes next.
                    self._draining = True
                    self._in_background(self._claim_no_more())
                case SetLogLevel(level):
                    logs.turn_to(level)
                case Drain(seconds):
                    self._draining = True
                    if self._runs_jobs:
                        await self._engine.stop(seconds)
                    return
        # The server is gone without a word.
        os._exit(1)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim_no_more(self) -> None:
        if self._runs_jobs:
            await self._engine.claim_no_more()
        self._link.send(ClaimsNoMore(), whatever_waits=True)

    async def _close(self) -> None:
        await asyncio.to_thread(self._store.close)
        await asyncio.to_thread(self._memory.close)
        await asyncio.to_thread(self._tracer.close)
        self._tell_observed()

    async def _beat(self) -> None:
        while True:
            self._link.send(Alive(self._engine.running_jobs, self._engine.abandoned_threads))
            self._tell_observed()
            await asyncio.sleep(BEAT_SECONDS)

    def _tell_observed(self) -> None:
        if (observed := self._observations.taken()) is not None:
            self._link.send(observed)

    # --- values ---

    async def _read(self, request: ReadValues) -> None:
        answer = Values(request.number)
        try:
            values = await self._reader.read(request.job, request.checkpoint_ids)
            answer = Values(request.number, dict(values))
        except StorageUnavailableError:
            answer = Values(request.number, database_away=True)
        except Exception:
            # A graph that cannot be made, or a value that cannot be read: the caller is told that it failed.
            log.exception("cannot read the values of a job's checkpoints", extra={"job_id": request.job.job_id})
        finally:
            self._link.send(answer, whatever_waits=True)

    # --- on the writer's thread ---

    def _ring(self, news: Sequence[News]) -> None:
        if not self._link.send(rang(news)):
            # Who watches reads the log.
            self._link.send(rang(news, with_events=False), whatever_waits=True)

    def _pass_tokens(self, chunk: TokenChunk) -> None:
        self._link.send(Told(chunk))

    def _deadline_began(self) -> None:
        self._link.send(DeadlineBegan(), whatever_waits=True)

    def _health_changed(self, healthy: bool) -> None:
        if not healthy:
            self._link.send(DatabaseAway())
