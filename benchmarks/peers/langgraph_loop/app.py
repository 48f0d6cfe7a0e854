"""LangGraph alone: its own SqliteSaver on a file, called in a loop."""

import os
import sqlite3
import threading
import uuid
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.peers import client, graphs


class Client(client.Client):
    """Runs one graph after the other, in the process of the caller."""

    async def open(self) -> None:
        """Open the database."""
        database = sqlite3.connect(Path(os.environ["PEER_FOLDER"]) / "loop.db", check_same_thread=False)
        saver = SqliteSaver(database)
        self._graphs: dict[str, Any] = {
            name: getattr(graphs, name).compile(checkpointer=saver) for name in ("five", "slow")
        }

    async def run(self, workflow: str, job: str) -> None:
        """Run a graph to its end."""
        self._invoke(workflow, job)

    async def submit(self, workflow: str, job: str) -> None:
        """Run a graph in a thread."""
        threading.Thread(target=self._invoke, args=(workflow, job), daemon=True).start()

    def _invoke(self, workflow: str, job: str) -> None:
        config = {"configurable": {"thread_id": str(uuid.uuid4())}}
        self._graphs[workflow].invoke(graphs.value_of(workflow, job), config, durability="sync")
