"""Where the code of steps begins: the place to make a step's span the current one."""

from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from autopilot_server.engine import private


class StepEntries(BaseCallbackHandler):
    """Calls back in the very context that a step's code is going to run in, or a copy of.

    Only where spans are recorded: LangChain's callbacks of chains cost more than LangGraph's own pushes.
    """

    # In the caller's context, not on a thread.
    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self, on_entry: Callable[[str], None]) -> None:
        """`on_entry` takes the step_run_id, and is called for each chain that the step calls, too."""
        self._on_entry = on_entry

    def on_chain_start(self, *_: Any, metadata: dict[str, Any] | None = None, **__: Any) -> None:
        """A node, or any other chain, is about to run."""
        if step_run_id := private.task_of_metadata(metadata or {}):
            self._on_entry(step_run_id)
