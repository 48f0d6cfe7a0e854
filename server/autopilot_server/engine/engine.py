"""The engine: a thread with an event loop of its own, in which jobs run.

Apart from the server's loop, because workflow code may block its loop, and because two loops that both serve gRPC
disturb each other. It talks to the rest only through the store and the doorbell, and could live in another process.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from autopilot_server.doorbell import News
from autopilot_server.engine.dispatcher import Dispatcher
from autopilot_server.engine.run import RunServices
from autopilot_server.engine.threads import StepThreads
from autopilot_server.engine.watchdog import Watchdog
from autopilot_server.engine.workflows import Registry
from autopilot_server.pulse import Pulse
from autopilot_server.storage.store import Share
from autopilot_server.supervision import end_process_with

log = logging.getLogger(__name__)


class Engine:
    """Runs the jobs of a registry's workflows."""

    def __init__(
        self,
        *,
        services: RunServices,
        registry: Registry,
        worker_id: str,
        on_deadline: Callable[[], None],
        share: Share | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`. `share`: the jobs to run; of those that run apart just one."""
        self._services, self._registry, self._share = services, registry, share
        self._worker_id, self._on_deadline = worker_id, on_deadline
        self._loop = asyncio.new_event_loop()
        self._threads = StepThreads(services.settings.threads)
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._started: Future[Dispatcher] = Future()
        self._finished: Future[None] = Future()
        self._stopping = False

    def start(self) -> None:
        """Begin to claim and run jobs. Returns when the engine's loop turns."""
        self._thread.start()
        self._started.result()

    def hear(self, news: Sequence[News]) -> None:
        """What other processes have committed. From any thread."""
        if self._started.done():
            self._started.result().ring(news)

    async def finished(self) -> None:
        """Wait, on another loop, until nothing is claimed any more and nothing runs."""
        await asyncio.wrap_future(self._finished)

    @property
    def running_jobs(self) -> int:
        """Jobs that run now."""
        return self._started.result().running if self._started.done() else 0

    @property
    def abandoned_threads(self) -> int:
        """Threads that runs which are over still hold."""
        return self._threads.abandoned

    async def claim_no_more(self) -> None:
        """Let what runs go on, and claim nothing more. Called from another loop."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._started.result().claim_no_more(), self._loop))

    async def stop(self, drain_seconds: float) -> None:
        """Drain, then end the loop. Called from another loop."""
        dispatcher = self._started.result()
        drained = asyncio.run_coroutine_threadsafe(dispatcher.drain(drain_seconds), self._loop)
        try:
            # A loop that a step blocks cannot drain: it is left to the process's end.
            async with asyncio.timeout(drain_seconds + 10):
                await asyncio.wrap_future(drained)
        except TimeoutError:
            log.error("the engine's event loop is blocked and cannot be drained")
            return
        self._stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 5.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_default_executor(self._threads)
        watchdog = Watchdog(
            loop=self._loop,
            loop_thread=threading.get_ident(),
            stall_seconds=self._services.settings.loop_stall_seconds,
            observer=self._services.observer,
        )
        watchdog.start()
        self._pulse = self._loop.create_task(Pulse("engine", self._services.observer).run(), name="pulse")
        self._claiming = self._loop.create_task(self._dispatch(), name="dispatcher")
        self._claiming.add_done_callback(end_process_with)
        while not self._stopping:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio lets these through a task and out of the loop: here they come from a step's code, whose
                # attempt fails with them, and must not end the engine.
                log.warning("a step raised %s", type(error).__name__)
        watchdog.stop()
        self._pulse.cancel()
        self._loop.run_until_complete(asyncio.gather(self._pulse, return_exceptions=True))
        self._loop.close()

    async def _dispatch(self) -> None:
        dispatcher = Dispatcher(
            services=self._services,
            registry=self._registry,
            threads=self._threads,
            worker_id=self._worker_id,
            on_deadline=self._on_deadline,
            share=self._share,
        )
        self._started.set_result(dispatcher)
        await dispatcher.run()
        self._finished.set_result(None)
