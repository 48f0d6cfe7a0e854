"""Workflows whose every outcome a model can tell: each step does one of a few things, and waits for nothing but files.

A step appends its name to the trail; one that was given an answer appends that too. `PLANS` says the same to the model.
"""

import asyncio
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

Superstep = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow as the model knows it: its supersteps, the steps of each at once."""

    supersteps: tuple[Superstep, ...]
    stops_before: tuple[str, ...] = ()
    """Breakpoints that it was compiled with."""
    jobs: int | None = None
    """How many run at once."""
    per_key: int | None = None
    """How many with one key do. One: of two that fail at once, nobody could say who is ready first."""


# What a step does is in its name: `gate…` waits for the gate that the state names, `ask…` asks, `number…` asks for an
# even number, `hold…` asks and then waits at the gate, `fragile…` fails while the gate is closed.
PLANS: Mapping[str, Plan] = {
    "instant": Plan((("work",),)),
    "gated": Plan((("prepare",), ("gate",), ("finish",)), per_key=1),
    "single": Plan((("gate",), ("finish",)), jobs=1),
    "asking": Plan((("ask",), ("number",))),
    "asking_two": Plan((("prepare",), ("ask_left", "ask_right"), ("finish",))),
    "asking_inside": Plan((("outer/ask",), ("finish",))),
    "holding": Plan((("hold",), ("finish",)), per_key=1),
    "fragile": Plan((("prepare",), ("fragile",), ("finish",))),
    "stops": Plan((("first",), ("second",), ("third",)), stops_before=("second",)),
}


class State(TypedDict):
    """Where the gate is, and what was done."""

    gate: str
    trail: Annotated[list[str], operator.add]


class Even(BaseModel):
    """An answer that says more than its schema."""

    number: int

    def model_post_init(self, context: Any) -> None:
        if self.number % 2:
            raise ValueError("an even number, please")


Step = Callable[[Any], Any]


def _step(name: str) -> Step:
    for kind, make in _KINDS.items():
        if name.startswith(kind):
            return make(name)
    return _work(name)


def _work(name: str) -> Step:
    async def work(state: State) -> Any:
        return {"trail": [name]}

    return work


def _gate(name: str) -> Step:
    async def gate(state: State) -> Any:
        await _opened(state)
        return {"trail": [name]}

    return gate


def _ask(name: str) -> Step:
    async def ask(state: State) -> Any:
        answer = interrupt({"question": name})
        return {"trail": [name, str(answer)]}

    return ask


def _number(name: str) -> Step:
    async def number(state: State) -> Any:
        answer: Even = interrupt({"question": name}, response_schema=Even)
        return {"trail": [name, str(answer.number)]}

    return number


def _hold(name: str) -> Step:
    async def hold(state: State) -> Any:
        answer = interrupt({"question": name})
        await _opened(state)
        return {"trail": [name, str(answer)]}

    return hold


def _fragile(name: str) -> Step:
    async def fragile(state: State) -> Any:
        if not Path(state["gate"]).exists():
            raise ValueError("the gate is closed")
        return {"trail": [name]}

    return fragile


_KINDS: dict[str, Callable[[str], Step]] = {
    "gate": _gate,
    "ask": _ask,
    "number": _number,
    "hold": _hold,
    "fragile": _fragile,
}


async def _opened(state: State) -> None:
    while not Path(state["gate"]).exists():
        await asyncio.sleep(0.002)


def _inner(name: str) -> Any:
    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node(name, _step(name)).add_edge(START, name).compile()


def _outer(name: str) -> Step:
    """A node that calls a subgraph and adds what that one adds."""
    graph = _inner(name)

    async def outer(state: State) -> Any:
        done = await graph.ainvoke({"gate": state["gate"], "trail": []})
        return {"trail": done["trail"]}

    return outer


def _graph(plan: Plan) -> Any:
    builder: StateGraph[Any] = StateGraph(State)
    before: list[str] = [START]
    for superstep in plan.supersteps:
        names = [name.partition("/")[0] for name in superstep]
        for name, path in zip(names, superstep, strict=True):
            builder.add_node(name, _outer(path.partition("/")[2]) if "/" in path else _step(name))
            # Behind parallel steps: once, when all of them are done.
            builder.add_edge(before if len(before) > 1 else before[0], name)
        before = names
    return builder.compile(interrupt_before=list(plan.stops_before))


graphs = {name: _graph(plan) for name, plan in PLANS.items()}
globals().update(graphs)
