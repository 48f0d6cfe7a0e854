"""JSON Web Tokens: those that a provider made for this server are taken, all others are refused and told why."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from autopilot_client import Client, CredentialsInvalid, JobNotFound, MethodForbidden
from autopilot_server.access import oidc
from autopilot_server.access.authenticators import Presented
from autopilot_server.access.identity import Identity, Right
from autopilot_server.access.oidc import JwtBearer, Provider, ProviderKeys
from autopilot_server.jobs.errors import CredentialsInvalidError, StartupError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.proof.server import ServerProcess

AUDIENCE = "autopilot"
EVERYTHING = "openid autopilot:submit,read,control,admin"


class Issuer(ThreadingHTTPServer):
    """A provider on loopback."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Pages)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.keys: dict[str, Any] = {}
        self.asked = self.fetches = 0
        self.answers: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.add_key("first", rsa.generate_private_key(65537, 2048))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add_key(self, key_id: str, key: Any) -> None:
        self.keys[key_id] = key

    def page(self, path: str) -> bytes:
        self.asked += 1
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        self.fetches += 1
        return json.dumps({"keys": [_jwk(key_id, key) for key_id, key in self.keys.items()]}).encode()

    def claims(self, **claims: Any) -> dict[str, Any]:
        made = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": time.time() + 600,
            "tenant": "blue",
            "scope": EVERYTHING,
            **claims,
        }
        return {name: value for name, value in made.items() if value is not None}

    def token(self, key_id: str = "first", algorithm: str = "RS256", **claims: Any) -> str:
        return jwt.encode(self.claims(**claims), self.keys[key_id], algorithm, headers={"kid": key_id})

    def unsigned(self) -> str:
        return jwt.encode(self.claims(), None, "none", headers={"kid": "first"})

    def signed_with_the_public_key(self) -> str:
        """As if the published key were a shared secret."""
        public = self.keys["first"].public_key()
        secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        parts = ({"alg": "HS256", "kid": "first", "typ": "JWT"}, self.claims())
        head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
        signature = base64.urlsafe_b64encode(hmac.digest(secret, head + b"." + body, hashlib.sha256)).rstrip(b"=")
        return b".".join((head, body, signature)).decode()


class _Pages(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        body = self.server.page(self.path)
        place = self.server.redirects.get(self.path)
        self.send_response(200 if place is None else 302)
        if place is not None:
            self.send_header("Location", place)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        return


_KINDS: dict[type, Any] = {
    rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
    ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
    ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
}


def _jwk(key_id: str, key: Any) -> dict[str, Any]:
    algorithm = next(algorithm for kind, algorithm in _KINDS.items() if isinstance(key, kind))
    made: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": key_id, "use": "sig"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer
        issuer.shutdown()


@pytest.fixture
def keys(issuer: Issuer) -> Iterator[ProviderKeys]:
    keys = ProviderKeys(issuer.url)
    yield keys
    keys.close()


@pytest.fixture
def bearer(issuer: Issuer, keys: ProviderKeys) -> JwtBearer:
    return JwtBearer(provider(issuer), keys)


def provider(issuer: Issuer, **fields: Any) -> Provider:
    given = {"issuer": issuer.url, "audience": AUDIENCE, "tenant_claim": "tenant", "grants_claim": "scope"}
    return Provider(**given | fields)


def who(bearer: JwtBearer, token: str) -> Identity:
    identity = bearer.authenticate(Presented(bearer=token))
    assert identity is not None
    return identity


def why_not(bearer: JwtBearer, token: str) -> str:
    with pytest.raises(CredentialsInvalidError) as error:
        bearer.authenticate(Presented(bearer=token))
    return error.value.message


def test_the_claims_say_who_it_is_and_what_it_may(issuer: Issuer, bearer: JwtBearer) -> None:
    identity = who(bearer, issuer.token(scope="openid autopilot:read autopilot:submit,control:invoice-* other:admin"))
    assert (identity.name, identity.tenant) == ("ada", "blue")
    assert identity.may(Right.READ, "anything")
    assert identity.may(Right.SUBMIT, "invoice-daily")
    assert not identity.may(Right.SUBMIT, "report")
    assert not identity.holds(Right.ADMIN)


def test_grants_may_be_a_list_and_no_grants_are_no_rights(issuer: Issuer, bearer: JwtBearer) -> None:
    assert who(bearer, issuer.token(scope=["autopilot:admin", 7])).holds(Right.ADMIN)
    for claim in ("", None, 7, {"autopilot:admin": 1}, "admin"):
        assert who(bearer, issuer.token(scope=claim)).grants == ()


def test_every_kind_of_key_is_taken(issuer: Issuer) -> None:
    issuer.add_key("ec", ec.generate_private_key(ec.SECP256R1()))
    issuer.add_key("ed", ed25519.Ed25519PrivateKey.generate())
    keys = ProviderKeys(issuer.url)
    bearer = JwtBearer(provider(issuer), keys)
    for key_id, algorithm in (("first", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")):
        assert who(bearer, issuer.token(key_id, algorithm)).name == "ada"
    keys.close()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, "expired"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"aud": "another"}, "another service"),
        ({"aud": None}, "no claim 'aud'"),
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"exp": None}, "no claim 'exp'"),
        ({"sub": None}, "no claim 'sub'"),
        ({"tenant": None}, "no claim 'tenant'"),
        ({"tenant": ["blue"]}, "no claim 'tenant'"),
        ({"tenant": ""}, "no claim 'tenant'"),
        ({"tenant": "Not a tenant\x1f"}, "no tenant's name"),
        ({"scope": "autopilot:fly"}, "rights are"),
        ({"scope": "autopilot:read:[a-z]"}, "no pattern"),
    ],
)
def test_claims_that_are_no_good_are_refused_and_told(
    issuer: Issuer, bearer: JwtBearer, claims: dict[str, Any], why: str
) -> None:
    assert why in why_not(bearer, issuer.token(**claims))


def test_what_the_provider_did_not_sign_is_refused(issuer: Issuer, bearer: JwtBearer) -> None:
    good = issuer.token()
    head, body, signature = good.split(".")
    forged = base64.urlsafe_b64encode(json.dumps(issuer.claims(tenant="red")).encode()).rstrip(b"=").decode()
    stranger = jwt.encode(issuer.claims(), rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "first"})
    for token in (
        issuer.unsigned(),
        issuer.signed_with_the_public_key(),
        stranger,
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}",
        "..",
        "a.b.c",
        "." * 2 + "x" * 100_000,
        base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.",
    ):
        message = why_not(bearer, token)
        assert message in (
            "The token cannot be verified.",
            "The token is not signed in a way that is taken here.",
            "The token is signed with a key that its issuer does not publish.",
        )
    # Nobody else's business: other authenticators are asked.
    assert bearer.authenticate(Presented(bearer="autopilot_" + "x" * 43)) is None
    assert bearer.authenticate(Presented()) is None


def test_a_new_key_is_fetched_once_somebody_uses_it(
    issuer: Issuer, bearer: JwtBearer, keys: ProviderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "LEAST_REFRESH_SECONDS", 0.0)
    issuer.add_key("second", rsa.generate_private_key(65537, 2048))
    del issuer.keys["first"]
    keys._fetched = 0.0
    token = issuer.token("second")
    while True:
        try:
            assert who(bearer, token).name == "ada"
            return
        except CredentialsInvalidError:
            # Its thread is about to fetch.
            continue


def test_made_up_keys_do_not_make_the_server_fetch_all_the_time(issuer: Issuer, bearer: JwtBearer) -> None:
    issuer.add_key("unpublished", rsa.generate_private_key(65537, 2048))
    token = issuer.token("unpublished")
    del issuer.keys["unpublished"]
    for _ in range(200):
        why_not(bearer, token)
    assert issuer.fetches <= 2


def test_keys_that_cannot_be_fetched_again_stay(
    issuer: Issuer, bearer: JwtBearer, keys: ProviderKeys, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answers["/keys"] = b"out of order"
    keys._refresh()
    assert "cannot be fetched" in caplog.text
    assert who(bearer, issuer.token()).name == "ada"


@pytest.mark.parametrize(
    ("path", "answer", "why"),
    [
        ("/.well-known/openid-configuration", b"{}", "calls itself None"),
        ("/.well-known/openid-configuration", b'{"issuer": "https://else.example"}', "calls itself"),
        ("/.well-known/openid-configuration", b"<html>", "no JSON object"),
        ("/.well-known/openid-configuration", b"[" * 2_000_000, "no JSON object"),
        ("/.well-known/openid-configuration", b"[" * 500_000, "no JSON object"),
        ("/keys", b'{"keys": []}', "no keys"),
        ("/keys", b"{}", "no keys"),
    ],
)
def test_a_provider_that_cannot_be_used_is_said_at_the_start(
    issuer: Issuer, path: str, answer: bytes, why: str
) -> None:
    issuer.answers[path] = answer
    with pytest.raises(StartupError, match=why):
        ProviderKeys(issuer.url)


def configured(issuer: Issuer, **fields: str) -> bytes:
    """The provider's configuration, with other fields."""
    return json.dumps({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"} | fields).encode()


@pytest.mark.parametrize("jwks_uri", ["https://[x", "http://127.0.0.1:1/a b", "http://127.0.0.1:nothing/", "nowhere"])
def test_whatever_a_provider_answers_its_keys_are_fetched_again_later(
    issuer: Issuer, bearer: JwtBearer, monkeypatch: pytest.MonkeyPatch, jwks_uri: str
) -> None:
    monkeypatch.setattr(oidc, "LEAST_REFRESH_SECONDS", 0.0)
    broken = configured(issuer, jwks_uri=jwks_uri)
    issuer.answers["/.well-known/openid-configuration"] = broken
    with pytest.raises(StartupError, match="cannot use --oidc-issuer"):
        ProviderKeys(issuer.url)
    issuer.add_key("second", rsa.generate_private_key(65537, 2048))
    token, asked = issuer.token("second"), issuer.asked
    while issuer.asked == asked:
        why_not(bearer, token)
    del issuer.answers["/.well-known/openid-configuration"]
    while True:
        try:
            assert who(bearer, token).name == "ada"
            return
        except CredentialsInvalidError:
            # Its thread is about to fetch.
            continue


def test_a_redirect_to_where_anybody_could_answer_is_not_followed(issuer: Issuer) -> None:
    issuer.redirects["/keys"] = "http://keys.example/"
    with pytest.raises(StartupError, match="https://"):
        ProviderKeys(issuer.url)
    issuer.redirects["/keys"] = f"{issuer.url}/moved"
    ProviderKeys(issuer.url).close()


def test_a_signature_is_checked_once_for_each_key_and_the_end_each_time(
    issuer: Issuer, bearer: JwtBearer, keys: ProviderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[str] = []
    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda *a, **k: checks.append(a[0]) or decode(*a, **k))
    token = issuer.token(exp=time.time() + 600)
    assert [who(bearer, token).name for _ in range(5)] == ["ada"] * 5
    assert len(checks) == 1
    keys.reload()
    assert who(bearer, token).name == "ada"
    assert len(checks) == 2
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 611)
    assert why_not(bearer, token) == "The token has expired."
    monkeypatch.undo()
    assert who(bearer, token).name == "ada"
    del issuer.keys["first"]
    issuer.add_key("second", rsa.generate_private_key(65537, 2048))
    keys.reload()
    assert "does not publish" in why_not(bearer, token)


@pytest.mark.parametrize(
    "url", ["http://issuer.example", "https://[x", "file:///etc/passwd", "issuer.example", "https://"]
)
def test_a_provider_that_others_could_play_is_refused(url: str) -> None:
    with pytest.raises(StartupError, match="https://"):
        ProviderKeys(url)


def test_a_server_takes_such_tokens(issuer: Issuer, tmp_path: Path) -> None:
    """Over the wire: who it is decides which jobs there are, and a token is never in the log."""
    server = ServerProcess(tmp_path, options=["--oidc-issuer", issuer.url, "--oidc-audience", AUDIENCE])
    server.start()

    def call(token: str) -> Client:
        return Client(server.address, metadata=[("authorization", f"Bearer {token}")])

    blue, red = issuer.token(), issuer.token(tenant="red")
    with call(blue) as mine, call(red) as theirs, call(issuer.token(scope="autopilot:read")) as reader:
        job = mine.submit("linear", {"items": []})
        assert mine.get(job.job_id, wait=30).state.finished
        assert reader.get(job.job_id).job_id == job.job_id
        with pytest.raises(JobNotFound):
            theirs.get(job.job_id)
        with pytest.raises(MethodForbidden):
            reader.cancel(job.job_id)
    for token in (issuer.token(exp=1), issuer.token(aud="another"), issuer.unsigned()):
        with call(token) as nobody, pytest.raises(CredentialsInvalid):
            nobody.get(job.job_id)
    server.close()
    log = server.log.read_text()
    assert not any(part in log for token in (blue, red) for part in token.split("."))


def test_an_audience_is_needed(issuer: Issuer, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, options=["--oidc-issuer", issuer.url])
    assert server.start_or_die() == ""
    assert server.wait_for_death() == 2
    assert "--oidc-audience is missing" in server.log.read_text()
