"""Workflows that leave a text of their own in each place where a database keeps what workflows write."""

import asyncio
import os
from typing import Any

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict


def planted(place: str) -> str:
    """A text that stands in one place only."""
    return f"planted-secret-of-{place}-"


class State(TypedDict, total=False):
    given: str
    step: str
    answer: str
    remembered: Any
    result: str
    raw: bytes


async def remember(state: State, runtime: Runtime[None]) -> State:
    assert runtime.store is not None
    await runtime.store.aput(("notes",), "one", {"kind": planted("memory"), "n": 1})
    await runtime.store.aput(("notes",), "two", {"kind": "other", "n": 2})
    found = await runtime.store.asearch(("notes",), filter={"kind": planted("memory")})
    get_stream_writer()({"message": planted("progress"), "seen": planted("event")})
    return {"step": planted("state"), "remembered": [item.key for item in found]}


def ask(state: State) -> State:
    answer = interrupt(
        {"question": planted("question")}, response_schema={"type": "string", "title": planted("schema")}
    )
    return {"answer": answer}


def conclude(state: State) -> State:
    return {"result": planted("output")}


def mark(state: State) -> State:
    """Bytes that stand in a checkpoint as they are."""
    return {"raw": bytes.fromhex(state["given"])}


def tell_mark(state: State) -> State:
    return {"result": state["raw"].hex()}


def fail(state: State) -> State:
    raise ValueError(planted("error"))


def environment(state: State) -> State:
    return {"result": ",".join(name for name in os.environ if "ENCRYPTION" in name)}


async def read(state: State, runtime: Runtime[None]) -> State:
    assert runtime.store is not None
    await runtime.store.asearch(("notes",))
    return {}


async def wait(state: State) -> State:
    await asyncio.Event().wait()
    return {}


def _chain(*nodes: Any) -> Any:
    graph = StateGraph(State)
    for node in nodes:
        graph.add_node(node.__name__, node)
    for before, after in zip([START, *(n.__name__ for n in nodes)], [*(n.__name__ for n in nodes), END], strict=True):
        graph.add_edge(before, after)
    return graph.compile()


telling = _chain(remember, ask, conclude)
marking = _chain(mark, ask, tell_mark)
failing = _chain(fail)
looking = _chain(environment)
reading = _chain(read)
waiting = _chain(wait)
