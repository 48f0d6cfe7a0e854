"""Page tokens: opaque, made by this database's servers, and for one query only."""

import base64
import hashlib
import hmac
import json
from typing import Any

from autopilot_server.jobs.errors import PageTokenInvalidError

_VERSION = 1
_SIGNATURE_BYTES = 16


class PageTokens:
    """Makes and reads page tokens."""

    def __init__(self, key: bytes) -> None:
        """Sign with a secret that all servers of a database share."""
        self._key = key

    def make(self, query: object, position: list[Any]) -> str:
        """A token for what comes behind `position` in the answer to `query`."""
        content = json.dumps([_VERSION, position], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._signature(query, content) + content).decode().rstrip("=")

    def read(self, query: object, token: str) -> list[Any] | None:
        """The position that a token was made for; None for an empty token. PageTokenInvalidError."""
        if not token:
            return None
        try:
            data = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            raise _invalid() from None
        signature, content = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(query, content)):
            raise _invalid()
        position: list[Any] = json.loads(content)[1]
        return position

    def _signature(self, query: object, content: bytes) -> bytes:
        signed = repr(query).encode("utf-8", "replace") + b"\0" + content
        return hmac.digest(self._key, signed, hashlib.sha256)[:_SIGNATURE_BYTES]


def _invalid() -> PageTokenInvalidError:
    return PageTokenInvalidError(
        "The page token was not made by this server, or for another method or filter: list again from the first page."
    )
