"""What a stopped graph waits for: its open questions, wherever in its subgraphs they were asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt as GraphInterrupt
from langgraph.types import PregelTask, StateSnapshot

from autopilot_server.engine import private
from autopilot_server.engine.payloads import event_payload
from autopilot_server.engine.schemas import response_schema_json
from autopilot_server.jobs.job import Interrupt, Json, now
from autopilot_server.jobs.progress import step_names


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a graph stands between two attempts."""

    questions: tuple[Interrupt, ...]
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question at the innermost place that still waits for its answer."""

    interrupt: GraphInterrupt
    step: str
    task_id: str


async def read_stop(graph: private.Pregel[Any, Any, Any, Any], config: RunnableConfig, *, payload_bytes: int) -> Stop:
    """Read a graph's open questions and its next steps from its newest checkpoint."""
    state = await graph.aget_state(config, subgraphs=True)
    asked = _pending(config, state)
    questions = tuple(
        Interrupt(
            interrupt_id=question.interrupt.id,
            step=question.step,
            step_run_id=question.task_id,
            value=event_payload(question.interrupt.value, payload_bytes),
            create_time=now(),
            response_schema=response_schema_json(question.interrupt.response_schema),
        )
        for question in asked.values()
    )
    return Stop(questions, step_names(name for name in state.next if name != private.START))


async def answers_to_send(
    graph: private.Pregel[Any, Any, Any, Any], config: RunnableConfig, stored: Mapping[str, Json]
) -> list[str]:
    """Which stored answers an attempt sends: those whose question is open both at the root and where it was asked.

    At the root alone is not enough. A nested node that was answered and asked again, in a process that died between
    the subgraph's write and its parent's, still shows its first question at the root; LangGraph would give the first
    answer to the second question.
    """
    state = await graph.aget_state(config, subgraphs=True)
    asked = _pending(config, state)
    return [interrupt_id for interrupt_id in stored if interrupt_id in asked]


def _pending(config: RunnableConfig, state: StateSnapshot) -> dict[str, _Asked]:
    saver = config["configurable"][private.CHECKPOINTER]
    root = {interrupt.id for interrupt in state.interrupts}
    root |= {asked.interrupt.id for asked in _of_handlers(state, saver, path="")}
    thread_id = config["configurable"]["thread_id"]
    found = _innermost(state, saver, thread_id, path="", namespace="")
    return {asked.interrupt.id: asked for asked in found if asked.interrupt.id in root}


def _innermost(state: StateSnapshot, saver: Any, thread_id: str, *, path: str, namespace: str) -> Iterator[_Asked]:
    for task in state.tasks:
        if not task.interrupts:
            continue
        step = path + task.name
        task_namespace = private.child_namespace(namespace, task.name, task.id)
        inner: list[_Asked] = []
        if isinstance(task.state, StateSnapshot) and task.state.metadata is not None:
            inner = list(_innermost(task.state, saver, thread_id, path=f"{step}/", namespace=task_namespace))
            inner = inner or list(_repeated_calls(task, saver, thread_id, step, task_namespace))
        else:
            inner = [_Asked(interrupt, step, task.id) for interrupt in task.interrupts]
        yield from inner
    yield from _of_handlers(state, saver, path=path)


def _of_handlers(state: StateSnapshot, saver: Any, *, path: str) -> Iterator[_Asked]:
    # LangGraph's snapshot leaves error handlers out.
    found = saver.get_tuple(state.config)
    if found is None:
        return
    tasks = {task.id for task in state.tasks}
    for task_id, node, interrupt in private.pending_interrupts_of_handlers(found.pending_writes or (), tasks):
        step = private.handler_step(path + node) if node else path + private.ERROR_HANDLER
        yield _Asked(interrupt, step, task_id)


def _repeated_calls(task: PregelTask, saver: Any, thread_id: str, step: str, namespace: str) -> Iterator[_Asked]:
    # A node that calls subgraphs one after the other: LangGraph's snapshot shows the first one's state only, those of
    # the others lie in numbered namespaces.
    number = 1
    while (found := saver.get_tuple(private.place(thread_id, f"{namespace}|{number}"))) is not None:
        for interrupt in private.pending_interrupts(found.pending_writes or ()):
            yield _Asked(interrupt, step, task.id)
        number += 1
