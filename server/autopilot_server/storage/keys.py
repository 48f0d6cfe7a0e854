"""The keys that content is encrypted with: 256 random bits each, given by a file or by the environment."""

import base64
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from autopilot_server.jobs.errors import StartupError
from autopilot_server.owner_file import changing, replace

ENVIRONMENT = "AUTOPILOT_ENCRYPTION_KEY"

# Of systemd: the folder of what LoadCredential= hands over.
CREDENTIALS = "CREDENTIALS_DIRECTORY"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

# So that scanners for secrets find a key that was published.
_KEY = re.compile(r"autopilot_key_([A-Za-z0-9_-]{43})")
_KEY_BYTES = 32

ID_BYTES = 8


class Key:
    """One key. Neither its repr nor an error ever shows it."""

    __slots__ = ("key_id", "secret")

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 random bytes."""
        self.secret = secret
        self.key_id = hashlib.sha256(b"autopilot key id\0" + secret).digest()[:ID_BYTES]
        """Names the key, in the database and to people. Says nothing of it."""

    @property
    def name(self) -> str:
        """The id as people read it."""
        return self.key_id.hex()

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Key({self.name})"


KeyRing = tuple[Key, ...]
"""The first encrypts, all decrypt. Never empty."""


def add_key(path: Path) -> KeyRing:
    """Put a new key first in a file, which is made when there is none. StartupError; OSError."""
    with changing(path) as place:
        if place.exists():
            read_keys(place)
        old = place.read_text("ascii") if place.exists() else ""
        replace(place, f"autopilot_key_{secrets.token_urlsafe(_KEY_BYTES)}\n{old}")
        return read_keys(place)


def given_keys(key_file: str) -> KeyRing | None:
    """The keys of the file, or of the environment, which nobody finds there any more afterwards; None when none are
    given. StartupError."""
    text = os.environ.pop(ENVIRONMENT, "")
    if key_file and text:
        raise StartupError(f"--encryption-key-file and {ENVIRONMENT} are both given: choose one")
    if text:
        return _parse(text.replace(",", "\n").splitlines(), ENVIRONMENT)
    return read_keys(Path(key_file)) if key_file else None


def read_keys(path: Path) -> KeyRing:
    """The keys of a file, a line each; lines that begin with # say something to people. StartupError."""
    try:
        if os.stat(path).st_mode & _of_others(path):
            raise StartupError(f"--encryption-key-file {path} can be read by others: chmod 600 it")
        text = path.read_text("ascii", "replace")
    except OSError as error:
        raise StartupError(
            f"cannot use --encryption-key-file {path}: {error.strerror}; `autopilot key create` makes one"
        ) from error
    return _parse(text.splitlines(), f"--encryption-key-file {path}")


def _of_others(path: Path) -> int:
    """The bits of a file's mode by which others than the server could open it.

    systemd hands credentials over in a folder that nobody but the service can enter. It gives the service its right to
    read them by an access list, which shows itself as the group's right.
    """
    credentials = os.environ.get(CREDENTIALS, "")
    # As root has put it there: a link is judged by where the file really is.
    handed_over = credentials and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(credentials))
    return _OTHERS & ~stat.S_IRGRP if handed_over else _OTHERS


def _parse(lines: Sequence[str], source: str) -> KeyRing:
    keys: list[Key] = []
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if not line or line.startswith("#"):
            continue
        found = _KEY.fullmatch(line)
        if found is None:
            raise StartupError(f"{source}: line {number} is no key of `autopilot key create`")
        keys.append(Key(base64.urlsafe_b64decode(found[1] + "=")))
    if not keys:
        raise StartupError(f"{source} has no key: `autopilot key create` makes one")
    return tuple(keys)
