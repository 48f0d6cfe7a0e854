"""Serialization of checkpoints: LangGraph's own, strict in both directions, and encrypted where there is a key."""

from collections.abc import Iterable, Sequence
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde import _msgpack as safe
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.sealing import CHECKPOINT, CHECKPOINT_CIPHER, Sealer

# What the plain serializer uses; LangGraph keeps it private.
_OPTIONS = jsonplus._option

# Types whose contents are serialized by themselves, so that a type that would not be restored may hide inside.
_CONTAINERS = frozenset({"set", "frozenset", "deque", "Send", "Item", "_DeltaSnapshot", "Interrupt", "Overwrite"})

# Patterns are stored as a call of re.compile; delta snapshots have a code of their own.
_ALWAYS = frozenset({("re", "Pattern"), ("langgraph.checkpoint.serde.types", "_DeltaSnapshot")})


class NotRestorableError(TypeError):
    """A value that could be stored but would not come back as what it is."""


class StrictSerializer(JsonPlusSerializer):
    """Refuses to store what it would not restore.

    LangGraph's strict mode reads a value of a type that is not allowed as plain data: a state would silently change
    when a job goes on after a crash. Here the step that writes such a value fails.
    """

    def __init__(self, **settings: Any) -> None:
        """As JsonPlusSerializer."""
        super().__init__(**settings)
        self._derived: dict[frozenset[Any], JsonPlusSerializer] = {}

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> JsonPlusSerializer:
        """As JsonPlusSerializer, made once for each set of types: LangGraph asks at each run, with its graph's."""
        extra = frozenset(extra_allowlist)
        if extra not in self._derived:
            self._derived[extra] = super().with_msgpack_allowlist(extra)
        return self._derived[extra]

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize. Raises NotRestorableError, or TypeError for what cannot be serialized at all."""
        if obj is None or isinstance(obj, bytes | bytearray):
            return super().dumps_typed(obj)
        nested = False

        def default(value: Any) -> Any:
            nonlocal nested
            if not isinstance(value, BaseException):
                self._check(type(value).__module__, type(value).__name__)
                nested = nested or _may_hide(value)
            return jsonplus._msgpack_default(value)

        try:
            data = ormsgpack.packb(obj, default=default, option=_OPTIONS)
        except ormsgpack.MsgpackEncodeError as error:
            raise (error.__cause__ or error) from None
        if nested:
            ormsgpack.unpackb(data, ext_hook=self._check_nested, option=ormsgpack.OPT_NON_STR_KEYS)
        return "msgpack", data

    def _check(self, module: str, name: str) -> None:
        key = (module, name)
        if key in _ALWAYS or module == "numpy" or key in safe.SAFE_MSGPACK_TYPES:
            return
        allowed = self._allowed_msgpack_modules
        if allowed is not True and key not in (allowed or ()):
            raise NotRestorableError(
                f"a value of type {module}.{name} would not be restored from a checkpoint: name the type in the "
                "state's schema, or allow it with the server's --allowed-types"
            )

    def _check_nested(self, code: int, data: bytes) -> Any:
        content = ormsgpack.unpackb(data, ext_hook=self._check_nested, option=ormsgpack.OPT_NON_STR_KEYS)
        if code not in (jsonplus.EXT_DELTA_SNAPSHOT, jsonplus.EXT_NUMPY_ARRAY):
            self._check(content[0], content[1])
        return None


class _Cipher(CipherProtocol):
    """Encrypts what LangGraph's EncryptedSerializer gives it."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return CHECKPOINT_CIPHER, self._sealer.seal(plaintext, CHECKPOINT)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:  # noqa: ARG002 - the header names the key
        return self._sealer.open(ciphertext, CHECKPOINT)


def checkpoint_serializer(
    allowed: Sequence[tuple[str, str]] | None, sealer: Sealer | None = None
) -> SerializerProtocol:
    """What checkpoints are stored with. `allowed`: types besides those of the workflows' schemas."""
    strict = StrictSerializer(allowed_msgpack_modules=allowed)
    return strict if sealer is None else EncryptedSerializer(_Cipher(sealer), strict)


def _may_hide(value: Any) -> bool:
    return type(value).__name__ in _CONTAINERS or hasattr(value, "__dataclass_fields__") or hasattr(value, "_asdict")


def allowed_types(names: Sequence[str]) -> list[tuple[str, str]] | None:
    """The setting `allowed_types`, `module:Class` each, as LangGraph takes it. StartupError when one is out of form."""
    pairs = [tuple(name.split(":")) for name in names]
    for name, pair in zip(names, pairs, strict=True):
        if len(pair) != 2 or not all(pair):
            raise StartupError(f"--allowed-types {name!r}: give a class as module:Class")
    return [(module, kind) for module, kind in pairs] or None
