"""Celery: a task that runs the graph with SqliteSaver, and goes on from its checkpoint when it comes again."""

import os
import sqlite3
import time
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.result import AsyncResult
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.peers import client, graphs

RESULT_SECONDS = 60.0

app = Celery("peer", broker=os.environ["PEER_URL"], backend=os.environ["PEER_URL"])
# A task whose worker dies comes again: what Celery's documentation has for tasks that may be run twice.
app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True


@app.task(bind=True)
def run_graph(self: Task, workflow: str, job: str) -> None:
    """Run a graph, on a thread of the task's id."""
    graph = _graph(workflow)
    config = {"configurable": {"thread_id": self.request.id}}
    has_begun = graph.get_state(config).created_at is not None
    graph.invoke(None if has_begun else graphs.value_of(workflow, job), config, durability="sync")


@cache
def _graph(workflow: str) -> Any:
    """The graph, once a process: a connection must not be shared with processes that are forked."""
    database = sqlite3.connect(Path(os.environ["PEER_FOLDER"]) / "checkpoints.db", check_same_thread=False, timeout=30)
    return getattr(graphs, workflow).compile(checkpointer=SqliteSaver(database))


class Client(client.Client):
    """Sends tasks, and waits for their results in one thread: Celery's results are not for several."""

    async def run(self, workflow: str, job: str) -> None:
        """Send a task, and wait for its result."""
        self._send(workflow, job).get(timeout=RESULT_SECONDS)

    async def submit(self, workflow: str, job: str) -> None:
        """Send a task."""
        self._send(workflow, job)

    async def load(self, *, seconds: float, most: int, width: int) -> dict[str, float]:
        """Keep tasks in flight: a new one for each that is done, in the order of sending, which the queue keeps."""
        started = time.perf_counter()
        sent = done = 0
        results: deque[AsyncResult] = deque()
        while True:
            while len(results) < width and sent < most and time.perf_counter() - started < seconds:
                results.append(self._send("five", f"load-{sent}"))
                sent += 1
            if not results:
                return {"done": done, "seconds": time.perf_counter() - started}
            results.popleft().get(timeout=RESULT_SECONDS)
            done += 1

    def _send(self, workflow: str, job: str) -> AsyncResult:
        return run_graph.delay(workflow, job)
