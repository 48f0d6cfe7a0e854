"""What the client of every peer does, in the peer's own environment: the standard library only."""

import asyncio
import itertools
import time


class Client:
    """Submits jobs of the workflows `five` (W) and `slow` to a peer."""

    async def open(self) -> None:
        """Connect."""

    async def run(self, workflow: str, job: str) -> None:
        """Submit a job, and wait until it is done."""
        raise NotImplementedError

    async def submit(self, workflow: str, job: str) -> None:
        """Submit a job."""
        raise NotImplementedError

    async def load(self, *, seconds: float, most: int, width: int) -> dict[str, float]:
        """Keep `width` jobs of W in flight for some seconds, at most `most`. How many, and until the last one."""
        started = time.perf_counter()
        numbers = itertools.count()
        done = 0

        async def one_after_the_other() -> None:
            nonlocal done
            while time.perf_counter() - started < seconds and (number := next(numbers)) < most:
                await self.run("five", f"load-{number}")
                done += 1

        await asyncio.gather(*(one_after_the_other() for _ in range(width)))
        return {"done": done, "seconds": time.perf_counter() - started}

    async def idle(self, *, seconds: float, most: int) -> list[float]:
        """Run W for some seconds, at most `most` times, one after the other. The seconds that each took."""
        times: list[float] = []
        while sum(times) < seconds and len(times) < most:
            started = time.perf_counter()
            await self.run("five", f"idle-{len(times)}")
            times.append(time.perf_counter() - started)
        return times
