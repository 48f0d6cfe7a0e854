"""What is done to the server while it works: storms in which it dies again and again, and calms between them, in which
it lives long enough for its memory to be judged."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from autopilot.v1 import job_service_pb2

from tests.proof.histories.history import Absence, History
from tests.proof.histories.recording import Recorder
from tests.proof.server import ServerProcess

STORM, STORM_SECONDS = 1 / 4, 25
"""The part of a cycle that is a storm, and how long one lasts at least."""


Fault = Callable[[], None]


class Faults:
    """Torments a server, one fault at a time; restarts what it ended. Everything happens on the thread of `run`."""

    def __init__(self, server: ServerProcess, rng: random.Random, complain: Callable[[str, str], None]) -> None:
        """`complain`: called with a check's name and what does not hold."""
        self.counts: Counter[str] = Counter()
        self.restart_seconds: list[float] = []
        self.absences: list[Absence] = []
        """When there was no server."""
        self.pid: int | None = None
        """The server's, while there is one."""
        self._server, self._rng, self._complain = server, rng, complain

    def start(self) -> None:
        """Start the server, and take the time until it answers."""
        began = time.monotonic()
        self._server.start()
        self.pid = self._server.pid
        recorder = Recorder(self._server.address, History())
        recorder.ask("ListWorkflows", job_service_pb2.ListWorkflowsRequest())
        recorder.close()
        self.restart_seconds.append(time.monotonic() - began)
        if self.absences:
            self.absences[-1].ended = time.monotonic_ns()

    @property
    def all_kinds(self) -> bool:
        """Whether there was a fault of each kind."""
        return {"kills", "drains", "stops", "locks"} <= set(self.counts)

    def run(self, over: threading.Event, cycle_seconds: float) -> None:
        """Storms and calms in turns, until it is `over`."""
        storm_seconds = max(STORM_SECONDS, cycle_seconds * STORM)
        while not over.is_set():
            self._phase(over, storm_seconds, self._deadly(), pause=(0.1, 3))
            self._phase(over, cycle_seconds - storm_seconds, self._harmless(), pause=(5, 30))

    def _deadly(self) -> Iterator[Fault]:
        """One of each kind, then mostly kills; without end."""
        while True:
            once = [self._kill, self._drain, self._stop, self._lock]
            yield from self._rng.sample(once, len(once))
            yield from [self._kill] * self._rng.randint(6, 12)

    def _harmless(self) -> Iterator[Fault]:
        """Those that the process survives."""
        while True:
            yield self._rng.choice((self._stop, self._lock))

    def _phase(
        self, over: threading.Event, seconds: float, faults: Iterator[Fault], *, pause: tuple[float, float]
    ) -> None:
        end = time.monotonic() + seconds
        while not self._wait(over, min(end, time.monotonic() + self._rng.uniform(*pause))):
            if time.monotonic() >= end:
                return
            next(faults)()

    def _wait(self, over: threading.Event, until: float) -> bool:
        """Whether it is over. Meanwhile a server that ends by itself is told, and started again."""
        while (left := until - time.monotonic()) > 0 and not over.wait(min(left, 1)):
            process = self._server.process
            if process is not None and not process.is_alive():
                code = self._server.wait_for_death()
                self._complain("server_stays_alive", f"the server ended by itself with {code}")
                self.start()
        return over.is_set()

    # --- the faults ---

    def _kill(self) -> None:
        self._goes()
        self._server.kill()
        self.counts["kills"] += 1
        self.start()

    def _goes(self) -> None:
        self.pid = None
        self.absences.append(Absence(time.monotonic_ns()))

    def _drain(self) -> None:
        self.terminate()
        self.counts["drains"] += 1
        self.start()

    def terminate(self) -> None:
        """SIGTERM. It ends by itself, with 0."""
        self._goes()
        if code := self._server.terminate():
            self._complain("drains_end_well", f"a server that was asked to stop ended with {code}")

    def _stop(self) -> None:
        """A pause, as of a machine that is suspended."""
        pid = self._server.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._rng.uniform(0.2, 3))
        os.kill(pid, signal.SIGCONT)
        self.counts["stops"] += 1

    def _lock(self) -> None:
        """Another process writes, and takes its time: less than the server waits, or more."""
        connection = sqlite3.connect(self._server.database, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(self._rng.uniform(0.5, 8))
            connection.execute("ROLLBACK")
            self.counts["locks"] += 1
        except sqlite3.OperationalError:
            # The server writes without a break: another time.
            return
        finally:
            connection.close()
