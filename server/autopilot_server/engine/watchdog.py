"""Notices a step that blocks the engine's event loop, and says which one and where."""

import asyncio
import gc
import logging
import sys
import threading
import time
import traceback
from contextvars import Context
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config
from structlog.contextvars import get_contextvars

from autopilot_server.observer import Observer

log = logging.getLogger(__name__)


class Watchdog:
    """A thread that looks whether the loop still turns.

    Async steps share one loop: blocking code in one of them delays all the others. Only steps are blamed; a loop that
    is merely busy is not.
    """

    def __init__(
        self, *, loop: asyncio.AbstractEventLoop, loop_thread: int, stall_seconds: float, observer: Observer
    ) -> None:
        """Watch `loop`, which runs on the thread with the identifier `loop_thread`."""
        self._loop, self._loop_thread, self._stall = loop, loop_thread, stall_seconds
        self._observer = observer
        self._last_beat = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.stalls = 0

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End. Idempotent."""
        self._stopped.set()

    def _watch(self) -> None:
        reported = 0.0
        while not self._stopped.wait(self._stall / 4):
            # A closed loop is a stopped engine.
            try:
                self._loop.call_soon_threadsafe(self._beat)
            except RuntimeError:
                return
            stalled = time.monotonic() - self._last_beat
            if stalled > self._stall and self._last_beat != reported and self._report(stalled):
                reported = self._last_beat

    def _beat(self) -> None:
        self._last_beat = time.monotonic()

    def _report(self, seconds: float) -> bool:
        blamed = _running_step(self._loop)
        if blamed is None:
            return False
        self.stalls += 1
        step, bound = blamed
        self._observer.loop_stalled(step)
        log.warning(
            "step %r of workflow %r has blocked the engine's event loop for %.1f s: call async code, or make the step "
            "synchronous\n%s",
            step,
            bound.get("workflow", ""),
            seconds,
            "".join(traceback.format_stack(sys._current_frames().get(self._loop_thread))),
            extra={"step": step, **bound},
        )
        return True


def _running_step(loop: asyncio.AbstractEventLoop) -> tuple[str, dict[str, Any]] | None:
    """The step whose code a loop runs now, and what log lines of its job are marked with; None when it runs none.
    Called from another thread."""
    task = asyncio.current_task(loop)
    context = None if task is None else _context_of(task)
    config = None if context is None else context.get(var_child_runnable_config)
    step = None if config is None else (config.get("metadata") or {}).get("langgraph_node")
    if context is None or step is None:
        return None
    # In a copy: nobody enters a context that is being run in.
    return step, context.copy().run(get_contextvars)


def _context_of(task: asyncio.Task[Any]) -> Context | None:
    if sys.version_info >= (3, 12):
        return task.get_context()
    # Before 3.12 a task does not give its context away; the garbage collector knows it.
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)
