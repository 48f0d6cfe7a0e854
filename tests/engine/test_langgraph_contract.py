"""What the engine takes from LangGraph behind its public interface, and what it means there.

These tests fail loudly when a release of LangGraph changes one of the names in `engine/private.py`.
"""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from autopilot_server.engine import private
from autopilot_server.engine.tokens import RunCallbacks
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    items: Annotated[list[str], operator.add]


class Pushed:
    """Runs a graph with the private keys, and keeps what they push."""

    def __init__(self, graph: Any, memory: Any = None) -> None:
        self.graph = graph
        self.chunks: list[Any] = []
        self.custom: list[tuple[str, Any]] = []
        self.saver = InMemorySaver()
        keys = private.run_keys(
            saver=self.saver,
            on_chunk=self.chunks.append,
            on_custom=lambda value: self.custom.append((private.current_namespace(), value)),
            memory=memory,
        )
        self.config: Any = {"configurable": {"thread_id": "t", **keys}}

    async def run(self, graph_input: Any, **kwargs: Any) -> Any:
        last = None
        async for part in self.graph.astream(
            graph_input, self.config, stream_mode=["values"], durability="sync", version="v2", **kwargs
        ):
            last = part["data"]
        return last

    def started(self) -> list[str]:
        return [self.path(c) for c in self.chunks if "result" not in c[2]]

    def ended(self) -> list[str]:
        return [self.path(c) for c in self.chunks if "result" in c[2]]

    @staticmethod
    def path(chunk: Any) -> str:
        return "/".join([*(private.node_of(part) for part in chunk[0]), chunk[2]["name"]])


def leaf(name: str) -> Any:
    def node(state: State) -> State:
        return {"items": [name]}

    return node


def nested() -> Any:
    child = StateGraph(State).add_node("leaf", leaf("leaf")).add_edge(START, "leaf").add_edge("leaf", END).compile()
    builder = StateGraph(State).add_node("first", leaf("first")).add_node("child", child)
    builder.add_edge(START, "first").add_edge("first", "child").add_edge("child", END)
    return builder.compile()


async def test_starts_and_results_are_pushed_with_namespaces() -> None:
    pushed = Pushed(nested())
    assert (await pushed.run({"items": []}))["items"] == ["first", "first", "leaf"]
    assert pushed.started() == ["first", "child", "child/leaf"]
    assert pushed.ended() == ["first", "child/leaf", "child"]
    assert private.subgraph_paths(pushed.graph) == {"child"}


async def test_custom_data_is_pushed_in_the_context_of_its_node() -> None:
    def node(state: State) -> State:
        get_stream_writer()({"progress": 0.5})
        return {"items": ["x"]}

    pushed = Pushed(StateGraph(State).add_node("node", node).add_edge(START, "node").compile())
    await pushed.run({"items": []})
    ((namespace, value),) = pushed.custom
    (part,) = private.split_namespace(namespace)
    assert private.node_of(part) == "node"
    assert private.task_of(part) == pushed.chunks[0][2]["id"]
    assert value == {"progress": 0.5}


async def test_the_run_s_runtime_carries_the_memory() -> None:
    memory = InMemoryStore()
    memory.put(("a",), "k", {"v": 1})

    def node(state: State, runtime: Runtime[Any]) -> State:
        assert runtime.store is not None
        found = runtime.store.get(("a",), "k")
        assert found is not None
        return {"items": [str(found.value["v"])]}

    pushed = Pushed(StateGraph(State).add_node("node", node).add_edge(START, "node").compile(), memory)
    assert (await pushed.run({"items": []}))["items"] == ["1"]


async def test_the_saver_of_the_run_is_used_and_its_put_comes_after_the_results() -> None:
    order: list[str] = []

    class Saver(InMemorySaver):
        async def aput(self, *args: Any, **kwargs: Any) -> Any:
            order.append("put")
            return await super().aput(*args, **kwargs)

        async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            order.append("writes")
            await super().aput_writes(config, writes, task_id, task_path)

    pushed = Pushed(StateGraph(State).add_node("node", leaf("x")).add_edge(START, "node").compile())
    pushed.config["configurable"][private.CHECKPOINTER] = Saver()
    original = pushed.chunks.append

    class Chunks(list[Any]):
        def append(self, chunk: Any) -> None:
            order.append("result" if "result" in chunk[2] else "start")
            original(chunk)

    keys = private.run_keys(
        saver=pushed.config["configurable"][private.CHECKPOINTER],
        on_chunk=Chunks().append,
        on_custom=lambda _: None,
        memory=None,
    )
    pushed.config["configurable"].update(keys)
    await pushed.run({"items": []})
    # The recorder relies on it: a result is known when its task's writes are put.
    assert order[-4:] == ["start", "result", "writes", "put"]


async def test_an_interrupt_is_told_by_the_lifecycle_callback_and_answered_by_id() -> None:

    def node(state: State) -> State:
        return {"items": [interrupt("first?"), interrupt("second?")]}

    pushed = Pushed(StateGraph(State).add_node("node", node).add_edge(START, "node").compile())
    callbacks = RunCallbacks(send=lambda *_: None, loop=asyncio.get_running_loop())
    pushed.config["callbacks"], pushed.config["run_id"] = [callbacks], callbacks.run_id
    await pushed.run({"items": []})
    assert callbacks.interrupted is not None
    state = await pushed.graph.aget_state(pushed.config, subgraphs=True)
    (question,) = state.interrupts
    assert pushed.chunks[-1][2]["interrupts"]

    with pytest.raises(Exception, match="Unknown or already-consumed"):
        await pushed.run(Command(resume={"0" * 32: "x"}))
    await pushed.run(Command(resume={question.id: "one"}))
    state = await pushed.graph.aget_state(pushed.config, subgraphs=True)
    (second,) = state.interrupts
    assert second.id != question.id
    result = await pushed.run(Command(resume={second.id: "two"}))
    assert result["items"] == ["one", "two"]


async def test_a_static_breakpoint_is_told_by_the_lifecycle_callback() -> None:

    graph = StateGraph(State).add_node("node", leaf("x")).add_edge(START, "node").compile()
    pushed = Pushed(graph)
    callbacks = RunCallbacks(send=lambda *_: None, loop=asyncio.get_running_loop())
    pushed.config["callbacks"], pushed.config["run_id"] = [callbacks], callbacks.run_id
    await pushed.run({"items": []}, interrupt_before=["node"])
    assert callbacks.interrupted is not None
    assert callbacks.interrupted.status == "interrupt_before"
    assert not pushed.ended()


async def test_tokens_of_a_step_that_is_left_behind_are_nobody_s() -> None:
    sent: list[str] = []

    async def node(state: State) -> State:
        callbacks.close()
        await GenericFakeChatModel(messages=iter([AIMessage("hello wide world")])).ainvoke("hi")
        return {"items": []}

    pushed = Pushed(StateGraph(State).add_node("node", node).add_edge(START, "node").compile())
    callbacks = RunCallbacks(send=lambda *chunk: sent.extend(chunk), loop=asyncio.get_running_loop())
    pushed.config["callbacks"], pushed.config["run_id"] = [callbacks], callbacks.run_id
    await pushed.run({"items": []})
    callbacks.flush()
    assert sent == []


async def test_tokens_reach_the_callbacks_and_nodes_stay_on_the_fast_path() -> None:

    sent: list[tuple[str, str, str]] = []
    model = GenericFakeChatModel(messages=iter([AIMessage("hello wide world")]))

    async def node(state: State) -> State:
        answer = await model.ainvoke("hi")
        return {"items": [str(answer.text)]}

    pushed = Pushed(StateGraph(State).add_node("node", node).add_edge(START, "node").compile())
    callbacks = RunCallbacks(send=lambda *chunk: sent.append(chunk), loop=asyncio.get_running_loop())
    pushed.config["callbacks"], pushed.config["run_id"] = [callbacks], callbacks.run_id
    await pushed.run({"items": []})
    callbacks.flush()
    assert "".join(text for _, _, text in sent) == "hello wide world"
    assert {step for step, _, _ in sent} == {"node"}


def loop_graph() -> Any:
    def route(state: State) -> str:
        return END if len(state.get("items", [])) > 3 else "a"

    builder = StateGraph(State).add_node("a", leaf("a")).add_node("b", leaf("b"))
    return builder.add_edge(START, "a").add_edge("a", "b").add_conditional_edges("b", route).compile()


def send_graph() -> Any:
    def fan(state: State) -> list[Send]:
        return [Send("work", {"items": []}) for _ in range(3)]

    builder = StateGraph(State).add_node("plan", leaf("p")).add_node("work", leaf("w")).add_node("join", leaf("j"))
    builder.add_edge(START, "plan").add_conditional_edges("plan", fan, ["work"]).add_edge("work", "join")
    return builder.compile()


def waiting_edge_graph() -> Any:
    builder = StateGraph(State)
    for name in ("a", "b", "b2", "join"):
        builder.add_node(name, leaf(name))
    builder.add_edge(START, "a").add_edge(START, "b").add_edge("b", "b2").add_edge(["a", "b2"], "join")
    return builder.compile()


def goto_graph() -> Any:
    def jump(state: State) -> Command[Any]:
        return Command(update={"items": ["jump"]}, goto="there")

    builder = StateGraph(State).add_node("jump", jump, destinations=("there",)).add_node("there", leaf("there"))
    return builder.add_edge(START, "jump").compile()


def functional_graph() -> Any:
    @task
    def double(value: int) -> int:
        return value * 2

    @entrypoint()
    def workflow(value: int) -> int:
        return double(value).result() + 1

    return workflow


@pytest.mark.parametrize(
    ("make", "graph_input"),
    [
        (nested, {"items": []}),
        (loop_graph, {"items": []}),
        (send_graph, {"items": []}),
        (waiting_edge_graph, {"items": []}),
        (goto_graph, {"items": []}),
        (functional_graph, 3),
    ],
)
async def test_next_steps_are_those_that_langgraph_finds(make: Any, graph_input: Any) -> None:
    pushed = Pushed(make())
    await pushed.run(graph_input)
    seen = 0
    async for state in pushed.graph.aget_state_history(pushed.config):
        saved = pushed.saver.get_tuple(state.config)
        assert saved is not None
        expected = sorted({name for name in state.next if name != private.START})
        if saved.metadata.get("source") == "input":
            continue
        assert sorted(private.next_steps(pushed.graph, saved.checkpoint)) == expected
        seen += 1
    assert seen >= 1
