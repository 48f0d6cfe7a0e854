"""The server's settings: one frozen dataclass, each field with its default, its flag and its environment variable.

The flag is the field's name with dashes, the variable the name in capitals behind `AUTOPILOT_`. Nothing else in the
server reads the environment.
"""

from dataclasses import dataclass, field, fields
from typing import Any


def setting(default: Any, text: str, *, choices: tuple[str, ...] = ()) -> Any:
    """A field of Settings: its default, the text of its flag in --help, and the values it may have if not any."""
    return field(default=default, metadata={"help": text} | ({"choices": choices} if choices else {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that an operator can choose. Seconds, bytes and counts, as the names say."""

    config: str = setting("langgraph.json", "Workflows to serve, in LangGraph's own format.")
    database: str = setting("sqlite:///autopilot.db", "Where jobs live: sqlite:///PATH, PATH relative or absolute.")
    listen: str = setting("127.0.0.1:50051", "Address to serve gRPC on. Port 0: any free one.")

    threads: int = setting(64, "Threads for synchronous steps.")
    running_jobs: int = setting(1000, "Jobs that run at once; more wait as PENDING.")
    unfinished_jobs: int = setting(100_000, "Jobs that may be unfinished at once; more are refused.")
    max_worker_losses: int = setting(
        10, "Losses of its worker in a row, without a new checkpoint, after which a job is FAILED."
    )
    loop_stall_seconds: float = setting(1.0, "Log a step that blocks the engine's event loop for this long.")
    drain_seconds: float = setting(30.0, "How long running jobs may take to reach a checkpoint at shutdown.")
    allowed_types: tuple[str, ...] = setting(
        (), "Classes, as module:Class, that checkpoints may hold besides those of the workflows' schemas."
    )
    return_tracebacks: bool = setting(False, "Return the tracebacks of failed steps to clients.")

    payload_bytes: int = setting(1 << 20, "Largest JSON value of a request, and largest output of a job.")
    concurrent_rpcs: int = setting(12_000, "RPCs at once; more are refused.")
    watches: int = setting(10_000, "Watches and waits at once; more are refused.")
    default_grace_seconds: float = setting(10.0, "Cancel's grace period when the request names none.")

    retention_seconds: float = setting(30 * 86400.0, "How long finished jobs are kept.")
    prune_interval_seconds: float = setting(60.0, "How often expired jobs are looked for.")

    log_level: str = setting("info", "How much to log.", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "text for people, json for machines.", choices=("text", "json"))


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"AUTOPILOT_{name.upper()}"


SETTING_NAMES = tuple(f.name for f in fields(Settings))
