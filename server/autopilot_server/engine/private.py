"""LangGraph's private names: everything that the engine takes from LangGraph behind its public interface.

`tests/engine/test_langgraph_contract.py` fails when a release changes the meaning of any of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import (
    CONF,
    CONFIG_KEY_CHECKPOINT_MAP,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_CHECKPOINTER,
    CONFIG_KEY_RESUMING,
    CONFIG_KEY_RUNTIME,
    CONFIG_KEY_STREAM,
    CONFIG_KEY_STRICT_RESUME,
    ERROR,
    ERROR_SOURCE_NODE,
    INTERRUPT,
    NS_END,
    NS_SEP,
    RESUME,
    RETURN,
    TASKS,
)
from langgraph.checkpoint.base import Checkpoint
from langgraph.config import get_config
from langgraph.constants import TAG_HIDDEN
from langgraph.errors import is_invalid_resume
from langgraph.pregel import Pregel
from langgraph.pregel._algo import should_interrupt
from langgraph.pregel._messages import StreamMessagesHandler
from langgraph.pregel._task_status import CONTROL_WRITES, read_task_statuses
from langgraph.pregel.protocol import StreamChunk, StreamProtocol
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import Interrupt

__all__ = [
    "CONF",
    "ERROR",
    "INTERRUPT",
    "RESUME",
    "RETURN",
    "TASKS",
    "Pregel",
    "StreamChunk",
    "StreamMessagesHandler",
    "breakpoint_hit",
    "current_namespace",
    "finished_tasks",
    "is_invalid_resume",
    "next_steps",
    "run_keys",
    "see_foreign_channels",
    "split_namespace",
]

START = "__start__"

# How an error handler is called in the names of steps.
ERROR_HANDLER = "error_handler"
_HANDLER_OF = "__error_handler__"

# The entry of `configurable` that makes a graph use a saver.
CHECKPOINTER = CONFIG_KEY_CHECKPOINTER


def run_keys(
    *,
    saver: Any,
    on_chunk: Callable[[StreamChunk], None],
    on_custom: Callable[[Any], None],
    memory: BaseStore | None,
) -> dict[str, Any]:
    """Entries of `configurable` that make LangGraph push what happens, at any depth, and use this run's saver.

    `on_chunk` gets ("tasks") starts and results on whatever thread they happen, `on_custom` what nodes write with
    `get_stream_writer()`. Pushing costs half of what streaming the same modes does, because LangGraph then keeps its
    faster way of running a step.
    """
    return {
        CONFIG_KEY_CHECKPOINTER: saver,
        CONFIG_KEY_STREAM: StreamProtocol(on_chunk, {"tasks", "custom"}),
        CONFIG_KEY_RUNTIME: Runtime(stream_writer=on_custom, store=memory),
        CONFIG_KEY_STRICT_RESUME: True,
    }


def current_namespace() -> str:
    """Checkpoint namespace of the node that is running, its own task last."""
    namespace: str = get_config()[CONF].get(CONFIG_KEY_CHECKPOINT_NS, "")
    return namespace


def split_namespace(namespace: str) -> list[str]:
    """A namespace's parts, `node:task_id` each. Numbers, which tell repeated calls of a subgraph apart, are dropped."""
    return [part for part in namespace.split(NS_SEP) if part and not part.isdigit()]


def node_of(part: str) -> str:
    """The step's name in a namespace's part."""
    name = part.partition(NS_END)[0]
    return ERROR_HANDLER if is_error_handler(name) else name


def is_error_handler(node: str) -> bool:
    """Whether LangGraph made a node for the `error_handler` of another, or of all."""
    return node.startswith(_HANDLER_OF) or node == "__default_error_handler__"


def handled_node(handler: str) -> str:
    """The node whose error a handler handles; empty when it handles those of all."""
    return handler.removeprefix(_HANDLER_OF) if handler.startswith(_HANDLER_OF) else ""


def handler_step(failed_step: str) -> str:
    """The step that an error handler is shown as: inside the step whose error it handles."""
    return f"{failed_step}/{ERROR_HANDLER}"


def task_of(part: str) -> str:
    """The task's id in a namespace's part; empty for a subgraph that keeps its state."""
    return part.partition(NS_END)[2]


def task_of_metadata(metadata: Mapping[str, Any]) -> str:
    """Id of the task that a chain runs in, from the metadata of LangChain's callbacks; empty outside of all tasks."""
    parts = split_namespace(metadata.get("langgraph_checkpoint_ns", ""))
    return task_of(parts[-1]) if parts else ""


def join_namespace(parts: Iterable[str]) -> str:
    """What `StreamChunk` has as a tuple, as checkpoints have it."""
    return NS_SEP.join(parts)


def child_namespace(namespace: str, name: str, task_id: str) -> str:
    """Namespace of the subgraph that a task runs."""
    part = f"{name}{NS_END}{task_id}"
    return f"{namespace}{NS_SEP}{part}" if namespace else part


def place(thread_id: str, namespace: str) -> RunnableConfig:
    """The config that names a namespace's newest checkpoint."""
    return {CONF: {"thread_id": thread_id, CONFIG_KEY_CHECKPOINT_NS: namespace}}


def pending_interrupts(pending_writes: Iterable[tuple[str, str, Any]]) -> list[Interrupt]:
    """The questions of an open superstep that wait for an answer."""
    statuses = read_task_statuses(list(pending_writes))
    return [interrupt for status in statuses.values() for interrupt in status.pending_interrupts]


def pending_interrupts_of_handlers(
    pending_writes: Iterable[tuple[str, str, Any]], tasks: Collection[str]
) -> list[tuple[str, str, Interrupt]]:
    """The open questions of error handlers: task id, failed node, question.

    Handlers are none of a snapshot's tasks, whose ids `tasks` are. The failed node is empty when several have failed.
    """
    writes = list(pending_writes)
    failed = [value for _, channel, value in writes if channel == ERROR_SOURCE_NODE]
    node = failed[0] if len(failed) == 1 else ""
    return [
        (task_id, node, interrupt)
        for task_id, status in read_task_statuses(writes).items()
        if task_id not in tasks
        for interrupt in status.pending_interrupts
    ]


def finished_tasks(pending_writes: Iterable[tuple[str, str, Any]]) -> set[str]:
    """Ids of the tasks of an open superstep that are finished."""
    statuses = read_task_statuses(list(pending_writes))
    return {task for task, status in statuses.items() if status.finished}


def has_output(channels: Iterable[str]) -> bool:
    """Whether writes of a task to these channels make LangGraph take it for finished."""
    return any(channel not in CONTROL_WRITES for channel in channels)


def next_steps(graph: Pregel[Any, Any, Any, Any], checkpoint: Checkpoint) -> tuple[str, ...]:
    """Names of the nodes that run next from a checkpoint, each once, as LangGraph's prepare_next_tasks finds them.

    A node runs when one of its trigger channels is available and newer than what the node has seen; and for each
    `Send`. Hidden nodes are left out.
    """
    versions, seen, values = checkpoint["channel_versions"], checkpoint["versions_seen"], checkpoint["channel_values"]
    found = [send.node for send in values.get(TASKS) or ()]
    for name, node in graph.nodes.items():
        if name == START or TAG_HIDDEN in (node.tags or ()):
            continue
        node_seen = seen.get(name, {})
        for channel in node.triggers:
            version = versions.get(channel)
            if version is None or channel not in values or not _newer(version, node_seen.get(channel)):
                continue
            # A waiting edge's channel has a value before all that it waits for have come.
            spec = graph.channels[channel]
            if spec.from_checkpoint(values[channel]).is_available():  # type: ignore[union-attr]
                found.append(name)
                break
    return tuple(dict.fromkeys(found))


def _newer(version: Any, seen: Any) -> bool:
    return seen is None or bool(version > seen)


def breakpoint_hit(checkpoint: Checkpoint, steps: Any, names: Iterable[str]) -> bool:
    """Whether LangGraph stops at a static breakpoint at this checkpoint; `steps` as in `interrupt_before`."""
    if not steps or not checkpoint["channel_versions"]:
        return False
    tasks: Any = [SimpleNamespace(name=name, config=None) for name in names]
    return bool(should_interrupt(checkpoint, steps, tasks))


def see_foreign_channels(graph: Pregel[Any, Any, Any, Any], checkpoint: Checkpoint) -> None:
    """Count channels that the graph has not got, which another workflow left on the thread, as seen by its breakpoints.

    LangGraph notes what it has seen of the graph's own channels only, and takes the others for updates for ever: a run
    would stop at one breakpoint again and again.
    """
    foreign = {c: v for c, v in checkpoint["channel_versions"].items() if c not in graph.channels}
    if foreign:
        checkpoint["versions_seen"].setdefault(INTERRUPT, {}).update(foreign)


def begin_anew(config: RunnableConfig, metadata: Mapping[str, Any]) -> None:
    """Have a subgraph that keeps its state run, when its newest checkpoint is of a call in an earlier superstep.

    LangGraph tells all subgraphs of a superstep that goes on after a failure or a crash that they go on as well. One
    that was not called in this superstep before would take its last call for this one, run nothing, and give what came
    of that again.
    """
    if metadata.get("parents", {}) != config[CONF].get(CONFIG_KEY_CHECKPOINT_MAP, {}):
        config[CONF].pop(CONFIG_KEY_RESUMING, None)


def reads_history(metadata: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has the value of a DeltaChannel only together with earlier ones."""
    return bool(metadata.get("counters_since_delta_snapshot"))


def subgraph_paths(graph: Pregel[Any, Any, Any, Any], prefix: str = "") -> frozenset[str]:
    """Paths, as `parent/child`, of the nodes that are nothing but a subgraph: their own tasks are no steps."""
    found: set[str] = set()
    for name, node in graph.nodes.items():
        if isinstance(node.bound, Pregel):
            found.add(prefix + name)
            found |= subgraph_paths(node.bound, f"{prefix}{name}/")
    return frozenset(found)
