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
LONGEST_LINE = 2000
EXIT_POLL_SECONDS = 0.1
LAST_WORDS_SECONDS = 1.0


class CommandError(RuntimeError):
    """A command failed, and may succeed when it is tried again."""


async def run_command(task_id: str, command: str, workdir: Path, report: Callable[[str], None]) -> Result:
    """Run a command in a folder; each line of its output goes to `report`. Cancelled: all of its processes are
    killed. A command that cannot be started has failed, as in a shell with exit code 127."""
    started = time.monotonic()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            cwd=workdir,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    except (FileNotFoundError, PermissionError, ValueError) as error:
        return {"id": task_id, "ok": False, "exit_code": 127, "seconds": 0.0, "tail": [f"{command}: {error}"]}
    assert process.stdout is not None  # noqa: S101 - it is piped

    def heard(line: str) -> None:
        tail.append(line)
        report(line)

    reading = asyncio.create_task(_read_lines(process.stdout, heard))
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            # The command is over when its process is: what it left in the background may keep the output open.
            while process.returncode is None and not reading.done():
                await asyncio.wait({reading}, timeout=EXIT_POLL_SECONDS)
            code = process.returncode if process.returncode is not None else await process.wait()
    finally:
        # Whatever the command started and left behind, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait({reading}, timeout=LAST_WORDS_SECONDS)
        reading.cancel()
    seconds = round(time.monotonic() - started, 3)
    return {"id": task_id, "ok": code == 0, "exit_code": code, "seconds": seconds, "tail": list(tail)}


async def _read_lines(stream: asyncio.StreamReader, heard: Callable[[str], None]) -> None:
    """Pass on each line, cut where it is too long to read."""
    rest = b""
    while chunk := await stream.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            heard(line[:LONGEST_LINE].decode("utf-8", "replace").rstrip())
        rest = rest[:LONGEST_LINE]
    if rest:
        heard(rest.decode("utf-8", "replace").rstrip())
