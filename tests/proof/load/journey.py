"""The workflow that time travellers use, as light as a server's workflow should be."""

from typing import Any

from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from tests.proof.load.random_graphs import Builder, State, leave_effect

RUNS = ("one", "left", "work", "ask", "last")


def journey() -> Builder:
    """One, then left beside a subgraph that works and asks, then last."""
    inner: Builder = StateGraph(State).add_node("work", _step("work")).add_node("ask", _ask)
    outer: Builder = StateGraph(State).add_node("one", _step("one")).add_node("left", _step("left"))
    outer.add_node("inner", inner.add_edge(START, "work").add_edge("work", "ask").compile())
    outer.add_node("last", _step("last")).add_edge(START, "one")
    outer.add_edge("one", "left").add_edge("one", "inner")
    return outer.add_edge(["left", "inner"], "last")


def _effect(state: State, key: str) -> None:
    # A fork has its source's state: its effects are told apart by its thread.
    leave_effect(f"{state['folder']}/{get_config()['configurable']['thread_id']}", key)


def _step(name: str) -> Any:
    def step(state: State) -> State:
        _effect(state, name)
        return {"trail": [name]}

    return step


def _ask(state: State) -> State:
    answer = interrupt({"question": "ask"})
    _effect(state, "ask")
    return {"trail": ["ask", f"ask={answer}"]}
