"""The licences of what the clients need at run time, as each language's own tools tell them."""

import csv
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.licence_policy import Package, expression

ROOT = Path(__file__).parents[1]
GO_LICENSES = ROOT / ".tools" / "go-licenses" / "go-licenses"
MAVEN_PLUGIN = "org.codehaus.mojo:license-maven-plugin:2.7.0:add-third-party"
# The list is what is needed on Linux.
RUST_TARGET = "x86_64-unknown-linux-gnu"


@dataclass(frozen=True, slots=True)
class Client:
    """A client, the tools that know what it needs, and what that is."""

    language: str
    tools: tuple[str, ...]
    packages: Callable[[], list[Package]]

    @property
    def missing(self) -> list[str]:
        """Tools that this machine has not got."""
        return [tool for tool in self.tools if shutil.which(tool) is None]


# --- Go ---


def _go() -> list[Package]:
    """By what each module's licence file says: Go has no other word of it."""
    told = _output("go", str(GO_LICENSES), "report", ".", "--ignore", "github.com/autopilot-jobs")
    rows = [row for row in csv.reader(told.splitlines()) if row]
    return sorted(Package(name, expression(licence)) for name, _, licence in rows)


# --- TypeScript ---


def _typescript() -> list[Package]:
    """By the lock: what is not of development."""
    lock = json.loads((ROOT / "clients/typescript/package-lock.json").read_text())
    return sorted(
        Package(path.rpartition("node_modules/")[2], expression(about.get("license", "")))
        for path, about in lock["packages"].items()
        if path and not about.get("dev")
    )


# --- Java ---

# "   (The Apache License, Version 2.0) JSpecify annotations (org.jspecify:jspecify:1.0.0 - http://jspecify.org/)"
_THIRD_PARTY = re.compile(r"^\s+((?:\([^()]*\) )+).* \(([\w.-]+:[\w.-]+):[^:]* - \S*\)$", re.MULTILINE)


def _java() -> list[Package]:
    """By the poms of all that is on the class path."""
    with tempfile.TemporaryDirectory() as folder:
        scopes = ("-Dlicense.includedScopes=compile,runtime", "-Dlicense.excludedScopes=test,provided")
        target = (f"-Dlicense.outputDirectory={folder}", "-Dlicense.thirdPartyFilename=list.txt")
        _output("java", "mvn", "--batch-mode", "--quiet", MAVEN_PLUGIN, *scopes, *target)
        told = (Path(folder) / "list.txt").read_text()
    return sorted(
        # Where there are several, whether one may choose is not said.
        Package(name, " AND ".join(expression(each) for each in re.findall(r"\(([^()]*)\)", licences)))
        for licences, name in _THIRD_PARTY.findall(told)
    )


# --- Rust ---


def _rust() -> list[Package]:
    """By the manifests of what is linked: not what builds, tests, or is a macro."""
    options = ("--format-version", "1", "--locked", "--filter-platform", RUST_TARGET)
    told = json.loads(_output("rust", "cargo", "metadata", *options))
    packages = {each["id"]: each for each in told["packages"]}
    needs = {node["id"]: _linked(node) for node in told["resolve"]["nodes"]}
    linked, open_ends = set(), [told["resolve"]["root"]]
    while open_ends:
        end = open_ends.pop()
        if end not in linked and not _is_macro(packages[end]):
            linked.add(end)
            open_ends += needs[end]
    # What has no source is of this repository.
    found = [packages[each] for each in linked if packages[each]["source"] is not None]
    return sorted({Package(each["name"], expression((each["license"] or "").replace("/", " OR "))) for each in found})


def _linked(node: Any) -> list[str]:
    return [each["pkg"] for each in node["deps"] if any(kind["kind"] is None for kind in each["dep_kinds"])]


def _is_macro(package: Any) -> bool:
    return any("proc-macro" in target["kind"] for target in package["targets"])


def _output(language: str, *command: str) -> str:
    done = subprocess.run(command, cwd=ROOT / "clients" / language, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


CLIENTS = (
    Client("Go", ("go", str(GO_LICENSES)), _go),
    Client("TypeScript", (), _typescript),
    Client("Java", ("mvn", "javac"), _java),
    Client("Rust", ("cargo",), _rust),
)
