"""The work as a graph, for the peers that run LangGraph: W itself, and the slow five steps of the kills."""

from collections.abc import Callable
from functools import partial

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from benchmarks.peers import steps
from benchmarks.workflows.graphs import five_sync


class Job(TypedDict):
    """State of `slow`."""

    job: str


def _slow_step(number: int, state: Job) -> Job:
    steps.slow(state["job"], number)
    return {"job": state["job"]}


def _slow() -> "StateGraph[Job, None, Job, Job]":
    graph = StateGraph(Job)
    names = [f"step_{number}" for number in range(1, steps.STEPS + 1)]
    for number, name in enumerate(names, start=1):
        step: Callable[[Job], Job] = partial(_slow_step, number)
        graph.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


five = five_sync
slow = _slow()


def value_of(workflow: str, job: str) -> dict[str, object]:
    """Input of a job of `workflow`."""
    return {"value": 0} if workflow == "five" else {"job": job}
