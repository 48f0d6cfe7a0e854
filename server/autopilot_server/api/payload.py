"""JSON values of the contract: text for programs, google.protobuf.Value for people with grpcurl."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autopilot.v1 import job_pb2
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from autopilot_server.jobs.job import Json, Omitted, Payload
from autopilot_server.jobs.json_text import is_deeper

PayloadWriter = Callable[[Payload | None], job_pb2.Payload | None]

# The largest integer that a double, and so a Value, holds exactly.
LARGEST_EXACT = 2**53 - 1

# protobuf readers refuse messages nested more than 100 deep, and each level of a Value takes up to three.
VALUE_DEPTH = 30

# How deep a JSON value of a request may be nested.
MAX_DEPTH = 64


class PayloadError(ValueError):
    """A JSON value of a request is not one. The message says why."""


# --- out ---


def no_payload(payload: Payload | None) -> None:
    """The writer of views without payloads."""
    del payload


def as_text(payload: Payload | None) -> job_pb2.Payload | None:
    """Write JSON text as it is stored."""
    match payload:
        case None:
            return None
        case Omitted(size):
            return job_pb2.Payload(omitted=job_pb2.Omitted(size_bytes=size))
        case text:
            return job_pb2.Payload(json_text=text)


def as_value(payload: Payload | None) -> job_pb2.Payload | None:
    """Write a google.protobuf.Value. What is nested too deeply for one is omitted."""
    if payload is None or isinstance(payload, Omitted):
        return as_text(payload)
    if is_deeper(payload, VALUE_DEPTH):
        return job_pb2.Payload(omitted=job_pb2.Omitted(size_bytes=len(payload.encode())))
    return job_pb2.Payload(json=_to_value(json.loads(payload)))


@dataclass(slots=True)
class Budget:
    """Writes payloads until a response is full; then they are omitted."""

    write: PayloadWriter
    left: int
    """Bytes of JSON text that still fit."""

    def __call__(self, payload: Payload | None) -> job_pb2.Payload | None:
        """Write a payload, or that it was omitted."""
        if payload is None or isinstance(payload, Omitted):
            return self.write(payload)
        size = len(payload.encode())
        if size > self.left:
            return self.write(Omitted(size))
        written = self.write(payload)
        # A Value takes more room than its text.
        taken = size if written is None else max(size, written.ByteSize())
        if taken > self.left:
            return as_text(Omitted(size))
        self.left -= taken
        return written


def _to_value(content: Any) -> Value:
    match content:
        case None:
            return Value(null_value=0)  # type: ignore[arg-type] # NULL_VALUE
        case bool():
            return Value(bool_value=content)
        case int() if abs(content) > LARGEST_EXACT:
            return Value(string_value=str(content))
        case int() | float():
            return Value(number_value=content)
        case str():
            return Value(string_value=content)
        case list():
            return Value(list_value=ListValue(values=[_to_value(item) for item in content]))
        case _:
            return Value(struct_value=Struct(fields={key: _to_value(item) for key, item in content.items()}))


# --- in ---


def read(payload: job_pb2.Payload) -> Json:
    """JSON text from a request's payload. PayloadError."""
    match payload.WhichOneof("kind"):
        case "json_text":
            content = parse(payload.json_text)
        case "json":
            content = _from_value(payload.json)
        case "omitted":
            raise PayloadError("`omitted` is only for responses")
        case _:
            raise PayloadError("give `json` or `json_text`")
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse(text: str) -> Any:
    """Parse JSON text as RFC 8259 has it, and no more: no NaN, no repeated names, no lone surrogates."""
    # Before the parser, whose recursion grows with the depth.
    if is_deeper(text, MAX_DEPTH):
        raise PayloadError(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        content = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise PayloadError(f"it is not JSON: {error}") from None
    except PayloadError:
        raise
    except ValueError as error:
        # An integer of more digits than Python reads.
        raise PayloadError(f"it holds a number that is too long: {error}") from None
    if "\\u" in text:
        _refuse_surrogates(content)
    return content


def _refuse_constant(name: str) -> Any:
    raise PayloadError(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise PayloadError(f"the number {digits[:40]} is too large for a double")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name, times in names.items() if times > 1)
        raise PayloadError(f"the name {twice[:100]!r} is given twice in one object")
    return content


def _refuse_surrogates(content: Any) -> None:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise PayloadError("it holds half of a surrogate pair, which is no character") from None


def _from_value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "bool_value":
            return value.bool_value
        case "number_value":
            return _number(value.number_value)
        case "string_value":
            return value.string_value
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return {key: _from_value(item) for key, item in value.struct_value.fields.items()}
        case _:
            raise PayloadError("a value in it is not set")


def _number(number: float) -> int | float:
    if not math.isfinite(number):
        raise PayloadError(f"{number} is not JSON")
    return int(number) if number.is_integer() and abs(number) <= LARGEST_EXACT else number
