"""A state whose annotations are text, with names that only this module knows."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph

Words = Annotated[list[str], operator.add]


@dataclass
class Place:
    row: int


class State(TypedDict, total=False):
    words: Words
    place: Place | None


def look(state: State) -> Any:
    return {"words": [f"{len(state['words'])}"], "place": Place(7)}


graph: StateGraph[Any] = StateGraph(State)
graph.add_node("look", look).add_edge(START, "look")
