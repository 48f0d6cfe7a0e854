"""Runs the command of a task: its output as progress, its processes gone when the step is."""

import asyncio
import contextlib
import os
import shlex
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from smartspec.state import Result

TAIL_LINES = 20
LONGEST_SECONDS = 600.0


class CommandError(RuntimeError):
    """A command failed, and may succeed when it is tried again."""


async def run_command(task_id: str, command: str, workdir: Path, report: Callable[[str], None]) -> Result:
    """Run a command in a folder; each line of its output goes to `report`. Cancelled: all of its processes are
    killed."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command),
        cwd=workdir,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            assert process.stdout is not None  # noqa: S101 - it is piped
            async for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip()
                tail.append(line)
                report(line)
            code = await process.wait()
    finally:
        # Whatever the command started and left behind, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    seconds = round(time.monotonic() - started, 3)
    return {"id": task_id, "ok": code == 0, "exit_code": code, "seconds": seconds, "tail": list(tail)}
