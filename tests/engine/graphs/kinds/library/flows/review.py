"""A workflow that is named as package.module:attribute."""

from typing import Any, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    text: str


graph: StateGraph[Any] = StateGraph(State)
graph.add_node("review", lambda state: {"text": f"reviewed {state['text']}"}).add_edge(START, "review")
