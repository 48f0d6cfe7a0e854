"""The licences of all that Autopilot needs at run time: written into docs/licences.md, and checked against a policy.

python -m release.licences           writes the list
python -m release.licences --check   fails when the list is stale, or a licence is unknown or not allowed
"""

import argparse
import re
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LIST = ROOT / "docs/licences.md"
PROJECT = "autopilot-jobs"

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
}

# What packages write that do not know the expressions of SPDX. Not "BSD", which could be any of four.
SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
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


def needed() -> list[Package]:
    """All that Autopilot needs here with all its extras, itself left out."""
    extras = distribution(PROJECT).metadata.get_all("Provides-Extra") or []
    found: dict[str, Distribution] = {}
    open_ends = [(PROJECT, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_ends:
        end = open_ends.pop()
        if end not in seen:
            seen.add(end)
            found[end[0]] = distribution(end[0])
            open_ends += _requirements(found[end[0]], end[1])
    return sorted(Package(name, licence(each)) for name, each in found.items() if name != PROJECT)


def _requirements(package: Distribution, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    wanted = []
    for text in package.requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            wanted.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return wanted


def licence(package: Distribution) -> str:
    """What a package says of itself, best first; empty when nothing of it is understood."""
    told = package.metadata.get_all("License-Expression") or []
    classifiers = package.metadata.get_all("Classifier") or []
    told += [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    told += package.metadata.get_all("License") or []
    return next(filter(None, map(_expression, told)), "")


def _expression(text: str) -> str:
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


def document(packages: list[Package]) -> str:
    """docs/licences.md."""
    rows = [f"| {each.name} | {each.licence} | {EXCEPTIONS.get((each.name, each.licence), '')} |" for each in packages]
    return "\n".join(
        [
            "# Licences",
            "",
            "What Autopilot, which is under Apache-2.0, needs at run time with all its extras, on Linux. Written by",
            "`make licences`; CI checks it, and refuses licences that are unknown or not permissive.",
            "",
            "| package | licence | |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Write or check. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m release.licences")
    parser.add_argument("--check", action="store_true", help="write nothing")
    packages = needed()
    found = complaints(packages)
    if not parser.parse_args().check:
        LIST.write_text(document(packages))
    elif missing := {f"| {each.name} | {each.licence} |" for each in packages} - _listed():
        found += [f"{LIST.name} has not got {row}: run make licences" for row in sorted(missing)]
    print("\n".join(found) if found else f"licences: {len(packages)} packages, all allowed")
    return bool(found)


def _listed() -> set[str]:
    # Other versions of Python need fewer packages: the list may have more.
    return {row.rpartition(" | ")[0] + " |" for row in LIST.read_text().splitlines()}


if __name__ == "__main__":
    sys.exit(main())
