"""The address to listen on: read, checked, and refused where anybody could reach an unprotected server."""

import errno
import ipaddress
import socket
from typing import Any

from autopilot_server.config import Settings
from autopilot_server.jobs.errors import StartupError

_Address = tuple[int, Any]
"""A family and an address, as the socket module has them."""


def listen_address(text: str, flag: str = "--listen") -> tuple[str, int]:
    """The host, without brackets, and the port of an address to listen on. StartupError when it is out of form."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    # A colon without brackets: an IPv6 address whose end could be a port or not, or a scheme of gRPC's own.
    if not host or not is_port or bracketed != (":" in host):
        raise StartupError(f"cannot listen on {text!r}: give {flag} as HOST:PORT, as 127.0.0.1:50051 or [::1]:50051")
    return host, int(port)


def check_protection(settings: Settings) -> None:
    """Refuse, with StartupError, an address that is none, or that others reach without TLS and credentials."""
    addresses = _addresses(settings.listen)
    exposed = not all(ipaddress.ip_address(address[0].partition("%")[0]).is_loopback for _, address in addresses)
    if exposed and not settings.insecure:
        _require_protection(settings)


def check_free(address: str) -> None:
    """Refuse, with StartupError, an address that something else uses, or that is not this machine's."""
    if (obstacle := _obstacle(_addresses(address))) is not None:
        raise _refused(address, obstacle)


def _addresses(text: str) -> list[_Address]:
    host, port = listen_address(text)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise _refused(text, f"the host {host!r} is not known") from None
    return [(family, address) for family, _, _, _, address in found]


def _refused(address: str, why: str) -> StartupError:
    return StartupError(f"cannot listen on {address}: {why}; choose another with --listen")


def _require_protection(settings: Settings) -> None:
    missing = []
    if not settings.tls_cert:
        missing.append("TLS (--tls-cert, --tls-key)")
    if not (settings.tls_client_ca or settings.token_file or settings.oidc_issuer):
        missing.append("credentials (--token-file, --oidc-issuer, --tls-client-ca)")
    if missing:
        raise StartupError(
            f"will not listen on {settings.listen}, which others can reach, without {' and '.join(missing)}: whoever "
            "reaches it could run workflows and read jobs; say --insecure where something else protects it"
        )


def _obstacle(addresses: list[_Address]) -> str | None:
    """Why nothing can listen there; None when nothing is known to be in the way.

    gRPC only says that it failed, and writes the reason to stderr in a form of its own.
    """
    errors = [error for family, address in addresses if (error := _bind_error(family, address)) is not None]
    # One of a name's addresses in use is enough: some clients would reach the other server.
    if any(error.errno == errno.EADDRINUSE for error in errors):
        return "the port is in use"
    # Of the rest one has to work: localhost may have an IPv6 address where the machine has none.
    return errors[0].strerror if len(errors) == len(addresses) else None


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
