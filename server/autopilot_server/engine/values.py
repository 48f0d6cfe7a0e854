"""Values of workflows as JSON text."""

import dataclasses
import json
import math
from collections import deque
from collections.abc import Mapping, Set
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from autopilot_server.jobs.job import Json

# Longest `repr` of a value that has no form in JSON, in characters.
REPR_LENGTH = 500

# How deep values may be nested: what readers of JSON in other languages commonly accept.
MAX_DEPTH = 100


class NotJsonError(ValueError):
    """A value has no form in JSON: it contains itself, or is nested too deeply."""


def to_json(value: object) -> Json:
    """Write a value as JSON text.

    pydantic models and messages as their `model_dump(mode="json")`, dataclasses as objects, dates, UUIDs, decimals and
    enums as pydantic writes them, bytes in base64, NaN and infinities as null, sets as arrays, and anything else as
    `{"__type__": …, "repr": …}`. Integers of any size are exact. Raises NotJsonError.
    """
    try:
        # Nearly all values are plain: the C encoder writes them without a step in Python.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(_plain(value, 0), ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        # Lone surrogates have no form in UTF-8.
        text = text.encode("utf-8", "replace").decode()
    return text


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotJsonError(f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")
    deeper = depth + 1
    match value:
        case None | bool() | str() | int() if type(value) in (type(None), bool, str, int):
            return value
        case float():
            return float(value) if math.isfinite(value) else None
        case BaseMessage() | BaseModel():
            return _plain(_dumped(value), deeper)
        case Mapping():
            return {_key(key): _plain(item, deeper) for key, item in value.items()}
        case list() | tuple() if hasattr(value, "_asdict"):
            return _plain(value._asdict(), deeper)
        case list() | tuple() | deque() | Set():
            return [_plain(item, deeper) for item in value]
        case bytes() | bytearray() | memoryview():
            return _base64(bytes(value))
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: _plain(getattr(value, f.name), deeper) for f in dataclasses.fields(value)}
        case _:
            return _scalar(value)


def _dumped(model: BaseModel) -> Any:
    try:
        return model.model_dump(mode="json")
    except (PydanticSerializationError, ValueError, TypeError):
        # A field that pydantic cannot write: each field by itself.
        return {name: getattr(model, name) for name in type(model).model_fields}


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    plain = _scalar(key) if not isinstance(key, bool | int | float | None) else key
    if isinstance(plain, dict):
        return str(plain["repr"])
    return plain if isinstance(plain, str) else json.dumps(plain)


def _base64(data: bytes) -> Any:
    return to_jsonable_python(data, bytes_mode="base64")


def _scalar(value: Any) -> Any:
    """Dates, UUIDs, decimals, enums, paths and the like as pydantic writes them; else the type and the repr."""
    try:
        plain = to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64")
        json.dumps(plain, allow_nan=False)
    except Exception:
        # Whatever the value's own code raises.
        return {"__type__": _type_name(value), "repr": _repr(value)}
    return plain


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:
        # A broken __repr__ must not fail the job that shows the value.
        text = f"<{type(error).__name__} in __repr__>"
    return text[:REPR_LENGTH]
