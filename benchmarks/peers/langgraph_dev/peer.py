"""`langgraph dev`: LangGraph's own server for development, which keeps everything in memory and in files beside it."""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers.peer import Peer
from benchmarks.peers.service import HOST, Service, free_port

GRAPHS = Path(__file__).parents[1] / "graphs.py"
CONFIG = {"dependencies": ["."], "graphs": {name: f"{GRAPHS}:{name}" for name in ("five", "slow")}}


class LangGraphDev(Peer):
    """The server, which is one process."""

    title = "langgraph dev"
    work = "the graph, sync nodes, a thread for each job"
    durable = (
        "ten jobs at once, the default by its help, and without reloading; state in memory, and in files now and then"
    )
    packages = ("langgraph-cli", "langgraph-api", "langgraph-runtime-inmem", "langgraph")
    licences = "MIT (langgraph-cli), Elastic-2.0 (langgraph-api, langgraph-runtime-inmem)"
    module = "benchmarks.peers.langgraph_dev.app"
    environment_name = "langgraph_dev"

    def settings(self) -> Mapping[str, str]:
        """Where the client finds it; and nothing is told to anybody."""
        self._port = free_port()
        return {
            "PEER_URL": f"http://{HOST}:{self._port}",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "LANGSMITH_TRACING": "false",
        }

    def make_services(self) -> list[Service]:
        """The server. It keeps its files in the folder of its project, which is made for it."""
        config = self.folder / "langgraph.json"
        config.write_text(json.dumps(CONFIG))
        address = ("--host", HOST, "--port", str(self._port), "--no-browser", "--no-reload")
        # Its help says that ten is the default, and without the option there is one.
        jobs = ("--n-jobs-per-worker", "10")
        return [
            self.service(
                self.python.with_name("langgraph"), "dev", "--config", config, *address, *jobs, port=self._port
            )
        ]
