"""Content at rest: what clients and workflows wrote is sealed on its way into the database and opened on its way out.

Everything passes through a `Sealer`: by their names the parameters of statements and the columns of rows (COLUMNS), by
hand what LangGraph stores itself (checkpoints, its store). What is sealed is bound to its place, so that it cannot be
opened at another.

AES-256-GCM under keys of a run: each process draws a salt and derives a key of its own from it (HKDF-SHA256), so that
the bound of 2^32 messages with random nonces (NIST SP 800-38D, 8.3) is one for each process, which draws another salt
before it comes there, and none for the key that operators keep.
"""

import itertools
import os
import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from autopilot_server.jobs.errors import SealBrokenError
from autopilot_server.storage.keys import ID_BYTES, Key, KeyRing

# No event (protobuf) and no text begins so.
MAGIC = b"\0AP\1"
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
_KEY_ID_END = len(MAGIC) + ID_BYTES
_HEADER_END = _KEY_ID_END + _SALT_BYTES
_NONCE_END = _HEADER_END + _NONCE_BYTES

OVERHEAD = _NONCE_END + _TAG_BYTES
"""By how many bytes what is sealed is longer: no digest is as long, whatever it begins with."""

# Of the NIST's 2^32 for random nonces, far enough below for threads that count at once.
MESSAGES_PER_SALT = 2**31


class Column(NamedTuple):
    """A column, or a parameter, whose values are sealed."""

    place: tuple[str, ...]
    """Columns of the same row, or parameters of the same statement, that a value is bound to."""
    is_text: bool = True


COLUMNS: Mapping[str, Column] = {
    # jobs
    "progress": Column(("job_id",)),
    "error": Column(("job_id",)),
    "cancel_reason": Column(("job_id",)),
    "start_point": Column(("job_id",)),
    # jobs, resume_requests: of a request whose content could be guessed, and then be found by its digest.
    "request_digest": Column(("job_id", "request_id"), is_text=False),
    # payloads
    "input": Column(("job_id",)),
    "context": Column(("job_id",)),
    "output": Column(("job_id",)),
    # events
    "body": Column(("job_id", "sequence"), is_text=False),
    # interrupts
    "question": Column(("job_id", "position")),
    "response_schema": Column(("job_id", "position")),
    # answers
    "answer": Column(("job_id", "interrupt_id")),
}

# What a fork copies to another thread, and what LangGraph reads without saying of which place, is bound to its kind.
CHECKPOINT = b"checkpoint"
MEMORY = b"memory"

CHECKPOINT_CIPHER = "autopilot"
"""Behind a plus sign in the types of encrypted checkpoints and writes, as LangGraph's EncryptedSerializer has it."""


def place_of(column: str, row: Any) -> bytes:
    """What a value of a column is bound to."""
    return repr((column, *[row[name] for name in COLUMNS[column].place])).encode()


def is_sealed(stored: object) -> bool:
    """Whether a stored value is a sealed one."""
    return isinstance(stored, bytes) and stored.startswith(MAGIC) and len(stored) >= OVERHEAD


class _RunKey:
    """A key that is derived for this process."""

    __slots__ = ("cipher", "header", "uses")

    def __init__(self, key: Key) -> None:
        salt = os.urandom(_SALT_BYTES)
        self.header = MAGIC + key.key_id + salt
        self.cipher = _derived(key, salt)
        self.uses: Iterator[int] = itertools.count()


def _derived(key: Key, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"autopilot content 1").derive(key.secret))


class Sealer:
    """Seals with the first key of a ring, and opens with all of them. Thread-safe."""

    def __init__(self, ring: KeyRing) -> None:
        """Use the keys of `ring`."""
        self.first = ring[0]
        self.keys = {key.key_id: key for key in ring}
        self.prefix = MAGIC + self.first.key_id
        """What begins so is sealed with the first key."""
        self._run_key = _RunKey(self.first)
        self._cipher = lru_cache(maxsize=1024)(self._find_cipher)

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Encrypt `content`, bound to `place`."""
        run_key = self._run_key
        if next(run_key.uses) >= MESSAGES_PER_SALT:
            run_key = self._run_key = _RunKey(self.first)
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join((run_key.header, nonce, run_key.cipher.encrypt(nonce, content, run_key.header + place)))

    def open(self, stored: bytes, place: bytes) -> bytes:
        """Decrypt what `seal` made. SealBrokenError."""
        header, nonce = stored[:_HEADER_END], stored[_HEADER_END:_NONCE_END]
        cipher = self._cipher(header)
        if cipher is None:
            key_id = stored[len(MAGIC) : _KEY_ID_END].hex()
            raise SealBrokenError(f"{place.decode()} is encrypted with key {key_id}, which was not given")
        try:
            return cipher.decrypt(nonce, stored[_NONCE_END:], header + place)
        except InvalidTag:
            raise SealBrokenError(f"{place.decode()} cannot be decrypted: it was changed since") from None

    def _find_cipher(self, header: bytes) -> AESGCM | None:
        key = self.keys.get(header[len(MAGIC) : _KEY_ID_END])
        return None if key is None else _derived(key, header[_KEY_ID_END:])

    def sealed(self, parameters: Any) -> Any:
        """The parameters of a statement, by name, with the content among them sealed."""
        if not isinstance(parameters, dict):
            return parameters
        found = COLUMNS.keys() & parameters.keys()
        return parameters | {name: self._column(name, parameters) for name in found} if found else parameters

    def _column(self, name: str, parameters: dict[str, Any]) -> Any:
        content = parameters[name]
        if not content:
            return content
        return self.seal(content.encode() if COLUMNS[name].is_text else content, place_of(name, parameters))

    def opened(self, column: str, stored: bytes, row: Any) -> str | bytes:
        """The content of a column, which may not be sealed when it is older than the key. SealBrokenError."""
        place = place_of(column, row)
        content = self.open(stored, place) if is_sealed(stored) else stored
        if not COLUMNS[column].is_text:
            return content
        if content is stored:
            raise SealBrokenError(f"{place.decode()} is neither text nor encrypted: it was changed since")
        return content.decode()


class SealedConnection(sqlite3.Connection):
    """A connection whose statements and rows have content in plain, while the database has it sealed."""

    sealer: Sealer

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As sqlite3's."""
        return super().execute(sql, self.sealer.sealed(parameters))

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """As sqlite3's."""
        return super().executemany(sql, [self.sealer.sealed(each) for each in parameters])


@lru_cache(maxsize=8)
def sealed_rows(sealer: Sealer) -> type[sqlite3.Row]:
    """The class of rows that open a column when it is read by its name: what is broken only fails who reads it."""

    get = sqlite3.Row.__getitem__

    class SealedRow(sqlite3.Row):
        def __getitem__(self, column: Any) -> Any:
            stored = get(self, column)
            # Read for most columns of most rows: nothing is looked up for what cannot be sealed.
            return sealer.opened(column, stored, self) if type(stored) is bytes and column in COLUMNS else stored

    return SealedRow


def as_dict(row: Any) -> dict[str, Any]:
    """All columns of a row, opened, in a quarter of the time of dict(), which asks for each. SealBrokenError."""
    if isinstance(row, dict):
        return dict(row)
    found = dict(zip(row.keys(), row, strict=True))
    return found | {name: row[name] for name in COLUMNS.keys() & found.keys()}
