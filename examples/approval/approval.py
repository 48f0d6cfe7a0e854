"""A workflow that asks a human before it goes on."""

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    order: str
    amount: int
    outcome: str


class Decision(BaseModel):
    approved: bool
    comment: str = ""


async def review(state: State) -> State:
    """Ask, and wait: for a minute or a month, through restarts of the server."""
    question = {"order": state["order"], "amount": state["amount"]}
    decision: Decision = interrupt(question, response_schema=Decision)
    return {"outcome": "approved" if decision.approved else f"declined: {decision.comment}"}


async def book(state: State) -> State:
    return {"outcome": f"order {state['order']} is {state['outcome']}"}


builder = StateGraph(State)
builder.add_node("review", review).add_node("book", book)
builder.add_edge(START, "review").add_edge("review", "book").add_edge("book", END)
graph = builder.compile()
