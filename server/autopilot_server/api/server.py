"""The gRPC server: listens, reports its health, and stops in order."""

import asyncio
import logging

import grpc
import grpc.aio
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from autopilot_server.access.authenticators import Authenticators
from autopilot_server.api.converters import Converters
from autopilot_server.api.credentials import CredentialsInterceptor
from autopilot_server.api.errors import ErrorInterceptor
from autopilot_server.api.hub import Hub
from autopilot_server.api.listening import check_listening
from autopilot_server.api.service import JobService, ReadValues
from autopilot_server.api.tls import server_credentials
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StartupError
from autopilot_server.observer import Observer
from autopilot_server.storage.store import Store

log = logging.getLogger(__name__)

SERVICE = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name

# So that a payload that is too large gets an error that says so, and not gRPC's own.
RECEIVE_BYTES = 16 << 20

# Half-open connections are found after a minute; clients may ping when nothing is going on. Who connects and does not
# come to the point (TLS, HTTP/2's own greeting) is gone after ten seconds.
_OPTIONS = [
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
]


class ApiServer:
    """Serves a store's jobs. Lives in one event loop."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        doorbell: Doorbell,
        read_values: ReadValues,
        authenticators: Authenticators,
        observer: Observer,
    ) -> None:
        """Prepare; nothing listens before `start`."""
        self._settings = settings
        self._hub = Hub(doorbell)
        self._converters = Converters()
        self.service = JobService(
            settings=settings,
            store=store,
            hub=self._hub,
            converters=self._converters,
            read_values=read_values,
            observer=observer,
        )
        self._health = health.aio.HealthServicer()
        self._healthy, self._draining = True, False
        self._reports: set[asyncio.Task[None]] = set()
        self._server = grpc.aio.server(
            interceptors=[
                ErrorInterceptor(observer),
                CredentialsInterceptor(authenticators, open_reflection=settings.reflection == "on"),
            ],
            options=_OPTIONS,
            maximum_concurrent_rpcs=settings.concurrent_rpcs,
        )
        job_service_pb2_grpc.add_JobServiceServicer_to_server(self.service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection != "off":
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self) -> int:
        """Listen. The port. StartupError when the address cannot be used."""
        address = self._settings.listen
        check_listening(self._settings)
        try:
            bound = self._add_port(address)
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

    def _add_port(self, address: str) -> int:
        credentials = server_credentials(self._settings)
        if credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, credentials)

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
        self._converters.close()

    async def _report(self) -> None:
        serving = self._healthy and not self._draining
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)
