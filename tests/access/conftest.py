"""A real server that needs tokens, and callers that have them."""

import copy
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.access.authenticators import Authenticators, Presented
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import Token, TokenFile, change_tokens, new_token

from tests.api.conftest import Api

EVERYTHING = "submit,read,control,admin"


class Calls:
    """A stub whose calls carry metadata."""

    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub, self.metadata = stub, metadata

    def __getattr__(self, method: str) -> Any:
        return partial(getattr(self._stub, method), metadata=self.metadata)


class Guarded(Api):
    """A server with a token file. `now` is the time by which tokens expire."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "tokens.json"
        self.now = 1_000_000.0
        change_tokens(self.file, lambda tokens: tokens)
        self.looks = 0
        self.authenticators = Authenticators([self, TokenFile(self.file, clock=lambda: self.now)])

    def authenticate(self, presented: Presented) -> Identity | None:
        """As an authenticator that knows nobody: counts how often it is asked."""
        self.looks += 1
        return None

    def token(self, *grants: str, tenant: str = "", name: str = "someone", expires: int | None = None) -> str:
        """A new token. Grants as on the command line: `read,control:invoice-*`; none: every right."""
        pairs = [grant.partition(":") for grant in grants or (EVERYTHING,)]
        identity = Identity(name, tenant, tuple(Grant.of(rights.split(","), p or "*") for rights, _, p in pairs))
        text, kept = new_token(identity, expires=expires, clock=lambda: self.now)
        change_tokens(self.file, lambda tokens: (*tokens, kept))
        return text

    def grant_all(self, grant: str) -> None:
        """Change what every token may do."""
        rights, _, pattern = grant.partition(":")
        grants = (Grant.of(rights.split(","), pattern or "*"),)

        def granted(token: Token) -> Token:
            return replace(token, identity=replace(token.identity, grants=grants))

        change_tokens(self.file, lambda tokens: [granted(token) for token in tokens])

    def revoke_all(self) -> None:
        change_tokens(self.file, lambda _: ())

    def presenting(self, authorization: str | None) -> "Guarded":
        """The same server, called with a header or without."""
        other = copy.copy(self)
        metadata = () if authorization is None else (("authorization", authorization),)
        other.stub = Calls(self.anonymous, metadata)
        return other

    def having(self, token: str) -> "Guarded":
        return self.presenting(f"Bearer {token}")

    def caller(self, *grants: str, tenant: str = "", **fields: Any) -> "Guarded":
        """The same server, called with a new token."""
        return self.having(self.token(*grants, tenant=tenant, **fields))

    async def restart(self, **settings: Any) -> None:
        """The same with other settings."""
        await self.channel.close()
        await self.server.stop(0)
        self.settings = replace(self.settings, **settings)
        await self.start()

    async def start(self) -> None:
        await super().start()
        self.anonymous = self.stub


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    api = Guarded(tmp_path)
    await api.start()
    yield api
    await api.stop()
