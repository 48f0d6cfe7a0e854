"""HTTP/2 by hand, for what no library would send."""

import socket
import struct
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import hpack

PATIENCE_SECONDS = 60

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

GET_STATUS = "/autopilot.v1.JobService/GetStatus"


def frame(kind: int, flags: int = 0, stream: int = 0, content: bytes = b"", *, size: int | None = None) -> bytes:
    """`size`: what it says of its length, if that is not so."""
    length = len(content) if size is None else size
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def headers(**changes: str | None) -> list[tuple[str, str]]:
    """Those of a call, some of them changed or left out; `_` stands for `-`, and `p_` for `:`."""
    fields: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": GET_STATUS,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    fields |= {name.replace("p_", ":").replace("_", "-"): value for name, value in changes.items()}
    return [(name, value) for name, value in fields.items() if value is not None]


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """A header block that needs no state of its connection."""
    return hpack.Encoder().encode(list(fields), huffman=False)


def message(data: bytes, *, compressed: int = 0, size: int | None = None) -> bytes:
    """gRPC's five bytes, and a message. `size`: what it says of its length, if that is not so."""
    return struct.pack(">BI", compressed, len(data) if size is None else size) + data


def call(stream: int, data: bytes, **changes: str | None) -> bytes:
    """The frames of a whole call."""
    head = frame(HEADERS, END_HEADERS, stream, block(headers(**changes)))
    return head + frame(DATA, END_STREAM, stream, data)


def _connected(host: str, port: int) -> socket.socket:
    """A server may be about to listen again."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection((host, port), timeout=60)
        except ConnectionError:
            assert time.monotonic() < end, "nobody listens"
            time.sleep(0.02)


def paths_are_text(data: bytes) -> bool:
    """Whether the paths of all header blocks in the frames behind a preface are, as far as they can be decoded."""
    at = len(PREFACE)
    while at + 9 <= len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] in (HEADERS, CONTINUATION) and not _path_is_text(data[at + 9 : end]):
            return False
        at = end
    return True


def _path_is_text(content: bytes) -> bool:
    try:
        fields = hpack.Decoder().decode(content, raw=True)
    except hpack.HPACKError:
        return content.isascii()
    return all(bytes(value).isascii() for name, value in fields if name == b":path")


class Connection:
    """A TCP connection to a server."""

    def __init__(self, address: str, opening: bytes = b"") -> None:
        host, _, port = address.rpartition(":")
        self._socket = _connected(host, int(port))
        self._received = b""
        self._decoder = hpack.Decoder()
        self.closed = False
        self.send(opening)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @classmethod
    def opened(cls, address: str, *settings: tuple[int, int]) -> "Connection":
        """With a preface and settings, as the protocol has it."""
        content = b"".join(struct.pack(">HI", *setting) for setting in settings)
        return cls(address, PREFACE + frame(SETTINGS, content=content))

    def send(self, data: bytes) -> None:
        """Send, as long as the server listens."""
        try:
            self._socket.sendall(data)
        except (ConnectionError, TimeoutError):
            self.closed = True

    def end(self) -> None:
        """Send nothing any more."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.closed = True

    def wait_for_close(self) -> None:
        """Read until the server has closed the connection."""
        while self._read():
            self._received = b""

    def frame(self) -> tuple[int, int, int, bytes] | None:
        """The next frame; None when the server has closed the connection."""
        while len(self._received) < 9 or len(self._received) < 9 + self._length():
            if not self._read():
                return None
        length = self._length()
        kind, flags = self._received[3], self._received[4]
        (stream,) = struct.unpack(">I", self._received[5:9])
        content, self._received = self._received[9 : 9 + length], self._received[9 + length :]
        return kind, flags, stream, content

    def status(self, stream: int) -> dict[str, str]:
        """The headers and trailers of a call, once it has ended; RST_STREAM and GOAWAY as `reset` and `closed`."""
        found: dict[str, str] = {}
        while (received := self.frame()) is not None:
            kind, flags, number, content = received
            if kind == HEADERS:
                fields = self._decoder.decode(content)
                if number == stream:
                    found |= {str(name): str(value) for name, value in fields}
            if kind == RST_STREAM and number == stream:
                return found | {"reset": content.hex()}
            if kind in (DATA, HEADERS) and number == stream and flags & END_STREAM:
                return found
        return found | {"closed": "closed"}

    def answers_pings(self) -> bool:
        """Whether the connection still works."""
        self.send(frame(PING, content=b"whatever"))
        while (received := self.frame()) is not None:
            if received[0] == PING and received[1] & ACK and received[3] == b"whatever":
                return True
        return False

    def _length(self) -> int:
        return int.from_bytes(self._received[:3], "big")

    def _read(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        self._received += data
        self.closed = self.closed or not data
        return bool(data)
