"""Processes forked from one that has imported everything, also what the workflows and the tests import: they start in a
tenth of the time."""

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "tests.proof.server",
        "tests.proof.kills.kill_points",
        "autopilot_server.app",
        "autopilot_server.cli",
        "autopilot_server.logs",
        "langchain_core.language_models.fake_chat_models",
        "langchain_core.runnables.graph_mermaid",
        "langgraph.func",
        "rich.console",
        "tests.proof.frozen",
    ]
)

# A process that starts looks whether others have ended; one that another thread closed meanwhile would give away
# the number of a file that is being read.
PROCESSES = threading.Lock()


def autopilot(
    *arguments: object,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_seconds: float = 120,
) -> CompletedProcess[str]:
    """`autopilot` with these arguments, from its beginning to its end.

    `folder`: where it is started. `environment`: all of it, by default that of the tests. Raises TimeoutError.
    """
    command = ["autopilot", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as name:
        streams = Path(name)
        (streams / "0").write_text(stdin)
        process = FORKS.Process(target=_become, args=(command, streams, folder, dict(environment or os.environ)))
        with PROCESSES:
            process.start()
        process.join(timeout_seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{command} does not end:\n{(streams / '2').read_text()}")
        # As they are written, also what ends a line.
        output, errors = ((streams / name).read_bytes().decode() for name in "12")
        ended = CompletedProcess(command, process.exitcode, output, errors)
        with PROCESSES:
            process.close()
    return ended


def _become(command: list[str], streams: Path, folder: Path | None, environment: dict[str, str]) -> None:
    """In the new process."""
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(streams / str(number), flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    if folder is not None:
        os.chdir(folder)
    import sys

    sys.argv = command
    # multiprocessing gives its processes none.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    from autopilot_client.cli import main

    main()
