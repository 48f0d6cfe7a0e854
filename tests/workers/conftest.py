"""Servers with worker processes."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.proof.server import ServerProcess

CONFIG = Path(__file__).with_name("graphs") / "langgraph.json"

# What takes longer has found a bug.
PATIENCE_SECONDS = 60


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"this never happens: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and was not waited for does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return re.search(r"^State:\s*[ZX]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is None
    return False


def children(pid: int) -> set[int]:
    """All processes that come from one."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child), *children(int(child))}
    return found


class WorkedServer(ServerProcess):
    """A server whose jobs run in workers."""

    def __init__(self, folder: Path, *, workers: str = "1", options: tuple[str, ...] = ()) -> None:
        super().__init__(folder, config=CONFIG, workers=workers, options=options)

    def holding(self) -> int:
        """Wait until the step `hold` runs: its process."""
        until(lambda: list(self.folder.glob("holding-*")), "a step holds")
        (file,) = self.folder.glob("holding-*")
        file.unlink()
        return int(file.name.removeprefix("holding-"))

    def go(self) -> None:
        """Let the steps that wait go on."""
        (self.folder / "go").touch()

    def kill_worker(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    @property
    def input(self) -> dict[str, str]:
        return {"folder": str(self.folder)}


ONE = pytest.mark.parametrize("server", ["1"], indirect=True)
ONE_AND_TWO = pytest.mark.parametrize("server", ["1", "2"], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkedServer]:
    """With two workers, unless its test says how many."""
    with WorkedServer(tmp_path, workers=getattr(request, "param", "2")) as server:
        yield server
