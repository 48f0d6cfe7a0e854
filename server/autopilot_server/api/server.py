"""The gRPC server: listens, reports its health, and stops in order."""

import asyncio
import logging
from contextlib import suppress

import grpc
import grpc.aio
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from autopilot_server.access.authenticators import Authenticators
from autopilot_server.api.admission import AdmissionInterceptor
from autopilot_server.api.audit import AnswerInterceptor, Auditor, RequestInterceptor
from autopilot_server.api.connections import most_connections
from autopilot_server.api.converters import Converters
from autopilot_server.api.credentials import CredentialsInterceptor
from autopilot_server.api.errors import ErrorInterceptor
from autopilot_server.api.hub import Hub
from autopilot_server.api.listening import check_free
from autopilot_server.api.service import JobService, ReadValues
from autopilot_server.api.tls import Certificates
from autopilot_server.api.tracing import TraceInterceptor
from autopilot_server.audit.journal import Journal
from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StartupError
from autopilot_server.observer import Observer
from autopilot_server.storage.store import Store
from autopilot_server.supervision import end_process_with
from autopilot_server.tracer import Tracer

log = logging.getLogger(__name__)

SERVICE = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name

# So that a payload that is too large gets an error that says so, and not gRPC's own.
RECEIVE_BYTES = 16 << 20

# gRPC's own refusals have no RetryInfo, so ours come first. Theirs are for what ours do not count: health checks, and
# calls that were refused and are not gone yet.
_RPCS_OF_GRPC = 2

# Connections without a call are closed, and a client's library makes another for its next one: whoever opens them and
# does nothing holds no file for good. One with a watch is not idle, whatever its age.
CONNECTION_IDLE_MS = 300_000

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

# How often it is looked whether gRPC still listens.
_LISTENING_POLL_SECONDS = 0.1

# How long a server that gave up is kept behind its last call.
_RETIRED_SECONDS = 2.0


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
        tracer: Tracer,
        journal: Journal | None = None,
    ) -> None:
        """Prepare; nothing listens before `start`. StartupError when the certificates cannot be used."""
        self._settings, self._authenticators = settings, authenticators
        self._observer, self._tracer = observer, tracer
        self._auditor = None if journal is None else Auditor(journal)
        self.certificates = Certificates.of(settings)
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
        self._admission = AdmissionInterceptor(settings.concurrent_rpcs)
        self._health = health.aio.HealthServicer()
        self._healthy, self._draining = True, False
        self._reports: set[asyncio.Task[None]] = set()
        self._server = self._new_server()
        self._keeper: asyncio.Task[None] | None = None
        # Servers that gave up listening, while calls are open on them, and who waits for the end of each.
        self._retired: dict[asyncio.Task[None], grpc.aio.Server] = {}

    def _new_server(self) -> grpc.aio.Server:
        calls = _RPCS_OF_GRPC * self._settings.concurrent_rpcs
        server = grpc.aio.server(
            interceptors=self._interceptors(),
            options=[
                *_OPTIONS,
                ("grpc.max_connection_idle_ms", CONNECTION_IDLE_MS),
                ("grpc.max_allowed_incoming_connections", most_connections(self._settings)),
                # Of calls that have come and wait to be taken up gRPC would cancel all but a thousand or so: thousands
                # of watchers come at once when a server is back.
                ("grpc.server.max_pending_requests", calls),
                ("grpc.server.max_pending_requests_hard_limit", calls),
            ],
            maximum_concurrent_rpcs=calls,
        )
        job_service_pb2_grpc.add_JobServiceServicer_to_server(self.service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection != "off":
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        return server

    def _interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """The outermost first."""
        errors = ErrorInterceptor(self._observer)
        credentials = CredentialsInterceptor(self._authenticators, open_reflection=self._settings.reflection == "on")
        traces = TraceInterceptor(self._tracer)
        if self._auditor is None:
            return [errors, self._admission, credentials, traces]
        answers, requests = AnswerInterceptor(self._auditor), RequestInterceptor(self._auditor)
        return [errors, self._admission, answers, credentials, traces, requests]

    async def start(self) -> int:
        """Listen. The port. StartupError when the address cannot be used."""
        address = self._settings.listen
        check_free(address)
        bound = self._add_port(self._server, address)
        if not bound:
            raise StartupError(
                f"cannot listen on {address}: the port is in use, or the address is not this machine's; "
                "choose another with --listen"
            )
        await self._report()
        await self._server.start()
        self._keeper = asyncio.get_running_loop().create_task(self._keep_listening(bound), name="listener")
        self._keeper.add_done_callback(end_process_with)
        return bound

    async def _keep_listening(self, port: int) -> None:
        """Listen again whenever gRPC gives up.

        A call whose path is no UTF-8 raises in the loop with which grpc.aio accepts calls, before any code of ours,
        and that shuts its server down. Nobody is told; calls that are open go on.
        """
        address = f"{self._settings.listen.rpartition(':')[0]}:{port}"
        while True:
            try:
                # True: the time is over, and all is well.
                while await self._server.wait_for_termination(_LISTENING_POLL_SECONDS):
                    pass
                return
            except Exception as error:
                # Whatever ended its loop.
                log.warning("gRPC stopped listening; listening again: %s", error)
            self._retire(self._server)
            self._server = await self._listen_again(address)

    async def _listen_again(self, address: str) -> grpc.aio.Server:
        while True:
            server = self._new_server()
            if self._add_port(server, address):
                await server.start()
                return server
            # The port is free once the last server has closed it.
            await asyncio.sleep(_LISTENING_POLL_SECONDS)

    def _retire(self, server: grpc.aio.Server) -> None:
        """Keep a server that listens no longer, until its last call has ended."""

        async def wait() -> None:
            with suppress(Exception):
                # What ended its loop, once more.
                await server.wait_for_termination()
            # gRPC crashes, now and then, when it is destroyed at once.
            await asyncio.sleep(_RETIRED_SECONDS)
            await server.stop(0)

        task = asyncio.get_running_loop().create_task(wait())
        self._retired[task] = server
        task.add_done_callback(lambda done: self._retired.pop(done, None))

    def _add_port(self, server: grpc.aio.Server, address: str) -> int:
        """The port; 0 when it cannot be had."""
        try:
            if self.certificates is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self.certificates.credentials())
        except RuntimeError:
            return 0

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
        if self._keeper is not None:
            self._keeper.cancel()
        servers = [self._server, *self._retired.values()]
        await asyncio.gather(*(server.stop(grace_seconds) for server in servers))
        if self._auditor is not None:
            self._auditor.close()
        self._hub.close()
        self._converters.close()

    async def _report(self) -> None:
        serving = self._healthy and not self._draining
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)
