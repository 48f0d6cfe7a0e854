"""JSON Schemas of workflows: what a client may send, and gets.

LangGraph's own generation raises for `typing.TypedDict` on Python 3.11 and for arbitrary classes, and lists fields
with reducers as required. Here each field of a state is described by itself, and nothing is demanded that
`graph.invoke` does not demand.
"""

import dataclasses
import enum
import operator
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import typing_extensions
from langgraph.channels.base import BaseChannel
from langgraph.graph.message import add_messages
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, TypeAdapter, WrapValidator
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, PydanticSerializationError

from autopilot_server.engine.values import NotJsonError, to_json
from autopilot_server.jobs.job import Json

JsonSchema = dict[str, Any]

# In characters. Schemas are in every view of a job.
RESPONSE_SCHEMA_LENGTH = 65536

# What add_messages accepts: one message or several, each an object, a [role, text] pair or a text.
MESSAGES: JsonSchema = {
    "description": "Messages: one or a list of them, each an object, a [role, text] pair or a text.",
    "type": ["array", "object", "string"],
}

# Reducers whose update has the type of the field.
_PLAIN_REDUCERS = (operator.add, operator.or_, operator.and_, operator.mul, max, min)

_UNDESCRIBABLE = (
    PydanticSchemaGenerationError,
    PydanticSerializationError,
    PydanticUserError,
    PydanticUndefinedAnnotation,
    TypeError,
    NameError,
)


@dataclass(frozen=True, slots=True)
class Described:
    """A schema, and the fields that it leaves unchecked."""

    schema: JsonSchema
    unchecked: tuple[str, ...] = ()


class _Lenient(GenerateJsonSchema):
    """Leaves unchecked what JSON Schema cannot say."""

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        return {}


def describe(kind: Any, *, mode: JsonSchemaMode = "validation", lax: bool = True) -> Described:
    """Describe a state, a context, or a plain type.

    `lax`: what `graph.invoke` is given. Then nothing is required of a TypedDict, numbers in text are numbers where
    pydantic takes them so, and fields with reducers of their own take anything.
    """
    if _reducer(kind) is not None and lax:
        return Described(_field_schema(kind, mode, lax) or {}, ())
    kind = _without_reducer(kind)
    if typing_extensions.is_typeddict(kind) or _is_dataclass(kind) or _is_model(kind):
        return _describe_fields(kind, mode, lax)
    return Described(_schema_of(kind, mode) or {}, ())


def response_schema_json(schema: Any) -> Json | None:
    """The JSON Schema that an answer must satisfy, as text.

    None when the workflow gave none, one that is no JSON, or one so large that no client should have to receive it with
    each job."""
    if schema is None:
        return None
    # LangGraph turns types into JSON Schema when a question is asked.
    try:
        text = to_json(schema if isinstance(schema, dict) else TypeAdapter(schema).json_schema())
    except NotJsonError:
        return None
    return text if len(text) <= RESPONSE_SCHEMA_LENGTH else None


def field_types(kind: Any) -> Mapping[str, Any]:
    """The types of a state's fields, inherited ones too; none when it is no state with fields."""
    has_fields = typing_extensions.is_typeddict(kind) or _is_dataclass(kind) or _is_model(kind)
    return _hints(kind) if has_fields else {}


def _describe_fields(kind: Any, mode: JsonSchemaMode, lax: bool) -> Described:
    hints = _hints(kind)
    properties: JsonSchema = {}
    definitions: JsonSchema = {}
    unchecked = []
    for name, hint in hints.items():
        schema = _field_schema(hint, mode, lax)
        if schema is None:
            unchecked.append(name)
            schema = {}
        definitions |= schema.pop("$defs", {})
        properties[name] = schema
    described: JsonSchema = {"type": "object", "title": kind.__name__, "properties": properties}
    required = _required(kind, hints) if lax else []
    if required:
        described["required"] = required
    if definitions:
        described["$defs"] = definitions
    if lax and _is_model(kind):
        described = _as_pydantic_takes_it(described)
    return Described(described, tuple(unchecked))


def _field_schema(hint: Any, mode: JsonSchemaMode, lax: bool) -> JsonSchema | None:
    reducer = _reducer(hint)
    if reducer is not None and lax:
        if reducer is add_messages or getattr(reducer, "__name__", "") == "_add_messages":
            return dict(MESSAGES)
        if reducer not in _PLAIN_REDUCERS:
            # What a reducer of the workflow's own takes is not known.
            return {}
    if lax and _has_channel(hint):
        # Nor is what a channel takes.
        return {}
    return _schema_of(_without_reducer(hint), mode)


def _has_channel(hint: Any) -> bool:
    if get_origin(hint) is not typing.Annotated:
        return False
    return any(
        isinstance(item, BaseChannel) or (isinstance(item, type) and issubclass(item, BaseChannel))
        for item in hint.__metadata__
    )


def _schema_of(kind: Any, mode: JsonSchemaMode) -> JsonSchema | None:
    """The schema of a type; None when it cannot be described."""
    rebuilt = _rebuilt(kind)
    for config in (None, ConfigDict(arbitrary_types_allowed=True)):
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(rebuilt, config=config)
            return adapter.json_schema(mode=mode, schema_generator=_Lenient) or None
        except _UNDESCRIBABLE:
            continue
    return None


def _rebuilt(kind: Any, around: tuple[Any, ...] = ()) -> Any:
    """A type with every TypedDict in it made anew: pydantic wants those of typing_extensions, and nothing of them is
    required. One inside itself (`around`) may be anything."""
    if kind in around:
        return Any
    if typing_extensions.is_typeddict(kind):
        around = (*around, kind)
        fields = {name: _rebuilt(_unqualified(hint), around) for name, hint in _hints(kind).items()}
        return typing_extensions.TypedDict(kind.__name__, fields, total=False)  # type: ignore[operator]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None or not arguments:
        return kind
    rebuilt = tuple(
        _rebuilt(argument, around) if not isinstance(argument, list) else argument for argument in arguments
    )
    if rebuilt == arguments:
        return kind
    if origin in (typing.Union, types.UnionType):
        return typing.Union[rebuilt]  # noqa: UP007 - made from a tuple
    if origin is typing.Annotated:
        return typing.Annotated[rebuilt]
    return origin[rebuilt]


def _hints(kind: Any) -> Mapping[str, Any]:
    try:
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        # Names that only a type checker can resolve.
        return dict.fromkeys(getattr(kind, "__annotations__", {}), Any)
    names = _field_names(kind)
    found = {name: _unqualified(hint) for name, hint in hints.items() if names is None or name in names}
    return {name: _with_constraints(kind, name, hint) for name, hint in found.items()} if _is_model(kind) else found


def _with_constraints(model: type[BaseModel], name: str, hint: Any) -> Any:
    """A model's field with what `Field(ge=0)` as its default demands; Any when a validator of its own sees the value
    before pydantic does, and may take anything."""
    before = _changes_its_input(model) or any(
        validator.info.mode != "after" and (name in validator.info.fields or "*" in validator.info.fields)
        for validator in model.__pydantic_decorators__.field_validators.values()
    )
    constraints = model.model_fields[name].metadata
    if before or any(isinstance(item, _SEES_FIRST) or _strips(item) for item in constraints):
        return Any
    if _reducer(hint) is not None or not constraints:
        return hint
    return typing.Annotated[(model.model_fields[name].annotation, *constraints)]


_SEES_FIRST = (BeforeValidator, PlainValidator, WrapValidator)


def _strips(constraint: Any) -> bool:
    """Whether lengths are measured of something else than what is given."""
    return bool(getattr(constraint, "strip_whitespace", None))


def _changes_its_input(model: type[BaseModel]) -> bool:
    """Whether a validator of the whole model sees the input before pydantic does."""
    return any(v.info.mode != "after" for v in model.__pydantic_decorators__.model_validators.values())


def _field_names(kind: Any) -> set[str] | None:
    if _is_model(kind):
        return set(kind.model_fields)
    if _is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    return None


def _unqualified(hint: Any) -> Any:
    while get_origin(hint) in (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly):
        hint = get_args(hint)[0]
    return hint


def _reducer(hint: Any) -> Any:
    """LangGraph's rule: the last annotation, when it is a function."""
    if get_origin(hint) is typing.Annotated:
        last = hint.__metadata__[-1]
        if callable(last) and not isinstance(last, type):
            return last
    return None


def _without_reducer(hint: Any) -> Any:
    return get_args(hint)[0] if _reducer(hint) is not None else hint


def _required(kind: Any, hints: Mapping[str, Any]) -> list[str]:
    """Fields without which the first step cannot be given its state. A field with a reducer begins empty."""
    if _is_model(kind):
        fields = {} if _changes_its_input(kind) else kind.model_fields
        needed = [name for name, field in fields.items() if field.is_required()]
    elif _is_dataclass(kind):
        needed = [
            field.name
            for field in dataclasses.fields(kind)
            if field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
    else:
        needed = []
    return [name for name in needed if name in hints and _reducer(hints[name]) is None]


_INTEGER = r"^\s*[-+]?[0-9][0-9_]*(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*$"
_NUMBER = r"^\s*[-+]?([0-9_]*\.?[0-9_]*([eE][-+]?[0-9]+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN])\s*$"
_LAX_TYPES: dict[str, JsonSchema] = {
    "integer": {"type": ["integer", "number", "string", "boolean"], "pattern": _INTEGER},
    "number": {"type": ["number", "string", "boolean"], "pattern": _NUMBER},
    "boolean": {"type": ["boolean", "integer", "number", "string"]},
}
# Formats that pydantic reads from numbers, too: seconds since 1970, or a span's.
_TIMES = ("date-time", "date", "time", "duration")
_NOT_AS_SCHEMA = ("default", "const", "examples", "required", "pattern", "discriminator")


def _as_pydantic_takes_it(schema: Any) -> Any:
    """pydantic reads numbers and truth values from text, times from numbers, and sets from lists with repetitions; it
    rounds before it looks for multiples, and a discriminator picks one of several that would fit."""
    if isinstance(schema, list):
        return [_as_pydantic_takes_it(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    lax: JsonSchema = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "patternProperties"):
            # Names of the workflow's own.
            lax[key] = {name: _as_pydantic_takes_it(inner) for name, inner in value.items()}
        elif key == "oneOf":
            lax["anyOf"] = _as_pydantic_takes_it(value)
        elif key == "enum":
            lax[key] = [*value, *(str(item) for item in value if isinstance(item, int) and str(item) not in value)]
        elif key not in ("uniqueItems", "multipleOf"):
            lax[key] = value if key in _NOT_AS_SCHEMA else _as_pydantic_takes_it(value)
    if "enum" in lax:
        # The values say it all.
        lax.pop("type", None)
    elif isinstance(lax.get("type"), str) and "const" not in lax:
        if lax["type"] == "string" and lax.get("format") in _TIMES:
            lax["type"] = ["string", "number"]
        lax |= _LAX_TYPES.get(lax["type"], {}) if isinstance(lax["type"], str) else {}
    return lax


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def unrestorable(kind: Any, safe: frozenset[tuple[str, ...]]) -> list[str]:
    """Names of the classes in a type that a checkpoint cannot hold at all, as far as the type shows them."""
    found: list[str] = []
    for inner in _classes(kind):
        storable = (
            inner.__module__ in ("builtins", "typing", "typing_extensions", "collections", "numpy")
            or _is_model(inner)
            or _is_dataclass(inner)
            or typing_extensions.is_typeddict(inner)
            or issubclass(inner, enum.Enum | tuple)
            or (inner.__module__, inner.__name__) in safe
            or hasattr(inner, "model_dump")
        )
        if not storable and inner.__module__ not in ("collections.abc", "langchain_core.messages.base"):
            found.append(f"{inner.__module__}.{inner.__qualname__}")
    return found


def _classes(kind: Any) -> list[type]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Literal:
        return []
    if arguments:
        inner = arguments[:1] if origin is typing.Annotated else arguments
        return [found for argument in inner if not isinstance(argument, list) for found in _classes(argument)]
    return [kind] if isinstance(kind, type) else []
