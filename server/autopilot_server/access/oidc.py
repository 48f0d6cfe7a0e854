"""JSON Web Tokens of an OpenID Connect provider: who signed them, for whom, and what they say of the caller."""

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import jwt

from autopilot_server.access.authenticators import Presented
from autopilot_server.access.identity import Grant, GrantError, Identity
from autopilot_server.jobs.errors import CredentialsInvalidError, StartupError

log = logging.getLogger(__name__)

# Signatures that only the provider can make. Of what a shared secret signs, every holder would be the provider.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

# Clocks of provider and server may differ by this much.
LEEWAY_SECONDS = 10

# Providers publish a key long before they sign with it.
REFRESH_SECONDS = 300.0
# And this is how often somebody who makes up key ids can have them fetched.
LEAST_REFRESH_SECONDS = 10.0

FETCH_SECONDS = 10.0
_MOST_BYTES = 1 << 20

# Tokens whose signatures are known to be good: checking one takes a tenth of a millisecond, and each open watch looks
# at its token every second.
_REMEMBERED = 10_000

# What marks a grant among the scopes or roles of other services.
GRANT_PREFIX = "autopilot:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Whose tokens are taken, and where they say what the caller may do."""

    issuer: str
    audience: str
    tenant_claim: str
    """Empty: every caller is of the tenant without a name."""
    grants_claim: str


class JwtBearer:
    """Knows the callers for whom a provider vouches."""

    def __init__(self, provider: Provider, keys: "ProviderKeys") -> None:
        """Check with `keys`, as they are at that time."""
        self._provider, self._keys = provider, keys
        # A key that was fetched again is another one: what it was checked with is then checked again.
        self._checked = lru_cache(maxsize=_REMEMBERED)(self._check)

    def authenticate(self, presented: Presented) -> Identity | None:
        """See Authenticator."""
        if presented.bearer.count(".") != 2:
            return None
        try:
            key = self._keys.get(jwt.get_unverified_header(presented.bearer).get("kid"))
            identity, expires = self._checked(presented.bearer, key)
        except jwt.InvalidTokenError as error:
            raise CredentialsInvalidError(_why(error)) from None
        except RecursionError:
            # A header that is nested deeply: older versions of the library do not catch it.
            raise CredentialsInvalidError("The token cannot be verified.") from None
        if expires + LEEWAY_SECONDS <= time.time():
            raise CredentialsInvalidError("The token has expired.")
        return identity

    def _check(self, token: str, key: jwt.PyJWK) -> tuple[Identity, int]:
        """Who a token is of, and when it ends. InvalidTokenError, CredentialsInvalidError; neither is remembered."""
        claims = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._provider.audience,
            issuer=self._provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return self._identity(claims), int(claims["exp"])

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        wanted = self._provider.tenant_claim
        tenant = claims.get(wanted) if wanted else ""
        # An empty claim is one that the provider has left out: it must not make its holder the tenant without a name.
        if not isinstance(tenant, str) or (wanted and not tenant):
            raise CredentialsInvalidError(f"The token has no claim {wanted!r}, which names the caller's tenant.")
        try:
            grants = _grants(claims.get(self._provider.grants_claim))
            return Identity(str(claims["sub"]), tenant, grants, credential="jwt")
        except GrantError as error:
            raise CredentialsInvalidError(f"The token's claims cannot be used: {error}.") from None


def _grants(claim: object) -> tuple[Grant, ...]:
    """Grants as scopes have them: `autopilot:read,control:invoice-*`. GrantError."""
    entries = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    grants = []
    for entry in entries:
        if isinstance(entry, str) and entry.startswith(GRANT_PREFIX):
            rights, _, pattern = entry.removeprefix(GRANT_PREFIX).partition(":")
            grants.append(Grant.of(rights.split(","), pattern or "*"))
    return tuple(grants)


def _why(error: jwt.InvalidTokenError) -> str:
    """What is wrong with a token, for its holder."""
    match error:
        case jwt.ExpiredSignatureError():
            return "The token has expired."
        case jwt.ImmatureSignatureError():
            return "The token is not valid yet."
        case jwt.InvalidAudienceError():
            return "The token is for another service: its audience is not this server's."
        case jwt.InvalidIssuerError():
            return "The token is of another issuer."
        case jwt.MissingRequiredClaimError():
            return f"The token has no claim {error.claim!r}."
        case jwt.InvalidAlgorithmError():
            return "The token is not signed in a way that is taken here."
        case _UnknownKeyError():
            return "The token is signed with a key that its issuer does not publish."
        case _:
            return "The token cannot be verified."


class _UnknownKeyError(jwt.InvalidTokenError):
    """No key has the token's id."""


class ProviderKeys:
    """The keys that a provider publishes, fetched on a thread of their own again and again."""

    name = "OIDC issuer's keys"

    def __init__(self, issuer: str) -> None:
        """Fetch them. StartupError."""
        self._issuer = issuer
        _require_safe(issuer)
        try:
            self._keys = _fetch_keys(issuer)
        except _FetchError as error:
            raise StartupError(f"cannot use --oidc-issuer {issuer}: {error}") from error
        self._wanted, self._closed = threading.Event(), threading.Event()
        # Keys that were fetched later are not followed by older ones.
        self._fetching = threading.Lock()
        self._fetched = time.monotonic()
        threading.Thread(target=self._main, name="oidc keys", daemon=True).start()

    def get(self, key_id: object) -> jwt.PyJWK:
        """A key. _UnknownKeyError; the keys are then fetched again soon."""
        key = self._keys.get(key_id if isinstance(key_id, str) else None)
        if key is None:
            self._wanted.set()
            raise _UnknownKeyError
        return key

    def reload(self) -> str:
        """Fetch them now. An error when they cannot be had."""
        with self._fetching:
            self._fetched = time.monotonic()
            self._keys = _fetch_keys(self._issuer)
            return f"{len(self._keys)} keys"

    def close(self) -> None:
        """Fetch no more."""
        self._closed.set()
        self._wanted.set()

    def _main(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait(REFRESH_SECONDS)
            self._closed.wait(self._fetched + LEAST_REFRESH_SECONDS - time.monotonic())
            self._wanted.clear()
            if not self._closed.is_set():
                self._refresh()

    def _refresh(self) -> None:
        known = self._keys.keys()
        try:
            self.reload()
        except Exception as error:
            # Whatever the provider answered: nobody else would ever fetch them again.
            log.warning("the OIDC issuer's keys cannot be fetched, the old ones stay: %s", error)
            return
        if self._keys.keys() != known:
            log.info("the OIDC issuer has other keys now, %d in all", len(self._keys))


# --- the provider's documents ---


class _FetchError(Exception):
    """A document cannot be had, or is not what it should be."""


def _require_safe(url: str) -> None:
    """StartupError for a place whose answers anybody on the way could change."""
    try:
        parts = urlsplit(url)
    except ValueError:
        # No address at all.
        parts = urlsplit("")
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return
    raise StartupError(f"cannot use --oidc-issuer {url}: give the https:// address of the issuer")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows to safe places only: whoever is on one unsafe way could send the next request wherever they like."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.build_opener(_SafeRedirects)


def _fetch_keys(issuer: str) -> dict[str | None, jwt.PyJWK]:
    """The issuer's keys by id; one without an id by None. _FetchError."""
    found = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise _FetchError(f"the issuer found there calls itself {found.get('issuer')!r}")
    jwks_uri = found.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise _FetchError("the issuer's configuration names no jwks_uri")
    try:
        _require_safe(jwks_uri)
        keys = jwt.PyJWKSet.from_dict(_fetch(jwks_uri)).keys
    except (jwt.PyJWTError, StartupError, KeyError) as error:
        raise _FetchError(f"{jwks_uri} has no keys that can be used: {error}") from error
    return {key.key_id: key for key in keys if key.public_key_use in (None, "sig")}


def _fetch(url: str) -> dict[str, Any]:
    try:
        with _opener.open(url, timeout=FETCH_SECONDS) as response:
            data = response.read(_MOST_BYTES + 1)
    except (OSError, HTTPException, ValueError, StartupError) as error:
        raise _FetchError(f"{url}: {error}") from error
    try:
        content = json.loads(data) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _FetchError(f"{url} is no JSON object of at most {_MOST_BYTES} bytes")
    return content
