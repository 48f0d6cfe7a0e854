"""How many workers there are, and what they are made of."""

import shutil
from pathlib import Path

import pytest
from autopilot_client import JobState

from tests.workers.conftest import CONFIG, WorkedServer, until


def test_without_workers_jobs_wait(tmp_path: Path) -> None:
    server = WorkedServer(tmp_path)
    with server, server.client() as client:
        client.run("nothing", server.input)
        server.kill()
        server.workers = "0"
        server.start()
        job = client.submit("nothing", server.input)
        assert client.get(job.job_id).state is JobState.PENDING
        server.kill()
        server.workers = "1"
        server.start()
        assert client.get(job.job_id, wait=60).state is JobState.SUCCEEDED


@pytest.mark.parametrize("workers", ["-1", "257", "many", "1.5", ""])
def test_a_number_that_is_none(tmp_path: Path, workers: str) -> None:
    server = WorkedServer(tmp_path, workers=workers)
    assert not server.start_or_die()
    assert server.wait_for_death() == 2
    assert server.log.read_text().startswith(f"autopilot: --workers {workers}: must be inline, or a number up to 256")


@pytest.mark.parametrize(
    ("line", "why"),
    [("import os; os.kill(os.getpid(), 11)", "SIGSEGV"), ("raise SystemExit(3)", "SystemExit: 3"), ("def", "Syntax")],
)
def test_workflows_that_cannot_be_loaded_end_the_start(tmp_path: Path, line: str, why: str) -> None:
    server = _with_module(tmp_path, line)
    assert not server.start_or_die()
    assert server.wait_for_death() == 2
    last = server.log.read_text().strip().split("\n")[-1]
    assert last.startswith("autopilot: ")
    assert why in last


@pytest.mark.parametrize(
    "line",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import socket; _left_open = socket.socket()",
        "import os; os.chdir('/')",
    ],
)
def test_what_modules_leave_behind_is_shared_by_no_two_workers(tmp_path: Path, line: str) -> None:
    with _with_module(tmp_path, f"{line}\nimport os\nLOADED_BY = os.getpid()") as server, server.client() as client:
        assert client.run("nothing", server.input)["done"] == ["nothing"]


def test_changed_workflows_are_loaded_again(tmp_path: Path) -> None:
    server = _with_module(tmp_path, "")
    server.options += ["--reload"]
    with server, server.client() as client:
        client.submit("steps", server.input, job_id="j")
        server.holding()
        before = client.get("j").workflow_revision
        file = tmp_path / "project" / "graphs.py"
        file.write_text(file.read_text().replace('"hold"]', '"changed"]'))
        assert server.holding()
        server.go()
        job = client.get("j", wait=60)
        assert job.output["done"] == ["first", "changed"]
        assert job.workflow_revision != before
        assert (tmp_path / "first").read_text() == "ran\n"
        file.write_text("def")
        until(lambda: "reload: the changed workflows cannot be loaded" in server.log.read_text(), "the log says why")
        assert client.run("nothing", server.input)["done"] == ["nothing"]


def _with_module(folder: Path, line: str) -> WorkedServer:
    """A server whose workflows' module has another line."""
    shutil.copytree(CONFIG.parent, folder / "project")
    module = folder / "project" / "graphs.py"
    module.write_text(f"{module.read_text()}\n{line}\n")
    server = WorkedServer(folder)
    server.config = folder / "project" / "langgraph.json"
    return server
