"""The server under measurement: the command that users start, in a process of its own."""

import asyncio
import signal
import sys
from pathlib import Path
from types import TracebackType

CONFIG = Path(__file__).parent / "workflows" / "langgraph.json"
_ANNOUNCEMENT = "autopilot: serving on "
START_SECONDS = 60.0


class ServerProcess:
    """`autopilot serve` on a database file, on a free port. An async context manager; SIGTERM ends it."""

    def __init__(self, database: Path, *options: str) -> None:
        """Serve `database`, once entered, with further options."""
        self._database, self._options = database, options
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

    def resident_bytes(self) -> int:
        """The memory that the process has in RAM now (RSS), in bytes. Linux."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"/proc/{self.pid}/status has no VmRSS")
