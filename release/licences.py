"""The licences of all that Autopilot needs at run time: written into docs/licences.md, and checked against a policy.

python -m release.licences           writes the list
python -m release.licences --check   fails when the list is stale, or a licence is unknown or not allowed
"""

import argparse
import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.client_licences import CLIENTS, Client
from release.licence_policy import EXCEPTIONS, Package, complaints, expression

ROOT = Path(__file__).parents[1]
LIST = ROOT / "docs/licences.md"
PROJECT = "autopilot-jobs"


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
    return next(filter(None, map(expression, told)), "")


def document(packages: list[Package]) -> str:
    """What docs/licences.md says of the server and the Python client."""
    return "\n".join(
        [
            "# Licences",
            "",
            "What Autopilot, which is under Apache-2.0, needs at run time with all its extras, on Linux. Written by",
            "`make licences`; CI checks it, and refuses licences that are unknown or not permissive.",
            "",
            *_table(packages),
            "## Clients",
            "",
            "What the clients in other languages need at run time.",
            "",
        ]
    )


def section(language: str, packages: list[Package]) -> str:
    """What docs/licences.md says of a client."""
    return "\n".join([f"### {language}", "", *_table(packages)])


def _table(packages: list[Package]) -> list[str]:
    rows = [f"| {each.name} | {each.licence} | {EXCEPTIONS.get((each.name, each.licence), '')} |" for each in packages]
    return ["| package | licence | |", "|---|---|---|", *rows, ""]


def listed(language: str) -> str:
    """The section of a client as it stands in the list; empty when there is none."""
    found = re.search(rf"^### {language}\n.*?(?=^#|\Z)", LIST.read_text(), re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def main() -> int:
    """Write or check. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m release.licences")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    packages = needed()
    told = {client.language: client.packages() for client in CLIENTS if not client.missing}
    for client in CLIENTS:
        if client.missing:
            print(f"{client.language}: left as it is, for want of {', '.join(client.missing)}")
    everything = [*packages, *(each for those in told.values() for each in those)]
    found = complaints(everything)
    if check:
        found += _stale(packages, told)
    else:
        LIST.write_text("\n".join([document(packages), *(_section(client, told) for client in CLIENTS)]))
    print("\n".join(found) if found else f"licences: {len(everything)} packages, all allowed")
    return bool(found)


def _section(client: Client, told: dict[str, list[Package]]) -> str:
    if client.language in told:
        return section(client.language, told[client.language])
    return listed(client.language)


def _stale(packages: list[Package], told: dict[str, list[Package]]) -> list[str]:
    # Other versions of Python need fewer packages: the list may have more.
    server = set(document(packages).splitlines()) - set(LIST.read_text().splitlines())
    stale = [f"{LIST.name} has not got {row}: run make licences" for row in sorted(server)]
    others = [
        language for language, those in told.items() if section(language, those).strip() != listed(language).strip()
    ]
    return stale + [f"{LIST.name} is not what the client in {language} needs: run make licences" for language in others]


if __name__ == "__main__":
    sys.exit(main())
