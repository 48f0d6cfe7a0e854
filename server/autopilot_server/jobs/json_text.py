"""What JSON text shows without being parsed."""

import re
from itertools import accumulate

from autopilot_server.jobs.job import Json

# Strings, ended or not, and runs of whatever else is no bracket. Possessive: linear in time, and without a stack.
_NO_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^"\[\]{}]++', re.DOTALL)

_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def is_deeper(text: Json, depth: int) -> bool:
    """Whether brackets are nested more than `depth` deep, those in strings left out.

    Any text may be given: it is asked before a parser, or a writer of messages, whose recursion grows with the depth.
    """
    if text.count("[") + text.count("{") <= depth:
        return False
    brackets = _NO_BRACKETS.sub("", text)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > depth
