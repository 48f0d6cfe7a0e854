"""Conversions that take long: on threads of their own, while the server's loop serves others."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# In bytes of JSON. A google.protobuf.Value takes up to three seconds a MiB to write, a schema's check as much.
MOST_AT_ONCE = 64 << 10

# Few: they compete with the loop for the interpreter.
_THREADS = 2


class Converters:
    """Converts JSON values between their forms, and checks them."""

    def __init__(self) -> None:
        """Start all threads at once: what the process holds is known from its start on."""
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="convert")
        all_there = threading.Barrier(_THREADS)
        for _ in range(_THREADS):
            self._pool.submit(all_there.wait)

    async def run(self, size: int, convert: Callable[[], T]) -> T:
        """What `convert` gives. At once when the `size` of its values is small."""
        if size <= MOST_AT_ONCE:
            return convert()
        return await asyncio.get_running_loop().run_in_executor(self._pool, convert)

    def close(self) -> None:
        """Begin nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
