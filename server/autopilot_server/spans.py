"""Spans of time on the command line: 45s, 30m, 12h, 90d."""

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """The seconds of an option's value. For `callback` of `click.option`."""
    if value is None:
        return None
    found = _SPAN.fullmatch(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no span of time: give a number and a unit, as 90d, 12h, 30m or 45s")
    return int(found[1]) * _UNITS[found[2]]
