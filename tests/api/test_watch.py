"""The watch: a log, whoever reads it, however slowly, from wherever."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_server.access.authenticators import Presented
from autopilot_server.api.converters import Converters
from autopilot_server.api.credentials import Caller
from autopilot_server.api.hub import TAIL_EVENTS, TOKENS_WAITING, Channel, Hub, Pace
from autopilot_server.api.requests import RequestReader
from autopilot_server.api.watch import READ_EVENTS, Watch
from autopilot_server.doorbell import Doorbell, News, StoredEvent
from autopilot_server.jobs.errors import JobNotFoundError
from autopilot_server.jobs.events import TokenChunk
from autopilot_server.jobs.states import JobState
from autopilot_server.observer import Observer
from autopilot_server.storage.store import Resumption, RunUpdate, Submission
from google.protobuf.duration_pb2 import Duration

from tests.api.conftest import Api
from tests.refused import Refused
from tests.waiting import until

TEXT = job_pb2.PAYLOAD_FORMAT_JSON_TEXT


def watching(api: Api, job_id: str, after: int = 0, **fields: Any) -> Any:
    return api.stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id=job_id, after_sequence=after, **fields))


async def collect(stream: Any) -> list[job_pb2.ProgressEvent]:
    events: list[job_pb2.ProgressEvent] = []
    while (response := await stream.read()) is not grpc.aio.EOF:
        events += response.events
    return events


async def test_each_event_once_in_order_until_the_job_is_finished(api: Api) -> None:
    job = await api.submit()
    early = asyncio.create_task(collect(watching(api, job.job_id)))
    claim = await api.claim()
    for _ in range(50):
        await api.step(claim)
    middle = asyncio.create_task(collect(watching(api, job.job_id, 20)))
    await api.end(claim)
    events = await early
    assert [event.sequence for event in events] == list(range(1, 54))
    assert events[-1].state_changed.to == job_pb2.JOB_STATE_SUCCEEDED
    assert await middle == events[20:]
    assert await collect(watching(api, job.job_id)) == events
    assert await collect(watching(api, job.job_id, 53)) == []


async def test_through_sequence_says_where_to_go_on(api: Api) -> None:
    job = await api.finished()
    through = [r.through_sequence async for r in watching(api, job.job_id)]
    assert through == [3, 3]


async def test_formats(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    await api.step(claim, update='{"x":9007199254740993}')
    await api.end(claim)
    as_text = [e for e in await collect(watching(api, job.job_id, payload_format=TEXT)) if e.HasField("step_finished")]
    as_json = [e for e in await collect(watching(api, job.job_id)) if e.HasField("step_finished")]
    assert as_text[0].step_finished.update.json_text == '{"x":9007199254740993}'
    assert as_json[0].step_finished.update.json.struct_value["x"] == "9007199254740993"
    assert as_json[0].sequence == as_text[0].sequence == 3


async def test_a_cursor_outside_the_log(api: Api) -> None:
    job = await api.submit()
    with pytest.raises(grpc.RpcError) as caught:
        await collect(watching(api, job.job_id, 2))
    refused = Refused(caught.value)
    assert refused.reason == "SEQUENCE_OUT_OF_RANGE"
    assert refused.metadata == {"job_id": job.job_id, "oldest_sequence": "1", "latest_sequence": "1"}
    with pytest.raises(grpc.RpcError) as caught:
        await collect(watching(api, job.job_id, -1))
    assert Refused(caught.value).violations == {"after_sequence": "must not be negative"}


async def test_stop_when_caught_up(api: Api) -> None:
    job = await api.submit()
    assert len(await collect(watching(api, job.job_id, stop_when_caught_up=True))) == 1


async def test_an_interrupted_job_s_watch_stays_open_and_a_resumed_job_s_goes_on(api: Api) -> None:
    job = await api.interrupted("q")
    watch = asyncio.create_task(collect(watching(api, job.job_id)))
    await api.store.job_resume(Resumption(job_id=job.job_id, answers={"q": '{"ok":true}'}))
    await api.end(await api.claim())
    moves = [event.state_changed.to for event in await watch]
    assert moves == [1, 2, 3, 1, 2, 5]


async def test_a_deleted_job_s_watch_ends_with_not_found(api: Api) -> None:
    job = await api.submit()
    await api.store.job_cancel(job.job_id, reason="", etag="", grace_period=0)
    await api.store.job_resume(Resumption(job_id=job.job_id))
    stream = watching(api, job.job_id)
    while (await stream.read()).events:
        pass
    await api.store.job_cancel(job.job_id, reason="", etag="", grace_period=0)
    deleting = api.store.job_delete(job.job_id, etag="")
    await deleting
    # Both moves may be told by one commit: then the watch learns that the job is gone, else it ends in order.
    outcome = (await asyncio.gather(collect(stream), return_exceptions=True))[0]
    assert isinstance(outcome, list) or Refused(outcome).reason == "JOB_NOT_FOUND"
    with pytest.raises(grpc.RpcError) as caught:
        await collect(watching(api, job.job_id))
    assert Refused(caught.value).reason == "JOB_NOT_FOUND"


async def test_draining_ends_watches(api: Api) -> None:
    job = await api.submit()
    stream = watching(api, job.job_id)
    await stream.read()
    await api.server.drain()
    with pytest.raises(grpc.RpcError) as caught:
        await collect(stream)
    assert Refused(caught.value).reason == "SERVER_DRAINING"


async def test_tokens_go_to_those_who_ask_and_are_not_stored(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    with_tokens, without = watching(api, job.job_id, include_tokens=True), watching(api, job.job_id)
    for stream in (with_tokens, without):
        while (await stream.read()).events:
            pass
    api.doorbell.send_tokens(TokenChunk(job.job_id, 1, 1, "a", "m", "hel"))
    token = (await with_tokens.read()).events[0]
    assert (token.sequence, token.token_chunk.text, token.token_chunk.step) == (0, "hel", "a")
    await api.end(claim)
    assert [e.WhichOneof("kind") for e in await collect(with_tokens)] == ["state_changed"]
    assert [e.WhichOneof("kind") for e in await collect(without)] == ["state_changed"]


async def test_many_watchers_share_one_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await api.submit()
    claim = await api.claim()
    api.settings = replace(api.settings, watches=500)
    watchers = [asyncio.create_task(collect(watching(api, job.job_id))) for _ in range(15)]
    for _ in range(30):
        await api.step(claim)
    await api.end(claim)
    logs = await asyncio.gather(*watchers)
    assert all([event.sequence for event in log] == list(range(1, 34)) for log in logs)


async def test_thousands_who_come_at_once_are_all_served(api: Api) -> None:
    """As after a restart, when all watchers come back."""
    job_id = (await api.finished()).job_id
    watches = [watching(api, job_id) for _ in range(4000)]
    assert {len(events) for events in await asyncio.gather(*map(collect, watches))} == {3}


async def test_a_client_that_goes_away_frees_its_place(api: Api) -> None:
    job = await api.submit()
    for _ in range(3):
        streams = [watching(api, job.job_id) for _ in range(api.settings.watches)]
        for stream in streams:
            await stream.read()
        with pytest.raises(grpc.RpcError) as caught:
            await watching(api, job.job_id).read()
        refused = Refused(caught.value)
        assert (refused.reason, refused.metadata) == ("LIMIT_EXCEEDED", {"limit": "20", "name": "watches"})
        assert refused.retry
        # Unary calls always pass.
        await api.get(job.job_id)
        for stream in streams:
            stream.cancel()
        async with asyncio.timeout(20):
            while True:
                probe = watching(api, job.job_id, stop_when_caught_up=True)
                try:
                    await collect(probe)
                except grpc.RpcError:
                    continue
                break
        await until(lambda: not api.server.service.places.taken)


# --- without a network: what is hard to bring about with one ---


class Driven:
    """A watch whose messages the test takes one by one."""

    def __init__(self, api: Api, hub: Hub, job_id: str, **fields: Any) -> None:
        request = job_service_pb2.WatchProgressRequest(job_id=job_id, **fields)
        caller = Caller(api.authenticators, Presented())
        spec = RequestReader(api.settings).watch(caller.identity, request)
        watch = Watch(store=api.store, hub=hub, converters=Converters(), spec=spec, caller=caller, observer=Observer())
        self.messages = watch.messages()

    async def next(self) -> job_service_pb2.WatchProgressResponse:
        return job_service_pb2.WatchProgressResponse.FromString(await anext(self.messages))

    async def sequences(self) -> list[int]:
        """Of the next message that has events."""
        while not (found := [event.sequence for event in (await self.next()).events]):
            pass
        return found

    async def rest(self) -> AsyncIterator[int]:
        """The sequences of what is left."""
        async for message in self.messages:
            for event in job_service_pb2.WatchProgressResponse.FromString(message).events:
                yield event.sequence


async def test_a_slow_reader_that_falls_behind_the_tail_misses_nothing(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    hub = Hub(api.doorbell)
    driven = Driven(api, hub, job.job_id)
    seen = [event.sequence for event in (await driven.next()).events]
    drafts = [api.draft(claim, _report(number)) for number in range(3 * TAIL_EVENTS)]
    for draft in drafts:
        await api.store.run_write(claim.fence, RunUpdate(events=[draft]))
    await api.end(claim)
    seen += [number async for number in driven.rest()]
    assert seen == list(range(1, 3 * TAIL_EVENTS + 4))
    hub.close()


def _report(number: int) -> Any:
    from autopilot_server.jobs.events import ProgressReported

    return ProgressReported("a", f"number {number}")


async def test_a_lost_ring_costs_a_poll_and_no_event(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    hub = Hub(api.doorbell)
    driven = Driven(api, hub, job.job_id)
    while (await driven.next()).events:
        pass
    # Nobody rings this hub any more.
    hub.close()
    waiting = asyncio.create_task(driven.next())
    await api.step(claim)
    assert [event.sequence for event in (await waiting).events] == [3]


async def test_a_state_that_was_read_before_the_ring_came_ends_no_watch(api: Api) -> None:
    """Another watcher reads that the job is finished while the ring that brings its last event is on its way."""
    rung: list[News] = []
    api.doorbell.subscribe(rung.extend)
    bell = Doorbell()
    hub = Hub(bell)

    def ring() -> None:
        bell.ring(rung[:])
        rung.clear()

    job = await api.submit()
    claim = await api.claim()
    rung.clear()
    first = Driven(api, hub, job.job_id)
    assert await first.sequences() == [1, 2]
    await api.step(claim)
    ring()
    assert await first.sequences() == [3]
    await api.end(claim)
    other = Driven(api, hub, job.job_id)
    assert await other.sequences() == [1, 2, 3, 4]
    last = asyncio.create_task(first.sequences())
    await asyncio.sleep(0)
    ring()
    assert await last == [4]
    hub.close()


async def test_heartbeats_break_the_silence(api: Api) -> None:
    job = await api.submit()
    hub = Hub(api.doorbell)
    driven = Driven(api, hub, job.job_id, heartbeat_interval=Duration(seconds=5))
    watch: Any = driven.messages.ag_frame.f_locals["self"]
    watch._spec = replace(watch._spec, heartbeat_seconds=0.01)
    assert [e.sequence for e in (await driven.next()).events] == [1]
    for _ in range(3):
        beat = await driven.next()
        assert (list(beat.events), beat.through_sequence) == ([], 1)
    hub.close()


def event(sequence: int) -> StoredEvent:
    return StoredEvent(sequence, b"x" * 10, False)


def news(*sequences: int, state: JobState | None = JobState.RUNNING, create_time: int = 1) -> News:
    return News("j", state, tuple(event(sequence) for sequence in sequences), create_time)


async def test_the_tail_of_a_channel() -> None:
    channel = Channel(Pace())
    assert channel.since(0) is None
    channel.hear(news(5, 6))
    assert channel.since(3) is None
    assert [f.event.sequence for f in channel.since(4) or []] == [5, 6]
    assert channel.since(6) == []
    # A gap: who is behind it reads the log.
    channel.hear(news(9))
    assert channel.since(6) is None
    assert [f.event.sequence for f in channel.since(8) or []] == [9]
    for sequence in range(10, 10 + 2 * TAIL_EVENTS):
        channel.hear(news(sequence))
    assert len(channel.tail) == TAIL_EVENTS


async def test_news_of_several_processes_come_in_any_order() -> None:
    """The worker that claims a job may be heard before the server's own commit that submitted it."""
    channel = Channel(Pace())
    channel.hear(news(2, 3, state=JobState.SUCCEEDED))
    channel.hear(news(1, state=JobState.PENDING))
    assert not channel.deleted
    assert (channel.state, channel.finished_at) == (JobState.SUCCEEDED, 3)
    assert [f.event.sequence for f in channel.since(1) or []] == [2, 3]


async def test_a_channel_tells_jobs_of_one_id_apart() -> None:
    """Whatever of them is heard first: the end of the one, or what the next one does."""
    channel = Channel(Pace())
    channel.hear(news(7, create_time=2))
    channel.hear(news(8, create_time=1))
    channel.hear(news(state=None, create_time=1))
    assert ([f.event.sequence for f in channel.tail], channel.deleted) == ([7], False)
    channel.hear(news(8, create_time=3))
    assert ([f.event.sequence for f in channel.tail], channel.deleted) == ([7], True)


async def test_a_watch_that_begins_on_the_channel_of_an_earlier_job(api: Api) -> None:
    """Its deletion was not heard of yet, and somebody slow still has its channel."""
    job = await api.submit()
    hub = Hub(api.doorbell)
    with hub.watch(job.job_id) as earlier:
        earlier.create_time = 1
        driven = Driven(api, hub, job.job_id)
        assert await driven.sequences() == [1]
        assert earlier.deleted
        await api.end(await api.claim())
        assert [number async for number in driven.rest()] == [2, 3]
    hub.close()


async def test_tokens_for_a_reader_that_does_not_read_are_dropped(api: Api) -> None:
    """The oldest ones, beyond as many as may wait."""
    job = await api.submit()
    hub = Hub(api.doorbell)
    driven = Driven(api, hub, job.job_id, include_tokens=True)
    assert await driven.sequences() == [1]
    for number in range(TOKENS_WAITING + 50):
        hub._hear_token(TokenChunk(job.job_id, 1, 1, "a", "m", str(number)))
    texts = [event.token_chunk.text for event in (await driven.next()).events]
    assert texts == [str(number) for number in range(50, TOKENS_WAITING + 50)]
    hub.close()


async def test_a_watch_does_not_go_on_with_another_job_of_its_name(api: Api) -> None:
    """The job is deleted and submitted again in one commit, while a slow reader is in the middle of its log."""
    await api.submit(job_id="again")
    claim = await api.claim()
    await api.store.run_write(claim.fence, RunUpdate(events=[api.draft(claim, _report(0))] * READ_EVENTS))
    await api.end(claim)
    # The bell rings after the answer, and before the next one: the watch hears nothing of this log.
    await api.store.probe()
    hub = Hub(api.doorbell)
    driven = Driven(api, hub, "again")
    assert await driven.sequences() == list(range(1, READ_EVENTS + 1))
    async with _one_commit(api):
        deleted = api.store.job_delete("again", etag="")
        submitted = api.store.job_submit(Submission(spec=claim.job.spec, unfinished_limit=9))
    assert await deleted
    assert not (await submitted).deduplicated
    somebody, claim = await api.claim(), await api.claim()
    assert (somebody.fence.job_id, claim.fence.job_id) == ("somebody", "again")
    await api.store.run_write(claim.fence, RunUpdate(events=[api.draft(claim, _report(0))] * READ_EVENTS * 2))
    await api.end(claim)
    with pytest.raises(JobNotFoundError, match="deleted"):
        await driven.next()
    hub.close()


@asynccontextmanager
async def _one_commit(api: Api) -> AsyncIterator[None]:
    """What is asked of the store inside is carried out in one transaction."""
    busy, go_on = threading.Event(), threading.Event()

    def hold_up(news: Sequence[News]) -> None:
        busy.set()
        go_on.wait()

    release = api.doorbell.subscribe(hold_up)
    await api.submit(job_id="somebody", workflow="other")
    await asyncio.to_thread(busy.wait)
    yield
    release()
    go_on.set()
