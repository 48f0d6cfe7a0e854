"""Steps that hold a worker's loop, or its whole interpreter."""

from pathlib import Path

import pytest
from autopilot_client import JobState

from tests.workers.conftest import WorkedServer, until


@pytest.mark.parametrize(("workflow", "file"), [("block", "blocking"), ("seize", "seizing")])
def test_others_go_on_and_the_log_names_workflow_step_and_stack(tmp_path: Path, workflow: str, file: str) -> None:
    with WorkedServer(tmp_path, workers="2") as server, server.client() as client:
        client.submit(workflow, server.input, job_id="holder")
        until((tmp_path / file).exists, "the step holds")
        # More than the held worker could have claimed before: the other one runs them.
        for number in range(20):
            assert client.run("nothing", server.input, job_id=f"j{number}")["done"] == ["nothing"]
        until(lambda: "graphs.py" in server.log.read_text(), "the log shows the stack")
        server.go()
        assert client.get("holder", wait=60).state is JobState.SUCCEEDED
    told = server.log.read_text()
    warning = next(line for line in told.split("\n") if "has blocked the engine" in line or "has held" in line)
    assert workflow in warning
    assert "holder" in warning


def test_values_are_read_while_all_workers_are_held(tmp_path: Path) -> None:
    with WorkedServer(tmp_path) as server, server.client() as client:
        client.run("nothing", server.input, job_id="read")
        client.submit("seize", server.input, job_id="holder")
        until((tmp_path / "seizing").exists, "the step holds")
        newest = next(iter(client.checkpoints("read", values=True)))
        assert newest.values["done"] == ["nothing"]
        server.go()
