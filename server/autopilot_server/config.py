"""The server's settings: one frozen dataclass, each field with its default, its flag and its environment variable.

The flag is the field's name with dashes, the variable the name in capitals behind `AUTOPILOT_`. Nothing else in the
server reads the environment.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

_DAY = 86400

# As long as a request may ask for; later times do not fit the contract's timestamps.
_CENTURY = 100 * 366 * _DAY


# RPCs that watches and waits leave to all other calls.
FREE_RPCS = 1000


# More than any machine has use for: each takes some 30 MB.
MOST_WORKERS = 256

INLINE = "inline"


class SettingError(ValueError):
    """A setting has a value out of its range. The message says what the range is."""

    def __init__(self, name: str, value: float | str, why: str) -> None:
        """`name`: the field of Settings."""
        super().__init__(why)
        self.name, self.value = name, value


def setting(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    within: tuple[float, float] | None = None,
    check: Callable[[str], str] | None = None,
) -> Any:
    """A field of Settings: its default, the text of its flag in --help, and the values it may have if not any.

    `within`: the least and the greatest value of a number; every number has them. `check`: says what is wrong with a
    text, or nothing.
    """
    metadata: dict[str, Any] = {"help": text, "check": check}
    if choices:
        metadata["choices"] = choices
    if within is not None:
        metadata |= {"within": within, "help": f"{text} From {within[0]:,} to {within[1]:,}."}
    return field(default=default, metadata=metadata)


def _check_workers(text: str) -> str:
    right = text == INLINE or (text.isascii() and text.isdecimal() and int(text) <= MOST_WORKERS)
    return "" if right else f"must be {INLINE}, or a number up to {MOST_WORKERS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that an operator can choose. Seconds, bytes and counts, as the names say."""

    config: str = setting("langgraph.json", "Workflows to serve, in LangGraph's own format.")
    database: str = setting(
        "sqlite:///autopilot.db",
        "Where jobs live: sqlite:///PATH, PATH relative or absolute, or postgresql://USER@HOST/NAME.",
    )
    listen: str = setting("127.0.0.1:50051", "Address to serve gRPC on. Port 0: any free one.")

    metrics_listen: str = setting("", "Address to serve metrics on, for Prometheus, over plain HTTP. Empty: none.")

    traces: bool = setting(
        False, "Export traces by OpenTelemetry, as its own environment variables say. Needs the extra otel."
    )

    tls_cert: str = setting("", "Serve TLS with this certificate chain, a PEM file that is read again when it changes.")
    tls_key: str = setting("", "The certificate's private key, a PEM file.")
    tls_client_ca: str = setting("", "Only clients with a certificate of these authorities, a PEM file, may connect.")
    insecure: bool = setting(False, "Listen where others can reach the server without TLS and credentials.")
    token_file: str = setting(
        "", "Bearer tokens that callers need, as `autopilot token create` makes them. Read again when it changes."
    )
    oidc_issuer: str = setting("", "Take the JSON Web Tokens of this OpenID Connect provider: its https:// address.")
    oidc_audience: str = setting("", "The audience that such tokens must be for.")
    oidc_tenant_claim: str = setting("tenant", "Their claim that names the tenant. Empty: all are of the nameless one.")
    oidc_grants_claim: str = setting("scope", "Their claim with entries autopilot:RIGHTS or autopilot:RIGHTS:PATTERN.")
    reflection: str = setting(
        "authenticated",
        "Whom the server tells its contract by reflection: everybody, callers with credentials, nobody.",
        choices=("on", "authenticated", "off"),
    )

    encryption_key_file: str = setting(
        "", "Encrypt content in the database with the first of these keys, as `autopilot key create` makes them."
    )
    audit_file: str = setting(
        "",
        "Append to this file who submits, cancels, resumes, deletes and prunes, and what comes of it. Empty: no audit.",
    )

    workers: str = setting(
        "1", "Processes that run jobs. inline: the server's own process does. 0: none, jobs wait.", check=_check_workers
    )
    reload: bool = setting(
        False, "Load the workflows again when their files change, for development. Running steps are run again."
    )
    threads: int = setting(64, "Threads of a worker for synchronous steps.", within=(1, 10_000))
    running_jobs: int = setting(1000, "Jobs that a worker runs at once; more wait as PENDING.", within=(1, 1_000_000))
    apart_jobs: int = setting(
        32,
        "Jobs at once that have a process of their own: those of isolated workflows, and those that may have ended "
        "their worker twice.",
        within=(1, 10_000),
    )
    unfinished_jobs: int = setting(
        100_000, "Jobs that may be unfinished at once; more are refused.", within=(1, 1_000_000_000)
    )
    tenant_unfinished_jobs: int = setting(
        0, "The same for the jobs of one tenant. 0: no limit of its own.", within=(0, 1_000_000_000)
    )
    max_worker_losses: int = setting(
        10,
        "Losses of its worker in a row, without a new checkpoint, after which a job is FAILED.",
        within=(1, 1_000_000),
    )
    loop_stall_seconds: float = setting(
        1.0, "Log a step that blocks the engine's event loop for this long.", within=(0.01, 3600)
    )
    drain_seconds: float = setting(
        30.0, "How long running jobs may take to reach a checkpoint at shutdown.", within=(0, _DAY)
    )
    allowed_types: tuple[str, ...] = setting(
        (), "Classes, as module:Class, that checkpoints may hold besides those of the workflows' schemas."
    )
    return_tracebacks: bool = setting(False, "Return the tracebacks of failed steps to clients.")

    # At most 2 MiB: one payload then fits into a response, which has 3 MiB, and into a request of 16 MiB even as a
    # google.protobuf.Value, which takes up to 5.5 times the room of its text.
    payload_bytes: int = setting(
        1 << 20, "Largest JSON value of a request, and largest output of a job.", within=(1 << 10, 2 << 20)
    )
    concurrent_rpcs: int = setting(12_000, "RPCs at once; more are refused.", within=(1001, 1_000_000))
    watches: int = setting(10_000, "Watches and waits at once; more are refused.", within=(1, 1_000_000))
    tenant_watches: int = setting(
        1_000_000, "Watches and waits at once of one tenant; more are refused.", within=(1, 1_000_000)
    )
    tenant_submits_per_second: float = setting(
        0.0, "Jobs that one tenant may submit a second; more are refused. 0: any number.", within=(0, 1_000_000)
    )
    tenant_submit_burst: int = setting(
        100, "Jobs that a tenant may submit at once after a pause, when there is a rate.", within=(1, 1_000_000)
    )
    default_grace_seconds: float = setting(10.0, "Cancel's grace period when the request names none.", within=(0, _DAY))

    retention_seconds: float = setting(30 * 86400.0, "How long finished jobs are kept.", within=(0, _CENTURY))
    prune_interval_seconds: float = setting(60.0, "How often expired jobs are looked for.", within=(0.1, _DAY))

    log_level: str = setting("info", "How much to log.", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "text for people, json for machines.", choices=("text", "json"))

    def __post_init__(self) -> None:
        """Check the numbers. SettingError for the first that is out of its range."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.metadata["check"] is not None and (why := each.metadata["check"](value)):
                raise SettingError(each.name, value, why)
            if "within" in each.metadata:
                _check(each.name, value, *each.metadata["within"])
        if self.watches > self.concurrent_rpcs - FREE_RPCS:
            raise SettingError(
                "watches",
                self.watches,
                f"must leave {FREE_RPCS:,} of the {self.concurrent_rpcs:,} RPCs (--concurrent-rpcs) to other calls",
            )


def _check(name: str, value: float, least: float, most: float) -> None:
    if math.isnan(value):
        raise SettingError(name, value, "must be a number")
    if value < least:
        raise SettingError(name, value, f"must be at least {least:,}")
    if value > most:
        raise SettingError(name, value, f"must be at most {most:,}")


def flag_name(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"AUTOPILOT_{name.upper()}"


SETTING_NAMES = tuple(f.name for f in fields(Settings))
