"""Feels how late an event loop is."""

import asyncio

from autopilot_server.observer import Loop, Observer

BEAT_SECONDS = 0.5


class Pulse:
    """A task in a loop that wakes at a fixed pace, and tells how late it was."""

    def __init__(self, loop: Loop, observer: Observer) -> None:
        """For one of the two loops."""
        self._name, self._observer = loop, observer

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            self._observer.loop_lagged(self._name, max(0.0, loop.time() - due))
