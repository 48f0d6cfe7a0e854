"""examples/go-service: a service in Go that runs jobs for callers of its own."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, JobState, StateChanged

from clients.conformance.stages import WORKFLOWS
from tests.promises.conftest import appears, ended
from tests.proof.server import ServerProcess

SERVICE = Path(__file__).parents[2] / "examples" / "go-service"

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="there is no go")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("built") / "go-service"
    subprocess.run(["go", "build", "-o", program, "."], cwd=SERVICE, check=True)
    return program


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, config=WORKFLOWS)
    server.start()
    yield server
    server.close()


@pytest.fixture
def jobs(server: ServerProcess) -> Iterator[Client]:
    with server.client() as client:
        yield client


class GoService:
    """The service's process."""

    def __init__(self, program: Path, autopilot: str) -> None:
        self.process = subprocess.Popen(
            [program, "-autopilot", autopilot, "-listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]

    def ask(self, workflow: str, given: Any, *, key: str = "", timeout: str = "60s") -> http.client.HTTPResponse:
        """The answer, of which the body is still to come."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Idempotency-Key": key} if key else {}
        connection.request("POST", f"/run/{workflow}?timeout={timeout}", json.dumps(given), headers)
        return connection.getresponse()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0


@pytest.fixture
def service(built: Path, server: ServerProcess) -> Iterator[GoService]:
    service = GoService(built, server.address)
    yield service
    service.process.kill()
    service.process.wait()


def lines(response: http.client.HTTPResponse) -> list[Any]:
    return [json.loads(line) for line in response]


def finished(said: list[Any]) -> list[str]:
    return [line["finished"] for line in said if "finished" in line]


def test_a_caller_sees_progress_and_output(service: GoService) -> None:
    response = service.ask("three", {"items": [2**53 + 1]})
    said = lines(response)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert finished(said) == ["a", "b", "c"]
    assert said[-1] == {"output": {"items": [2**53 + 1, "a", "b", "c"]}}


def test_a_repeated_call_is_taken_through_the_same_job(service: GoService, jobs: Client) -> None:
    once, again = (lines(service.ask("three", {"items": []}, key="one")) for _ in range(2))
    assert once[-1] == again[-1]
    assert once[0]["job_id"] == again[0]["job_id"] == "one"
    assert len(list(jobs.list())) == 1
    assert service.ask("three", {"items": [1]}, key="one").status == 409


def test_a_caller_that_leaves_and_comes_back(service: GoService, jobs: Client, tmp_path: Path) -> None:
    response = service.ask("hold", {"folder": str(tmp_path)}, key="left")
    assert json.loads(response.readline())["job_id"] == "left"
    appears(tmp_path / "holding")
    response.close()
    cancelled = ended(jobs, "left")
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.error is not None
    assert cancelled.error.message == "its caller left"
    (tmp_path / "go").touch()
    said = lines(service.ask("hold", {"folder": str(tmp_path)}, key="left"))
    assert said[-1] == {"output": {"items": ["before", "held", "after"], "folder": str(tmp_path)}}
    assert finished(said) == ["before", "hold", "after"], "the log tells the finished step once"


def test_a_caller_that_is_back_before_its_leaving_is_noticed(service: GoService, jobs: Client, tmp_path: Path) -> None:
    """Its old connection ends while the new one waits."""
    old = service.ask("hold", {"folder": str(tmp_path)}, key="twice")
    old.readline()
    appears(tmp_path / "holding")
    new = service.ask("hold", {"folder": str(tmp_path)}, key="twice")
    first = json.loads(new.readline())
    old.close()
    cancelling(jobs, "twice")
    (tmp_path / "go").touch()
    said = [first, *lines(new)]
    assert said[-1] == {"output": {"items": ["before", "held", "after"], "folder": str(tmp_path)}}
    assert finished(said) == ["before", "hold", "after"]


def cancelling(jobs: Client, job_id: str) -> None:
    with closing(jobs.watch(job_id)) as events:
        for event in events:
            if isinstance(event.kind, StateChanged) and event.kind.to_state is JobState.CANCELLING:
                return
    raise AssertionError(f"{job_id} was not cancelled")


def test_a_job_that_somebody_else_cancelled_stays_so(service: GoService, jobs: Client, tmp_path: Path) -> None:
    response = service.ask("hold", {"folder": str(tmp_path)}, key="stopped")
    response.readline()
    appears(tmp_path / "holding")
    jobs.cancel("stopped", reason="by an operator", grace_period=0)
    said = lines(response)
    assert said[-1] == {"error": {"reason": "CANCELLED", "message": "by an operator"}}
    again = lines(service.ask("hold", {"folder": str(tmp_path)}, key="stopped"))
    assert again[-1] == said[-1]


def test_a_caller_that_sends_too_much_or_too_slowly_is_given_up(service: GoService) -> None:
    response = service.ask("three", "x" * (1 << 20))
    assert response.status == 413
    with socket.create_connection(service.address.split(":"), timeout=60) as slow:
        slow.sendall(b"POST /run/three HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 400")


def test_a_deadline_is_passed_on(service: GoService, jobs: Client, tmp_path: Path) -> None:
    said = lines(service.ask("hold", {"folder": str(tmp_path)}, key="late", timeout="1s"))
    assert "error" in said[-1]
    job = ended(jobs, "late")
    # By the service, or by the job's own execution_timeout: whichever was first.
    assert job.state in (JobState.CANCELLED, JobState.FAILED)
    assert job.error is not None
    assert job.error.reason in ("CANCELLED", "EXECUTION_TIMED_OUT")


def test_autopilot_restarts_in_the_middle(service: GoService, server: ServerProcess, tmp_path: Path) -> None:
    response = service.ask("hold", {"folder": str(tmp_path)})
    first = json.loads(response.readline())
    appears(tmp_path / "holding")
    server.kill()
    server.start()
    (tmp_path / "go").touch()
    said = [first, *lines(response)]
    sequences = [line["sequence"] for line in said if "sequence" in line]
    assert sequences == sorted(set(sequences))
    assert said[-1]["output"]["items"] == ["before", "held", "after"]


def test_a_service_that_stops_leaves_the_job(service: GoService, jobs: Client, tmp_path: Path) -> None:
    response = service.ask("hold", {"folder": str(tmp_path)}, key="goes-on")
    response.readline()
    appears(tmp_path / "holding")
    service.stop()
    assert jobs.get("goes-on").state is JobState.RUNNING
    (tmp_path / "go").touch()
    assert ended(jobs, "goes-on").state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("workflow", "given", "headers", "status", "reason"),
    [
        ("three", {"items": 1}, {}, 400, "FIELD_INVALID"),
        ("nowhere", {}, {}, 404, "WORKFLOW_NOT_FOUND"),
        ("three", {}, {"key": "no good"}, 400, ""),
        ("three", {}, {"timeout": "soon"}, 400, ""),
    ],
)
def test_what_is_wrong_is_told(
    service: GoService, workflow: str, given: Any, headers: dict[str, str], status: int, reason: str
) -> None:
    response = service.ask(workflow, given, **headers)
    problem = json.loads(response.read())["error"]
    assert (response.status, problem.get("reason", "")) == (status, reason)
    assert problem["message"]


def test_a_job_that_fails_is_an_error(service: GoService) -> None:
    assert lines(service.ask("fail", {}))[-1]["error"]["reason"] == "STEP_RAISED"


def test_autopilot_is_away(service: GoService, server: ServerProcess) -> None:
    server.kill()
    response = service.ask("three", {})
    assert response.status == 503
    assert server.host not in response.read().decode(), "where Autopilot is concerns nobody"
