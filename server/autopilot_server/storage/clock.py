"""The wall clock as the database counts by it, and what becomes of stored spans when somebody steps it."""

from collections.abc import Callable

from autopilot_server.jobs.job import SECOND, Micros
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.transaction import Transaction
from autopilot_server.storage.turns import give_all_turns

# Both clocks are read one after the other, and a thread may be held up in between. A step that is smaller is found with
# those that follow it.
LEAST_STEP: Micros = SECOND // 2


class SteppedClock:
    """Compares the wall clock with one that is never stepped.

    What is stored is of one frame, which stands in the database: from the moment in which the wall clock is stepped
    until a writer has shifted what is stored, `now` goes on as if there had been none. Thread-safe.
    """

    def __init__(self, *, wall: Callable[[], Micros], steady: Callable[[], Micros]) -> None:
        """Begin a frame."""
        self._wall, self._steady = wall, steady
        self._apart = wall() - steady()

    @property
    def apart(self) -> Micros:
        """How far both clocks are apart in this frame, as processes tell each other through the database."""
        return self._apart

    def step(self, apart: Micros | None = None) -> Micros:
        """By how much the wall clock was stepped since a frame began, by default this one; less than 0: back, 0: it
        was not."""
        by = self._wall() - self._steady() - (self._apart if apart is None else apart)
        return by if abs(by) > LEAST_STEP else 0

    def enter(self, apart: Micros) -> None:
        """Be in the frame that the stored times are of."""
        self._apart = apart

    def now(self) -> Micros:
        """The wall clock, in this frame."""
        steady = self._steady()
        wall = self._wall()
        return steady + self._apart if abs(wall - steady - self._apart) > LEAST_STEP else wall


def enter_frame(transaction: Transaction, clock: SteppedClock) -> Micros:
    """At the beginning of a transaction that writes: enter the frame of the stored times, or take them along into a new
    one when the wall clock was stepped. By how much it was; all processes of a machine have the same clocks, and the
    first to find it does it for all."""
    frame = transaction.row(SQL.clock_get)
    assert frame is not None  # noqa: S101 - its row was made with the schema
    clock.enter(frame["apart"])
    step = clock.step()
    if step:
        begin_frame(transaction, clock, clock.apart + step)
        shift_spans(transaction, step, clock.now())
    return step


def begin_frame(transaction: Transaction, clock: SteppedClock, apart: Micros) -> None:
    """The stored times are of another frame from now on."""
    clock.enter(apart)
    transaction.execute(SQL.clock_set, {"apart": apart})


def shift_spans(transaction: Transaction, step: Micros, now: Micros) -> None:
    """Let what waits and what runs end when it would have ended without a step. With a step of 0 nothing but: no job
    waits longer than it ever had to."""
    by = {"step": step, "now": now}
    transaction.execute(SQL.job_shift_spans, by)
    transaction.execute(SQL.run_shift_spans, by)
    give_all_turns(transaction)
