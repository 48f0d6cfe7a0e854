"""Whatever a workflow is called, returns, raises, reports or asks: its job ends as it should, and everybody can read of
it, in both forms of payloads, by watch, by list and by the command line."""

import io
import json
from collections.abc import Iterator

import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_client import Client
from autopilot_client.cli.live import JobView
from rich.console import Console

from tests.forks import autopilot
from tests.proof.conftest import Tried
from tests.proof.hostile import graphs
from tests.proof.hostile.victim import HOSTILE_GRAPHS, Victim

# What moves a terminal's cursor, or worse. Lines have ends.
CONTROLS = set(map(chr, [*range(10), *range(11, 32), *range(127, 160)]))

FORMS = (job_pb2.PAYLOAD_FORMAT_JSON, job_pb2.PAYLOAD_FORMAT_JSON_TEXT)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    victim = Victim(tmp_path_factory.mktemp("victim"), config=HOSTILE_GRAPHS, options=["--return-tracebacks"])
    victim.seed()
    yield victim
    victim.close()


def run(victim: Victim, workflow: str, which: int = 0) -> job_pb2.Job:
    """A job once it has ended, and everything that can be read of it was."""
    policy = job_pb2.RetryPolicy(max_attempts=1)
    job_id = victim.submit(workflow, text=json.dumps({"which": which}), retry_policy=policy)
    job = victim.settled(job_id)
    read_everything(victim, job_id, finished=job.state != job_pb2.JOB_STATE_INTERRUPTED)
    return job


def read_everything(victim: Victim, job_id: str, *, finished: bool) -> None:
    for form in FORMS:
        fields = {"payload_format": form, "view": job_pb2.VIEW_FULL}
        victim.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id, **fields), timeout=60)
        victim.stub.ListJobs(job_service_pb2.ListJobsRequest(page_size=20, **fields), timeout=60)
        victim.stub.ListCheckpoints(job_service_pb2.ListCheckpointsRequest(job_id=job_id, **fields), timeout=60)
        request = job_service_pb2.WatchProgressRequest(job_id=job_id, payload_format=form, stop_when_caught_up=True)
        events = [event for answer in victim.stub.WatchProgress(request, timeout=60) for event in answer.events]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert events[-1].HasField("state_changed") or not finished


@pytest.mark.parametrize("which", range(len(graphs.RAISED)))
def test_exceptions(victim: Victim, which: int) -> None:
    job = run(victim, "raises", which)
    assert job.state == job_pb2.JOB_STATE_FAILED
    # LangGraph keeps an exception's text with the state, and some of them cannot be.
    assert job.error.reason in ("STEP_RAISED", "STATE_INVALID")
    assert len(job.error.message) <= 4096
    assert len(job.error.exception_type) <= 256


@pytest.mark.parametrize("which", range(len(graphs.RETURNED)))
def test_results(victim: Victim, which: int) -> None:
    job = run(victim, "returns", which)
    if job.state != job_pb2.JOB_STATE_SUCCEEDED:
        assert job.state == job_pb2.JOB_STATE_FAILED
        assert job.error.reason in ("STATE_INVALID", "OUTPUT_INVALID"), job.error


@pytest.mark.parametrize("which", range(len(graphs.SCHEMAS)))
def test_questions(victim: Victim, which: int) -> None:
    """They are asked, and an answer is taken, or refused for what it is."""
    job = run(victim, "asks", which)
    if job.error.reason == "STATE_INVALID":
        # A schema that cannot be stored.
        assert which in (2, 4, 5)
        return
    assert job.state == job_pb2.JOB_STATE_INTERRUPTED, job.error
    answer = job_pb2.Payload(json_text=json.dumps("a" * 100_000 + "!"))
    refused = victim.ask("Resume", job_service_pb2.ResumeRequest(job_id=job.job_id, answer=answer)).refused
    assert refused == (which in (0, 4, 5)), which


def test_reports(victim: Victim) -> None:
    job = run(victim, "reports")
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
    assert job.progress.message == "last?"


def test_names(victim: Victim) -> None:
    job = run(victim, "odd_names")
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
    assert job.progress.completed_steps >= len(graphs.NAMES)


def command_line(victim: Victim, *arguments: str) -> str:
    done = autopilot(arguments[0], "--server", victim.server.address, *arguments[1:])
    assert done.returncode in (0, 1, 3), done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("workflow", ["odd_names", "reports", "raises"])
def test_the_command_line_shows_it_and_no_text_moves_the_cursor(victim: Victim, workflow: str) -> None:
    job_id = victim.submit(
        workflow, text=json.dumps({"which": graphs.MOVES_THE_CURSOR}), retry_policy=job_pb2.RetryPolicy(max_attempts=1)
    )
    victim.settled(job_id)
    for arguments in (["status", job_id], ["watch", job_id, "--no-follow"], ["list"]):
        shown = command_line(victim, *arguments)
        assert shown.strip()
        assert not set(shown) & CONTROLS, arguments


@pytest.mark.parametrize("workflow", ["odd_names", "reports", "raises"])
def test_the_terminal_s_view_moves_no_cursor_either(victim: Victim, workflow: str) -> None:
    text, policy = json.dumps({"which": graphs.MOVES_THE_CURSOR}), job_pb2.RetryPolicy(max_attempts=1)
    job_id = victim.submit(workflow, text=text, retry_policy=policy)
    drawn = io.StringIO()
    console = Console(file=drawn, width=100)
    view = JobView(job_id, console)
    with Client(victim.server.address) as client:
        for event in client.watch(job_id):
            view.take(event)
            console.print(view.draw())
    assert not set(drawn.getvalue()) & CONTROLS


def test_nothing_of_it_was_the_server_s_fault(victim: Victim, tried: Tried) -> None:
    tried(hostile_jobs=len(victim.accepted))
    log = victim.server.log.read_text()
    assert "internal error" not in log
    assert "Exception in callback" not in log
    assert not victim.call("/grpc.health.v1.Health/Check", b"").refused
