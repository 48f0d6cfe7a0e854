"""Workflows that the engine's tests run. Steps that must wait do so for files, which the tests make."""

import asyncio
import gc
import operator
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    folder: str
    count: int


def note(state: State, text: str) -> None:
    """Leave a trace outside: how often a step really ran."""
    if "folder" in state:
        with (Path(state["folder"]) / "trace").open("a") as file:
            file.write(text + "\n")


async def wait_for(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.005)


def step(name: str) -> Any:
    def node(state: State) -> State:
        note(state, name)
        return {"items": [name]}

    return node


def async_step(name: str) -> Any:
    async def node(state: State) -> State:
        note(state, name)
        return {"items": [name]}

    return node


def chain(*names: str, make: Any = step) -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    for name in names:
        builder.add_node(name, make(name))
    for one, other in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(one, other)
    return builder


linear = chain("a", "b", "c", make=async_step).compile()
linear_sync = chain("a", "b", "c")


def mixed() -> StateGraph[Any]:
    builder = chain("a")
    builder.add_node("late", async_step("late"))
    builder.add_edge("a", "late")
    return builder


# --- subgraphs, fan-out, jumps ---

_child = chain("one", "two").compile()


def _calls_child(state: State) -> State:
    return {"items": _child.invoke({"items": []})["items"]}


async def _calls_child_async(state: State) -> State:
    return {"items": (await _child.ainvoke({"items": []}))["items"]}


def nested() -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("first", step("first")).add_node("child", _child).add_node("by_hand", _calls_child)
    builder.add_node("by_hand_async", _calls_child_async)
    builder.add_edge(START, "first").add_edge("first", "child").add_edge("child", "by_hand")
    return builder.add_edge("by_hand", "by_hand_async").add_edge("by_hand_async", END)


def fan_out() -> StateGraph[Any]:
    def spread(state: State) -> list[Send]:
        return [Send("work", {"count": number}) for number in range(state.get("count", 3))]

    def work(state: State) -> State:
        return {"items": [state["count"]]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("plan", step("plan")).add_node("work", work).add_node("join", step("join"))
    builder.add_edge(START, "plan").add_conditional_edges("plan", spread, ["work"]).add_edge("work", "join")
    return builder


def jump() -> StateGraph[Any]:
    def decide(state: State) -> Command[Literal["there", "elsewhere"]]:
        return Command(update={"items": ["decide"]}, goto="there")

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("decide", decide).add_node("there", step("there")).add_node("elsewhere", step("elsewhere"))
    return builder.add_edge(START, "decide")


def endless() -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("again", async_step("again")).add_edge(START, "again").add_edge("again", "again")
    return builder


# --- steps that wait ---


async def _hold(state: State) -> State:
    folder = Path(state["folder"])
    note(state, "hold")
    (folder / "holding").touch()
    await wait_for(folder / "go")
    return {"items": ["hold"]}


def _hold_sync(state: State) -> State:
    folder = Path(state["folder"])
    note(state, "hold")
    (folder / "holding").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    return {"items": ["hold"]}


async def _stubborn(state: State) -> State:
    folder = Path(state["folder"])
    (folder / "holding").touch()
    while not (folder / "go").exists():
        try:
            await wait_for(folder / "go")
        except asyncio.CancelledError:
            (folder / "refused").touch()
    note(state, "stubborn")
    return {"items": ["stubborn"]}


def _around(node: Any) -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", step("before")).add_node("hold", node).add_node("after", step("after"))
    builder.add_edge(START, "before").add_edge("before", "hold").add_edge("hold", "after")
    return builder


async def _hold_until_drained(state: State, runtime: Runtime[Any]) -> State:
    """Goes on when it may, and is to stop at its next checkpoint: not before the server's word has come to it."""
    held = await _hold(state)
    while not runtime.drain_requested:
        await asyncio.sleep(0.002)
    return held


holding = _around(_hold)
holding_until_drained = _around(_hold_until_drained)
holding_sync = _around(_hold_sync)
stubborn = _around(_stubborn)


def parallel_hold() -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("quick", async_step("quick")).add_node("hold", _hold).add_node("join", step("join"))
    builder.add_edge(START, "quick").add_edge(START, "hold").add_edge(["quick", "hold"], "join")
    return builder


# --- failures ---


class OddError(Exception):
    """Raised by steps."""


def failing() -> StateGraph[Any]:
    def fail(state: State) -> State:
        note(state, "fail")
        raise OddError("it is broken")

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", step("before")).add_node("fail", fail)
    return builder.add_edge(START, "before").add_edge("before", "fail")


def flaky() -> StateGraph[Any]:
    """Fails until the file `mended` exists."""

    def sometimes(state: State) -> State:
        note(state, "sometimes")
        if not (Path(state["folder"]) / "mended").exists():
            raise OddError("not yet")
        return {"items": ["sometimes"]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", step("before")).add_node("sometimes", sometimes)
    return builder.add_edge(START, "before").add_edge("before", "sometimes")


def third_time() -> StateGraph[Any]:
    """LangGraph's own retries: fails twice."""

    def third(state: State) -> State:
        note(state, "third")
        if (Path(state["folder"]) / "trace").read_text().count("third") < 3:
            raise OddError("not yet")
        return {"items": ["third"]}

    policy = RetryPolicy(initial_interval=0.001, max_attempts=3, jitter=False, retry_on=OddError)
    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("third", third, retry_policy=policy).add_edge(START, "third")


def handled() -> StateGraph[Any]:
    def fail(state: State) -> State:
        raise OddError("caught")

    def handler(state: State, error: NodeError) -> State:
        return {"items": ["handled"]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("fail", fail, error_handler=handler)
    return builder.add_edge(START, "fail")


def handles_nested() -> StateGraph[Any]:
    """Handles and retries whatever a graph inside a step raises."""

    async def calls(state: State) -> State:
        note(state, "calls")
        return {"items": (await _child.ainvoke({"items": []}))["items"]}

    def handler(state: State, error: NodeError) -> State:
        note(state, "handler")
        return {"items": ["handled"]}

    builder: StateGraph[Any] = StateGraph(State)
    anything = RetryPolicy(max_attempts=3, initial_interval=0.001, retry_on=lambda error: True)
    builder.add_node("calls", calls, error_handler=handler, retry_policy=anything)
    return builder.add_edge(START, "calls")


def fails_again() -> StateGraph[Any]:
    """A handled error is forgotten, and another takes its place in memory."""
    places: set[int] = set()

    def first(state: State) -> State:
        error = OddError("first")
        places.add(id(error))
        raise error

    def handler(state: State, error: NodeError) -> Command[Literal["second"]]:
        return Command(goto="second")

    def second(state: State) -> State:
        gc.collect()
        others: list[OddError] = []
        while len(others) < 100_000 and id(error := OddError("second")) not in places:
            others.append(error)
        raise error

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("first", first, error_handler=handler).add_node("second", second)
    return builder.add_edge(START, "first")


def asks_when_failed() -> StateGraph[Any]:
    """A question asked by an error handler. (One that is asked inside a subgraph is lost by LangGraph 1.2.)"""

    def fail(state: State) -> State:
        raise OddError("caught")

    def handler(state: State, error: NodeError) -> State:
        return {"items": [interrupt("what now?")]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("fail", fail, error_handler=handler).add_edge(START, "fail")


def asks_beside_failure() -> StateGraph[Any]:
    """One step asks; another fails once it has."""
    asked = asyncio.Event()

    async def question(state: State) -> State:
        asked.set()
        return {"items": [interrupt("which?")]}

    async def fail(state: State) -> State:
        await asked.wait()
        await asyncio.sleep(0)
        raise OddError("broken")

    builder: StateGraph[Any] = StateGraph(State)
    return (
        builder.add_node("question", question)
        .add_node("fail", fail)
        .add_edge(START, "question")
        .add_edge(START, "fail")
    )


def cancelled_behind_its_work() -> StateGraph[Any]:
    """A step has written what it returned, and is still finding out what comes next when its sibling fails."""
    written = asyncio.Event()

    async def quick(state: State) -> State:
        note(state, "quick")
        return {"items": ["quick"]}

    async def find_out(state: State) -> str:
        written.set()
        await asyncio.Event().wait()
        return END

    async def fail_once(state: State) -> State:
        note(state, "fail_once")
        if (Path(state["folder"]) / "trace").read_text().count("fail_once") == 1:
            await written.wait()
            raise OddError("once")
        return {"items": ["fail_once"]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("quick", quick).add_node("fail_once", fail_once)
    builder.add_edge(START, "quick").add_edge(START, "fail_once")
    return builder.add_conditional_edges("quick", find_out, [END])


def loud() -> StateGraph[Any]:
    """Says and does more than anybody wants to hear."""

    async def talk(state: State) -> State:
        get_stream_writer()({"message": "m" * 3_000_000})
        return {}

    async def work(state: State) -> State:
        return {}

    def spread(state: State) -> list[Send]:
        return [Send("work" if number % 2 else "work_too", {}) for number in range(300)]

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("talk", talk).add_node("work", work).add_node("work_too", work)
    return builder.add_edge(START, "talk").add_conditional_edges("talk", spread, ["work", "work_too"])


def hands_off() -> StateGraph[Any]:
    """A step that leaves its subgraph for another node of the graph around it, as agents hand off to each other."""

    def leave(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, goto="other", update={"items": ["left"]})

    inside: StateGraph[Any] = StateGraph(State)
    inside.add_node("leave", leave).add_edge(START, "leave")
    outer: StateGraph[Any] = StateGraph(State)
    outer.add_node("agent", inside.compile(), destinations=("other",)).add_node("other", step("other"))
    return outer.add_edge(START, "agent")


def remembers() -> StateGraph[Any]:
    """Uses the long-term memory from a synchronous and from an asynchronous step."""

    def put(state: State, runtime: Runtime[None]) -> State:
        assert runtime.store is not None
        runtime.store.put(("kept",), "sync", {"value": 1})
        return {"items": ["put"]}

    async def read(state: State, runtime: Runtime[None]) -> State:
        assert runtime.store is not None
        await runtime.store.aput(("kept",), "async", {"value": 2})
        found = await runtime.store.asearch(("kept",))
        return {"items": [sorted((item.key, item.value["value"]) for item in found)]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("put", put).add_node("read", read).add_edge(START, "put").add_edge("put", "read")


def counts_calls() -> StateGraph[Any]:
    """A step that calls a subgraph which keeps its state from call to call, and fails before its second call."""
    counter: StateGraph[Any] = StateGraph(State).add_node("call", step("call"))
    counting = counter.add_edge(START, "call").compile(checkpointer=True)

    async def count(state: State) -> State:
        note(state, "count")
        tries = (Path(state["folder"]) / "trace").read_text().count("count") - 1
        if state["items"] and tries < state["count"]:
            raise OddError("not yet")
        return {"items": [len((await counting.ainvoke({"items": []}))["items"])]}

    retries = RetryPolicy(initial_interval=0.001, max_attempts=2, jitter=False, retry_on=OddError)
    builder: StateGraph[Any] = StateGraph(State).add_node("count", count, retry_policy=retries)
    builder.add_edge(START, "count")
    return builder.add_conditional_edges("count", lambda state: END if len(state["items"]) > 1 else "count")


def exits() -> StateGraph[Any]:
    def leave(state: State) -> State:
        raise SystemExit(3)

    async def leave_async(state: State) -> State:
        raise SystemExit(3)

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("leave", leave).add_node("leave_async", leave_async)
    return builder.add_conditional_edges(START, lambda s: "leave" if s.get("count") else "leave_async")


class Opaque:
    """A type that no checkpoint restores."""


@dataclass
class Plain:
    """A type that a checkpoint would restore, were it allowed."""

    x: int


def unstorable() -> StateGraph[Any]:
    def write(state: State) -> State:
        return {"items": [Opaque() if state.get("count") else Plain(1)]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", step("before")).add_node("write", write).add_node("after", step("after"))
    return builder.add_edge(START, "before").add_edge("before", "write").add_edge("write", "after")


# --- questions ---


class Decision(BaseModel):
    approved: bool


def ask() -> StateGraph[Any]:
    def question(state: State) -> State:
        note(state, "question")
        answer = interrupt({"ask": "really?"}, response_schema=Decision)
        return {"items": [answer.approved]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", step("before")).add_node("question", question).add_node("after", step("after"))
    return builder.add_edge(START, "before").add_edge("before", "question").add_edge("question", "after")


def ask_two() -> StateGraph[Any]:
    def make(name: str) -> Any:
        def node(state: State) -> State:
            return {"items": [f"{name}={interrupt(name)}"]}

        return node

    builder: StateGraph[Any] = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, make(name)).add_edge(START, name)
    return builder


def ask_twice_nested() -> StateGraph[Any]:
    async def twice(state: State) -> State:
        first = interrupt("first?")
        note(state, f"first={first}")
        second = interrupt("second?")
        note(state, f"second={second}")
        if "folder" in state:
            (Path(state["folder"]) / "holding").touch()
            await wait_for(Path(state["folder"]) / "go")
        return {"items": [first, second]}

    inner: StateGraph[Any] = StateGraph(State)
    inner.add_node("twice", twice).add_edge(START, "twice")
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("inner", inner.compile()).add_node("after", step("after"))
    return builder.add_edge(START, "inner").add_edge("inner", "after")


def ask_twice_side_by_side() -> StateGraph[Any]:
    """Two nested steps at once, of which each asks twice."""

    def asking(side: str) -> Any:
        def twice(state: State) -> State:
            return {"items": [f"{side}: {interrupt(f'{side} first?')} {interrupt(f'{side} second?')}"]}

        inner: StateGraph[Any] = StateGraph(State)
        return inner.add_node("twice", twice).add_edge(START, "twice").compile()

    builder: StateGraph[Any] = StateGraph(State)
    for side in ("left", "right"):
        builder.add_node(side, asking(side)).add_edge(START, side)
    return builder


def ask_by_hand() -> StateGraph[Any]:
    """A node that calls two subgraphs, one after the other; the second one asks."""

    def question(state: State) -> State:
        return {"items": [interrupt("by hand?")]}

    asking: StateGraph[Any] = StateGraph(State)
    asking.add_node("question", question).add_edge(START, "question")
    compiled = asking.compile()
    quiet = chain("quiet").compile()

    async def both(state: State) -> State:
        first = await quiet.ainvoke({"items": []})
        second = await compiled.ainvoke({"items": []})
        return {"items": [*first["items"], *second["items"]]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("both", both).add_edge(START, "both")


def asks_itself() -> StateGraph[Any]:
    """Steps that call a graph with a saver and a thread of its own, and answer its question themselves."""

    def question(state: State) -> State:
        return {"items": [interrupt("among ourselves?")]}

    asking: StateGraph[Any] = StateGraph(State)
    asking.add_node("question", question).add_edge(START, "question")
    own = asking.compile(checkpointer=InMemorySaver())

    def sync(state: State) -> State:
        config: RunnableConfig = {"configurable": {"thread_id": str(uuid.uuid4())}}
        own.invoke({"items": []}, config)
        return {"items": own.invoke(Command(resume="sync"), config)["items"]}

    async def coroutine(state: State) -> State:
        config: RunnableConfig = {"configurable": {"thread_id": str(uuid.uuid4())}}
        await own.ainvoke({"items": []}, config)
        return {"items": (await own.ainvoke(Command(resume="async"), config))["items"]}

    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("sync", sync).add_node("coroutine", coroutine)
    return builder.add_edge(START, "sync").add_edge("sync", "coroutine")


def strict_answer() -> StateGraph[Any]:
    """The node's own check is stricter than a JSON Schema can say."""

    class Even(BaseModel):
        number: int

        def model_post_init(self, context: Any) -> None:
            if self.number % 2:
                raise ValueError("an even number, please")

    def question(state: State) -> State:
        return {"items": [interrupt("number?", response_schema=Even).number]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("question", question).add_edge(START, "question")


stops_before = chain("a", "b", "c").compile(interrupt_before=["b"])


# --- what a run is given ---


@dataclass
class Context:
    tone: str = "plain"


def with_context() -> StateGraph[Any]:
    def node(state: State, runtime: Runtime[Context], config: RunnableConfig) -> State:
        assert runtime.store is not None
        runtime.store.put(("seen",), "tone", {"value": runtime.context.tone})
        found = runtime.store.get(("seen",), "tone")
        assert found is not None
        return {"items": [runtime.context.tone, config["configurable"]["tone"], found.value["value"]]}

    builder: StateGraph[Any] = StateGraph(State, context_schema=Context)
    return builder.add_node("node", node).add_edge(START, "node")


def chat() -> StateGraph[Any]:
    async def answer(state: MessagesState) -> dict[str, Any]:
        model = GenericFakeChatModel(messages=iter([AIMessage("one two three", id="m1")]))
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder: StateGraph[Any] = StateGraph(MessagesState)
    return builder.add_node("answer", answer).add_edge(START, "answer")


def reporting() -> StateGraph[Any]:
    async def node(state: State) -> State:
        write = get_stream_writer()
        for number in range(state.get("count", 3)):
            write({"progress": number / 1000, "message": f"number {number}", "number": number})
        write("the end")
        return {"items": []}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("node", node).add_edge(START, "node")


def halves() -> StateGraph[Any]:
    """Says half a surrogate pair wherever it can, as a model's answer that was cut in the middle."""

    async def node(state: State) -> State:
        get_stream_writer()({"message": "said \ud83d", "data": "\ud83d"})
        model = GenericFakeChatModel(messages=iter([AIMessage("told \ud83d", id="m1")]))
        await model.ainvoke("hi")
        return {"items": ["did \ud83d"]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("node", node).add_edge(START, "node")


def blocking() -> StateGraph[Any]:
    async def blocks(state: State) -> State:
        folder = Path(state["folder"])
        (folder / "holding").touch()
        while not (folder / "go").exists():
            time.sleep(0.005)
        return {"items": ["blocked"]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("blocks", blocks).add_edge(START, "blocks")


@task
def double(value: int) -> int:
    return value * 2


@entrypoint()
def functional(value: int) -> int:
    parts = [double(value), double(value + 1)]
    return sum(part.result() for part in parts)


@entrypoint()
def functional_ask(value: Decision) -> bool:
    return value.approved and bool(interrupt("really?"))


def huge_output() -> StateGraph[Any]:
    def node(state: State) -> State:
        return {"items": ["x" * state["count"]]}

    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node("node", node).add_edge(START, "node")
