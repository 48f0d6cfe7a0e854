"""Tells the process that supervises the server, such as systemd, what the server is about to do."""

import os
import socket


def tell_supervisor(state: str) -> None:
    """Send one of sd_notify(3)'s states, such as READY=1, to whoever asked for it by NOTIFY_SOCKET; else nobody."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # The kernel writes names without a file with a zero byte in front, systemd with an @.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.sendto(state.encode(), name)
    except OSError:
        # A supervisor that went away: the server is needed all the same.
        return
