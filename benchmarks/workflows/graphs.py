"""The work that is measured. `five_sync` and `five_async` are the work W: a line of five nodes that do nothing."""

import asyncio
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

TICK_SECONDS = 1.0


class Nothing(TypedDict, total=False):
    """State of W."""

    value: int


class Ticks(TypedDict, total=False):
    """State of `clock`: how many ticks are left."""

    left: int


def _nothing(_state: Nothing) -> Nothing:
    return {}


async def _nothing_async(_state: Nothing) -> Nothing:
    return {}


def _ask(_state: Nothing) -> Nothing:
    return {"value": int(interrupt("how many?"))}


def _fail(_state: Nothing) -> Nothing:
    raise ValueError("this step always fails")


async def _tick(state: Ticks) -> Ticks:
    await asyncio.sleep(TICK_SECONDS)
    return {"left": state["left"] - 1}


def line(*steps: Any) -> "StateGraph[Nothing, None, Nothing, Nothing]":
    """A graph that takes the steps one after the other."""
    graph = StateGraph(Nothing)
    names = [f"step_{number}" for number in range(1, len(steps) + 1)]
    for name, step in zip(names, steps, strict=True):
        graph.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


def _clock() -> "StateGraph[Ticks, None, Ticks, Ticks]":
    graph = StateGraph(Ticks)
    graph.add_node("tick", _tick)
    graph.add_edge(START, "tick")
    graph.add_conditional_edges("tick", lambda state: "tick" if state["left"] > 0 else END, ["tick", END])
    return graph


five_sync = line(*[_nothing] * 5)
five_async = line(*[_nothing_async] * 5)
question = line(_nothing, _ask)
failure = line(_nothing, _fail)
clock = _clock()
