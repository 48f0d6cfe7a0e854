"""How the clients talk: keepalive, sizes, and the retry policy that all clients share."""

from importlib.resources import files

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
