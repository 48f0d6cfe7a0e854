"""The program that drives a peer from its own environment: reads questions, a JSON list a line, and answers them so.

python -m benchmarks.peers.driver benchmarks.peers.NAME.app
"""

import asyncio
import json
import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any, TextIO

from benchmarks.peers.client import Client


async def main(module: str) -> None:
    """Answer until there are no more questions."""
    answers = _keep_for_answers()
    client: Client = import_module(module).Client()
    await client.open()
    while line := await asyncio.to_thread(sys.stdin.readline):
        question, arguments = json.loads(line)
        print(json.dumps(await _answer(client, question, arguments)), file=answers, flush=True)
    # What runs in threads, and what a peer's client would still like to say, ends with the process.
    os._exit(0)


def _keep_for_answers() -> TextIO:
    """The standard output. What else would print there, as some peers' logs do, goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


async def _answer(client: Client, question: str, arguments: dict[str, Any]) -> Any:
    match question:
        case "load":
            return await client.load(**arguments)
        case "idle":
            return await client.idle(**arguments)
        case "submit":
            for job in arguments["jobs"]:
                await client.submit("slow", job)
            return len(arguments["jobs"])
        case "versions":
            return [version(name) for name in arguments["packages"]]
    raise ValueError(question)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
