"""The checklist tasks.md: what is to do, and what is done."""

import re
from pathlib import Path

from smartspec.state import Requirement

_LINE = re.compile(r"- \[(?P<mark>[ x])\] (?P<id>\w+):")


def write(path: Path, requirements: list[Requirement], done: set[str]) -> None:
    """Write the checklist whole: writing it twice changes nothing."""
    lines = ["# Tasks", ""]
    for requirement in requirements:
        mark = "x" if requirement["id"] in done else " "
        lines.append(f"- [{mark}] {requirement['id']}: {requirement['title']}")
        lines += [f"  - {criterion}" for criterion in requirement["criteria"]]
    replace_text(path, "\n".join(lines) + "\n")


def done(path: Path) -> set[str]:
    """The tasks that are ticked."""
    if not path.exists():
        return set()
    return {found["id"] for found in map(_LINE.match, path.read_text().splitlines()) if found and found["mark"] == "x"}


def replace_text(path: Path, text: str) -> None:
    """Write a file at once: a crash leaves the old one or the new one."""
    draft = path.with_suffix(path.suffix + ".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
