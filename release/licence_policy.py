"""Which licences are allowed, and how packages spell them."""

import re
from dataclasses import dataclass

from packaging.licenses import canonicalize_license_expression

# Permissive ones: they ask for a notice, and nothing of whoever runs or changes Autopilot.
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense"}
)

# What is not permissive, and why it may be used all the same.
EXCEPTIONS = {
    ("certifi", "MPL-2.0"): "concerns changes of its own files only, and it is used unchanged",
    (
        "orjson",
        "MPL-2.0 AND (Apache-2.0 OR MIT)",
    ): "MPL-2.0 concerns changes of its own files only; it is used unchanged",
    **{
        (
            name,
            "LGPL-3.0-only",
        ): "asks that it can be replaced, which pip does; used unchanged, only with the extra postgres"
        for name in ("psycopg", "psycopg-binary", "psycopg-pool")
    },
}

# What packages write that do not know the expressions of SPDX. Not "BSD", which could be any of four.
SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "the apache license, version 2.0": "Apache-2.0",
    "the apache software license, version 2.0": "Apache-2.0",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit license, apache license, version 2.0": "MIT OR Apache-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """Something that is installed with Autopilot. `licence`: an SPDX expression; empty when it is not known."""

    name: str
    licence: str


def expression(text: str) -> str:
    """SPDX's expression for what somebody wrote; empty when it is not understood."""
    try:
        return str(canonicalize_license_expression(SPELLINGS.get(text.strip().lower(), text.strip())))
    except ValueError:
        return ""


def is_allowed(expression: str) -> bool:
    """Whether one may choose among the licences of an expression so that all are allowed."""
    tokens = re.findall(r"[()]|[^\s()]+", expression)

    def either() -> bool:
        held = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            held = both() or held
        return held

    def both() -> bool:
        held = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            held = one() and held
        return held

    def one() -> bool:
        word = tokens.pop(0)
        if word == "(":
            held = either()
            tokens.pop(0)
            return held
        if tokens and tokens[0] == "WITH":
            # An exception only ever adds to what a licence allows.
            del tokens[:2]
        return word in ALLOWED

    return bool(tokens) and either()


def complaints(packages: list[Package]) -> list[str]:
    """What the policy has against them."""
    return [
        f"{each.name}: {each.licence or 'no licence that is known'} is not allowed by release/licences.py"
        for each in packages
        if not is_allowed(each.licence) and (each.name, each.licence) not in EXCEPTIONS
    ]
