"""The gRPC server: listens, reports its health, and stops in order."""

import asyncio
import errno
import logging
import socket
from typing import Any

import grpc
import grpc.aio
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from autopilot_server.api.errors import ErrorInterceptor
from autopilot_server.api.hub import Hub
from autopilot_server.api.service import JobService, ReadValues
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.store import Store

log = logging.getLogger(__name__)

SERVICE = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name

# So that a payload that is too large gets an error that says so, and not gRPC's own.
RECEIVE_BYTES = 16 << 20

# Half-open connections are found after a minute; clients may ping when nothing is going on.
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
]


def listen_address(text: str) -> tuple[str, int]:
    """The host, without brackets, and the port of the setting `listen`. StartupError when it is out of form."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    # A colon without brackets: an IPv6 address whose end could be a port or not, or a scheme of gRPC's own.
    if not host or not is_port or bracketed != (":" in host):
        raise StartupError(f"cannot listen on {text!r}: give --listen as HOST:PORT, as 127.0.0.1:50051 or [::1]:50051")
    return host, int(port)


class ApiServer:
    """Serves a store's jobs. Lives in one event loop."""

    def __init__(self, *, settings: Settings, store: Store, doorbell: Doorbell, read_values: ReadValues) -> None:
        """Prepare; nothing listens before `start`."""
        self._settings = settings
        self._hub = Hub(doorbell)
        self._service = JobService(settings=settings, store=store, hub=self._hub, read_values=read_values)
        self._health = health.aio.HealthServicer()
        self._healthy, self._draining = True, False
        self._reports: set[asyncio.Task[None]] = set()
        self._server = grpc.aio.server(
            interceptors=[ErrorInterceptor()],
            options=_OPTIONS,
            maximum_concurrent_rpcs=settings.concurrent_rpcs,
        )
        job_service_pb2_grpc.add_JobServiceServicer_to_server(self._service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self) -> int:
        """Listen. The port. StartupError when the address cannot be used."""
        address = self._settings.listen
        if (obstacle := _obstacle(*listen_address(address))) is not None:
            raise StartupError(f"cannot listen on {address}: {obstacle}; choose another with --listen")
        try:
            bound = self._server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            raise StartupError(
                f"cannot listen on {address}: the port is in use, or the address is not this machine's; "
                "choose another with --listen"
            )
        await self._report()
        await self._server.start()
        return bound

    def set_healthy(self, healthy: bool) -> None:
        """The database went away or came back. In the server's loop."""
        self._healthy = healthy
        task = asyncio.get_running_loop().create_task(self._report())
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def drain(self) -> None:
        """Report NOT_SERVING, refuse new work, and end all watches and waits with SERVER_DRAINING."""
        self._draining = True
        await self._report()
        self._hub.drain()

    async def stop(self, grace_seconds: float) -> None:
        """End all RPCs, after at most `grace_seconds`, and listen no longer."""
        await self._server.stop(grace_seconds)
        self._hub.close()

    async def _report(self) -> None:
        serving = self._healthy and not self._draining
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)


def _obstacle(host: str, port: int) -> str | None:
    """Why nothing can listen there; None when nothing is known to be in the way.

    gRPC only says that it failed, and writes the reason to stderr in a form of its own.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        return f"the host {host!r} is not known"
    errors = [error for family, _, _, _, address in found if (error := _bind_error(family, address)) is not None]
    # One of a name's addresses in use is enough: some clients would reach the other server.
    if any(error.errno == errno.EADDRINUSE for error in errors):
        return "the port is in use"
    # Of the rest one has to work: localhost may have an IPv6 address where the machine has none.
    return errors[0].strerror if len(errors) == len(found) else None


def _bind_error(family: int, address: Any) -> OSError | None:
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        # A machine without IPv6, on which gRPC takes [::] for all IPv4 addresses.
        return None
    with probe:
        # As gRPC: connections of a killed server that still linger are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error
    return None
