"""The eight promises of the README, each proven by the test that bears its name."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from autopilot_client import (
    AutopilotError,
    Client,
    FieldInvalid,
    InterruptNotPending,
    JobNotFound,
    JobState,
    LimitExceeded,
    PayloadTooLarge,
    StateChanged,
    StepFinished,
)

from tests.postgres import DATABASES
from tests.promises.conftest import Watcher, appears, ended, sequences, trace
from tests.proof.server import ServerProcess


def test_accepted_is_kept(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """Whatever Submit and Resume answered survives kill -9, and the log with it."""
    accepted: list[str] = []
    killed = False

    def submit(number: int) -> None:
        try:
            job = client.submit("linear", {"items": [number]}, timeout=5, labels={"n": str(number)})
        except AutopilotError:
            assert killed
        else:
            accepted.append(job.job_id)

    asked = ended(client, client.submit("ask", {"items": []}).job_id)
    resumed = client.resume(asked.job_id, answer={"approved": True})
    assert resumed.state is JobState.PENDING
    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(submit, number) for number in range(200)]
        while len(accepted) < 50:
            work[len(accepted)].result()
        killed = True
        server.kill()
        server.start()
        for item in work:
            item.result()
    for job_id in accepted:
        job = ended(client, job_id)
        assert job.state is JobState.SUCCEEDED
        assert job.output["items"] == [int(job.labels["n"]), "a", "b", "c"]
        events = list(client.watch(job_id))
        assert sequences(events) == list(range(1, job.latest_sequence + 1))
    assert ended(client, asked.job_id).output["items"] == ["before", True, "after"]


def test_goes_on_by_itself(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """After kill -9 unfinished jobs run on; finished steps and finished siblings do not run again."""
    job = client.submit("parallel_hold", {"items": [], "folder": str(tmp_path)})
    watcher = Watcher(client, job.job_id)
    appears(tmp_path / "holding")
    # The sibling's end is in the log: from now on it must not run again.
    for event in client.watch(job.job_id):
        if isinstance(event.kind, StepFinished) and event.kind.step == "quick":
            break
    server.kill()
    (tmp_path / "go").touch()
    server.start()
    job = ended(client, job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert (job.attempt, job.failed_attempts) == (2, 0)
    assert trace(tmp_path).count("quick") == 1
    assert trace(tmp_path).count("hold") == 2
    assert sequences(watcher.finish()) == list(range(1, job.latest_sequence + 1))


def test_a_job_that_crashes_its_worker_again_and_again_is_given_up(server: ServerProcess, tmp_path: Path) -> None:
    """Losses without a new checkpoint are bounded; the job can be resumed."""
    server.terminate()
    server.options = ["--max-worker-losses", "3"]
    server.start()
    with server.client() as client:
        job = client.submit("holding", {"items": [], "folder": str(tmp_path)})
        for _ in range(3):
            appears(tmp_path / "holding")
            server.kill()
            (tmp_path / "holding").unlink()
            server.start()
        # The first loss came after new checkpoints, the two others did not.
        job = ended(client, job.job_id)
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.reason == "WORKER_LOST"
        (tmp_path / "go").touch()
        client.resume(job.job_id)
        assert ended(client, job.job_id).state is JobState.SUCCEEDED


def test_steps_at_least_once_transitions_exactly_once(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """A run that was superseded changes nothing: the step that Cancel left behind, and the job that was deleted and
    submitted again under its feet."""
    job_id = client.submit("holding_sync", {"items": [], "folder": str(tmp_path)}, job_id="twice").job_id
    appears(tmp_path / "holding")
    client.cancel(job_id, grace_period=0)
    assert ended(client, job_id).state is JobState.CANCELLED
    client.delete(job_id)
    again = client.submit("linear", {"items": ["new"]}, job_id="twice")
    done = ended(client, again.job_id)
    (tmp_path / "go").touch()
    # The old step's thread serves this job next, so it has returned by then.
    assert ended(client, client.submit("linear_sync", {"items": []}).job_id).state is JobState.SUCCEEDED
    after = client.get(job_id)
    assert after.output["items"] == ["new", "a", "b", "c"]
    assert (after.latest_sequence, after.etag) == (done.latest_sequence, done.etag)
    moves = [event.kind for event in client.watch(job_id) if isinstance(event.kind, StateChanged)]
    assert [(m.from_state, m.to_state) for m in moves] == [
        (JobState.UNKNOWN, JobState.PENDING),
        (JobState.PENDING, JobState.RUNNING),
        (JobState.RUNNING, JobState.SUCCEEDED),
    ]


def test_the_watch_is_a_log(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """Watchers from the beginning, the middle and late, through a kill: each event once, in order, without gaps."""
    job = client.submit("holding", {"items": [], "folder": str(tmp_path)})
    appears(tmp_path / "holding")
    early = [Watcher(client, job.job_id, after) for after in (0, 0, 3)]
    for event in client.watch(job.job_id):
        seen = event
        if getattr(event.kind, "step", "") == "hold":
            break
    server.kill()
    # What was shown was durable.
    stored = DATABASES.look(tmp_path, f"SELECT max(sequence) FROM events WHERE job_id = '{job.job_id}'")
    assert stored >= seen.sequence
    server.start()
    (tmp_path / "go").touch()
    last = ended(client, job.job_id).latest_sequence
    assert [sequences(watcher.finish()) for watcher in early] == [
        list(range(1, last + 1)),
        list(range(1, last + 1)),
        list(range(4, last + 1)),
    ]
    late = list(client.watch(job.job_id))
    assert late == early[0].events
    assert isinstance(late[-1].kind, StateChanged)
    assert late[-1].kind.to_state is JobState.SUCCEEDED
    assert list(client.watch(job.job_id, after_sequence=last)) == []
    # The stream itself: the client would drop an event that comes twice.
    with grpc.insecure_channel(server.address) as channel:
        watch = job_service_pb2_grpc.JobServiceStub(channel).WatchProgress
        for after in range(last + 1):
            request = job_service_pb2.WatchProgressRequest(job_id=job.job_id, after_sequence=after)
            streamed = [event.sequence for message in watch(request) for event in message.events]
            assert streamed == list(range(after + 1, last + 1))


@pytest.mark.parametrize("workflow", ["holding", "holding_sync", "stubborn", "blocking"])
def test_cancel_ends(server: ServerProcess, client: Client, tmp_path: Path, workflow: str) -> None:
    """Async code, a thread that does not return, code that swallows its cancellation, code that blocks the loop: the
    job is CANCELLED when its grace period is over."""
    job = client.submit(workflow, {"items": [], "folder": str(tmp_path)})
    appears(tmp_path / "holding")
    assert client.cancel(job.job_id, grace_period=0.1, reason="enough").state is JobState.CANCELLING
    job = ended(client, job.job_id)
    assert job.state is JobState.CANCELLED
    assert job.error is not None
    assert job.error.message == "enough"
    assert client.cancel(job.job_id).state is JobState.CANCELLED


def test_answers_are_not_mixed_up(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """A nested node asks twice; the process dies between the second Resume and the step's end."""
    job_id = client.submit("ask_twice_nested", {"items": [], "folder": str(tmp_path)}).job_id
    (first,) = ended(client, job_id).interrupts
    client.resume(job_id, answers={first.interrupt_id: "one"}, request_id="r1")
    (second,) = ended(client, job_id).interrupts
    assert second.interrupt_id != first.interrupt_id
    with pytest.raises(InterruptNotPending):
        client.resume(job_id, answers={first.interrupt_id: "again"})
    # A repeated request answers nothing twice.
    assert client.resume(job_id, answers={first.interrupt_id: "one"}, request_id="r1").state is JobState.INTERRUPTED
    client.resume(job_id, answers={second.interrupt_id: "two"})
    appears(tmp_path / "holding")
    server.kill()
    (tmp_path / "go").touch()
    server.start()
    assert ended(client, job_id).output["items"] == ["one", "two", "after"]


def test_bad_input_is_refused_whole(server: ServerProcess, client: Client) -> None:
    """Every violation at once, and nothing stored."""
    with pytest.raises(FieldInvalid) as refused:
        client.submit(
            "linear",
            {"items": "no list"},
            job_id="not an id",
            priority=10,
            labels={"UPPER": "x"},
            interrupt_before=["nowhere"],
            execution_timeout=-1,
        )
    assert {violation.field for violation in refused.value.violations} == {
        *("input.items", "job_id", "priority", 'labels["UPPER"]', "interrupt_before[0]", "execution_timeout"),
    }
    with pytest.raises(PayloadTooLarge) as large:
        client.submit("linear", {"items": ["x" * (2 << 20)]})
    assert large.value.metadata["field"] == "input"
    with pytest.raises(JobNotFound):
        client.get("nobody")
    assert list(client.list()) == []


def test_memory_is_bounded(server: ServerProcess) -> None:
    """Beyond a limit RESOURCE_EXHAUSTED with a RetryInfo, never a crash; unary calls always pass."""
    server.terminate()
    server.options = ["--unfinished-jobs", "5", "--watches", "3"]
    server.start()
    with server.client() as client:
        cancelled = ended(client, client.submit("ask", {"items": []}).job_id)
        client.cancel(cancelled.job_id)
        jobs = [client.submit("ask", {"items": []}) for _ in range(5)]
        with pytest.raises(LimitExceeded):
            client.resume(cancelled.job_id)
        with pytest.raises(LimitExceeded) as full:
            client.submit("ask", {"items": []})
        assert full.value.metadata == {"limit": "5", "name": "unfinished_jobs"}
        assert full.value.retry_delay
        job_id = jobs[0].job_id
        ended(client, job_id)
        with grpc.insecure_channel(server.address) as channel:
            stub = job_service_pb2_grpc.JobServiceStub(channel)
            request = job_service_pb2.WatchProgressRequest(job_id=job_id)
            open_watches = [stub.WatchProgress(request) for _ in range(3)]
            for watch in open_watches:
                next(watch)
            with pytest.raises(grpc.RpcError) as refused:
                next(stub.WatchProgress(request))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id)).job.state == (
                job_pb2.JOB_STATE_INTERRUPTED
            )
            for watch in open_watches:
                watch.cancel()


def test_sigterm_drains_and_the_next_start_goes_on(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """No new work, watches end with SERVER_DRAINING, running jobs stop at a checkpoint; the exit code is 0."""
    job = client.submit("holding", {"items": [], "folder": str(tmp_path)})
    appears(tmp_path / "holding")
    with grpc.insecure_channel(server.address) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        watch = stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id=job.job_id))
        next(watch)
        server.signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended_with:
            list(watch)
        assert ended_with.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "stopping" in ended_with.value.details()
        with pytest.raises(grpc.RpcError) as refused:
            stub.SubmitJob(job_service_pb2.SubmitJobRequest(workflow="linear"))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        # Reading goes on while jobs drain.
        running = stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job.job_id)).job
        assert running.state == job_pb2.JOB_STATE_RUNNING
    (tmp_path / "go").touch()
    assert server.wait_for_death() == 0
    server.start()
    job = ended(client, job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert trace(tmp_path) == ["before", "hold", "after"]
