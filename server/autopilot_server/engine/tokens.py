"""Callbacks of a run: the tokens of its language models, and LangGraph's word that it stopped at an interrupt."""

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import Any

from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent

from autopilot_server.engine import private

# Tokens are merged for this long, then sent. They are never stored.
MERGE_SECONDS = 0.050

SendTokens = Callable[[str, str, str], None]
"""Takes step, message id and text."""


class RunCallbacks(private.StreamMessagesHandler, GraphCallbackHandler):
    """What a run's LangChain callbacks are needed for, and nothing else: chains, that is nodes, are ignored.

    `run_id` is to be that of the config, too.
    """

    def __init__(self, *, send: SendTokens, loop: asyncio.AbstractEventLoop) -> None:
        """Send tokens with `send`, from `loop`."""
        super().__init__(self._on_message, subgraphs=True)
        self.run_id = uuid.uuid4()
        self.interrupted: GraphInterruptEvent | None = None
        self._send, self._loop = send, loop
        self._lock = threading.Lock()
        self._merged: dict[tuple[str, str], list[str]] = {}
        self._closed = False

    @property
    def ignore_chain(self) -> bool:
        """Nodes are reported in another way, which costs less."""
        return True

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """LangGraph stopped the run at an interrupt or a breakpoint."""
        # Graphs that a step calls on threads of their own have inherited these callbacks: theirs is the step's affair.
        if event.run_id == self.run_id:
            self.interrupted = event

    def _on_message(self, chunk: private.StreamChunk) -> None:
        message, metadata = chunk[2]
        text: Any = message.text
        if not isinstance(text, str) or not text:
            return
        parts = private.split_namespace(metadata["langgraph_checkpoint_ns"])
        step = "/".join(private.node_of(part) for part in parts)
        with self._lock:
            if self._closed:
                return
            first = not self._merged
            self._merged.setdefault((step, str(message.id or "")), []).append(text)
        if first:
            self._loop.call_soon_threadsafe(self._loop.call_later, MERGE_SECONDS, self.flush)

    def close(self) -> None:
        """Send what was merged, and nothing any more: the tokens of a step left behind are not the job's."""
        with self._lock:
            self._closed = True
        self.flush()

    def discard(self) -> None:
        """Send nothing any more, merged or not: who watches the job now watches another run, or another job."""
        with self._lock:
            self._closed = True
            self._merged = {}

    def flush(self) -> None:
        """Send what was merged."""
        with self._lock:
            merged, self._merged = self._merged, {}
        for (step, message_id), texts in merged.items():
            # A chunk may end in half a surrogate pair, which no message of ours can carry.
            self._send(step, message_id, "".join(texts).encode("utf-8", "replace").decode())
