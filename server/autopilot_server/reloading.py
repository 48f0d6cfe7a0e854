"""What a running server reads again when an operator says so, by SIGHUP."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from autopilot_server.readiness import tell_supervisor

log = logging.getLogger(__name__)


class Reloadable(Protocol):
    """Something that was read from outside and can be another by now."""

    @property
    def name(self) -> str:
        """What it is, for the log: `token file`."""
        ...

    def reload(self) -> str:
        """Read it again, wholly or not at all: what was read before stays when this raises. What there is now, for
        the log. Called on a thread."""
        ...


class Reloads:
    """Reads all of them again each time it is asked, on a thread of its own: some are far away."""

    def __init__(self) -> None:
        """Nothing is read before `start`; who asks earlier is heard then."""
        self._parts: Sequence[Reloadable] = ()
        self._asked = threading.Event()

    def ask(self) -> None:
        """Read all again soon. For a signal's handler."""
        self._asked.set()

    def start(self, parts: Sequence[Reloadable]) -> None:
        """From now on, until the process ends."""
        self._parts = parts
        threading.Thread(target=self._main, name="reloads", daemon=True).start()

    def _main(self) -> None:
        while self._asked.wait():
            self._asked.clear()
            tell_supervisor(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self._reload_all()
            tell_supervisor("READY=1")

    def _reload_all(self) -> None:
        for part in self._parts:
            _reload(part)
        if not self._parts:
            log.info("reload: this server has read nothing that could be read again")


def _reload(part: Reloadable) -> None:
    try:
        now = part.reload()
    except Exception as error:
        # Whatever is wrong with a file: the server goes on with what it has.
        log.error("reload: the %s cannot be read, what was read before stays: %s", part.name, error)
    else:
        log.info("reload: the %s: %s", part.name, now)
