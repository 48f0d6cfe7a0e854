"""What the workflow knows. Everything is plain data, which a checkpoint restores as it was."""

import operator
from typing import Annotated

from typing_extensions import TypedDict


class Requirement(TypedDict):
    """A requirement of the document."""

    id: str
    title: str
    text: str
    criteria: list[str]
    depends: list[str]
    command: str


class Result(TypedDict):
    """What became of a task."""

    id: str
    ok: bool
    exit_code: int
    seconds: float
    tail: list[str]


class Input(TypedDict, total=False):
    """What a job is given."""

    document: str
    """Path of the specification, Markdown."""
    workdir: str
    """Folder to work in; made when it is missing."""


class State(Input, total=False):
    """What the steps share."""

    title: str
    test_command: str
    requirements: list[Requirement]
    levels: list[list[str]]
    plan: str
    feedback: str
    approved: bool
    results: Annotated[list[Result], operator.add]
    tests: Result
    verdict: str
    report: str


class TaskInput(TypedDict):
    """What one task of the fan-out is given."""

    workdir: str
    requirement: Requirement


class Output(TypedDict, total=False):
    """What a job gives."""

    verdict: str
    report: str
    results: list[Result]
