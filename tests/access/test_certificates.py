"""Client certificates as identities: known by a name of theirs, with a tenant and rights, revoked like tokens."""

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc
from autopilot_server.access.authenticators import Presented
from autopilot_server.access.callers import Callers
from autopilot_server.access.certificates import AnyCertificate, CertificateNameError, certificate_name
from autopilot_server.access.identity import EVERYBODY, Grant, Identity
from autopilot_server.access.tokens import TokenFile, change_tokens, new_certificate, new_token, read_tokens
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import CredentialsInvalidError

from tests.access.authority import Authority, Issued, dns, email, loopback, uri
from tests.access.conftest import EVERYTHING, Calls, Guarded
from tests.access.test_credentials import UNAUTHENTICATED, kind, to_the_end
from tests.access.test_rights import REQUESTS, call
from tests.access.test_tokens import autopilot

CI = "uri:spiffe://example.org/ci"


class Secured(Guarded):
    """A server that takes the certificates of an authority, and has entries for some."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.now = time.time()
        self.authority = Authority()
        server = self.authority.issue("server", names=[loopback()])
        for name, content in {"cert": server.certificate, "key": server.key, "ca": self.authority.pem}.items():
            (folder / f"{name}.pem").write_bytes(content)
        cert, key, ca = (str(folder / f"{name}.pem") for name in ("cert", "key", "ca"))
        self.settings = replace(self.settings, tls_cert=cert, tls_key=key, tls_client_ca=ca)
        self.channels: list[grpc.aio.Channel] = []

    def enter(self, certificate: str, *grants: str, tenant: str = "", expires: int | None = None) -> None:
        """An entry for a certificate. Grants as for tokens."""
        pairs = [grant.partition(":") for grant in grants or (EVERYTHING,)]
        identity = Identity("service", tenant, tuple(Grant.of(r.split(","), p or "*") for r, _, p in pairs))
        kept = new_certificate(identity, certificate, expires=expires)
        change_tokens(self.file, lambda tokens: (*tokens, kept))

    def connected(self, issued: Issued | None, authorization: str | None = None) -> "Secured":
        """The same server, on a connection with a certificate; perhaps with a header as well."""
        ca = (Path(self.settings.tls_client_ca)).read_bytes()
        key, chain = (issued.key, issued.certificate) if issued else (None, None)
        credentials = grpc.ssl_channel_credentials(ca, key, chain)
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}", credentials, [("grpc.use_local_subchannel_pool", 1)]
        )
        self.channels.append(channel)
        other = copy.copy(self)
        other.channel = channel
        metadata = () if authorization is None else (("authorization", authorization),)
        other.stub = Calls(job_service_pb2_grpc.JobServiceStub(channel), metadata)
        return other

    async def stop(self) -> None:
        for channel in self.channels:
            await channel.close()
        await super().stop()


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    api = Secured(tmp_path)
    await api.start()
    yield api
    await api.stop()


@pytest.mark.parametrize(
    ("entry", "issued"),
    [
        (CI, {"names": [uri("spiffe://example.org/ci")]}),
        ("DNS:ci.Example.org", {"names": [dns("CI.example.org"), dns("other")]}),
        ("email:ci@example.org", {"names": [email("ci@example.org")]}),
        ("cn:ci", {}),
        ("subject:CN=ci,O=Acme", {"organization": "Acme"}),
    ],
)
async def test_a_certificate_is_known_by_any_of_its_names(secured: Secured, entry: str, issued: Any) -> None:
    secured.enter(entry, tenant="acme")
    api = secured.connected(secured.authority.issue("ci", **issued))
    await api.submit(job_id="job")
    colleague = secured.connected(secured.authority.issue("x"), f"Bearer {secured.token('read', tenant='acme')}")
    assert (await colleague.get("job")).job_id == "job"


async def test_who_has_no_entry_gets_nothing(secured: Secured) -> None:
    """Nor does who has the right text in a name of another kind, or beside another common name."""
    secured.enter(CI)
    secured.enter("cn:ci")
    for issued in (
        secured.authority.issue("unknown"),
        secured.authority.issue("spiffe://example.org/ci"),
        secured.authority.issue("unknown", names=[dns("ci")]),
        secured.authority.issue("unknown", names=[email("ci")]),
        secured.authority.issue("ci", "unknown"),
        secured.authority.issue("CI", names=[uri("spiffe://example.org/CI")]),
    ):
        api = secured.connected(issued)
        for method, request in REQUESTS.items():
            refused = await call(api, method, request("never", "w"))
            assert kind(refused) == UNAUTHENTICATED
            assert (refused.metadata, refused.violations) == ({}, {})


async def test_of_a_certificate_that_two_entries_are_for_nobody_guesses_which(secured: Secured) -> None:
    secured.enter(CI, "read")
    secured.enter("cn:ci")
    api = secured.connected(secured.authority.issue("ci", names=[uri("spiffe://example.org/ci")]))
    refused = await api.refused(api.submit())
    assert kind(refused) == UNAUTHENTICATED
    assert "several entries" in refused.message


async def test_another_authority_s_certificate_does_not_even_connect(secured: Secured) -> None:
    secured.enter(CI)
    names = [uri("spiffe://example.org/ci")]
    ended = secured.authority.issue("ci", names=names, not_after=datetime.now(UTC) - timedelta(hours=1))
    for issued in (Authority().issue("ci", names=names), ended, None):
        api = secured.connected(issued)
        with pytest.raises(grpc.RpcError) as caught:
            await api.submit()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    good = secured.connected(secured.authority.issue("ci", names=names))
    assert await good.submit()


async def test_it_has_its_rights_and_no_others(secured: Secured) -> None:
    secured.enter("cn:reader", "read:w")
    secured.enter("cn:owner")
    owner = secured.connected(secured.authority.issue("owner"))
    reader = secured.connected(secured.authority.issue("reader"))
    job = await owner.submit()
    assert (await reader.get(job.job_id)).job_id == job.job_id
    assert (await reader.refused(reader.submit())).reason == "METHOD_FORBIDDEN"
    cancel = reader.stub.Cancel(job_service_pb2.CancelRequest(job_id=job.job_id))
    assert (await reader.refused(cancel)).reason == "METHOD_FORBIDDEN"


async def test_another_tenant_s_jobs_are_not_there_for_it(secured: Secured) -> None:
    secured.enter("cn:first", tenant="first")
    secured.enter("cn:second", tenant="second")
    first = secured.connected(secured.authority.issue("first"))
    second = secured.connected(secured.authority.issue("second"))
    await first.submit(job_id="job")
    for method in ("GetStatus", "Cancel", "Resume", "DeleteJob", "ListCheckpoints", "WatchProgress"):
        foreign = await call(second, method, REQUESTS[method]("job", "w"))
        never = await call(second, method, REQUESTS[method]("never", "w"))
        assert (foreign.code, foreign.reason) == (never.code, never.reason) == (grpc.StatusCode.NOT_FOUND, never.reason)
    assert (await second.submit(job_id="job")).job_id == "job"


async def test_of_a_token_and_a_certificate_the_token_counts(secured: Secured) -> None:
    secured.enter("cn:service", tenant="certificate")
    issued = secured.authority.issue("service")
    await secured.connected(issued).submit(job_id="of-the-certificate")
    reader = secured.connected(issued, f"Bearer {secured.token('read', tenant='token')}")
    assert (await reader.refused(reader.get("of-the-certificate"))).reason == "JOB_NOT_FOUND"
    assert (await reader.refused(reader.submit())).reason == "METHOD_FORBIDDEN"
    for authorization in ("Bearer autopilot_" + "x" * 43, "Bearer x", "Basic x", ""):
        api = secured.connected(issued, authorization)
        assert kind(await api.refused(api.submit())) == UNAUTHENTICATED


async def test_a_token_needs_no_entry_for_the_certificate_that_it_comes_with(secured: Secured) -> None:
    api = secured.connected(secured.authority.issue("unknown"), f"Bearer {secured.token()}")
    assert await api.submit()


@pytest.mark.parametrize("how", ["revoked", "entry expired", "certificate expired", "less"])
async def test_what_is_open_ends_with_it(secured: Secured, how: str) -> None:
    expires = int(secured.now + 1000) if how == "entry expired" else None
    secured.enter("cn:owner", expires=expires)
    api = secured.connected(secured.authority.issue("owner"))
    job = await api.submit()
    stream = api.stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id=job.job_id))
    await stream.read()
    if how == "revoked":
        secured.revoke_all()
    elif how == "less":
        secured.grant_all("read:other")
    else:
        # One's own connection outlives the certificate that it was made with.
        secured.now += 1000 if how == "entry expired" else 3 * 86400
    # Without an end this hangs, and is cut off with all tests.
    assert kind(await secured.refused(asyncio.wait_for(to_the_end(stream), 60))) == UNAUTHENTICATED
    assert kind(await secured.refused(api.get(job.job_id))) == (
        UNAUTHENTICATED if how != "less" else (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    )


def test_where_any_certificate_is_enough_it_is_named_and_has_an_end() -> None:
    """A connection, which outlives the certificate that it was made with, does not make it good."""
    authority, now = Authority(), time.time()
    callers = AnyCertificate(lambda: now)
    named = Presented(certificate=authority.issue("ci", organization="Acme").certificate, bearer="x")
    unnamed = Presented(certificate=authority.issue(names=[uri("spiffe://example.org/ci")]).certificate)
    for presented, name in ((named, "CN=ci,O=Acme"), (unnamed, CI)):
        identity = callers.authenticate(presented)
        assert identity == replace(EVERYBODY, name=name)
        assert identity.credential == "certificate"
    assert callers.authenticate(Presented()) is None
    now += 3 * 86400
    with pytest.raises(CredentialsInvalidError, match="expired"):
        callers.authenticate(named)


def test_a_server_that_only_knows_authorities_knows_any_certificate() -> None:
    for settings, kind_ in (
        (Settings(tls_client_ca="ca.pem"), AnyCertificate),
        (Settings(), type(None)),
    ):
        found = Callers(settings).authenticators
        assert type(next(iter(found._authenticators), None)) is kind_


def test_entries_are_made_replaced_listed_and_revoked(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    options = ["--token-file", str(path)]
    token = autopilot("token", "create", "human", *options).stdout.strip()
    made = autopilot(
        "token", "create", "ci", *options, "--certificate", "URI:spiffe://example.org/ci", "--grant", "read"
    )
    assert CI in made.stdout
    again = ["token", "create", "ci", *options, "--certificate", CI, "--tenant", "acme", "--json"]
    shown = json.loads(autopilot(*again).stdout)
    assert (shown["certificate"], shown["tenant"], shown.get("token")) == (CI, "acme", None)
    listed = [json.loads(line) for line in autopilot("token", "list", *options, "--json").stdout.splitlines()]
    assert [entry["name"] for entry in listed] == ["human", "ci"]
    assert listed[1] == shown
    assert f"certificate {CI}" in autopilot("token", "list", *options).stdout

    file = TokenFile(path)
    certificate = Authority().issue("x", names=[uri("spiffe://example.org/ci")]).certificate
    assert file.authenticate(Presented(certificate=certificate)) == Identity(
        "ci", "acme", read_tokens(path)[1].identity.grants
    )
    assert file.authenticate(Presented(bearer=token)) is not None
    assert f"certificate {shown['id']} of 'ci' is revoked" in autopilot("token", "revoke", shown["id"], *options).stdout
    asyncio.run(file.up_to_date())
    assert file.authenticate(Presented(certificate=certificate)) is None
    assert file.authenticate(Presented(bearer=token)) is not None


@pytest.mark.parametrize("text", ["", "ci", "cn:", "uid:x", "cn:a\nb", "uri:" + "x" * 3000])
def test_what_names_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CertificateNameError):
        certificate_name(text)
    told = autopilot("token", "create", "x", "--token-file", str(tmp_path / "t"), "--certificate", text, code=2)
    assert "names no certificate" in told.stderr


def test_what_is_no_certificate_is_bad_credentials(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    _, kept = new_token(Identity("x", "", ()))
    change_tokens(path, lambda _: [kept])
    for pem in (b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(CredentialsInvalidError):
            TokenFile(path).authenticate(Presented(certificate=pem))
