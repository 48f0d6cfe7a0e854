"""Checks of JSON values against JSON Schemas, for clients.

The schema is a workflow's and the value anybody's: a check must not take long for any value. jsonschema's own checks
of patterns and of unique items do.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import pydantic_core
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaValidator, core_schema
from referencing.exceptions import Unresolvable

from autopilot_server.jobs.errors import Violation
from autopilot_server.jobs.job import Json

# Validators and patterns that are kept compiled: more than a server has workflows.
_KEPT = 256
_MOST_VIOLATIONS = 16
_TEXT_LENGTH = 200

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


class SchemaChecks:
    """Validates. From any thread."""

    def violations(self, value: Json, schema: Json, field: str, *, partial: bool = False) -> list[Violation]:
        """What is wrong with a value. `partial`: fields at the top may be missing, because a state has them already.

        A schema that is not valid itself, which a workflow may have given, refuses nothing.
        """
        validator = _compiled(schema, partial)
        if validator is None:
            return []
        try:
            found: Iterable[ValidationError] = (
                error for error in validator.iter_errors(json.loads(value)) if not _overwrites(error.instance)
            )
            return [_violation(error, field) for error, _ in zip(found, range(_MOST_VIOLATIONS), strict=False)]
        except (Unresolvable, RecursionError):
            return []


@lru_cache(_KEPT)
def _compiled(text: Json, partial: bool) -> Draft202012Validator | None:
    schema = json.loads(text)
    if partial and isinstance(schema, dict):
        schema = {key: value for key, value in schema.items() if key != "required"}
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return None
    validator: Draft202012Validator = _Validator(schema)
    return validator


@lru_cache(_KEPT)
def _matcher(pattern: str) -> Callable[[str], bool]:
    """A search in time that is linear in the text. Only Python's own knows lookarounds and backreferences."""
    try:
        kind = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
        return SchemaValidator(kind).isinstance_python
    except pydantic_core.SchemaError:
        return lambda text: re.search(pattern, text) is not None


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    del schema
    if validator.is_type(value, "string") and not _matcher(pattern)(value):
        yield ValidationError(f"{value[:_TEXT_LENGTH]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    del schema
    if validator.is_type(value, "object"):
        for pattern, inner in patterns.items():
            for name in filter(_matcher(pattern), value):
                yield from validator.descend(value[name], inner, path=name, schema_path=pattern)


def _unique_items(validator: Any, unique: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
    del schema
    if not unique or not validator.is_type(value, "array"):
        return
    if len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
        yield ValidationError("must not have the same value twice")


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique_items},
)


def _overwrites(value: Any) -> bool:
    # LangGraph takes it for any field with a reducer. In each field's schema it would hide what people look for there.
    return isinstance(value, dict) and value.keys() == {"__overwrite__"}


def _violation(error: ValidationError, field: str) -> Violation:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    text = _text(error)
    return Violation(field + path, text if len(text) <= _TEXT_LENGTH else text[: _TEXT_LENGTH - 1] + "…")


def _text(error: ValidationError) -> str:
    types = error.schema.get("type", []) if isinstance(error.schema, dict) else []
    types = [types] if isinstance(types, str) else types
    if error.validator == "type":
        return f"must be {' or '.join(_KINDS.get(kind, kind) for kind in types)}"
    if error.validator == "pattern" and ("number" in types or "integer" in types):
        # A number may be given as a text, which then has the pattern of one.
        return "must be a number"
    return error.message
