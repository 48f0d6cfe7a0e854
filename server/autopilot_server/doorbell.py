"""The doorbell: tells whoever cares that a job has news.

The truth is the log; a lost ring costs a poll, never an event.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autopilot_server.jobs.events import TokenChunk
from autopilot_server.jobs.job import Micros
from autopilot_server.jobs.states import JobState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An entry of a job's log, as it lies in the store."""

    sequence: int
    body: bytes
    """The serialized event without its sequence."""
    has_payload: bool
    """True when the event carries a JSON value, whose form a reader may want changed."""


@dataclass(frozen=True, slots=True)
class News:
    """What one commit changed about one job.

    Of commits of several processes the later one may be heard first: whoever hears goes by the events' sequences.
    """

    job_id: str
    state: JobState | None
    """The state after the commit. None: the job was deleted."""
    events: tuple[StoredEvent, ...] = ()
    """The events that the commit stored, in order. A reader that misses one before them reads the log."""
    create_time: Micros = 0
    """Of the job, which tells it from others that had its id before. 0: not told, where there are no events
    and the job was not deleted."""


Ring = Callable[[Sequence[News]], None]
TokenSink = Callable[[TokenChunk], None]


class Doorbell:
    """Fans out news of commits, and tokens, inside one process. Thread-safe.

    A subscriber is called on the thread that rings and must not block or raise: it hops to its own loop.
    """

    def __init__(self) -> None:
        """Make a doorbell that nobody listens to."""
        self._rings: tuple[Ring, ...] = ()
        self._sinks: tuple[TokenSink, ...] = ()

    def subscribe(self, ring: Ring) -> Callable[[], None]:
        """Call `ring` after each commit that changed a job. Returns what ends the subscription."""
        self._rings = (*self._rings, ring)

        def unsubscribe() -> None:
            self._rings = tuple(r for r in self._rings if r is not ring)

        return unsubscribe

    def subscribe_tokens(self, sink: TokenSink) -> Callable[[], None]:
        """Call `sink` with each token chunk. Returns what ends the subscription."""
        self._sinks = (*self._sinks, sink)

        def unsubscribe() -> None:
            self._sinks = tuple(s for s in self._sinks if s is not sink)

        return unsubscribe

    def ring(self, news: Sequence[News], *, but: Ring | None = None) -> None:
        """Tell what a commit changed, all but one who knows it already. Called by the store, after the commit."""
        for ring in self._rings:
            if ring == but:
                continue
            try:
                ring(news)
            except Exception:
                # Its poll finds what it missed; the others hear of it all the same.
                log.exception("a listener of the doorbell failed")

    def send_tokens(self, chunk: TokenChunk) -> None:
        """Pass a token chunk on to whoever watches now."""
        for sink in self._sinks:
            sink(chunk)
