"""Limits: each tenant's own, and those of all; a RetryInfo is true; nobody's watches keep others from being served."""

import asyncio
import resource
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_service_pb2
from autopilot_server.api import credentials, server
from autopilot_server.api.connections import ANY_NUMBER, most_connections
from autopilot_server.api.limits import Places, SubmitRate
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import LimitExceededError
from autopilot_server.observer import Observer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from tests.access.conftest import Guarded
from tests.access.test_credentials import never, reflected
from tests.waiting import until

rates = st.floats(0.001, 10_000)

# HTTP/2's greeting and an empty SETTINGS: a connection in good order, without a call.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _taken(rate: SubmitRate, tenant: str = "a") -> float | None:
    """None when a token was there, else the delay that was told."""
    try:
        rate.take(tenant)
    except LimitExceededError as error:
        return error.retry_delay
    return None


@given(per_second=rates, burst=st.integers(1, 50), pauses=st.lists(st.floats(0, 100), max_size=30))
def test_a_retry_after_the_told_time_succeeds_and_no_sooner_one(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    clock = Time()
    rate = SubmitRate(per_second=per_second, burst=burst, clock=clock)
    for _ in range(burst):
        assert _taken(rate) is None
    for pause in pauses:
        clock.now += pause
        delay = _taken(rate)
        if delay is not None:
            # Told in whole milliseconds: a sooner one is one that is sooner by more than that.
            clock.now += max(0.0, delay - 0.0011)
            assert delay <= 0.0011 or _taken(rate) is not None
            clock.now += min(delay, 0.0011)
            assert _taken(rate) is None


@given(per_second=rates, burst=st.integers(1, 50), asked=st.lists(st.floats(0, 10), max_size=200))
def test_no_more_than_the_rate_and_the_burst_are_taken(per_second: float, burst: int, asked: list[float]) -> None:
    clock = Time()
    rate = SubmitRate(per_second=per_second, burst=burst, clock=clock)
    taken = 0
    for pause in asked:
        clock.now += pause
        taken += _taken(rate) is None
    assert taken <= burst + per_second * (clock.now - 1000) + 1e-3


def test_each_tenant_has_its_own_rate() -> None:
    rate = SubmitRate(per_second=1, burst=1, clock=Time())
    assert [_taken(rate, tenant) for tenant in ("a", "b", "a")] == [None, None, 1.0]


def test_places_are_counted_by_tenant_and_given_back() -> None:
    places = Places(limit=3, tenant_limit=2, observer=Observer())

    def refused(tenant: str) -> str:
        with pytest.raises(LimitExceededError) as caught, places.place(tenant):
            pass
        return caught.value.metadata["name"]

    with places.place("a"), places.place("a"):
        assert refused("a") == "tenant_watches"
        with places.place("b"):
            assert refused("b") == "watches"
        with places.place("b"):
            pass
    assert places.taken == 0


async def _open(api: Guarded, job_id: str) -> Any:
    stream = api.stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id=job_id))
    await stream.read()
    return stream


async def test_the_watches_of_one_tenant_leave_room_for_another(guarded: Guarded) -> None:
    await guarded.restart(watches=10, tenant_watches=5)
    one, two = guarded.caller(tenant="one"), guarded.caller(tenant="two")
    for api in (one, two):
        await api.submit(job_id="j")
    held = [await _open(one, "j") for _ in range(5)]
    refused = await one.refused(_open(one, "j"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert (refused.metadata, refused.retry) == ({"limit": "5", "name": "tenant_watches"}, 5)
    held += [await _open(two, "j") for _ in range(5)]
    assert (await two.refused(_open(two, "j"))).metadata["name"] == "tenant_watches"
    for stream in held:
        stream.cancel()
    await until(lambda: not guarded.server.service.places.taken)
    await _open(one, "j")


async def test_a_submit_after_the_told_time_is_taken(guarded: Guarded) -> None:
    await guarded.restart(tenant_submits_per_second=4.0, tenant_submit_burst=2)
    one, two = guarded.caller(tenant="one"), guarded.caller(tenant="two")
    repeated = {"job_id": "j", "request_id": "r"}
    await one.submit(**repeated)

    async def submit_until_refused() -> None:
        # On a machine that has little time for the test the limit comes later than at the third.
        while True:
            await one.submit()

    refused = await one.refused(submit_until_refused())
    assert refused.reason == "LIMIT_EXCEEDED"
    assert refused.metadata == {"limit": "4", "name": "tenant_submits_per_second"}
    assert refused.retry is not None
    # A request that is known takes nothing, and the other tenant has its own.
    assert (await one.submit(**repeated)).job_id == "j"
    await two.submit()
    # What is tried: that the time which was told is enough.
    await asyncio.sleep(refused.retry)
    await one.submit()


async def test_all_watches_at_once_do_not_starve_a_call(guarded: Guarded) -> None:
    """With every place taken, and strangers on all that is open to them, a call is answered."""
    await guarded.restart(concurrent_rpcs=1300, watches=300)
    api = guarded.caller()
    await api.submit(job_id="j")
    held = await asyncio.gather(*(_open(api, "j") for _ in range(300)))
    assert (await api.refused(_open(api, "j"))).metadata["name"] == "watches"
    health: Any = health_pb2_grpc.HealthStub(guarded.channel)
    strangers = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(credentials.MOST_STREAMS)]
    for stream in strangers:
        await stream.read()
    more = health.Watch(health_pb2.HealthCheckRequest())
    refused = await guarded.refused(more.read())
    assert (refused.code, refused.metadata["name"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "open_calls")
    # A load balancer is answered all the same.
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    assert await reflected(api, api.stub.metadata) == grpc.StatusCode.RESOURCE_EXHAUSTED
    answers = await asyncio.gather(*(api.get("j") for _ in range(100)))
    assert [job.job_id for job in answers] == ["j"] * 100
    await asyncio.gather(*(api.submit() for _ in range(50)))
    for stream in (*held, *strangers):
        stream.cancel()


def _are_done(calls: Sequence[asyncio.Future[Any]], count: int) -> bool:
    return sum(call.done() for call in calls) >= count


async def test_a_call_too_many_is_told_when_to_come_again_and_health_is_answered(guarded: Guarded) -> None:
    await guarded.restart(concurrent_rpcs=1001, watches=1)
    api = guarded.caller()
    held, waiting, submit = asyncio.Event(), 0, guarded.store.job_submit

    async def job_submit(submission: Any) -> Any:
        nonlocal waiting
        waiting += 1
        await held.wait()
        return await submit(submission)

    guarded.store.job_submit = job_submit  # type: ignore[method-assign]
    calls = [asyncio.ensure_future(api.submit()) for _ in range(1001)]
    await until(lambda: waiting >= len(calls), lambda: waiting)
    for call in (api.submit(), _open(api, "j")):
        # One that is let in waits as the others do.
        refused = await api.refused(asyncio.wait_for(call, 120))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        assert (refused.metadata, refused.retry) == ({"limit": "1001", "name": "concurrent_rpcs"}, 1)
    health: Any = health_pb2_grpc.HealthStub(guarded.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    held.set()
    await asyncio.gather(*calls)
    await api.submit()


@pytest.mark.parametrize(
    ("files", "threads", "most"),
    [
        (1024, 64, 768),
        (65536, 64, 65280),
        (256, 64, 128),
        (1024, 10_000, 512),
        (resource.RLIM_INFINITY, 64, ANY_NUMBER),
    ],
)
def test_connections_leave_files_for_the_server(
    monkeypatch: pytest.MonkeyPatch, files: int, threads: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: {resource.RLIMIT_NOFILE: (files, 1 << 20)}[which])
    assert most_connections(Settings(threads=threads)) == most


async def test_a_connection_too_many_is_closed_and_those_before_it_are_served(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "most_connections", lambda _: 5)
    await guarded.restart()
    api = guarded.caller()
    await api.submit(job_id="j")
    strangers = [await asyncio.open_connection("127.0.0.1", guarded.port) for _ in range(20)]
    async with asyncio.timeout(120):
        served = [await _greeted(*stranger) for stranger in strangers]
    assert sum(served) == 4
    await api.submit()
    for _, writer in strangers:
        writer.close()

    async def comes_in() -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
        try:
            return await _greeted(reader, writer)
        finally:
            writer.close()

    async with asyncio.timeout(120):
        while not await comes_in():
            await asyncio.sleep(0.01)


async def _greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether a connection is served, and not closed."""
    try:
        writer.write(_GREETING)
        return bool(await reader.read(1))
    except ConnectionError:
        return False


async def test_connections_without_calls_are_closed_and_one_with_a_watch_stays(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTION_IDLE_MS", 1000)
    await guarded.restart()
    api = guarded.caller()
    await api.submit(job_id="j")
    watch = await _open(api, "j")
    idle = [await asyncio.open_connection("127.0.0.1", guarded.port) for _ in range(50)]
    for _, writer in idle:
        writer.write(_GREETING)
    async with asyncio.timeout(120):
        # Each until its end, which only the server makes.
        await asyncio.gather(*(reader.read() for reader, _ in idle))
    for _, writer in idle:
        writer.close()
    await api.stub.Cancel(job_service_pb2.CancelRequest(job_id="j"))
    async with asyncio.timeout(120):
        assert await watch.read()
    await api.submit()


async def test_who_holds_requests_back_does_not_take_all_the_calls(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither with credentials nor without."""
    monkeypatch.setattr(credentials, "PROMPT_SECONDS", 0.05)
    monkeypatch.setattr(credentials, "MOST_LATE", 3)
    await guarded.restart()
    api = guarded.caller()
    submit = guarded.channel.stream_unary("/autopilot.v1.JobService/SubmitJob")
    check = guarded.channel.stream_unary("/grpc.health.v1.Health/Check")
    for method, metadata in ((submit, api.stub.metadata), (check, ())):
        held = [asyncio.ensure_future(guarded.refused(method(never(), metadata=metadata))) for _ in range(10)]
        # Three are waited for: of the others each is told, and no longer open.
        await until(partial(_are_done, held, 7))
        told = [call.result() for call in held if call.done()]
        assert {(each.reason, each.metadata["name"], each.retry) for each in told} == {
            ("LIMIT_EXCEEDED", "open_calls", 5)
        }
        await api.submit()
        for call in held:
            call.cancel()


async def test_health_of_what_is_not_there_is_told_as_ever(guarded: Guarded) -> None:
    health: Any = health_pb2_grpc.HealthStub(guarded.channel)
    with pytest.raises(grpc.RpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="nope"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
