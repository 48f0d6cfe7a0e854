"""WatchProgress: one reader's way through a job's log."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from autopilot_server.api.converters import Converters
from autopilot_server.api.credentials import Caller
from autopilot_server.api.events import through_field
from autopilot_server.api.hub import TOKENS_WAITING, Channel, Frame, Hub
from autopilot_server.jobs.errors import (
    JobNotFoundError,
    SequenceOutOfRangeError,
    ServerDrainingError,
    StorageUnavailableError,
    job_not_found,
)
from autopilot_server.jobs.states import FINISHED
from autopilot_server.jobs.tenants import public
from autopilot_server.observer import Observer
from autopilot_server.storage.store import EventPage, Store

# A response stays below the 4 MiB that clients receive.
MESSAGE_BYTES = 3 << 20
READ_EVENTS = 1000
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """What a client asked to watch."""

    job_id: str
    after_sequence: int
    stop_when_caught_up: bool
    include_tokens: bool
    as_json: bool
    heartbeat_seconds: float


def draining() -> ServerDrainingError:
    """The error for what a stopping server ends or refuses."""
    return ServerDrainingError("The server is stopping. Call again: another server, or the next start, goes on.")


class Watch:
    """One watch. All that it keeps is its place in the log."""

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        converters: Converters,
        spec: WatchSpec,
        caller: Caller,
        observer: Observer,
    ) -> None:
        """Prepare; `messages` runs it."""
        self._observer, self._converters = observer, converters
        self._store, self._hub, self._spec, self._caller = store, hub, spec, caller
        self._workflow, self._create_time = "", 0
        self._place = spec.after_sequence
        self._tokens: deque[bytes] | None = deque(maxlen=TOKENS_WAITING) if spec.include_tokens else None
        self._more = False
        self._page: EventPage | None = None
        self._loop = asyncio.get_running_loop()

    async def messages(self) -> AsyncIterator[bytes]:
        """The stream's responses, serialized."""
        with self._opened() as channel:
            greeted = False
            spoke = self._loop.time()
            while True:
                if self._hub.draining:
                    raise draining()
                await self._caller.check_reader(self._workflow)
                for message in await self._ready(channel):
                    yield message
                    spoke = self._loop.time()
                # Whatever came while the client was slow is next.
                if self._behind(channel):
                    continue
                if not greeted or self._loop.time() - spoke >= self._spec.heartbeat_seconds:
                    greeted = True
                    yield through_field(self._place)
                    spoke = self._loop.time()
                    continue
                if self._ended(channel):
                    return
                await self._wait(channel, self._spec.heartbeat_seconds - (self._loop.time() - spoke))

    @contextmanager
    def _opened(self) -> Iterator[Channel]:
        """A channel of the job that has the id now, and the first page of its log."""
        while True:
            with self._hub.watch(self._spec.job_id, tokens=self._tokens) as channel:
                # After the channel is open: what is committed from now on is rung, what was before is read.
                self._page = self._read()
                self._check(self._page)
                if self._hub.is_of(channel, self._spec.job_id, self._page.create_time):
                    yield channel
                    return
            self._create_time = 0

    async def _ready(self, channel: Channel) -> list[bytes]:
        """Messages with what is at hand: stored events, and then tokens."""
        messages = await self._stored(channel)
        if self._tokens and not self._more:
            messages.append(b"".join([*self._tokens, through_field(self._place)]))
            self._tokens.clear()
        return messages

    def _behind(self, channel: Channel) -> bool:
        return self._more or bool(self._tokens) or channel.newest > self._place

    def _check(self, page: EventPage) -> None:
        """The cursor must lie in the log."""
        after = self._spec.after_sequence
        if after > page.latest_sequence or after + 1 < page.oldest_sequence:
            job_id = public(self._spec.job_id)
            raise SequenceOutOfRangeError(
                f"after_sequence {after} is out of range: job {job_id!r} has events "
                f"{page.oldest_sequence} to {page.latest_sequence}.",
                job_id=job_id,
                oldest_sequence=page.oldest_sequence,
                latest_sequence=page.latest_sequence,
            )

    def _read(self) -> EventPage:
        page = self._store.events_read(
            self._spec.job_id, after_sequence=self._place, limit=READ_EVENTS, max_bytes=READ_BYTES
        )
        if page is None:
            raise job_not_found(public(self._spec.job_id))
        self._caller.identity.check_job("WatchProgress", self._spec.job_id, page.workflow)
        self._workflow = page.workflow
        if self._create_time not in (0, page.create_time):
            # Another job has the id now.
            raise self._gone()
        self._create_time = page.create_time
        return page

    async def _stored(self, channel: Channel) -> list[bytes]:
        """Messages with the events behind the watch's place, as many as are at hand; moves the place."""
        if channel.deleted:
            raise self._gone()
        frames = None if self._page is not None else channel.since(self._place)
        self._more = False
        if frames is None:
            page = self._page or self._read()
            self._page = None
            channel.state = page.state
            frames = [Frame(event, self._loop.time()) for event in page.events]
            self._more = bool(frames) and page.latest_sequence > frames[-1].event.sequence
        elif frames:
            self._observer.events_sent(len(frames), self._loop.time() - frames[0].heard)
        messages: list[bytes] = []
        fields: list[bytes] = []
        size = 0
        for frame in frames:
            field = await self._converters.run(
                frame.effort(self._spec.as_json), partial(frame.wire, self._spec.as_json)
            )
            if fields and size + len(field) > MESSAGE_BYTES:
                messages.append(b"".join([*fields, through_field(self._place)]))
                fields, size = [], 0
            fields.append(field)
            size += len(field)
            self._place = frame.event.sequence
        if fields:
            messages.append(b"".join([*fields, through_field(self._place)]))
        return messages

    def _ended(self, channel: Channel) -> bool:
        """Everything stored is sent, and nothing is to come: the newest event finished the job."""
        if self._spec.stop_when_caught_up:
            return True
        if channel.state is not None and channel.state not in FINISHED:
            return False
        if channel.finished_at == self._place:
            return True
        # Only the log says that nothing came after.
        page = self._read()
        channel.state = page.state
        return page.state in FINISHED and page.latest_sequence == self._place

    async def _wait(self, channel: Channel, seconds: float) -> None:
        poll = self._hub.poll_seconds
        await channel.news(min(poll, seconds))
        if channel.newest <= self._place and self._loop.time() >= channel.next_poll:
            # One watcher asks for all.
            channel.next_poll = self._loop.time() + poll
            self._poll(channel)

    def _poll(self, channel: Channel) -> None:
        """What a lost ring would have told. While the database is away there is no news."""
        try:
            page = self._read()
        except StorageUnavailableError:
            return
        channel.state = page.state
        if page.latest_sequence > max(self._place, channel.newest):
            channel.forget()

    def _gone(self) -> JobNotFoundError:
        job_id = public(self._spec.job_id)
        return JobNotFoundError(f"Job {job_id!r} was deleted.", job_id=job_id)
