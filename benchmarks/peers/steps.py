"""The slow steps of the kills, and the trace they leave: who ran which step of which job, and when.

The trace is all that is believed of a peer: a step that ran has written it, whatever the peer's own records say.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TRACE_FILE = "PEER_TRACE"
STEPS = 5
STEP_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A step has begun, or has ended."""

    job: str
    step: int
    ended: bool
    pid: int
    at: float
    """time.monotonic(), which Linux counts for all processes alike."""


def slow(job: str, step: int) -> None:
    """Take a while, and leave a trace."""
    with _traced(job, step):
        time.sleep(STEP_SECONDS)


async def slow_async(job: str, step: int) -> None:
    """The same, for an event loop."""
    with _traced(job, step):
        await asyncio.sleep(STEP_SECONDS)


def read(trace: Path) -> list[Mark]:
    """All marks, in the order of their writing. A line that a kill has cut short cannot be: each is one write."""
    return [Mark(**json.loads(line)) for line in trace.read_text().splitlines()]


@contextmanager
def _traced(job: str, step: int) -> Iterator[None]:
    _write(job, step, ended=False)
    yield
    _write(job, step, ended=True)


def _write(job: str, step: int, *, ended: bool) -> None:
    line = json.dumps({"job": job, "step": step, "ended": ended, "pid": os.getpid(), "at": time.monotonic()})
    file = os.open(os.environ[TRACE_FILE], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)
