"""TLS: the certificates of the settings, checked, and read again when their files change."""

import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from autopilot_server.config import Settings
from autopilot_server.jobs.errors import StartupError

log = logging.getLogger(__name__)

# How often the files are looked at, at most: each connection asks.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificates lie. `client_ca` is None when clients need none."""

    chain: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, settings: Settings) -> "CertificateFiles | None":
        """Those of the settings; None for plain text. StartupError when one is missing."""
        if not settings.tls_cert and not settings.tls_key:
            if settings.tls_client_ca:
                raise StartupError("--tls-client-ca needs a certificate of the server's own: --tls-cert and --tls-key")
            return None
        if not settings.tls_cert or not settings.tls_key:
            missing = "--tls-key" if settings.tls_cert else "--tls-cert"
            raise StartupError(f"--tls-cert and --tls-key go together: {missing} is missing")
        client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
        return cls(Path(settings.tls_cert), Path(settings.tls_key), client_ca)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What gRPC is given. OSError, with a reason for people, when the files cannot be used."""
        # gRPC would only find out at each connection, and tell nobody.
        _checked("--tls-cert, --tls-key", lambda context: context.load_cert_chain(self.chain, self.key, _no_password))
        roots = None
        if self.client_ca is not None:
            client_ca = self.client_ca
            _checked("--tls-client-ca", lambda context: context.load_verify_locations(client_ca))
            roots = client_ca.read_bytes()
        pair = (self.key.read_bytes(), self.chain.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when one of the files does. OSError when one is away."""
        found = [path.stat() for path in (self.chain, self.key, self.client_ca) if path is not None]
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


def _no_password() -> str:
    raise OSError("the private key is encrypted: give it without a passphrase, readable by the server only")


def _checked(flags: str, load: Callable[[ssl.SSLContext], object]) -> None:
    try:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    except ssl.SSLError as error:
        # A bad passphrase, no PEM, a key of another certificate.
        raise OSError(f"{flags}: {error.reason or error}") from error
    except OSError as error:
        raise OSError(f"{flags}: {error.strerror or error}") from error


class Certificates:
    """Those that new connections get. It is looked whether the files have changed, as connections are made."""

    name = "TLS certificates"

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files. OSError, with a reason for people."""
        self._files = files
        self._state = files.state()
        self._current = files.read()
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._complaint = ""

    @classmethod
    def of(cls, settings: Settings) -> "Certificates | None":
        """As the settings want them; None for plain text. StartupError when they cannot be used."""
        files = CertificateFiles.of(settings)
        if files is None:
            return None
        try:
            return cls(files)
        except OSError as error:
            raise StartupError(f"cannot serve TLS: {error}") from error

    def credentials(self) -> grpc.ServerCredentials:
        """For one server of gRPC, which asks for each connection whether there are others."""
        given = self._current

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            with self._lock:
                self._look()
                if given is self._current:
                    return None
                given = self._current
                return given

        # None for "unchanged" is documented by gRPC and missing in its types.
        fetcher: Any = changed
        with_client_ca = self._files.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(given, fetcher, require_client_authentication=with_client_ca)

    def reload(self) -> str:
        """Read the files again, also when they look the same. OSError."""
        with self._lock:
            self._read(self._files.state())
        return "new connections get those that are there now"

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        try:
            state = self._files.state()
            if state != self._state:
                self._read(state)
                log.info("TLS certificates are read again")
        except OSError as error:
            # A renewal that is half done, or broken. The old ones serve on; a later connection looks again.
            self._complain(str(error))

    def _read(self, state: tuple[tuple[int, int, int], ...]) -> None:
        self._current = self._files.read()
        self._state, self._complaint = state, ""

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            self._complaint = why
            log.error("the changed TLS certificates cannot be used, the old ones serve on: %s", why)
