"""Client certificates: what a verified one is called, and until when it is good."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from autopilot_server.access.authenticators import Presented
from autopilot_server.access.identity import EVERYBODY, Identity
from autopilot_server.jobs.errors import CredentialsInvalidError

KINDS = ("uri", "dns", "email", "cn", "subject")
"""A name says of which kind it is: whoever may choose an e-mail address must not become the URI that reads the same."""

MOST_NAME = 2048

# Certificates that are remembered, taken apart: each call presents one.
_REMEMBERED = 1024


class CertificateNameError(ValueError):
    """A text that names no certificate. The message says why."""


def certificate_name(text: str) -> str:
    """A certificate's name as it is kept and compared: `uri:spiffe://example.org/ci`. CertificateNameError."""
    kind, _, value = text.partition(":")
    if kind.lower() not in KINDS or not value or len(value) > MOST_NAME or not value.isprintable():
        forms = ", ".join(f"{kind}:…" for kind in KINDS)
        raise CertificateNameError(f"{text[:100]!r} names no certificate: give one of its names as {forms}")
    return _name(kind.lower(), value)


def _name(kind: str, value: str) -> str:
    return f"{kind}:{value.lower() if kind == 'dns' else value}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says of its holder."""

    names: frozenset[str]
    """Each with its kind, as `certificate_name` has them."""
    not_after: datetime
    subject: str
    """As RFC 4514 writes it; often empty where names say more."""

    @classmethod
    def read(cls, pem: bytes) -> "Certificate":
        """The first certificate of a PEM text, which the transport has verified. CredentialsInvalidError."""
        return _read(pem)

    @property
    def title(self) -> str:
        """For people and the audit."""
        return self.subject or min(self.names - {"subject:"}, default="")

    def check_age(self, now: float) -> None:
        """CredentialsInvalidError when it has ended: TLS looks when a connection is made, and connections last."""
        if self.not_after.timestamp() <= now:
            raise CredentialsInvalidError("The client certificate has expired.")


@lru_cache(maxsize=_REMEMBERED)
def _read(pem: bytes) -> Certificate:
    try:
        found = x509.load_pem_x509_certificate(pem)
        return Certificate(frozenset(_names(found)), found.not_valid_after_utc, found.subject.rfc4514_string())
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CredentialsInvalidError("The client certificate cannot be read.") from None


def _names(certificate: x509.Certificate) -> Iterator[str]:
    yield _name("subject", certificate.subject.rfc4514_string())
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # Of several nobody knows which one its authority has looked at.
    if len(common) == 1 and isinstance(common[0].value, str):
        yield _name("cn", common[0].value)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for alternative in extension.value:
        match alternative:
            case x509.UniformResourceIdentifier():
                yield _name("uri", alternative.value)
            case x509.DNSName():
                yield _name("dns", alternative.value)
            case x509.RFC822Name():
                yield _name("email", alternative.value)


class AnyCertificate:
    """Knows whoever has a certificate that the transport has verified, each with every right: where nothing else says
    who may do what."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970-01-01 UTC."""
        self._clock = clock

    def authenticate(self, presented: Presented) -> Identity | None:
        """See Authenticator. A token, which nothing here knows, is not looked at."""
        if not presented.certificate:
            return None
        certificate = Certificate.read(presented.certificate)
        certificate.check_age(self._clock())
        return replace(EVERYBODY, name=certificate.title, credential="certificate")
