"""SQLite's write-ahead log as bytes: where its transactions end, and what a power loss leaves behind them.

The format is that of https://sqlite.org/fileformat2.html#walformat: a header, then frames of one page each; a frame
that ends a transaction says how large the database is then, and each carries a checksum of all before it.
"""

import random
import struct
from collections.abc import Callable
from pathlib import Path

HEADER, FRAME_HEADER = 32, 24


class WriteAheadLog:
    """A log, read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = path.read_bytes()
        self._order = ">" if self._bytes[3] & 1 else "<"
        self._page = int.from_bytes(self._bytes[8:12], "big")
        self.commits: list[int] = []
        """Where each transaction ends, as an offset in the file."""
        self.end = HEADER
        """Where the last whole frame ends."""
        self._sums = struct.unpack(">II", self._bytes[24:32])
        self._read()

    @property
    def frame(self) -> int:
        return FRAME_HEADER + self._page

    def _read(self) -> None:
        while self.end + self.frame <= len(self._bytes):
            frame = self._bytes[self.end : self.end + self.frame]
            sums = self._checksum(frame[:8] + frame[FRAME_HEADER:])
            if frame[8:16] != self._bytes[16:24] or struct.unpack(">II", frame[16:24]) != sums:
                return
            self._sums = sums
            self.end += self.frame
            if frame[4:8] != bytes(4):
                self.commits.append(self.end)

    def _checksum(self, data: bytes) -> tuple[int, int]:
        first, second = self._sums
        words = struct.unpack(f"{self._order}{len(data) // 4}I", data)
        for one, other in zip(words[::2], words[1::2], strict=True):
            first = (first + one + second) & 0xFFFFFFFF
            second = (second + other + first) & 0xFFFFFFFF
        return first, second

    def next_frame(self, *, commits: bool) -> bytes:
        """A frame that would be taken for the next one: the first page of the database, in nonsense."""
        begin = struct.pack(">II", 1, 1 if commits else 0)
        page = random.Random(1).randbytes(self._page)
        return begin + self._bytes[16:24] + struct.pack(">II", *self._checksum(begin + page)) + page

    def leave_behind(self, tail: bytes) -> None:
        """What was never committed, behind what was: nobody may see it."""
        committed = self._bytes[: self.commits[-1] if self.commits else HEADER]
        self.path.write_bytes(committed + tail)


def _flipped(frame: bytes, place: int) -> bytes:
    return frame[:place] + bytes([frame[place] ^ 0xFF]) + frame[place + 1 :]


Tail = Callable[[WriteAheadLog, random.Random], bytes]

# What was being written when the power went, by what arrived on the disk of it.
TAILS: dict[str, Tail] = {
    "nothing": lambda log, rng: b"",
    "half a frame's header": lambda log, rng: log.next_frame(commits=True)[: FRAME_HEADER // 2],
    "a frame's header": lambda log, rng: log.next_frame(commits=True)[:FRAME_HEADER],
    "a part of a commit": lambda log, rng: log.next_frame(commits=True)[: rng.randrange(FRAME_HEADER, log.frame)],
    "a commit but for its last byte": lambda log, rng: log.next_frame(commits=True)[:-1],
    "a whole frame without its commit": lambda log, rng: log.next_frame(commits=False),
    "a commit with a wrong page": lambda log, rng: _flipped(
        log.next_frame(commits=True), rng.randrange(FRAME_HEADER, log.frame)
    ),
    "a commit with a wrong header": lambda log, rng: _flipped(
        log.next_frame(commits=True), rng.randrange(FRAME_HEADER)
    ),
    "zeros": lambda log, rng: bytes(3 * log.frame),
    "noise": lambda log, rng: rng.randbytes(3 * log.frame + 7),
}
