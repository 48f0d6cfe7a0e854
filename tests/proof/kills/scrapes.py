"""A client that reads the metrics, as a monitoring does."""

import http.client
import threading
import time
import urllib.request
from collections.abc import Callable

from tests.proof.histories.history import JobRecord
from tests.proof.histories.recording import PATIENCE_SECONDS, Recorder


class Scrapes:
    """An actor of a workload, which has no jobs."""

    def __init__(self, address: str) -> None:
        """Read from an address, a host and a port."""
        self._url = f"http://{address}/metrics"
        self._pause = threading.Event()

    def act(self, recorder: Recorder, watch: Callable[[str], None]) -> None:
        """Until it was answered once."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self._answered():
            assert time.monotonic() < give_up, "nobody serves metrics"
            self._pause.wait(0.02)

    def records(self, recorder: Recorder) -> dict[str, JobRecord]:
        """None."""
        return {}

    def _answered(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=PATIENCE_SECONDS) as response:  # noqa: S310 - our own
                return b"autopilot_jobs" in response.read()
        except (OSError, http.client.HTTPException):
            return False
