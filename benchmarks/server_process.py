"""The server under measurement: the command that users start, in a process of its own."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

CONFIG = Path(__file__).parent / "workflows" / "langgraph.json"
_ANNOUNCEMENT = "autopilot: serving on "
START_SECONDS = 60.0


class ServerProcess:
    """`autopilot serve` on a database file, on a free port. An async context manager; SIGTERM ends it."""

    def __init__(self, database: Path, *options: str, workers: str = "") -> None:
        """Serve `database`, once entered, with further options. `workers`: as `--workers` takes them; empty: the
        default."""
        self._database, self._options = database, (*options, *(("--workers", workers) if workers else ()))
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""
        self.pid = 0

    async def __aenter__(self) -> "ServerProcess":
        """Start the server and wait until it serves. RuntimeError with its own words when it does not."""
        command = Path(sys.executable).with_name("autopilot")
        with self._database.with_suffix(".log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(str(command), "serve", "--config", str(CONFIG), "--log-level", "warning"),
                *("--database", f"sqlite:///{self._database}", "--listen", "127.0.0.1:0"),
                *self._options,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        text = line.decode().strip()
        if not text.startswith(_ANNOUNCEMENT):
            code = await self._process.wait()
            log_text = self._database.with_suffix(".log").read_text()
            raise RuntimeError(f"the server did not start (exit code {code}): {text}\n{log_text}")
        self.address, self.pid = text.removeprefix(_ANNOUNCEMENT), self._process.pid
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server in order, and wait for it."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL to all of its processes at once, and wait until they are gone."""
        assert self._process is not None
        processes = self.processes()
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        while any(_ppid(pid) is not None for pid in processes):  # noqa: ASYNC110 - they are not our children
            await asyncio.sleep(0.001)

    def processes(self) -> list[int]:
        """The server's, and all that it has started, and those have. Linux."""
        parents = {pid: _ppid(pid) for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))}
        found = [self.pid]
        for parent in found:
            found += [pid for pid, of in parents.items() if of == parent]
        return found

    def proportional_bytes(self) -> int:
        """The memory that all of its processes have in RAM now: what several share counts once (PSS). Linux."""
        total = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def resident_bytes(self) -> int:
        """The memory that the process has in RAM now (RSS), in bytes. Linux."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"/proc/{self.pid}/status has no VmRSS")


def _ppid(pid: int) -> int | None:
    """The parent of a process; None when it is dead."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(parent)
