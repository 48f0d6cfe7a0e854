"""The smallest workflow worth running: three steps, each checkpointed."""

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    name: str
    greeting: str


async def listen(state: State) -> State:
    return {"name": state.get("name", "world").strip()}


async def greet(state: State) -> State:
    get_stream_writer()({"progress": 0.5, "message": f"greeting {state['name']}"})
    return {"greeting": f"Hello, {state['name']}!"}


async def sign(state: State) -> State:
    return {"greeting": f"{state['greeting']} – Autopilot"}


builder = StateGraph(State)
builder.add_node("listen", listen).add_node("greet", greet).add_node("sign", sign)
builder.add_edge(START, "listen").add_edge("listen", "greet").add_edge("greet", "sign").add_edge("sign", END)
graph = builder.compile()
