"""The reference: a graph run by LangGraph alone, with its own SqliteSaver on a file, in a process of its own.

As a program it reads how many runs to do and of which input, a JSON list a line, and answers with their times, a JSON
list a line.
"""

import asyncio
import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

REPOSITORY = Path(__file__).parent.parent
# SQLite's number for synchronous=FULL, which is also its default.
_FULL = 2


class LangGraphLoop:
    """The reference's process. An async context manager."""

    def __init__(self, database: Path, graph: str = "five_sync", given: Mapping[str, Any] | None = None) -> None:
        """Keep the checkpoints in `database`, once entered. `graph`: of workflows/graphs.py; `given`: its input."""
        self._database, self._graph, self._given = database, graph, given or {"value": 0}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "LangGraphLoop":
        """Start the process, and warm it up."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, str(self._database), self._graph),
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        await self.run(10)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def run(self, count: int, given: Mapping[str, Any] | None = None) -> list[float]:
        """Run the graph `count` times, one after the other. The seconds that each run took."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([count, given or self._given]).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the reference's process has ended")
        times: list[float] = json.loads(line)
        return times


def main(database: str, graph_name: str) -> None:
    """Serve the reference on standard input and output."""
    # Imported here: the measuring process itself needs no LangGraph.
    from langgraph.checkpoint.sqlite import SqliteSaver

    from benchmarks.workflows import graphs

    with closing(sqlite3.connect(database, check_same_thread=False)) as connection:
        graph = getattr(graphs, graph_name).compile(checkpointer=SqliteSaver(connection))
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == _FULL
        for line in sys.stdin:
            times = []
            count, given = json.loads(line)
            for _ in range(count):
                started = time.perf_counter()
                config = {"configurable": {"thread_id": str(uuid.uuid4())}, "recursion_limit": 10_000}
                graph.invoke(given, config, durability="sync")
                times.append(time.perf_counter() - started)
            print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
