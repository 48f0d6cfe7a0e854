"""What the server cannot do without, as health checks tell it."""

import asyncio
import logging

from autopilot_server.api.server import ApiServer

log = logging.getLogger(__name__)


class Health:
    """Passes the word of what the server cannot do without on to the API, from its threads to the server's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell nobody, until `api` is set."""
        self._loop = loop
        self._away: set[str] = set()
        self.api: ApiServer | None = None

    def changed(self, part: str, healthy: bool) -> None:
        """A part is away, or is back. From any thread."""
        if healthy:
            log.info("the %s is back", part)
        self._loop.call_soon_threadsafe(self._tell, part, healthy)

    def _tell(self, part: str, healthy: bool) -> None:
        (self._away.discard if healthy else self._away.add)(part)
        if self.api is not None:
            self.api.set_healthy(not self._away)
