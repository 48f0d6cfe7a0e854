"""Tokens of a language model on their way to a watcher: `autopilot submit chat … --watch --tokens`."""

from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph


async def answer(state: MessagesState) -> dict[str, Any]:
    # A real workflow has init_chat_model("…") here.
    model = GenericFakeChatModel(messages=iter([AIMessage("A job that was accepted is kept.")]))
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
