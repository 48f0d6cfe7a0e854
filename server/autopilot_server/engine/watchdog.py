"""Notices a step that blocks the engine's event loop, and says which one and where."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from types import FrameType

log = logging.getLogger(__name__)

# LangGraph's function whose frame stands between the loop and an async node's code.
_STEP_FRAME = "arun_with_retry"


class Watchdog:
    """A thread that looks whether the loop still turns.

    Async steps share one loop: blocking code in one of them delays all the others. Only steps are blamed; a loop that
    is merely busy is not.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop, loop_thread: int, stall_seconds: float) -> None:
        """Watch `loop`, which runs on the thread with the identifier `loop_thread`."""
        self._loop, self._loop_thread, self._stall = loop, loop_thread, stall_seconds
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
        frame = sys._current_frames().get(self._loop_thread)
        step = _step_of(frame)
        if step is None:
            return False
        self.stalls += 1
        stack = "".join(traceback.format_stack(frame))
        log.warning(
            "step %r has blocked the engine's event loop for %.1f s: call async code, or make the step synchronous\n%s",
            step,
            seconds,
            stack,
            extra={"step": step},
        )
        return True


def _step_of(frame: FrameType | None) -> str | None:
    """Name of the node whose code runs on a stack; None when none does."""
    while frame is not None:
        if frame.f_code.co_name == _STEP_FRAME:
            task = frame.f_locals.get("task")
            return getattr(task, "name", None)
        frame = frame.f_back
    return None
