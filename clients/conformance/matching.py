"""Whether an answer is what a scenario expects."""

import re
from collections.abc import Callable, Mapping
from typing import Any


class Mismatch(Exception):  # noqa: N818 - reads as what happened
    """What differs, and where."""


# Keys of answers.
_NAMES = {"$omitted", "$seconds", "$after", "$authorization"}


def match(expected: Any, found: Any, path: str = "$") -> None:
    """Raise Mismatch unless `found` has what `expected` asks for. See the README for what stands for what."""
    match expected:
        case {} if any(str(key).startswith("$") and key not in _NAMES for key in expected):
            for key, argument in expected.items():
                _special(key, argument, found, path)
        case {}:
            _object(expected, found, path)
        case list():
            _list(expected, found, path)
        case _:
            if not same(expected, found):
                raise Mismatch(f"{path}: expected {expected!r}, found {found!r}")


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, but 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


_ABSENT = object()


def _object(expected: Mapping[str, Any], found: Any, path: str) -> None:
    if not isinstance(found, dict):
        raise Mismatch(f"{path}: expected an object, found {found!r}")
    for key, wanted in expected.items():
        value = found.get(key, _ABSENT)
        if wanted == {"$absent": True}:
            if value is not _ABSENT:
                raise Mismatch(f"{path}.{key}: expected nothing, found {value!r}")
            continue
        if value is _ABSENT:
            raise Mismatch(f"{path}.{key}: is not there")
        match(wanted, value, f"{path}.{key}")


def _list(expected: list[Any], found: Any, path: str) -> None:
    if not isinstance(found, list) or len(found) != len(expected):
        raise Mismatch(f"{path}: expected a list of {len(expected)}, found {_short(found)}")
    for number, (wanted, value) in enumerate(zip(expected, found, strict=True)):
        match(wanted, value, f"{path}[{number}]")


def _special(name: str, argument: Any, found: Any, path: str) -> None:
    if name not in _CHECKS:
        raise ValueError(f"{path}: there is no {name}")
    if not _CHECKS[name](argument, found):
        raise Mismatch(f"{path}: expected {name} {argument!r}, found {_short(found)}")


def _matches(argument: Any, found: Any) -> bool:
    try:
        match(argument, found)
    except Mismatch:
        return False
    return True


def _contains(items: list[Any], found: Any) -> bool:
    rest = iter(found)
    return all(any(_matches(item, value) for value in rest) for item in items)


def _gapless(first: int, found: Any) -> bool:
    numbers = [event["sequence"] for event in found if event["sequence"]]
    return bool(numbers) and numbers == list(range(first, first + len(numbers)))


def _number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _letters(text: str) -> str:
    return re.sub("[^a-z]", "", text.lower())


def _is_reason(reason: str, found: Any) -> bool:
    """Whether a type's name is a reason's, in any spelling."""
    # INTERNAL_ERROR alone would name no type well.
    names = {_letters(reason), "serverfault"} if reason == "INTERNAL_ERROR" else {_letters(reason)}
    return isinstance(found, str) and any(name in _letters(found) for name in names)


_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "$any": lambda _, __: True,
    "$in": lambda choices, found: any(_matches(choice, found) for choice in choices),
    "$from": lambda least, found: _number(found) and found >= least,
    "$to": lambda most, found: _number(found) and found <= most,
    "$matches": lambda pattern, found: isinstance(found, str) and re.search(pattern, found) is not None,
    "$exactly": same,
    "$contains": _contains,
    "$all": lambda item, found: all(_matches(item, value) for value in found),
    "$length": lambda length, found: len(found) == length,
    "$gapless": _gapless,
    "$contains_all": lambda items, found: all(any(_matches(item, value) for value in found) for item in items),
    "$not": lambda other, found: not _matches(other, found),
    "$reason": _is_reason,
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 400 else f"{text[:300]} … {text[-60:]}"
