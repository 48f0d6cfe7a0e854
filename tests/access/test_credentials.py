"""Who has no good credentials gets nothing: not an answer, not a look at its request."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from autopilot.v1 import job_service_pb2
from autopilot_server.jobs.states import JobState
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.access.conftest import Guarded
from tests.access.test_rights import REQUESTS, call
from tests.refused import Refused
from tests.waiting import until

UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


def kind(refused: Refused) -> tuple[grpc.StatusCode, str]:
    return refused.code, refused.reason


@pytest.mark.parametrize("method", REQUESTS)
async def test_every_method_needs_credentials(guarded: Guarded, method: str) -> None:
    job_id = (await guarded.caller().submit()).job_id
    token = guarded.token()
    revoked, expired = guarded.caller(), guarded.caller(expires=1_000_100)
    guarded.revoke_all()
    guarded.caller(expires=1_000_100)
    guarded.now += 100
    for api in (
        revoked,
        expired,
        guarded.presenting(None),
        guarded.presenting(""),
        guarded.presenting("Bearer"),
        guarded.presenting("Bearer "),
        guarded.presenting(token),
        guarded.presenting(f"Basic {token}"),
        guarded.having("autopilot_" + "x" * 43),
        guarded.having("x" * 6000),
    ):
        for name in (job_id, "never", "not an id!"):
            refused = await call(api, method, REQUESTS[method](name, "w"))
            assert kind(refused) == UNAUTHENTICATED
            assert (refused.metadata, refused.violations) == ({}, {})
            assert token not in refused.message


async def test_two_headers_are_as_bad_as_none(guarded: Guarded) -> None:
    api = guarded.caller()
    await api.submit()
    api.stub.metadata = (*api.stub.metadata, ("authorization", "Bearer x"))
    assert kind(await api.refused(api.submit())) == UNAUTHENTICATED


async def test_the_scheme_may_be_written_as_one_likes(guarded: Guarded) -> None:
    token = guarded.token()
    for scheme in ("bearer", "BEARER", "Bearer "):
        await guarded.presenting(f"{scheme} {token}").submit()


async def test_bytes_that_are_no_message_are_not_looked_at_without_credentials(guarded: Guarded) -> None:
    submit = guarded.channel.unary_unary("/autopilot.v1.JobService/SubmitJob")
    assert kind(await guarded.refused(submit(b"\xff\xff\xff"))) == UNAUTHENTICATED
    metadata = guarded.caller().stub.metadata
    assert (await guarded.refused(submit(b"\xff\xff\xff", metadata=metadata))).reason == "FIELD_INVALID"


async def never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def test_a_call_without_credentials_ends_before_its_request_has_come(guarded: Guarded) -> None:
    """Nothing that a stranger sends, or holds back, takes room."""
    submit = guarded.channel.stream_unary("/autopilot.v1.JobService/SubmitJob")
    assert kind(await guarded.refused(submit(never()))) == UNAUTHENTICATED


async def test_a_request_that_does_not_come_is_not_waited_for_long(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopilot_server.api.credentials.ARRIVAL_SECONDS", 0.1)
    submit = guarded.channel.stream_unary("/autopilot.v1.JobService/SubmitJob")
    metadata = guarded.caller().stub.metadata
    refused = await guarded.refused(submit(never(), metadata=metadata))
    assert (refused.reason, "did not arrive" in refused.message) == ("FIELD_INVALID", True)


async def test_health_is_open(guarded: Guarded) -> None:
    stub: Any = health_pb2_grpc.HealthStub(guarded.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def reflected(api: Guarded, metadata: tuple[tuple[str, str], ...]) -> list[str] | Refused:
    """The services that reflection names, or its refusal."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    try:
        async for response in stub.ServerReflectionInfo(iter([request]), metadata=metadata):
            return [service.name for service in response.list_services_response.service]
    except grpc.RpcError as error:
        return error.code()
    return []


@pytest.mark.parametrize("setting", ["on", "authenticated", "off"])
async def test_reflection_follows_its_setting(guarded: Guarded, setting: str) -> None:
    await guarded.restart(reflection=setting)
    with_token, without = guarded.caller("read").stub.metadata, ()
    found = [await reflected(guarded, metadata) for metadata in (with_token, without)]
    names = ["autopilot.v1.JobService", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    refused, missing = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED
    assert found == {"on": [names, names], "authenticated": [names, refused], "off": [missing, missing]}[setting]


async def to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("how", ["revoked", "expired", "less"])
async def test_what_is_open_ends_with_its_credentials(guarded: Guarded, how: str) -> None:
    job_id = (await guarded.caller().submit()).job_id
    api = guarded.caller("read", expires=1_000_100)
    stream = api.stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id=job_id))
    await stream.read()
    waiting = asyncio.ensure_future(api.get(job_id, wait_timeout=Duration(seconds=300)))
    await until(lambda: guarded.server.service.places.taken == 2)
    if how == "revoked":
        guarded.revoke_all()
    elif how == "expired":
        guarded.now += 100
    else:
        guarded.grant_all("read:other")
    assert kind(await guarded.refused(to_the_end(stream))) == UNAUTHENTICATED
    assert kind(await guarded.refused(waiting)) == UNAUTHENTICATED


async def test_what_is_open_goes_on_while_its_credentials_are_good(guarded: Guarded) -> None:
    job_id = (await guarded.caller().submit()).job_id
    api = guarded.caller("read")
    stream = api.stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id=job_id))
    await stream.read()
    # Another token, the same identity's rights written otherwise: nothing that matters to the watch.
    guarded.token()
    guarded.grant_all("read:w")
    claim = await guarded.claim()
    looked = guarded.looks
    await until(lambda: guarded.looks > looked)
    await guarded.end(claim, JobState.SUCCEEDED)
    newest = None
    while (response := await stream.read()) is not grpc.aio.EOF:
        newest = response.events[-1] if response.events else newest
    assert newest is not None
    assert newest.state_changed.to == JobState.SUCCEEDED


async def test_no_token_is_ever_logged(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token, unknown = guarded.token(), "autopilot_" + "y" * 43
    for authorization in (f"Bearer {token}", f"Bearer {unknown}", f"Basic {token}", token):
        api = guarded.presenting(authorization)
        for method, request in REQUESTS.items():
            await call(api, method, request("never", "w"))
    text = "\n".join(record.getMessage() + repr(vars(record)) for record in caplog.records)
    assert "SubmitJob" in text
    assert token not in text
    assert unknown not in text
