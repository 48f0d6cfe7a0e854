"""How the clients talk: keepalive, sizes, and the retry policy that all clients share."""

import ipaddress
import re
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import grpc

# Retries are safe for every method: Submit and Resume carry a request_id, Cancel and Delete may be repeated, a
# PruneJobs that is repeated only finds less. A watch is resumed by the client itself, from where it was.
SERVICE_CONFIG = (files("autopilot_client") / "service_config.json").read_text()

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TIMEOUT_SECONDS = 30.0

OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.service_config", SERVICE_CONFIG),
    # Room for a server with a larger payload limit.
    ("grpc.max_receive_message_length", 16 << 20),
    # A request is kept for its retries up to this size: gRPC's 256 KiB are less than a payload may have.
    ("grpc.per_rpc_retry_buffer_size", 16 << 20),
    # Finds a dead connection within 80 s, where a watch is open.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A server that is restarted is found again at once, not after minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Two clients of one process do not share a broken connection.
    ("grpc.use_local_subchannel_pool", 1),
]


def tls_credentials(
    *, ca: str | Path | None = None, cert: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials for a server that serves TLS, from PEM files.

    `ca`: the authorities to trust, instead of those that gRPC brings along. `cert` and `key`: this client's own
    certificate, for a server that asks for one. OSError when a file cannot be read, ValueError when one of the two is
    missing.
    """
    if (cert is None) != (key is None):
        raise ValueError("a client's certificate and its key go together")
    return grpc.ssl_channel_credentials(
        root_certificates=None if ca is None else Path(ca).read_bytes(),
        private_key=None if key is None else Path(key).read_bytes(),
        certificate_chain=None if cert is None else Path(cert).read_bytes(),
    )


def open_channel(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A connection; without credentials over plain text."""
    if credentials is None:
        return grpc.insecure_channel(address, OPTIONS)
    return grpc.secure_channel(address, credentials, OPTIONS)


Token = str | Callable[[], str]
"""A bearer token, or what gives the one to use now."""

Metadata = tuple[tuple[str, str], ...]

# As RFC 6750 has it. gRPC would name the token in its error for anything else.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class CallMetadata:
    """What goes with each call: the caller's own metadata, its current span, and the token, fetched anew each time."""

    def __init__(self, metadata: Sequence[tuple[str, str]], token: Token | None) -> None:
        """Check a token that is given as it is. ValueError."""
        self._metadata, self._token = tuple(metadata), token
        if isinstance(token, str):
            self()

    def __call__(self) -> Metadata:
        """For the next call. ValueError when the token is none; whatever the caller's function raises."""
        metadata = (*self._metadata, *_current_span())
        if self._token is None:
            return metadata
        token = self._token if isinstance(self._token, str) else self._token()
        if not _TOKEN.fullmatch(token):
            raise ValueError("the token is empty, or has characters that no token has, such as spaces or line ends")
        return (*metadata, ("authorization", f"Bearer {token}"))


def _current_span() -> Metadata:
    """OpenTelemetry's current span, as W3C's trace context: jobs are part of the trace that they are submitted in."""
    if "opentelemetry.trace" not in sys.modules:
        # Who has not imported it has no span.
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())


def check_secrecy(address: str, credentials: grpc.ChannelCredentials | None, token: Token | None) -> None:
    """Refuse, with ValueError, to send a token where others could read it: over plain text to another machine."""
    if token is None or credentials is not None or _is_loopback(address):
        return
    raise ValueError(
        f"a token is not sent to {address} over plain text, where others could read it: use TLS, or say `insecure` "
        "where something else protects the way"
    )


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
