"""How the clients talk: keepalive, sizes, and the retry policy that all clients share."""

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
