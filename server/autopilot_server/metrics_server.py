"""Serves metrics over HTTP, to a few at once: anybody may reach its port."""

import logging
import socket
import threading
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.process_collector import ProcessCollector

from autopilot_server.jobs.errors import StartupError
from autopilot_server.metrics import Looked, Sources

log = logging.getLogger(__name__)

# Each has a thread. Who comes while all are taken is not answered: Prometheus asks again.
MOST_REQUESTS = 16

# How long the next piece of a request may take to come, and of an answer to be taken.
PATIENCE_SECONDS = 5.0


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_SECONDS

    def handle(self) -> None:
        with suppress(OSError):
            # Too slow, or gone.
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        log.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        """OSError when it cannot listen there."""
        ((self.address_family, _, _, _, found), *_) = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        self._places = threading.BoundedSemaphore(MOST_REQUESTS)
        super().__init__((str(found[0]), int(found[1])), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's names
        log.exception("a request for metrics failed")


class MetricsServer:
    """Serves a registry over HTTP, on threads of its own."""

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, sources: Sources) -> None:
        """Listen. StartupError when that cannot be."""
        registry.register(Looked(sources))
        ProcessCollector(registry=registry)
        try:
            self._server = _Server(address)
        except OSError as error:
            host, port = address
            raise StartupError(
                f"cannot serve metrics on {host}:{port}: {error.strerror or error}; choose another --metrics-listen"
            ) from None
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
