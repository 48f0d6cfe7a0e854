"""Values of workflows as JSON text, whatever they are: a workflow's value never fails what tells of it."""

import dataclasses
import enum
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from autopilot_server.jobs.job import Json
from autopilot_server.jobs.json_text import is_deeper

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
    `{"__type__": …, "repr": …}`; so also an integer of more digits than Python reads (4,300), an iterator, which is
    not consumed, and a value whose own code raises. Smaller integers are exact. Raises NotJsonError, and nothing else.
    """
    try:
        # Nearly all values are plain: the C encoder writes them without a step in Python.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except BaseException:
        # It is no plain value, or its own code raises.
        text = json.dumps(_plain(value, 0), ensure_ascii=False, separators=(",", ":"))
    if is_deeper(text, MAX_DEPTH):
        raise _too_deep()
    return encodable(text)


def encodable(text: str) -> str:
    """A text of a workflow without lone surrogates, which have no form in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _too_deep() -> NotJsonError:
    return NotJsonError(f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _too_deep()
    try:
        return _converted(value, depth + 1)
    except NotJsonError:
        raise
    except BaseException:
        # Whatever the value's own code raises, SystemExit too.
        return _described(value)


def _converted(value: Any, deeper: int) -> Any:
    match value:
        case None | bool() | str() | int() if type(value) in (type(None), bool, str, int):
            return value if type(value) is not int else _integer(value)
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
        case enum.Enum():
            return _plain(value.value, deeper)
        case Iterator():
            # It may be endless, and who made it wants to read it.
            return _described(value)
        case _:
            return _scalar(value)


def _integer(value: int) -> Any:
    try:
        str(value)
    except ValueError:
        return {"__type__": "builtins.int", "repr": hex(value)[:REPR_LENGTH]}
    return value


def _dumped(model: BaseModel) -> Any:
    fields = dict(model)
    if _holds_iterator(fields, 0):
        # pydantic would read it, and never come back from an endless one.
        return fields
    try:
        return model.model_dump(mode="json")
    except (PydanticSerializationError, ValueError, TypeError):
        # A field that pydantic cannot write: each field by itself.
        return fields


def _holds_iterator(value: Any, depth: int) -> bool:
    """Whether an iterator is anywhere in what pydantic would write, or it is nested too deeply to say."""
    if depth > MAX_DEPTH:
        return True
    inside: Iterable[Any]
    match value:
        case str() | bytes():
            return False
        case dict():
            inside = value.values()
        case list() | tuple() | deque() | Set():
            inside = value
        case BaseModel():
            inside = dict(value).values()
        case enum.Enum():
            inside = [value.value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            inside = [getattr(value, field.name) for field in dataclasses.fields(value)]
        case _:
            return isinstance(value, Iterator)
    return any(_holds_iterator(item, depth + 1) for item in inside)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    plain = key if isinstance(key, bool | float | None) else _plain(key, 0)
    if isinstance(plain, dict):
        return str(plain["repr"])
    return plain if isinstance(plain, str) else json.dumps(plain)


def _base64(data: bytes) -> Any:
    return to_jsonable_python(data, bytes_mode="base64")


def _scalar(value: Any) -> Any:
    """Dates, UUIDs, decimals, enums, paths and the like as pydantic writes them; else the type and the repr."""
    plain = to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64")
    json.dumps(plain, allow_nan=False)
    return plain


def _described(value: Any) -> Any:
    return {"__type__": type_name(value), "repr": _repr(value)}


def type_name(value: Any) -> str:
    """The name of a value's class, with its module."""
    try:
        return f"{type(value).__module__}.{type(value).__qualname__}"
    except BaseException:
        # A class may have a class of its own.
        return "object"


def _repr(value: Any) -> str:
    try:
        return str(repr(value)[:REPR_LENGTH])
    except BaseException as error:
        # A broken __repr__ must not fail the job that shows the value.
        return f"<{type(error).__name__} in __repr__>"
