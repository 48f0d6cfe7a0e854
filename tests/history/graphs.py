"""Workflows that take the same steps many times, with everything in a round that leaves checkpoints behind."""

import asyncio
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    folder: str
    round: int
    rounds: int
    ask_at: int
    hold_at: int


class Memory(TypedDict, total=False):
    calls: Annotated[list[str], operator.add]


def note(state: Any, text: str) -> None:
    """Leave a trace outside: how often a step really ran."""
    with (Path(state["folder"]) / "trace").open("a") as file:
        file.write(text + "\n")


async def hold(state: Any) -> None:
    """Wait for the test, in one round."""
    if state["round"] != state.get("hold_at"):
        return
    folder = Path(state["folder"])
    (folder / "holding").touch()
    while not (folder / "go").exists():
        await asyncio.sleep(0.005)


def _step(name: str) -> Any:
    def step(state: State) -> Any:
        entry = f"{name}-{state['round']}"
        note(state, entry)
        return {"items": [entry]}

    return step


def _begin(state: State) -> Any:
    return {"round": state.get("round", 0) + 1}


async def _slow(state: State) -> Any:
    note(state, f"slow-{state['round']}")
    await hold(state)
    return {"items": [f"slow-{state['round']}"]}


def _ask(state: State) -> Any:
    if state["round"] != state.get("ask_at"):
        return {}
    return {"items": [f"answer-{interrupt('how many?')}"]}


_memory = StateGraph(Memory).add_node("count", lambda _: {"calls": ["more"]}).add_edge(START, "count")
_counting = _memory.compile(checkpointer=True)


def _remember(state: State) -> Any:
    """Calls a subgraph that keeps its state from call to call."""
    return {"items": [f"calls-{len(_counting.invoke({'calls': ['call']})['calls'])}"]}


def _inner() -> Any:
    builder: StateGraph[Any] = StateGraph(State).add_node("one", _step("one")).add_node("two", _step("two"))
    return builder.add_node("ask", _ask).add_edge(START, "one").add_edge("one", "two").add_edge("two", "ask").compile()


_inside = _inner()


async def _inner_step(state: State) -> Any:
    fields = {name: state[name] for name in ("folder", "round", "ask_at") if name in state}
    return {"items": (await _inside.ainvoke(fields))["items"]}


def rounds() -> "StateGraph[Any]":
    """Each round: two steps, a subgraph and one with a memory beside each other."""
    siblings = {"quick": _step("quick"), "slow": _slow, "inner": _inner_step, "remember": _remember}
    builder: StateGraph[Any] = StateGraph(State).add_node("begin", _begin).add_node("end", _step("end"))
    for name, node in siblings.items():
        builder.add_node(name, node).add_edge("begin", name)
    builder.add_edge(START, "begin").add_edge(list(siblings), "end")
    return builder.add_conditional_edges("end", lambda s: "begin" if s["round"] < s["rounds"] else END, ["begin", END])


def fails() -> "StateGraph[Any]":
    """A few steps, and one that fails until the file `mended` is there."""

    def fail(state: State) -> Any:
        if not (Path(state["folder"]) / "mended").exists():
            raise ValueError("not yet")
        return {}

    builder: StateGraph[Any] = StateGraph(State).add_node("begin", _begin).add_node("first", _step("first"))
    builder.add_node("second", _step("second")).add_node("fail", fail).add_edge(START, "begin")
    return builder.add_edge("begin", "first").add_edge("first", "second").add_edge("second", "fail")


# --- DeltaChannel: stores what each step adds, and the whole only now and then ---


def joined(old: list[str], batches: Sequence[list[str]]) -> list[str]:
    return [*old, *(entry for batch in batches for entry in batch)]


class Log(TypedDict, total=False):
    entries: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=20)]
    folder: str
    round: int
    rounds: int
    hold_at: int
    size: int


class WholeLog(TypedDict, total=False):
    """The same without."""

    entries: Annotated[list[str], operator.add]
    folder: str
    round: int
    rounds: int
    hold_at: int
    size: int


async def _add(state: Any) -> Any:
    entry = f"{state['round']}".ljust(state.get("size", 1), ".")
    note(state, f"add-{state['round']}")
    await hold(state)
    return {"entries": [entry]}


async def _add_beside(state: Any) -> Any:
    note(state, f"beside-{state['round']}")
    return {"entries": [f"beside-{state['round']}"]}


def _logging(kind: Any, *, beside: bool = False) -> "StateGraph[Any]":
    builder: StateGraph[Any] = StateGraph(kind).add_node("begin", _begin).add_node("add", _add).add_node("end", _skip)
    builder.add_edge(START, "begin").add_edge("begin", "add")
    if beside:
        builder.add_node("beside", _add_beside).add_edge("begin", "beside")
    builder.add_edge(["add", "beside"] if beside else ["add"], "end")
    return builder.add_conditional_edges("end", lambda s: "begin" if s["round"] < s["rounds"] else END, ["begin", END])


def _skip(state: Any) -> Any:
    return {}


delta = _logging(Log, beside=True)
long_delta = _logging(Log)
long_whole = _logging(WholeLog)


def _delta_memory() -> Any:
    builder: StateGraph[Any] = StateGraph(Log)
    return builder.add_node("add", _add_once).add_edge(START, "add").compile(checkpointer=True)


def _add_once(state: Any) -> Any:
    return {"entries": ["once"]}


_delta_counting = _delta_memory()
_HIDDEN = {"graph": _delta_memory()}


def _with_memory(call: Any) -> "StateGraph[Any]":
    builder: StateGraph[Any] = StateGraph(State).add_node("begin", _begin).add_node("remember", call)
    builder.add_edge(START, "begin").add_edge("begin", "remember")
    again = lambda state: "begin" if state["round"] < state["rounds"] else END  # noqa: E731
    return builder.add_conditional_edges("remember", again, ["begin", END])


def delta_inside() -> "StateGraph[Any]":
    """A subgraph with one, whose state is kept from call to call."""

    def remember(state: State) -> Any:
        return {"items": [len(_delta_counting.invoke({})["entries"])]}

    return _with_memory(remember)


def delta_hidden() -> "StateGraph[Any]":
    """The same, where nobody sees it who looks at the graph."""

    def remember(state: State) -> Any:
        return {"items": [len(_HIDDEN["graph"].invoke({})["entries"])]}

    return _with_memory(remember)
