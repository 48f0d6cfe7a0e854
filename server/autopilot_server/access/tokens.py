"""Bearer tokens, and the file that knows their hashes, and what client certificates stand for.

A token is 256 random bits, so its SHA-256 can be stored and looked up as it is: there is nothing to guess, and nothing
that takes longer the more of a guess is right. The file is JSON, replaced as a whole under a lock, and holds no secret.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot_server.access.authenticators import Presented
from autopilot_server.access.certificates import Certificate, CertificateNameError, certificate_name
from autopilot_server.access.identity import Grant, GrantError, Identity
from autopilot_server.jobs.errors import CredentialsInvalidError, StartupError
from autopilot_server.owner_file import changing, replace

log = logging.getLogger(__name__)

# So that scanners for secrets find a token that was published.
TOKEN = re.compile(r"autopilot_[A-Za-z0-9_-]{43}")
_TOKEN_BYTES = 32
_DIGEST = re.compile(r"[0-9a-f]{64}")

_VERSION = 1

Clock = Callable[[], float]
"""Seconds since 1970-01-01 UTC."""


class TokenFileError(ValueError):
    """The file is not what a token file is. The message names the file and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What the file keeps of a token, or of a certificate in place of one.

    Times are whole seconds since 1970-01-01 UTC.
    """

    token_id: str
    """Names it to `autopilot token revoke`, and in the log."""
    identity: Identity
    created: int
    sha256: str = ""
    """Of the token; empty for a certificate."""
    certificate: str = ""
    """The certificate's name, see certificates.py; empty for a token."""
    expires: int | None = None
    """None: never."""


def new_token(identity: Identity, *, expires: int | None = None, clock: Clock = time.time) -> tuple[str, Token]:
    """A new token, to be given to its user and kept nowhere, and what is kept of it."""
    text = f"autopilot_{secrets.token_urlsafe(_TOKEN_BYTES)}"
    kept = Token(
        token_id=secrets.token_hex(4),
        identity=identity,
        sha256=_digest(text),
        created=int(clock()),
        expires=expires,
    )
    return text, kept


def new_certificate(
    identity: Identity, certificate: str, *, expires: int | None = None, clock: Clock = time.time
) -> Token:
    """What is kept of a certificate, by one of its names. CertificateNameError."""
    return Token(
        token_id=secrets.token_hex(4),
        identity=identity,
        certificate=certificate_name(certificate),
        created=int(clock()),
        expires=expires,
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --- the file ---


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file. TokenFileError; OSError when it cannot be read."""
    return _parse(path, path.read_bytes())


def _read_safe(path: Path) -> tuple[Token, ...]:
    """The tokens of a file that nobody but its owner can write. TokenFileError, OSError."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise TokenFileError(f"{path} can be written by others, who could make tokens: chmod go-w it")
        return _parse(path, file.read())


def _parse(path: Path, data: bytes) -> tuple[Token, ...]:
    try:
        content = json.loads(data)
        if content["version"] != _VERSION:
            raise TokenFileError(f"{path} is of version {content['version']}, and this program knows {_VERSION}")
        tokens = tuple(_load(entry) for entry in content["tokens"])
    except TokenFileError:
        raise
    except (GrantError, CertificateNameError) as error:
        raise TokenFileError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenFileError(f"{path} is no file of `autopilot token create` ({type(error).__name__})") from error
    return tokens


def _load(entry: dict[str, Any]) -> Token:
    certificate = entry.get("certificate")
    if certificate is None and not _DIGEST.fullmatch(entry["sha256"]):
        raise ValueError("sha256")
    expires, token_id = entry.get("expires"), str(entry["id"])
    return Token(
        token_id=token_id,
        identity=Identity(
            str(entry["name"]),
            entry["tenant"],
            tuple(Grant.of(grant["rights"], grant["workflows"]) for grant in entry["grants"]),
            credential=f"{'token' if certificate is None else 'certificate'} {token_id}",
        ),
        sha256=entry["sha256"] if certificate is None else "",
        certificate="" if certificate is None else certificate_name(certificate),
        created=int(entry["created"]),
        expires=None if expires is None else int(expires),
    )


def _dump(token: Token) -> dict[str, Any]:
    return {
        "id": token.token_id,
        "name": token.identity.name,
        "tenant": token.identity.tenant,
        "grants": [{"rights": sorted(grant.rights), "workflows": grant.workflows} for grant in token.identity.grants],
        **({"certificate": token.certificate} if token.certificate else {"sha256": token.sha256}),
        "created": token.created,
        "expires": token.expires,
    }


def change_tokens(path: Path, change: Callable[[tuple[Token, ...]], Sequence[Token]]) -> None:
    """Replace the file's tokens by what `change` makes of them, or make the file.

    Whoever reads meanwhile sees the old or the new ones, and other changes wait. TokenFileError, OSError.
    """
    with changing(path) as place:
        tokens = read_tokens(place) if place.exists() else ()
        content = {"version": _VERSION, "tokens": [_dump(token) for token in change(tokens)]}
        replace(place, json.dumps(content, indent=2) + "\n")


# --- the authenticator ---

_Version = tuple[int, int, int]


class TokenFile:
    """Knows the callers whose tokens or certificates are in a file, as it is now: read again when it has changed.

    To look whether it has takes 2 µs. To read 10,000 tokens takes 0.1 s and more, so a thread does it; for 30 ms of it
    JSON's parser lets nothing else run.
    """

    name = "token file"

    def __init__(self, path: Path, *, clock: Clock = time.time) -> None:
        """Read the file. StartupError."""
        self._path, self._clock = path, clock
        # Two threads read it, that of `up_to_date` and a reload: whoever looked last has the last word.
        self._lock = threading.Lock()
        self._reading: asyncio.Future[None] | None = None
        # Of its own: every call would wait behind whatever else fills the loop's threads.
        self._reader = ThreadPoolExecutor(1, "token file")
        try:
            version = self._look()
            self._keep(_read_safe(path))
            self._version = version
        except (OSError, TokenFileError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            how = (
                f"; `autopilot token create --token-file {path}` makes one"
                if isinstance(error, FileNotFoundError)
                else ""
            )
            raise StartupError(f"cannot use --token-file {path}: {reason}{how}") from error

    def authenticate(self, presented: Presented) -> Identity | None:
        """See Authenticator. Of a caller that has a token, good or not, the certificate is not looked at."""
        if not presented.bearer and presented.certificate:
            return self._of_certificate(Certificate.read(presented.certificate))
        if not TOKEN.fullmatch(presented.bearer):
            return None
        token = self._tokens.get(_digest(presented.bearer))
        if token is None:
            return None
        self._check_age(token.expires, "The token has expired.")
        return token.identity

    def _of_certificate(self, certificate: Certificate) -> Identity | None:
        certificate.check_age(self._clock())
        entries = [self._certificates[name] for name in certificate.names if name in self._certificates]
        if not entries:
            return None
        if len(entries) > 1:
            raise CredentialsInvalidError("The client certificate has several entries here, by several of its names.")
        self._check_age(entries[0].expires, "The entry of the client certificate has expired.")
        return entries[0].identity

    def _check_age(self, expires: float | None, message: str) -> None:
        if expires is not None and expires <= self._clock():
            raise CredentialsInvalidError(message)

    def _keep(self, tokens: Sequence[Token]) -> int:
        """How many there are."""
        self._tokens = {token.sha256: token for token in tokens if token.sha256}
        self._certificates = {token.certificate: token for token in tokens if token.certificate}
        return len(tokens)

    def _look(self) -> _Version:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_ino, found.st_size

    def reload(self) -> str:
        """Read the file again, also one that looks the same. TokenFileError, OSError."""
        with self._lock:
            version = self._look()
            count = self._keep(_read_safe(self._path))
            self._version = version
            return f"{count} tokens"

    async def up_to_date(self) -> None:
        """Wait until the file was read as it is now: a token that was revoked before must not be known any more."""
        # A reading that is under way may have begun before the last change; the one after it has not. No more: calls
        # go on beside a file that changes all the time.
        for _ in range(2):
            if self._look_again() == self._version:
                return
            if self._reading is None:
                self._reading = asyncio.get_running_loop().run_in_executor(self._reader, self._refresh)
                self._reading.add_done_callback(self._was_read)
            # All that wait share it: none of them ends it when its call is given up.
            await asyncio.shield(self._reading)

    def _was_read(self, _reading: object) -> None:
        self._reading = None

    def _look_again(self) -> _Version:
        try:
            return self._look()
        except OSError:
            return 0, 0, 0

    def _refresh(self) -> None:
        """Read the file again when it is another. One that is broken or gone leaves all as it was."""
        with self._lock:
            version = self._look_again()
            if version == self._version:
                return
            try:
                count = self._keep(_read_safe(self._path))
            except (OSError, TokenFileError) as error:
                log.error("the token file cannot be read, the tokens stay as they were: %s", error)
            else:
                log.info("the token file was read again: %d tokens", count)
            # Last: until then whoever looks sees that it is another, and waits.
            self._version = version
