"""The steps that began last in a worker, in memory that the server reads even while its interpreter is held."""

import itertools
import mmap
import os
import struct
import tempfile
from dataclasses import dataclass

_SLOTS = 64
_SLOT_BYTES = 1024
_BYTES = _SLOTS * _SLOT_BYTES
_NUMBER = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Note:
    """A step that began."""

    job_id: str
    workflow: str
    step: str


def notes_file() -> int:
    """A file without a name for notes, whose number two processes share."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_BYTES)
        return os.dup(file.fileno())


class Notes:
    """Each side maps the file: to write down a note calls nobody, and so does not let go of the interpreter."""

    def __init__(self, file: int) -> None:
        """Of a file that `notes_file` made."""
        self._memory = mmap.mmap(file, _BYTES)
        self._numbers = itertools.count(1)

    def add(self, note: Note) -> None:
        """Note that a step begins; the oldest note is forgotten. From any thread."""
        number = next(self._numbers)
        text = "\n".join((note.job_id, note.workflow, note.step)).encode()
        slot = _NUMBER.pack(number) + text[: _SLOT_BYTES - _NUMBER.size]
        begin = number % _SLOTS * _SLOT_BYTES
        self._memory[begin : begin + _SLOT_BYTES] = slot.ljust(_SLOT_BYTES, b"\0")

    def newest(self) -> list[Note]:
        """The newest first."""
        slots = [self._memory[begin : begin + _SLOT_BYTES] for begin in range(0, _BYTES, _SLOT_BYTES)]
        noted = sorted((slot for slot in slots if any(slot[: _NUMBER.size])), reverse=True)
        texts = [slot[_NUMBER.size :].rstrip(b"\0").decode("utf-8", "replace").split("\n") for slot in noted]
        # One that is being written is left out.
        return [Note(*parts) for parts in texts if len(parts) == 3]

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
