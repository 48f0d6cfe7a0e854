"""A server that dies, and is started again at once, as a supervisor does."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Pipe, wait

from tests.proof.histories.history import Absence
from tests.proof.server import Sabotage, ServerProcess

# Ends and starts that take longer have found a bug.
RESTART_SECONDS = 60


class Lives:
    """Starts a server again whenever it ends. One thread does all that is done to the process."""

    def __init__(self, server: ServerProcess, sabotages: Sequence[Sabotage]) -> None:
        """`sabotages`: one for each of the first lives; those after them are left in peace."""
        self._server, self._left = server, list(sabotages)
        self.on_failure: Callable[[], None] = lambda: None
        """Called when a server that nobody sabotages does not start."""
        self.starts = 0
        self.died_at: list[Sabotage] = []
        """The sabotages that their servers died of."""
        self.absences: list[Absence] = []
        self._orders, self._ordered = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._live, name="lives")
        self._answers = threading.Event()
        self._failure: str | None = None

    def begin(self) -> None:
        """Start the server, again if it dies at its start. Returns when it answers."""
        self._start()
        assert self._failure is None, self._failure
        self._thread.start()

    def end_with(self, number: signal.Signals) -> None:
        """Send a signal that the server ends with, and wait until the next one answers."""
        self._answers.clear()
        self._ordered.send(number)
        assert self._answers.wait(RESTART_SECONDS), f"{number.name} was sent, and no other server answers"

    def end(self) -> None:
        """Kill the server for good."""
        self._ordered.send(None)
        self._thread.join()
        assert self._failure is None, self._failure

    def _live(self) -> None:
        while self._failure is None:
            process = self._server.process
            assert process is not None
            if process.sentinel not in wait([process.sentinel, self._orders]):
                if (order := self._orders.recv()) is None:
                    self._server.kill()
                    return
                self._goes(time.monotonic_ns())
                self._server.signal(order)
            else:
                self._bury()
                self._start()

    def _start(self) -> None:
        while True:
            self._server.sabotage = sabotage = self._left.pop(0) if self._left else None
            self.starts += 1
            try:
                if self._server.start_or_die():
                    self._is_back()
                    self._answers.set()
                    return
                self._bury()
                assert sabotage is not None, f"the server does not start:\n{self._server.log.read_text()[-4000:]}"
            except AssertionError as failure:
                self._failure = str(failure)
                self.on_failure()
                return

    def _goes(self, moment: int) -> None:
        """The server is away from this moment on, or longer."""
        if not self.absences or self.absences[-1].ended is not None:
            self.absences.append(Absence(moment))

    def _is_back(self) -> None:
        if self.absences and self.absences[-1].ended is None:
            self.absences[-1].ended = time.monotonic_ns()

    def _bury(self) -> None:
        self._goes(self._server.died_at or time.monotonic_ns())
        if self._server.wait_for_death() == -signal.SIGKILL and self._server.sabotage is not None:
            self.died_at.append(self._server.sabotage)
