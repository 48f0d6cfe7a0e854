"""Messages between the server and a process of its own, over a Unix socket.

A message is pickled, behind its length. Workers run the operator's code, which is trusted as the server's own is; no
client's bytes are ever unpickled.
"""

import asyncio
import pickle
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

_LENGTH = struct.Struct("!I")
_READ_BYTES = 1 << 18

# What waits for a reader that does not read, before messages are dropped. A poll stands behind all that can be.
MOST_WAITING_BYTES = 32 << 20


def packed(message: object) -> bytes:
    """A message as it goes over a socket."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def receive_exactly(connection: socket.socket) -> Any:
    """Wait on a thread for the next message. EOFError when the other side is gone."""
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    return pickle.loads(_read(connection, length))  # noqa: S301 - see above


def _read(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise EOFError("the other side of the link is gone")
        parts += part
    return bytes(parts)


class Link:
    """One side. Sends from any thread without waiting for the other side; receives in an event loop."""

    def __init__(self, connection: socket.socket) -> None:
        """Over a connected stream socket."""
        connection.setblocking(False)
        self._socket = connection
        self._lock = threading.Lock()
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._closed = False

    def send(self, message: object, *, whatever_waits: bool = False) -> bool:
        """Send a message; False when it was dropped, because too much waits already. Nothing is sent to a side that is
        gone."""
        data = memoryview(packed(message))
        with self._lock:
            if self._closed or (self._waiting_bytes > MOST_WAITING_BYTES and not whatever_waits):
                return False
            if not self._waiting:
                data = data[self._send_now(data) :]
            if data:
                self._queue(data)
        return True

    def close(self) -> None:
        """Send and receive no more."""
        with self._lock:
            self._closed = True
            self._socket.close()

    async def messages(self) -> AsyncIterator[Any]:
        """What the other side sends, until it is gone."""
        loop, buffer = asyncio.get_running_loop(), bytearray()
        while chunk := await self._chunk(loop):
            buffer += chunk
            begin = 0
            while len(buffer) - begin >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, begin)
                end = begin + _LENGTH.size + length
                if len(buffer) < end:
                    break
                yield pickle.loads(memoryview(buffer)[begin + _LENGTH.size : end])  # noqa: S301 - see above
                begin = end
            del buffer[:begin]

    async def _chunk(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._socket, _READ_BYTES)
        except OSError:
            # Reset, or closed here meanwhile.
            return b""

    def _send_now(self, data: memoryview) -> int:
        """How many bytes the socket took."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            # Whoever receives finds that the other side is gone.
            return len(data)

    def _queue(self, data: memoryview) -> None:
        first = not self._waiting
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if first:
            threading.Thread(target=self._flush, name="link", daemon=True).start()

    def _flush(self) -> None:
        """Send what waits, then end."""
        while True:
            with self._lock:
                if self._closed or not self._waiting:
                    return
                number = self._socket.fileno()
            select.select([], [number], [], 1.0)
            with self._lock:
                while self._waiting and not self._closed:
                    data = self._waiting[0]
                    sent = self._send_now(data)
                    self._waiting_bytes -= sent
                    if sent < len(data):
                        self._waiting[0] = data[sent:]
                        break
                    self._waiting.popleft()
