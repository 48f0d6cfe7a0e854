"""Reads a specification: Markdown with one section for each requirement.

# Title
## Tests
`python3 -m unittest`
## R1: What is wanted
Some text.
Depends: R0
- an acceptance criterion
`python3 build.py`            the command that does it
"""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from smartspec.state import Requirement

_HEADING = re.compile(r"(?P<id>[A-Za-z]+\d+)\s*[:–-]\s*(?P<title>.+)")
_DEPENDS = re.compile(r"^Depends:\s*(.+)$", re.IGNORECASE | re.MULTILINE)


class SpecError(ValueError):
    """The document cannot be worked from. The message says what to mend."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A document, read."""

    title: str
    test_command: str
    requirements: list[Requirement]


def read_spec(path: Path) -> Spec:
    """Read a document. SpecError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"cannot read {path}: it is not UTF-8 (byte {error.start})") from error
    return parse_spec(text)


def parse_spec(text: str) -> Spec:
    """Parse a document. SpecError."""
    title, sections = _sections(MarkdownIt().parse(text))
    tests = ""
    requirements: list[Requirement] = []
    for heading, tokens in sections:
        found = _HEADING.fullmatch(heading)
        if found:
            requirements.append(_requirement(found["id"], found["title"], tokens))
        elif heading.strip().lower() == "tests":
            tests = _command(tokens)
    _check(requirements)
    return Spec(title, tests, requirements)


def _sections(tokens: list[Token]) -> tuple[str, list[tuple[str, list[Token]]]]:
    title = ""
    sections: list[tuple[str, list[Token]]] = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h1":
            title = tokens[index + 1].content
        elif token.type == "heading_open" and token.tag == "h2":
            sections.append((tokens[index + 1].content, []))
        elif sections:
            sections[-1][1].append(token)
    return title, sections


def _requirement(requirement_id: str, title: str, tokens: list[Token]) -> Requirement:
    paragraphs, criteria, depth = [], [], 0
    for token in tokens[2:]:
        depth += token.type == "list_item_open"
        depth -= token.type == "list_item_close"
        if token.type == "inline":
            (criteria if depth else paragraphs).append(token.content)
    text = "\n".join(paragraphs)
    depends = [part.strip() for found in _DEPENDS.findall(text) for part in found.split(",")]
    return {
        "id": requirement_id,
        "title": title.strip(),
        "text": _DEPENDS.sub("", text).strip(),
        "criteria": criteria,
        "depends": depends,
        "command": _command(tokens),
    }


def _command(tokens: list[Token]) -> str:
    """The last piece of code outside lists: the command."""
    command, depth = "", 0
    for token in tokens:
        depth += token.type == "list_item_open"
        depth -= token.type == "list_item_close"
        if not depth:
            command = token.content.strip() if token.type == "fence" else command
            for child in token.children or ():
                command = child.content if child.type == "code_inline" else command
    return command


def _check(requirements: list[Requirement]) -> None:
    if not requirements:
        raise SpecError("the document has no requirement: write each as a section '## R1: title'")
    ids = [requirement["id"] for requirement in requirements]
    for requirement in requirements:
        name = requirement["id"]
        if ids.count(name) > 1:
            raise SpecError(f"requirement {name} is there twice")
        if not requirement["command"]:
            raise SpecError(f"requirement {name} has no command: write one as `code`")
        unknown = [other for other in requirement["depends"] if other not in ids]
        if unknown:
            raise SpecError(f"requirement {name} depends on {unknown[0]}, which is not in the document")
