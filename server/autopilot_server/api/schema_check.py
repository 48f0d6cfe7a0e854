"""Checks of JSON values against JSON Schemas, for clients."""

import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing.exceptions import Unresolvable

from autopilot_server.jobs.errors import Violation
from autopilot_server.jobs.job import Json

# Validators that are kept compiled: more than a server has workflows.
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
    """Validates, and keeps the validators of the schemas that it has seen."""

    def __init__(self) -> None:
        """Start with none."""
        self._validators: OrderedDict[tuple[Json, bool], Draft202012Validator | None] = OrderedDict()

    def violations(self, value: Json, schema: Json, field: str, *, partial: bool = False) -> list[Violation]:
        """What is wrong with a value. `partial`: fields at the top may be missing, because a state has them already.

        A schema that is not valid itself, which a workflow may have given, refuses nothing.
        """
        validator = self._validator(schema, partial)
        if validator is None:
            return []
        try:
            found: Iterable[ValidationError] = (
                error for error in validator.iter_errors(json.loads(value)) if not _overwrites(error.instance)
            )
            return [_violation(error, field) for error, _ in zip(found, range(_MOST_VIOLATIONS), strict=False)]
        except (Unresolvable, RecursionError):
            return []

    def _validator(self, schema: Json, partial: bool) -> Draft202012Validator | None:
        key = (schema, partial)
        if key not in self._validators:
            self._validators[key] = _compiled(json.loads(schema), partial)
            if len(self._validators) > _KEPT:
                self._validators.popitem(last=False)
        return self._validators[key]


def _compiled(schema: Any, partial: bool) -> Draft202012Validator | None:
    if partial and isinstance(schema, dict):
        schema = {key: value for key, value in schema.items() if key != "required"}
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return None
    return Draft202012Validator(schema)


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
