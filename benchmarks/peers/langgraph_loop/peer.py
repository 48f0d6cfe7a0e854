"""LangGraph with SqliteSaver in a loop: what the reference is, with its kills."""

import sys
from pathlib import Path

from benchmarks.peers.peer import Peer


class Loop(Peer):
    """A process that runs graphs. There is nothing else."""

    title = "LangGraph, SqliteSaver in a loop"
    work = "the graph, sync nodes, one run after the other"
    durable = 'SqliteSaver on a file, durability="sync"; nobody but the caller knows which runs there are'
    packages = ("langgraph", "langgraph-checkpoint-sqlite")
    licences = "MIT"
    module = "benchmarks.peers.langgraph_loop.app"
    is_its_client = True

    def install(self) -> Path:
        """The same LangGraph that Autopilot runs."""
        return Path(sys.executable)
