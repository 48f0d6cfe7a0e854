"""The outline of a graph: its steps, its picture, its longest path."""

import logging
from collections import defaultdict
from typing import Any

from langgraph.constants import TAG_HIDDEN
from langgraph.pregel import Pregel

from autopilot_server.engine import private

log = logging.getLogger(__name__)

Graph = Pregel[Any, Any, Any, Any]

_EDGES_OF_THE_GRAPH = ("__start__", "__end__")


def steps(graph: Graph, prefix: str = "") -> tuple[str, ...]:
    """The nodes at any depth, a subgraph's as `parent/child`. A node that is nothing but a subgraph is no step."""
    found: list[str] = []
    for name, node in graph.nodes.items():
        if name in _EDGES_OF_THE_GRAPH or TAG_HIDDEN in (node.tags or ()) or private.is_error_handler(name):
            continue
        if isinstance(node.bound, Pregel):
            found += steps(node.bound, f"{prefix}{name}/")
        else:
            found.append(prefix + name)
    return tuple(found)


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid diagram; empty when LangGraph cannot draw it."""
    for depth in (True, False):
        try:
            return graph.get_graph(xray=depth).draw_mermaid()
        except Exception as error:
            # Drawing calls code of the workflow, and is never worth a workflow.
            log.debug("cannot draw %s", graph.name, exc_info=error)
    return ""


def longest_path(graph: Graph) -> int:
    """Steps on the longest way through the graph without repetition.

    Nodes of a cycle count once each: an upper bound there, found in linear time.
    """
    weights = {name: _weight(node) for name, node in graph.nodes.items() if name not in _EDGES_OF_THE_GRAPH}
    follow: dict[str, set[str]] = defaultdict(set)
    try:
        drawn = graph.get_graph()
    except Exception as error:
        # As in mermaid().
        log.debug("cannot outline %s", graph.name, exc_info=error)
        return sum(weights.values())
    for edge in drawn.edges:
        if edge.source in weights and edge.target in weights:
            follow[edge.source].add(edge.target)
    return _longest(weights, follow)


def _weight(node: Any) -> int:
    return longest_path(node.bound) if isinstance(node.bound, Pregel) else 1


def _longest(weights: dict[str, int], follow: dict[str, set[str]]) -> int:
    component = _components(list(weights), follow)
    size: dict[int, int] = defaultdict(int)
    for name, number in component.items():
        size[number] += weights[name]
    best = dict(size)
    # Tarjan numbers components in reverse order: what follows a component has a smaller number.
    for number in sorted(size):
        members = [name for name, own in component.items() if own == number]
        after = {component[target] for name in members for target in follow[name]} - {number}
        best[number] = size[number] + max((best[other] for other in after), default=0)
    return max(best.values(), default=0)


def _components(names: list[str], follow: dict[str, set[str]]) -> dict[str, int]:
    """Strongly connected components (Tarjan), without recursion: graphs may be long."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    component: dict[str, int] = {}
    for root in names:
        if root in index:
            continue
        work = [(root, iter(sorted(follow[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            name, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    work.append((target, iter(sorted(follow[target]))))
                    break
                if target not in component:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    number = len(set(component.values()))
                    while name not in component:
                        component[stack.pop()] = number
    return component
