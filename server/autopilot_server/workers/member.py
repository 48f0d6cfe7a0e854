"""A worker process as the server knows it: what it says, and how long it has been silent."""

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autopilot_server.jobs.states import JobState
from autopilot_server.workers.forks import Process
from autopilot_server.workers.messages import Alive, ClaimsNoMore, Rang, Ready

# How much of its stacks is read, and shown.
_MOST_STACK_BYTES = 1 << 20
_STACK_BYTES = 16 << 10

# Where threads are that have nothing to do, by the innermost frame.
_WAITS = re.compile(r"[^\n]*\n  File \"[^\"]*/(threading|selectors|concurrent/futures/thread|workers/worker)\.py\"")


@dataclass(slots=True, kw_only=True)
class Load:
    """How much a worker does."""

    running_jobs: int = 0
    abandoned_threads: int = 0


def _works(stack: str) -> bool:
    return not _WAITS.match(stack)


class Member:
    """A worker that lives. In the server's loop."""

    def __init__(self, process: Process, name: str, load_seconds: float) -> None:
        """Of a process that was just made. `load_seconds`: how long it took to load the workflows."""
        self.process, self.name, self.load_seconds = process, name, load_seconds
        self.worker_id = process.worker_id
        self.load = Load()
        self.is_ready = False
        self.was_ended = False
        """By the server, which needs no telling that it died."""
        self.is_apart = False
        """It runs one job only."""
        self.job_id = ""
        """The first job that it has claimed; empty before."""
        self.claimed = asyncio.Event()
        """Set when it has claimed a job, and when it has ended."""
        self.claims_no_more = asyncio.Event()
        """Set when it has said so, and when it has ended."""
        self._loop = asyncio.get_running_loop()
        self.last_beat = self._loop.time()
        self.reported_silence = False

    async def hear(self, on_message: Callable[["Member", Any], None]) -> int:
        """Pass on what it says until it has ended. Its exit code."""
        listening = asyncio.create_task(self._listen(on_message), name=f"link of {self.name}")
        try:
            code = await asyncio.shield(self.process.exited)
            # What it had said before its end is still on its way. Whatever it has started may keep the link open.
            await asyncio.wait({listening}, timeout=1.0)
        finally:
            listening.cancel()
            self.claimed.set()
            self.claims_no_more.set()
        return code

    def end(self) -> None:
        """End it at once, and what it has started."""
        self.was_ended = True
        self.process.kill()

    @property
    def silence(self) -> float:
        """Seconds since its interpreter was heard last."""
        return self._loop.time() - self.last_beat

    def excuse_silence(self) -> None:
        """It may have spoken; the server could not listen."""
        self.last_beat = self._loop.time()

    def stacks(self) -> str:
        """The stacks that it has written since the last time, of threads that do not wait."""
        file = self.process.stacks
        text = os.pread(file, _MOST_STACK_BYTES, 0).decode("utf-8", "replace")
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        return "\n\n".join(filter(_works, text.strip().split("\n\n")))[:_STACK_BYTES]

    async def _listen(self, on_message: Callable[["Member", Any], None]) -> None:
        async for message in self.process.link.messages():
            match message:
                case Alive(running, abandoned):
                    self.load = Load(running_jobs=running, abandoned_threads=abandoned)
                    self.last_beat, self.reported_silence = self._loop.time(), False
                case Ready():
                    self.is_ready = True
                case ClaimsNoMore():
                    self.claims_no_more.set()
                case Rang(news) if not self.job_id:
                    self.job_id = next((job_id for job_id, state, _, _ in news if state == JobState.RUNNING), "")
                    if self.job_id:
                        self.claimed.set()
            on_message(self, message)
