"""The wall clock as the database counts by it, and what becomes of stored spans when somebody steps it."""

import sqlite3
from collections.abc import Callable

from autopilot_server.jobs.job import SECOND, Micros
from autopilot_server.storage.sqlite.queries import SQL

# Both clocks are read one after the other, and a thread may be held up in between. A step that is smaller is found with
# those that follow it.
LEAST_STEP: Micros = SECOND // 2


class SteppedClock:
    """Compares the wall clock with one that is never stepped.

    What is stored is of one frame: from the moment in which the wall clock is stepped until the writer adopts the step,
    `now` goes on as if there had been none. Thread-safe.
    """

    def __init__(self, *, wall: Callable[[], Micros], steady: Callable[[], Micros]) -> None:
        """Begin a frame."""
        self._wall, self._steady = wall, steady
        self._apart = wall() - steady()

    def step(self) -> Micros:
        """By how much the wall clock was stepped since the frame began; less than 0: back, 0: it was not."""
        by = self._wall() - self._steady() - self._apart
        return by if abs(by) > LEAST_STEP else 0

    def adopt(self, step: Micros) -> None:
        """A new frame, which the next transaction shifts the stored spans to."""
        self._apart += step

    def now(self) -> Micros:
        """The wall clock, in this frame."""
        steady = self._steady()
        wall = self._wall()
        return steady + self._apart if abs(wall - steady - self._apart) > LEAST_STEP else wall


def shift_spans(connection: sqlite3.Connection, step: Micros, now: Micros) -> None:
    """Let what waits and what runs end when it would have ended without a step. With a step of 0 nothing but: no job
    waits longer than it ever had to."""
    connection.execute(SQL.job_shift_spans, {"step": step, "now": now})
    connection.execute(SQL.run_shift_spans, {"step": step, "now": now})
