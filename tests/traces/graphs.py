"""Workflows whose steps make spans of their own, and hold secrets."""

import asyncio
import logging
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from opentelemetry import trace
from typing_extensions import TypedDict

log = logging.getLogger(__name__)
tracer = trace.get_tracer("flow")


class State(TypedDict, total=False):
    folder: str
    secret: str
    trail: Annotated[list[str], operator.add]


def sync_step(name: str) -> Callable[[State], State]:
    def step(state: State) -> State:
        with tracer.start_as_current_span(f"own {name}"):
            # A chain that the step calls does not come between its spans.
            RunnableLambda(_inside).invoke(name)
        return {"trail": [name]}

    return step


def _inside(name: str) -> None:
    with tracer.start_as_current_span(f"inside {name}"):
        pass


def async_step(name: str) -> Callable[[State], Any]:
    async def step(state: State) -> State:
        with tracer.start_as_current_span(f"own {name}"):
            await asyncio.sleep(0)
        return {"trail": [name]}

    return step


async def _hold(state: State) -> State:
    """Wait for a file of the test's."""
    folder = Path(state["folder"])
    with tracer.start_as_current_span("own hold"):
        (folder / "holding").touch()
        while not (folder / "go").exists():
            await asyncio.sleep(0.01)
    return {"trail": ["hold"]}


def _chain(**steps: Any) -> Any:
    graph = StateGraph(State)
    before = START
    for name, step in steps.items():
        graph.add_node(name, step)
        graph.add_edge(before, name)
        before = name
    return graph


def work() -> Any:
    """One step after the other, in both kinds."""
    return _chain(first=async_step("first"), second=sync_step("second"))


def hold() -> Any:
    """Stands still in the middle."""
    return _chain(first=async_step("first"), hold=_hold, last=sync_step("last"))


def fan_out() -> Any:
    """Steps beside each other, in both kinds."""
    graph = StateGraph(State)
    for name, step in (("left", async_step("left")), ("right", sync_step("right")), ("third", async_step("third"))):
        graph.add_node(name, step)
        graph.add_edge(START, name)
    return graph


def nested() -> Any:
    """A subgraph as a node, and a graph that a step calls."""
    inner = _chain(deep=sync_step("deep")).compile()

    async def calls(state: State) -> State:
        await inner.ainvoke(state)
        return {"trail": ["calls"]}

    return _chain(sub=_chain(within=async_step("within")).compile(), calls=calls)


def _ask(state: State) -> State:
    return {"trail": [str(interrupt({"question": state.get("secret")}))]}


def asks() -> Any:
    """Asks a person."""
    return _chain(first=async_step("first"), ask=_ask)


def story() -> Any:
    """Stands still, then asks."""
    return _chain(first=async_step("first"), hold=_hold, ask=_ask)


def fails_once() -> Any:
    """Fails in its first attempt, with a message that nobody may see."""

    def fragile(state: State, config: RunnableConfig) -> State:
        log.warning("the step's own line")
        if config["configurable"]["attempt"] == 1:
            raise LookupError(state.get("secret"))
        return {"trail": ["fragile"]}

    return _chain(first=async_step("first"), fragile=fragile)
