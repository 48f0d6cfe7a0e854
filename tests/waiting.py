"""Waiting for what comes of its own: the condition is looked at again and again, for as long as it may take."""

import asyncio
import time
from collections.abc import Callable

# What takes longer does not come.
PATIENCE_SECONDS = 120

_PAUSE_SECONDS = 0.005


def wait_until(condition: Callable[[], object], what: Callable[[], object] = lambda: "") -> None:
    """Wait until `condition` gives something true. AssertionError when it does not; `what` tells what is there instead,
    at that time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"it never came: {what()}"
        time.sleep(_PAUSE_SECONDS)


async def until(condition: Callable[[], object], what: Callable[[], object] = lambda: "") -> None:
    """`wait_until`, for what comes of this loop's own turning."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"it never came: {what()}"
        await asyncio.sleep(_PAUSE_SECONDS)
