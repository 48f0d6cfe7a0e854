"""The threads of synchronous steps: a bounded pool that gives up threads which do not come back."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# The run token of the run that submits work; set in the run's own context.
current_run: ContextVar[str | None] = ContextVar("current_run", default=None)


class StepThreads(ThreadPoolExecutor):
    """A thread pool that grows by one thread for each that a dead run still holds, until that thread comes back.

    A Python thread cannot be stopped. A synchronous step that does not return keeps its thread, and a pool of fixed
    size would be used up by the jobs that were cancelled.
    """

    def __init__(self, size: int) -> None:
        """Make a pool of at most `size` threads, besides the abandoned ones."""
        super().__init__(max_workers=size, thread_name_prefix="step")
        self._guard = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._abandoned: Counter[str] = Counter()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` on a thread, for the current run."""
        run = current_run.get()
        if run is None:
            return super().submit(fn, *args, **kwargs)

        def on_thread() -> T:
            with self._guard:
                self._busy[run] += 1
            try:
                return fn(*args, **kwargs)
            finally:
                self._came_back(run)

        return super().submit(on_thread)

    @property
    def abandoned(self) -> int:
        """Threads that runs which are over still hold."""
        with self._guard:
            return self._abandoned.total()

    def abandon(self, run: str) -> int:
        """A run is over: replace the threads that it still holds. How many they are."""
        with self._guard:
            held = self._busy.pop(run, 0)
            if held:
                self._abandoned[run] += held
                self._max_workers += held
        self._grow(held)
        return held

    def _grow(self, threads: int) -> None:
        # A pool starts threads only when something is submitted; steps that wait already must not wait for that.
        try:
            for _ in range(threads):
                super().submit(_nothing)
        except RuntimeError:
            # The pool was shut down: nobody waits any more.
            return

    def _came_back(self, run: str) -> None:
        with self._guard:
            if run in self._abandoned:
                self._max_workers -= 1
                self._abandoned[run] -= 1
                if not self._abandoned[run]:
                    del self._abandoned[run]
                return
            self._busy[run] -= 1
            if not self._busy[run]:
                del self._busy[run]


def _nothing() -> None:
    """Work for a thread that is to be there."""
