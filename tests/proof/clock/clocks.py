"""The wall clock of a server process, which a test steps."""

import time
from pathlib import Path

_OFFSET = "clock-offset"


def with_a_clock_that_is_stepped(folder: Path) -> None:
    """Called in the server's process, before it serves: its wall clock reads its offset from a file."""
    real, path = time.time_ns, folder / _OFFSET

    def time_ns() -> int:
        return real() + (int(path.read_text()) if path.exists() else 0)

    # Not time.time: gRPC compares it with clocks of its own, which would not be stepped with it.
    time.time_ns = time_ns


def step_clock(folder: Path, seconds: int) -> None:
    """From now on the wall clock is `seconds` ahead of the true time, or (less than 0) behind it."""
    draft = folder / f"{_OFFSET}.draft"
    draft.write_text(str(seconds * 1_000_000_000))
    draft.rename(folder / _OFFSET)
