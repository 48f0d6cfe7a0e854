"""Workflows of the conformance suite. A step that must wait does so for a file, which the runner makes."""

import asyncio
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    folder: str
    count: int


class Approval(BaseModel):
    approved: bool


@entrypoint()
def echo(value: Any) -> Any:
    """Return the input."""
    return value


def _named(name: str) -> Any:
    async def step(state: State) -> State:
        return {"items": [name]}

    return step


async def _hold(state: State) -> State:
    folder = Path(state["folder"])
    (folder / "holding").touch()
    while not (folder / "go").exists():
        await asyncio.sleep(0.005)
    return {"items": ["held"]}


def three() -> StateGraph[Any]:
    """Three steps."""
    builder: StateGraph[Any] = StateGraph(State)
    for name in "abc":
        builder.add_node(name, _named(name))
    return builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")


def hold() -> StateGraph[Any]:
    """Make the file `holding`, and wait for the file `go`, between two steps."""
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", _named("before")).add_node("hold", _hold).add_node("after", _named("after"))
    return builder.add_edge(START, "before").add_edge("before", "hold").add_edge("hold", "after")


def fail() -> StateGraph[Any]:
    """Raise."""

    def broken(state: State) -> State:
        raise ValueError("it is broken")

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("broken", broken).add_edge(START, "broken")


def ask() -> StateGraph[Any]:
    """Ask for an approval, with a schema."""

    def question(state: State) -> State:
        return {"items": [interrupt({"ask": "really?"}, response_schema=Approval).approved]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("question", question).add_edge(START, "question")


def ask_two() -> StateGraph[Any]:
    """Ask two questions at once; any answer will do."""

    def asking(name: str) -> Any:
        def node(state: State) -> State:
            return {"items": [{name: interrupt(name)}]}

        return node

    builder: StateGraph[Any] = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, asking(name)).add_edge(START, name)
    return builder


def talk() -> StateGraph[Any]:
    """Report progress, and let a language model speak, once the file `go` is there."""

    async def node(state: State) -> State:
        await _hold(state)
        get_stream_writer()({"progress": 0.5, "message": "half", "note": [1]})
        # Reports that come faster than 50 a second are merged.
        await asyncio.sleep(0.1)
        get_stream_writer()("anything")
        model = GenericFakeChatModel(messages=iter([AIMessage("one two", id="m1")]))
        return {"items": [(await model.ainvoke("hi")).content]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("node", node).add_edge(START, "node")


def flood() -> StateGraph[Any]:
    """Take `count` steps that each return 20 kB."""

    async def again(state: State) -> dict[str, Any]:
        return {"count": state["count"] - 1, "folder": "x" * 20_000}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("again", again).add_edge(START, "again")
    return builder.add_conditional_edges("again", lambda state: "again" if state["count"] > 0 else "__end__")


@dataclass
class Context:
    tone: str = "plain"


def with_context() -> StateGraph[Any]:
    """Return the context's tone."""

    def node(state: State, runtime: Runtime[Context]) -> State:
        return {"items": [runtime.context.tone]}

    builder: StateGraph[Any] = StateGraph(State, context_schema=Context)
    return builder.add_node("node", node).add_edge(START, "node")
