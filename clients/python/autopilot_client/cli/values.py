"""Values on the command line: JSON, spans, times, labels."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")

# What protobuf's Duration holds, about 10,000 years.
LONGEST = timedelta(seconds=315_576_000_000)

# gRPC takes much longer deadlines for deadlines of the past.
LONGEST_CALL = timedelta(days=365)

# What an int32 of the contract holds.
COUNT = click.IntRange(1, 2**31 - 1)


class Json(click.ParamType):  # type: ignore[type-arg] # generic in newer releases only
    """JSON text, `@FILE`, or `-` for standard input."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read and parse."""
        if not isinstance(value, str):
            return value
        text = self._text(value, param, ctx)
        try:
            parsed = json.loads(text, object_pairs_hook=_object)
            # Finds what Python reads and JSON has not got: NaN, and halves of characters.
            json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
            return _Parsed(parsed)
        except RecursionError:
            self.fail("nested too deeply", param, ctx)
        except ValueError as error:
            hint = " (a text needs quotes of its own: '\"like this\"')" if re.fullmatch(r"[\w .,!?-]+", value) else ""
            self.fail(f"not JSON: {error}{hint}", param, ctx)

    def _text(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if value == "-":
                return sys.stdin.read()
            return Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
        except (OSError, UnicodeDecodeError) as error:
            self.fail(f"cannot read {value[1:]}: {error}", param, ctx)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is there twice in one object")
    return found


class _Parsed:
    """A parsed JSON value: null is one, and an option that is not given is none."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Span(click.ParamType):  # type: ignore[type-arg] # generic in newer releases only
    """A span of time: 500ms, 10s, 5m, 2h, 3d, 1w, or together: 1h30m."""

    name = "duration"

    def __init__(self, longest: timedelta = LONGEST) -> None:
        """At most as long as what takes it can bear."""
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read."""
        if isinstance(value, timedelta):
            return value
        if value == "0":
            return timedelta()
        parts = _SPAN.findall(value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r} is not a duration: write it as 500ms, 10s, 5m, 2h, 3d or 1h30m", param, ctx)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if seconds > self._longest.total_seconds():
            self.fail(f"{value!r} is too long: at most {self._longest.days}d", param, ctx)
        return timedelta(seconds=seconds)


class Time(click.ParamType):  # type: ignore[type-arg] # generic in newer releases only
    """A time: 2026-01-31T12:00:00Z, 2026-01-31 12:00 (local), `in 5m`, or `2h ago`."""

    name = "time"

    def __init__(self, example: str) -> None:
        """Of the two that count from now, the one that makes sense."""
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read."""
        if isinstance(value, datetime):
            return value
        try:
            if value.startswith("in "):
                return datetime.now(UTC) + Span().convert(value[3:], param, ctx)
            if value.endswith(" ago"):
                return datetime.now(UTC) - Span().convert(value[:-4], param, ctx)
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time: write it as 2026-01-31T12:00:00Z, or as '{self._example}'", param, ctx)


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """KEY=VALUE, several times."""
    found = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{value!r}: write it as KEY=VALUE", param_hint=option)
        found[key] = text
    return found


def answers(values: Sequence[str]) -> dict[str, Any]:
    """ID=JSON, several times."""
    return {key: _answer(key, text) for key, text in pairs(values, "--answers").items()}


def _answer(key: str, text: str) -> Any:
    try:
        return Json().convert(text, None, None).value
    except click.BadParameter as error:
        error.param_hint = f"--answers {key}"
        raise
