"""Who a caller is, from what it presents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from autopilot_server.access.identity import EVERYBODY, Identity
from autopilot_server.jobs.errors import CredentialsInvalidError


@dataclass(frozen=True, slots=True)
class Presented:
    """What a caller presents of itself. Its repr shows no secret."""

    bearer: str = field(default="", repr=False)
    """The token of `authorization: Bearer …`; empty when there was none."""
    certificate: bytes = field(default=b"", repr=False)
    """The certificate that the transport has verified, as PEM; empty when there was none. It counts for callers without
    a token: a token is the narrower statement."""
    address: str = ""
    """Where the call comes from, as gRPC writes it: ipv4:127.0.0.1:40312."""


class Authenticator(Protocol):
    """Knows one kind of credentials. Called in the server's loop for every RPC, and each second for open watches: it
    neither blocks nor waits."""

    def authenticate(self, presented: Presented) -> Identity | None:
        """Who it is; None when the credentials are none of this kind, or not known.

        CredentialsInvalidError, with a message for the caller, when they are known and no good: nobody else is asked.
        """
        ...


@runtime_checkable
class Changing(Protocol):
    """An authenticator whose knowledge changes under it."""

    async def up_to_date(self) -> None:
        """Wait until it knows what holds now. Never raises: what cannot be read leaves all as it was."""
        ...


class Authenticators:
    """All that the server knows, asked in order: the first that knows the caller answers."""

    def __init__(self, authenticators: Sequence[Authenticator] = ()) -> None:
        """With none, everybody has every right, as the tenant without a name."""
        self._authenticators = tuple(authenticators)
        self._changing = [each for each in self._authenticators if isinstance(each, Changing)]

    async def up_to_date(self) -> None:
        """Wait until all of them know what holds now. Before `authenticate`, which does not wait."""
        for authenticator in self._changing:
            await authenticator.up_to_date()

    def authenticate(self, presented: Presented) -> Identity:
        """Who it is. CredentialsInvalidError."""
        if not self._authenticators:
            return EVERYBODY
        for authenticator in self._authenticators:
            if (identity := authenticator.authenticate(presented)) is not None:
                return identity
        if not presented.bearer and not presented.certificate:
            raise CredentialsInvalidError("This server needs credentials: call with 'authorization: Bearer TOKEN'.")
        if not presented.bearer:
            raise CredentialsInvalidError("The client certificate is not known here, and there is no token beside it.")
        raise CredentialsInvalidError("The credentials are not known here: they are wrong, were revoked, or expired.")
