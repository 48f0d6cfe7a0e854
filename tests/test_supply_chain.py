"""The locks fit what pyproject.toml asks for, licences are allowed, and an advisory service is quoted as it is."""

import json
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import advisories, licences
from release.licence_policy import Package, complaints, is_allowed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
RUN_TIME = [*PROJECT["project"]["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]

# What each lock is made from.
LOCKS = {
    "dev.txt": [*RUN_TIME, *GROUPS["dev"], *GROUPS["build"], *PROJECT["build-system"]["requires"]],
    "server.txt": RUN_TIME,
    "release.txt": GROUPS["release"],
}


def entries(lock: str) -> list[str]:
    """Each package of a lock with its hashes, on one line."""
    text = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pinned(lock: str) -> list[Requirement]:
    return [Requirement(entry.partition(" --hash=")[0]) for entry in entries(lock)]


def version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_fits_the_project(lock: str) -> None:
    pins = pinned(lock)
    for text in LOCKS[lock]:
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        found = [version(pin) for pin in pins if canonicalize_name(pin.name) == name]
        assert found, f"{lock} has not got {name}: run make lock"
        assert all(each in wanted.specifier for each in found), f"{lock}: {found} is not {text}: run make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_everything_by_hash_and_names_no_place(lock: str) -> None:
    """Whoever installs from it decides where from; what comes is what was locked."""
    for entry in entries(lock):
        assert re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==\S+( ; [^:/]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), entry


def test_a_server_gets_what_was_tested() -> None:
    tested = {(pin.name, version(pin)) for pin in pinned("dev.txt")}
    assert {(pin.name, version(pin)) for pin in pinned("server.txt")} <= tested


def test_what_is_installed_here_is_what_is_locked() -> None:
    for pin in pinned("dev.txt"):
        if pin.marker is None or pin.marker.evaluate():
            assert distribution(pin.name).version == version(pin), f"{pin.name}: run make setup"


# --- licences ---


def test_licences_are_listed_and_allowed() -> None:
    assert complaints(licences.needed()) == []
    for row in licences.document(licences.needed()).splitlines():
        assert row in licences.LIST.read_text().splitlines(), f"{row}: run make licences"


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("GPL-3.0-only OR (MIT AND GPL-2.0-only)", False),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND BSD-3-Clause", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("LGPL-3.0-or-later", False),
        ("", False),
    ],
)
def test_the_policy_reads_expressions(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) == allowed


def test_an_exception_is_of_one_licence() -> None:
    told = [Package("certifi", "MPL-2.0"), Package("certifi", "GPL-3.0-only"), Package("other", "MPL-2.0")]
    assert [each.partition(" is ")[0] for each in complaints(told)] == [
        "certifi: GPL-3.0-only",
        "other: MPL-2.0",
    ]


# --- advisories ---


def judge(capsys: pytest.CaptureFixture[str], *packages: dict[str, object], complaint: str = "") -> tuple[int, str]:
    answer = json.dumps({"dependencies": packages}) if packages else ""
    return advisories._judge("dev.txt", answer, complaint), capsys.readouterr().out


SOUND = {"name": "sound", "version": "1", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}
VULNERABLE = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


def test_only_a_vulnerability_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(capsys, SOUND, VULNERABLE, UNKNOWN) == (
        1,
        "audit: dev.txt: bad 2: PYSEC-1, mended in 3\n"
        "audit: dev.txt: not audited, the service does not know them: unknown\n",
    )
    assert judge(capsys, SOUND) == (0, "audit: dev.txt: nothing is known against 1 packages\n")


def test_no_answer_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    for answer in (judge(capsys, UNKNOWN), judge(capsys, complaint="Traceback\nConnectionError: no way out")):
        assert answer[0] == 0
        assert "NOT RUN: the advisory service cannot be reached" in answer[1]
        assert "nothing is known" not in answer[1]
