"""The watch hub: brings what the log gained to whoever watches, without a read for each of them.

A channel for each watched job keeps the newest events in memory, as the commits rang them. A watcher that is inside
this tail takes from it; one that is behind reads the log. The writer is never slowed down and no watcher has a queue:
all that it holds is its place in the log.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from autopilot_server.api.events import event_field, token_message
from autopilot_server.doorbell import Doorbell, News, StoredEvent
from autopilot_server.jobs.events import TokenChunk
from autopilot_server.jobs.job import Micros
from autopilot_server.jobs.states import FINISHED, JobState

# Events that a channel keeps: enough for watchers that are a little behind, small enough for ten thousand channels.
TAIL_EVENTS = 256
TAIL_BYTES = 1 << 20

# Watchers of a job hear at once when it ends or waits for somebody, and of everything else at most this often: a step's
# start, its end and its checkpoint then are one message. Short enough that people take it for live.
GATHER_SECONDS = 0.050

# Where many jobs have news at the same time, each is gathered for longer, so that all together are told of so many
# times a second, and none later than a moment. A message costs the server and the client some tenth of a millisecond
# each: with 64 jobs in flight, a job's watch was eleven of them, and is four.
GATHERED_PER_SECOND = 100
MOST_GATHER_SECONDS = 0.500

# Token chunks that wait for one watcher; of more the oldest are dropped.
TOKENS_WAITING = 256


class Frame:
    """A stored event, and its wire form, made once for all watchers of a format."""

    __slots__ = ("_as_json", "_as_text", "event", "heard")

    def __init__(self, event: StoredEvent, heard: float) -> None:
        """Of an event of the log. `heard`: when, by the loop's clock, its commit rang or it was read."""
        self.event, self.heard = event, heard
        self._as_text: bytes | None = None
        self._as_json: bytes | None = None

    def effort(self, as_json: bool) -> int:
        """How many bytes have to be converted for the wire form: none where they lie ready, or are stored as it is."""
        return len(self.event.body) if as_json and self.event.has_payload and self._as_json is None else 0

    def wire(self, as_json: bool) -> bytes:
        """The field of a response that carries the event."""
        if as_json and self.event.has_payload:
            if self._as_json is None:
                self._as_json = event_field(self.event, as_json=True)
            return self._as_json
        if self._as_text is None:
            self._as_text = event_field(self.event, as_json=False)
        return self._as_text


class Pace:
    """Gives the jobs that have news their turns to be told of, by the loop's clock."""

    def __init__(self) -> None:
        """Nobody has had a turn."""
        self._loop = asyncio.get_running_loop()
        self._next = 0.0

    def turn(self, told: float) -> float:
        """When a job that was last told of at a time has its turn."""
        now = self._loop.time()
        self._next = max(now, self._next)
        at = min(max(self._next, told + GATHER_SECONDS), now + MOST_GATHER_SECONDS)
        # A debt without end would leave everybody with the longest wait, long after the rush.
        self._next = min(self._next + 1 / GATHERED_PER_SECOND, now + MOST_GATHER_SECONDS)
        return at


class Channel:
    """What is known of a watched job since its first watcher came."""

    def __init__(self, pace: Pace) -> None:
        """Nothing is known yet."""
        self._pace = pace
        self.tail: deque[Frame] = deque()
        self.create_time = 0
        """Of the job, which tells it from others that have the id before or after it. 0: not known yet."""
        self.state: JobState | None = None
        # The sequence with which the job finished, as the commit rang it: `state` may also have been read since, and
        # then be ahead of the tail.
        self.finished_at: int | None = None
        self.deleted = False
        self.watchers = 0
        self.tokens: list[deque[bytes]] = []
        self.next_poll = 0.0
        self._tail_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._last_wake = -GATHER_SECONDS
        self._wake_timer: asyncio.TimerHandle | None = None
        # In the order in which they came; a dict, because each of a thousand takes itself out.
        self._waiters: dict[asyncio.Future[None], None] = {}

    def hear(self, news: News) -> None:
        """Take what a commit told, and wake everybody: soon, or at once when the job ended or waits for somebody.

        What several processes have committed may come in another order: what is known already is passed over.
        """
        if news.create_time and self.create_time not in (0, news.create_time):
            if news.create_time > self.create_time:
                self.delete()
            return
        if news.state is None:
            self.delete()
            return
        if not news.events or news.events[-1].sequence <= self.newest:
            return
        self.create_time = news.create_time
        # That it runs is told with what it does first, which is at once where little goes on.
        urgent = news.state not in (self.state, JobState.RUNNING)
        self.state = news.state
        self.finished_at = news.events[-1].sequence if news.state in FINISHED else None
        for event in news.events:
            self._keep(event)
        if urgent:
            self.wake()
        elif self._wake_timer is None:
            self._wake_timer = self._loop.call_at(self._pace.turn(self._last_wake), self.wake)

    def delete(self) -> None:
        """The job was deleted; another may have its id."""
        self.deleted = True
        self.wake()

    def _keep(self, event: StoredEvent) -> None:
        if self.tail and event.sequence != self.newest + 1:
            self.forget()
        self.tail.append(Frame(event, self._loop.time()))
        self._tail_bytes += len(event.body)
        while len(self.tail) > TAIL_EVENTS or self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self.tail.popleft().event.body)

    @property
    def newest(self) -> int:
        """The newest sequence in the tail; 0 when it is empty."""
        return self.tail[-1].event.sequence if self.tail else 0

    def forget(self) -> None:
        """Drop the tail: who needs what was in it reads the log."""
        self.tail.clear()
        self._tail_bytes = 0

    def since(self, sequence: int) -> list[Frame] | None:
        """The events after a place in the log; None when the tail does not reach back that far."""
        if not self.tail or self.tail[0].event.sequence > sequence + 1:
            return None
        behind = self.tail[-1].event.sequence - sequence
        if behind <= 0:
            return []
        first = len(self.tail) - behind
        return [self.tail[index] for index in range(first, len(self.tail))]

    def send_token(self, field: bytes) -> None:
        """Pass a token chunk to the watchers that want them."""
        for waiting in self.tokens:
            waiting.append(field)
        self.wake()

    async def news(self, seconds: float) -> None:
        """Wait for news, but no longer than `seconds`."""
        waiter = self._loop.create_future()
        self._waiters[waiter] = None
        handle = self._loop.call_later(max(0.0, seconds), _wake, waiter)
        try:
            await waiter
        finally:
            handle.cancel()
            self._waiters.pop(waiter, None)

    def wake(self) -> None:
        """Wake everybody who waits."""
        if self._wake_timer is not None:
            self._wake_timer.cancel()
            self._wake_timer = None
        self._last_wake = self._loop.time()
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Hub:
    """The channels of all watched jobs. Lives in the server's loop."""

    def __init__(self, doorbell: Doorbell) -> None:
        """Listen to the doorbell."""
        self._loop = asyncio.get_running_loop()
        self._pace = Pace()
        self._channels: dict[str, Channel] = {}
        self._ends: list[Callable[[], None]] = [
            doorbell.subscribe(self._ring),
            doorbell.subscribe_tokens(self._token),
        ]
        self.draining = False

    @contextmanager
    def watch(self, job_id: str, *, tokens: deque[bytes] | None = None) -> Iterator[Channel]:
        """Watch a job for a while."""
        channel = self._channels.get(job_id)
        if channel is None:
            channel = self._channels[job_id] = Channel(self._pace)
        channel.watchers += 1
        if tokens is not None:
            channel.tokens.append(tokens)
        try:
            yield channel
        finally:
            channel.watchers -= 1
            if tokens is not None:
                # By identity: two empty queues are equal.
                channel.tokens = [waiting for waiting in channel.tokens if waiting is not tokens]
            if not channel.watchers and self._channels.get(job_id) is channel:
                del self._channels[job_id]

    @property
    def poll_seconds(self) -> float:
        """How often the log is looked at behind the doorbell's back: each second, less often for very many jobs."""
        return max(1.0, len(self._channels) / 1000)

    def drain(self) -> None:
        """Make every watch and wait end."""
        self.draining = True
        for channel in list(self._channels.values()):
            channel.wake()

    def close(self) -> None:
        """Listen no longer."""
        for end in self._ends:
            end()

    def _ring(self, news: Sequence[News]) -> None:
        # On the store's thread. A look at a dict that the loop changes is safe, and a watcher that comes meanwhile
        # reads the log first.
        watched = [item for item in news if item.job_id in self._channels]
        if watched:
            self._loop.call_soon_threadsafe(self._hear, watched)

    def _hear(self, news: Sequence[News]) -> None:
        for item in news:
            channel = self._channels.get(item.job_id)
            if channel is not None:
                channel.hear(item)
                if channel.deleted:
                    self._forget(item.job_id)

    def is_of(self, channel: Channel, job_id: str, create_time: Micros) -> bool:
        """Whether a channel is of the job that has the id now, and not of one that was deleted before it came."""
        if channel.create_time in (0, create_time):
            channel.create_time = create_time
            return True
        channel.delete()
        if self._channels.get(job_id) is channel:
            self._forget(job_id)
        return False

    def _forget(self, job_id: str) -> None:
        """Whoever watches the id from now on watches another job."""
        del self._channels[job_id]

    def _token(self, chunk: TokenChunk) -> None:
        if chunk.job_id in self._channels:
            self._loop.call_soon_threadsafe(self._hear_token, chunk)

    def _hear_token(self, chunk: TokenChunk) -> None:
        channel = self._channels.get(chunk.job_id)
        if channel is not None and channel.tokens:
            channel.send_token(token_message(chunk))
