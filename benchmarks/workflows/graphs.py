"""The work that is measured. `five_sync` and `five_async` are the work W: a line of five nodes that do nothing."""

import asyncio
import ctypes
import operator
from collections.abc import Sequence
from typing import Annotated, Any

from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

TICK_SECONDS = 1.0
HOLD_SECONDS = 10


class Nothing(TypedDict, total=False):
    """State of W."""

    value: int


class Ticks(TypedDict, total=False):
    """State of `clock`: how many ticks are left."""

    left: int


class Sized(TypedDict, total=False):
    """State of `sized`: as many bytes as were asked for."""

    size: int
    content: str


class Size(TypedDict, total=False):
    """What goes into `sized` and comes out."""

    size: int


class Conversation(TypedDict, total=False):
    """State of `conversation`: what has come together, of so many bytes each, and how much is left."""

    left: int
    size: int
    entries: Annotated[list[str], operator.add]


def _joined(old: list[str], added: Sequence[list[str]]) -> list[str]:
    return [*old, *(entry for entries in added for entry in entries)]


class DeltaConversation(TypedDict, total=False):
    """The same, of which LangGraph stores what each step adds."""

    left: int
    size: int
    entries: Annotated[list[str], DeltaChannel(_joined)]


class Left(TypedDict, total=False):
    """What comes out of a conversation."""

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


async def _sleep(_state: Nothing) -> Nothing:
    await asyncio.sleep(3600)
    return {}


async def _hold(_state: Nothing) -> Nothing:
    """Holds the interpreter, as a C extension does that never lets go of it."""
    ctypes.PyDLL(None).sleep(HOLD_SECONDS)
    return {}


def _swell(state: Sized) -> Sized:
    return {"content": "x" * state["size"]}


def _say(state: Any) -> Any:
    return {"left": state["left"] - 1, "entries": ["x" * state["size"]]}


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


def _sized() -> "StateGraph[Sized, None, Size, Size]":
    """W with a state of so many bytes, which its first step makes."""
    graph = StateGraph(Sized, input_schema=Size, output_schema=Size)
    steps = {"swell": _swell, **{f"step_{number}": _nothing for number in range(2, 6)}}
    for name, step in steps.items():
        graph.add_node(name, step)
    for source, target in zip([START, *steps], [*steps, END], strict=True):
        graph.add_edge(source, target)
    return graph


def _conversation(state: Any) -> "StateGraph[Any, None, Any, Any]":
    graph = StateGraph(state, output_schema=Left)
    graph.add_node("say", _say)
    graph.add_edge(START, "say")
    graph.add_conditional_edges("say", lambda state: "say" if state["left"] > 0 else END, ["say", END])
    return graph


five_sync = line(*[_nothing] * 5)
five_async = line(*[_nothing_async] * 5)
question = line(_nothing, _ask)
failure = line(_nothing, _fail)
clock = _clock()
sleeps = line(_sleep)
holds = line(_hold)
line_5 = five_sync
line_20 = line(*[_nothing] * 20)
line_100 = line(*[_nothing] * 100)
sized = _sized()
conversation = _conversation(Conversation)
conversation_delta = _conversation(DeltaConversation)
