"""A way to a server that can be cut: what clients see of a server that is killed, or of a network that breaks."""

import socket
import threading
from contextlib import suppress


class Relay:
    """Listens on a port of its own, and passes on what comes to a server and back, until it is cut."""

    def __init__(self, target: str) -> None:
        """Relay to `host:port`."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, without a word. New ones may come."""
        with self._lock:
            cut, self._open = self._open, set()
        for each in cut:
            # Also ends what is read from it by another thread, which closing would not.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """End what is open, and take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._open |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while read := one.recv(1 << 16):
            other.sendall(read)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)
