"""How many workers there are, and what they are made of."""

import shutil
import signal
from pathlib import Path

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from autopilot_client import FieldInvalid, JobState, WorkflowNotFound

from tests.refused import Refused
from tests.waiting import wait_until
from tests.workers.conftest import GRAPHS, Workers, kill, succeeded


def test_without_workers_jobs_wait(tmp_path: Path) -> None:
    """They are checked by what others have published; whoever asks for values is told why there are none."""
    with Workers(tmp_path, workers=1) as server, server.client() as client:
        done = client.submit("tells", {}).job_id
        succeeded(client, done)
        server.kill()
        server.workers = "0"
        server.start()
        assert {workflow.name for workflow in client.workflows()} > {"tells", "spins_apart"}
        jobs = [client.submit(workflow, {}).job_id for workflow in ("tells", "tells_apart")]
        with pytest.raises(FieldInvalid):
            client.submit("tells", {"items": "no list"})
        with pytest.raises(WorkflowNotFound):
            client.submit("nobody", {})
        assert [client.get(job).state for job in jobs] == [JobState.PENDING] * 2
        assert list(client.checkpoints(done))
        with pytest.raises(WorkflowNotFound, match="cannot read its checkpoints' values; list them with VIEW_BASIC"):
            list(client.checkpoints(done, values=True))
        assert server.processes == []
        assert server.terminate() == 0
        server.workers = "1"
        server.start()
        for job in jobs:
            succeeded(client, job)


def refused(server: Workers) -> str:
    """Try to start: its last line."""
    assert not server.start_or_die()
    assert server.wait_for_death() == 2
    return server.log.read_text().strip().split("\n")[-1]


@pytest.mark.parametrize("workers", ["-1", "257", "many", ""])
def test_a_number_that_is_none(tmp_path: Path, workers: str) -> None:
    line = refused(Workers(tmp_path, workers=workers))
    assert line == f"autopilot: --workers {workers}: must be inline, or a number up to 256"


def test_inline_refuses_isolated_workflows(tmp_path: Path) -> None:
    assert "and --workers inline has none: start with --workers 1 or more" in refused(
        Workers(tmp_path, workers="inline")
    )


def with_module(folder: Path, line: str, *options: str) -> Workers:
    """A server whose workflows' module has another line."""
    project = folder / "project"
    project.mkdir()
    for file in (GRAPHS, GRAPHS.with_name("graphs.py")):
        shutil.copy(file, project)
    with (project / "graphs.py").open("a") as module:
        module.write(f"\n{line}\n")
    return Workers(folder, *options, config=project / "langgraph.json")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("os.kill(os.getpid(), 11)", "the process that loads the workflows ended by itself (SIGSEGV) while it did"),
        ("os._exit(3)", "the process that loads the workflows ended by itself (exit code 3) while it did"),
        ("raise SystemExit(3)", "graphs.py:holds: cannot be imported: SystemExit: 3"),
        ("def", "graphs.py:holds: cannot be imported: SyntaxError"),
    ],
)
def test_workflows_that_cannot_be_loaded_end_the_start(tmp_path: Path, line: str, why: str) -> None:
    said = refused(with_module(tmp_path, line))
    assert said.startswith("autopilot: ")
    assert why in said


@pytest.mark.parametrize(
    "line",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import socket; _left_open = socket.socket()",
    ],
)
def test_what_modules_leave_behind_is_shared_by_no_two_workers(tmp_path: Path, line: str) -> None:
    """Each loads the workflows itself, and the log says that this takes its time."""
    with with_module(tmp_path, line) as server, server.client() as client:
        for workflow in ("tells", "tells_apart"):
            process, loaded_by, *_ = client.run(workflow, {})["items"]
            assert loaded_by == process
        server.says("each worker loads them anew")


def test_workers_share_what_was_loaded(tmp_path: Path) -> None:
    """Modules may go to another folder, and set handlers for signals that are the server's affair."""
    line = "import signal; os.chdir('/'); signal.signal(signal.SIGTERM, signal.SIG_DFL)"
    with with_module(tmp_path, line) as server, server.client() as client:
        for workflow in ("tells", "tells_apart"):
            _, loaded_by, parent, folder = client.run(workflow, {})["items"]
            assert (loaded_by, parent, folder) == (server.fork_server, server.fork_server, "/")
        server.submit(client, "until_drained", "job")
        server.stands("job")
        server.signal_all(signal.SIGTERM)
        assert server.wait_for_death() == 0
        server.start()
        succeeded(client, "job", attempts=2)
    assert "died" not in server.log.read_text()


def values_refused(server: Workers, job_id: str) -> Refused:
    """How a server answers that cannot read the values of a job's checkpoints."""
    request = job_service_pb2.ListCheckpointsRequest(job_id=job_id, view=job_pb2.VIEW_FULL)
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        job_service_pb2_grpc.JobServiceStub(channel).ListCheckpoints(request, timeout=60)
    return Refused(caught.value)


def test_workflows_that_cannot_be_loaded_any_more(tmp_path: Path) -> None:
    """When they have to be: the server answers, says why nothing runs, and goes on once they are mended."""
    with with_module(tmp_path, "") as server, server.client() as client:
        first = client.submit("tells", {}).job_id
        succeeded(client, first)
        module = tmp_path / "project" / "graphs.py"
        text = module.read_text()
        module.write_text("def")
        kill(server.fork_server)
        server.says("no worker can be started: ")
        assert "cannot be imported: SyntaxError" in server.log.read_text()
        job = client.submit("tells", {}).job_id
        assert client.get(job).state is JobState.PENDING
        refused = values_refused(server, first)
        assert (refused.code.name, refused.reason) == ("UNAVAILABLE", "STORAGE_UNAVAILABLE")
        assert "cannot be read now, because the server cannot load its workflows" in refused.message
        assert refused.retry is not None
        module.write_text(text.replace('"did not lock"', '"changed"'))
        done = succeeded(client, job)
        assert done.workflow_revision != client.get(first).workflow_revision
        assert done.workflow_revision in {workflow.revision for workflow in client.workflows()}
        succeeded(client, client.submit("tells_apart", {}).job_id)
        assert [checkpoint.values for checkpoint in client.checkpoints(first, values=True)]


def test_changed_workflows_are_loaded_again(tmp_path: Path) -> None:
    """What runs goes on with them, from its last checkpoint; those that cannot be loaded change nothing."""
    with with_module(tmp_path, "", "--reload") as server, server.client() as client:
        server.submit(client, "holds", "job")
        server.stands("job")
        before = client.get("job").workflow_revision
        module = tmp_path / "project" / "graphs.py"
        module.write_text(module.read_text().replace('["hold"]', '["changed"]'))
        server.stands("job", 2)
        server.go("job")
        job = succeeded(client, "job", attempts=2)
        assert job.output["items"] == ["before", "changed", "after"]
        assert job.workflow_revision != before
        module.write_text("def")
        server.says("reload: the changed workflows cannot be loaded")
        assert client.run("tells", {})["items"]
        wait_until(lambda: len(server.processes) == 3, lambda: server.processes)
