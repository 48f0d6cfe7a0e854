"""What the model knows of a job and of its thread. Ids that the server makes are learned, never predicted."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.proof.histories.states import CANCELLED, NONE, SUCCEEDED
from tests.proof.model.workflows import PLANS, Plan

Values = dict[str, Any]
Move = tuple[int, int, str]

# Where an input checkpoint stands: before the first superstep, its input not taken in yet.
BEFORE_ALL = -1


@dataclass(eq=False)
class Point:
    """A checkpoint, and what was done of the superstep behind it."""

    source: str
    number: int
    """Of the superstep that it ends."""
    position: int
    """Which superstep of the plan is next."""
    values: Values
    parent: "Point | None"
    writer: str
    """The job that it belongs to; empty when that one is deleted."""
    submitted: int
    """How many jobs had been submitted when it was made."""
    graph_input: Values = field(default_factory=dict)
    ran: int = BEFORE_ALL
    """The superstep that was run last on the way here: who an edit is attributed to that names no step."""
    finished: dict[str, list[str]] = field(default_factory=dict)
    """What steps of its superstep have added, that are finished while others are not."""
    continued: bool = False
    """A job has completed its superstep."""
    stops: bool = False
    """A breakpoint of its job is there."""
    checkpoint_id: str = ""

    def copy(self, writer: str, submitted: int) -> "Point":
        """As a fork has it."""
        finished = {} if self.continued else dict(self.finished)
        return Point(
            source=self.source,
            number=self.number,
            position=self.position,
            values=dict(self.values),
            parent=self.parent,
            writer=writer,
            submitted=submitted,
            graph_input=self.graph_input,
            ran=self.ran,
            finished=finished,
            checkpoint_id=self.checkpoint_id,
        )


@dataclass(eq=False)
class Question:
    """A question that a step asked at a point."""

    point: Point
    step: str
    answer: Any = None
    answered: bool = False
    interrupt_id: str = ""


@dataclass(eq=False)
class Start:
    """Where a Resume makes a job go on from."""

    former: int
    point: Point | None
    update: tuple[Any] | None
    step: str


@dataclass(eq=False)
class Job:
    """A job as the contract has it."""

    job_id: str
    thread_id: str
    request: Any
    order: int
    """Later jobs have greater ones."""
    key: str = ""
    """Its concurrency_key."""
    ready: int = 0
    """Its place in the queue: lesser ones are claimed first."""
    state: int = NONE
    attempt: int = 0
    failed_attempts: int = 0
    error: tuple[str, str] | None = None
    """Reason and step."""
    cancel_reason: str = ""
    grace: bool = False
    """CANCELLING until its steps end, however long."""
    retries_later: bool = False
    points: list[Point] = field(default_factory=list)
    """Its checkpoints, oldest first."""
    questions: list[Question] = field(default_factory=list)
    start: Start | None = None
    passed: Point | None = None
    """Where it does not stop again."""
    resumes: dict[str, Any] = field(default_factory=dict)
    """Contents of the Resumes that had a request_id."""
    moves: list[Move] = field(default_factory=list)
    submitted: Any = None
    """Contents of its SubmitJob."""
    created: int = 0
    """Nanoseconds since 1970, as learned."""
    interrupt_ids: set[str] = field(default_factory=set)
    """All that its questions had, as learned."""
    etags: list[str] = field(default_factory=list)
    """All that it had, as learned."""

    @property
    def workflow(self) -> str:
        return str(self.request.workflow)

    @property
    def plan(self) -> Plan:
        return PLANS[self.workflow]

    @property
    def point(self) -> Point | None:
        """Its newest checkpoint."""
        return self.points[-1] if self.points else None

    @property
    def open_questions(self) -> list[Question]:
        return [] if self.state == SUCCEEDED else [q for q in self.questions if not q.answered]

    @property
    def graph_input(self) -> Values:
        """What it begins with. No input is an empty state."""
        return dict(json.loads(self.request.input.json_text)) if self.request.HasField("input") else {}

    @property
    def max_attempts(self) -> int:
        return self.request.retry_policy.max_attempts or 3

    @property
    def next_steps(self) -> list[str]:
        """Those that come next, while it is not running."""
        return [] if self.point is None else [top(step) for step in self.unfinished(self.point)]

    def superstep(self, point: Point) -> tuple[str, ...]:
        """The steps behind a point."""
        plan = self.plan.supersteps
        return plan[point.position] if 0 <= point.position < len(plan) else ()

    def unfinished(self, point: Point) -> list[str]:
        """Those of them that are not finished."""
        return [step for step in self.superstep(point) if step not in point.finished]

    def question(self, point: Point, step: str) -> Question | None:
        """What a step has asked there."""
        return next((q for q in self.questions if q.point is point and q.step == step), None)

    def move(self, to: int, error: tuple[str, str] | None = None, *, keeps_error: bool = False) -> None:
        """Change the state, as the log tells it."""
        self.moves.append((self.state, to, "" if error is None else error[0]))
        self.state = to
        if not keeps_error:
            self.error = error
        self.retries_later = False

    def breakpoints(self) -> tuple[set[str], set[str]]:
        """Steps before and behind which it stops: its own instead of the workflow's, list by list."""
        return set(self.request.interrupt_before or self.plan.stops_before), set(self.request.interrupt_after)

    def cancelled(self) -> None:
        """It ends CANCELLED."""
        self.start = None
        self.grace = False
        self.move(CANCELLED, ("CANCELLED", ""))


def top(step: str) -> str:
    """The node of the workflow that a step belongs to."""
    return step.partition("/")[0]
