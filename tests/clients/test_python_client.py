"""The Python client: conversions, errors, retries, reconnection."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from autopilot_client import (
    MISSING,
    AsyncClient,
    AutopilotError,
    CallFailed,
    Client,
    DeadlineExceeded,
    Event,
    Job,
    JobEnded,
    JobFailed,
    JobInterrupted,
    JobNotFound,
    JobState,
    Omitted,
    Progress,
    RetryPolicy,
    ServerUnreachable,
    StateChanged,
    StepFinished,
    ThreadBusy,
    TokenChunk,
    UnknownEvent,
)
from autopilot_client._convert import event, job, timestamp, value
from autopilot_client._watching import Following

from clients.conformance.fake import FakeServer
from tests.promises.conftest import appears, client, ended, server
from tests.proof.server import ServerProcess

__all__ = ["client", "server"]

SERVICE = job_service_pb2.DESCRIPTOR.services_by_name["JobService"]


# --- through grpcio-testing's fake channel: what goes over the wire ---


class Fake:
    """A client on a fake channel, called on a thread."""

    def __init__(self) -> None:
        self.channel = grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())
        self.client = Client(channel=self.channel, metadata=[("x-team", "blue")])
        self.pool = ThreadPoolExecutor(1)

    def answered(self, method: str, response: Any, call: Any) -> tuple[Any, Any]:
        """Call, answer; the request and the client's result."""
        future = self.pool.submit(call)
        metadata, request, rpc = self.channel.take_unary_unary(SERVICE.methods_by_name[method])
        assert ("x-team", "blue") in metadata
        rpc.send_initial_metadata(())
        rpc.terminate(response, (), grpc.StatusCode.OK, "")
        return request, future.result()


def test_a_submit_on_the_wire() -> None:
    fake = Fake()
    request, submitted = fake.answered(
        "SubmitJob",
        job_service_pb2.SubmitJobResponse(job=job_pb2.Job(job_id="j", state=1)),
        lambda: fake.client.submit(
            "w",
            {"n": 2**53 + 1},
            priority=3,
            scheduled_time=datetime(2030, 1, 1, tzinfo=UTC),
            execution_timeout=timedelta(minutes=5),
            retry_policy=RetryPolicy(max_attempts=4, initial_backoff=0.5),
            context={"a": None},
            fork_from="other",
        ),
    )
    assert request.input.json_text == '{"n":9007199254740993}'
    assert request.request_id
    assert (request.priority, request.execution_timeout.seconds) == (3, 300)
    assert request.scheduled_time.ToDatetime() == datetime(2030, 1, 1)
    assert (request.retry_policy.max_attempts, request.retry_policy.initial_backoff.nanos) == (4, 500_000_000)
    assert request.context.json_text == '{"a":null}'
    assert request.fork_from.job_id == "other"
    assert submitted.state is JobState.PENDING
    request, _ = fake.answered(
        "SubmitJob", job_service_pb2.SubmitJobResponse(), lambda: fake.client.submit("w", request_id="mine")
    )
    assert request.request_id == "mine"
    assert not request.HasField("input")


def test_null_is_an_input_and_nan_is_not() -> None:
    fake = Fake()
    request, _ = fake.answered("SubmitJob", job_service_pb2.SubmitJobResponse(), lambda: fake.client.submit("w", None))
    assert request.input.json_text == "null"
    with pytest.raises(ValueError, match="JSON compliant"):
        fake.client.submit("w", float("nan"))


def test_an_option_that_there_is_not_is_refused() -> None:
    fake = Fake()
    with pytest.raises(TypeError, match=r"submit\(\) has no option 'foo', 'lables'; it has job_id, "):
        fake.client.submit("w", lables={}, foo=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"resume\(\) has no option 'anwser'; it has answer, "):
        fake.client.resume("j", anwser=1)  # type: ignore[call-arg]


def test_what_has_the_wrong_type_is_refused_by_its_name() -> None:
    fake = Fake()
    with pytest.raises(TypeError, match="label 'n' is 3"):
        fake.client.submit("w", labels={"n": 3})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="label 'n' is None"):
        list(fake.client.list(labels={"n": None}))  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="retry_policy must be a RetryPolicy"):
        fake.client.submit("w", retry_policy={"max_attempts": 3})  # type: ignore[typeddict-item]


async def test_a_closed_client_says_so() -> None:
    client, asynchronous = Client("127.0.0.1:1"), AsyncClient("127.0.0.1:1")
    client.close()
    await asynchronous.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.get("j")
    with pytest.raises(RuntimeError, match="this client is closed"):
        list(client.watch("j"))
    with pytest.raises(RuntimeError, match="this client is closed"):
        await asynchronous.get("j")
    with pytest.raises(RuntimeError, match="this client is closed"):
        await anext(asynchronous.watch("j"))


@pytest.fixture
def endless() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()


def test_closing_the_client_ends_what_is_open(endless: FakeServer) -> None:
    client = Client(endless.address)
    events = client.watch("endless-sync")
    next(events)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, events)
        client.close()
        with pytest.raises(RuntimeError, match="this client is closed"):
            waiting.result(timeout=20)
    with pytest.raises(RuntimeError, match="this client is closed"):
        # The pause before another try.
        client._rest(3600)


async def test_closing_the_asynchronous_client_ends_what_is_open(endless: FakeServer) -> None:
    """Not as if somebody had cancelled the task, which would end in silence."""
    client = AsyncClient(endless.address)
    events = client.watch("endless-async")
    await anext(events)
    watching, reading = asyncio.ensure_future(anext(events)), asyncio.ensure_future(client.get("silent"))
    await asyncio.to_thread(endless.wait_until_asked, "GetStatus", "silent")
    await client.close()
    for waiting in (watching, reading):
        with pytest.raises(RuntimeError, match="this client is closed"):
            await asyncio.wait_for(waiting, 20)
    with pytest.raises(RuntimeError, match="this client is closed"):
        await asyncio.wait_for(client._rest(3600), 20)


async def test_a_task_that_is_cancelled_is_cancelled(endless: FakeServer) -> None:
    async with AsyncClient(endless.address) as client:
        events = client.watch("endless-cancelled")
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, timeout=0.5) as client, pytest.raises(DeadlineExceeded) as error:
            client.get("j")
    assert str(error.value) == f"no answer from {address} within 0.5 s"


def test_one_class_catches_all_that_goes_wrong() -> None:
    assert issubclass(JobNotFound, CallFailed)
    assert issubclass(JobFailed, JobEnded)
    assert issubclass(CallFailed, AutopilotError)
    assert issubclass(JobEnded, AutopilotError)


def test_what_a_repeated_request_did() -> None:
    fake = Fake()
    response = job_service_pb2.SubmitJobResponse(job=job_pb2.Job(job_id="j"), deduplicated=True)
    _, again = fake.answered("SubmitJob", response, lambda: fake.client.submit("w", request_id="r"))
    assert again.deduplicated is True
    resumed = job_service_pb2.ResumeResponse(job=job_pb2.Job(job_id="j"))
    _, first = fake.answered("Resume", resumed, lambda: fake.client.resume("j"))
    assert first.deduplicated is False
    assert job(job_pb2.Job()).deduplicated is None


# --- conversions ---


def test_what_is_not_there_is_not_none() -> None:
    assert job(job_pb2.Job()).output is MISSING
    null = job_pb2.Payload(json_text="null")
    assert job(job_pb2.Job(output=null)).output is None
    assert value(job_pb2.Payload(omitted=job_pb2.Omitted(size_bytes=5))) == Omitted(5)
    assert not MISSING


def test_a_newer_server_is_tolerated() -> None:
    message = job_pb2.Job.FromString(job_pb2.Job(state=1).SerializeToString().replace(b"\x20\x01", b"\x20\x63"))
    assert job(message).state is JobState.UNKNOWN
    assert str(job(message).state) == "UNKNOWN"
    # Field 30, length-delimited: an event kind of the future.
    newer = job_pb2.ProgressEvent.FromString(b"\xf2\x01\x00" + job_pb2.ProgressEvent(sequence=3).SerializeToString())
    assert event(newer).kind == UnknownEvent()
    assert event(newer).sequence == 3


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        timestamp(datetime(2030, 1, 1))


# --- against a real server ---


def test_run(client: Client) -> None:
    seen: list[Any] = []
    assert client.run("linear", {"items": [1]}, on_event=seen.append) == {"items": [1, "a", "b", "c"]}
    assert [type(e.kind) for e in seen][-1] is StateChanged
    with pytest.raises(JobFailed, match="it is broken") as failed:
        client.run("failing", {"items": []}, retry_policy=RetryPolicy(max_attempts=1))
    assert failed.value.job.error is not None
    with pytest.raises(JobInterrupted) as interrupted:
        client.run("ask", {"items": []})
    assert interrupted.value.job.interrupts[0].response_schema is not None


def asked_and_running(client: Client, folder: Path, request_id: str = "") -> Job:
    """A job that was INTERRUPTED and resumed twice, and now runs until the folder has the file `go`."""
    given = {"items": [], "folder": str(folder)}
    job_id = client.submit("ask_twice_nested", given, request_id=request_id).job_id
    for answer in (1, 2):
        ended(client, job_id)
        client.resume(job_id, answer=answer)
    appears(folder / "holding")
    return client.get(job_id)


def test_a_run_of_a_job_that_was_interrupted_returns_its_output(client: Client, tmp_path: Path) -> None:
    job = asked_and_running(client, tmp_path, request_id="known")

    def caught_up(event: Event) -> None:
        if event.sequence == job.latest_sequence:
            (tmp_path / "go").touch()

    given = {"items": [], "folder": str(tmp_path)}
    output = client.run("ask_twice_nested", given, request_id="known", on_event=caught_up)
    assert output["items"] == [1, 2, "after"]


async def test_an_asynchronous_run_goes_on_when_its_questions_are_answered(server: ServerProcess) -> None:
    with server.client() as other:

        def answer(event: Event) -> None:
            if getattr(event.kind, "to_state", None) is JobState.INTERRUPTED:
                other.resume(event.job_id, answer="yes")

        async with AsyncClient(server.address) as client:
            output = await client.run("ask_twice_nested", {"items": []}, on_event=answer)
    assert output["items"] == ["yes", "yes", "after"]


def moved(sequence: int, state: JobState) -> Event:
    return Event("j", sequence, None, 1, Progress(), StateChanged(JobState.RUNNING, state, None))


def test_where_a_job_that_is_followed_is_read_again() -> None:
    def read(state: JobState, latest: int) -> Job:
        return Job(job_id="j", workflow="w", thread_id="t", state=state, latest_sequence=latest)

    following = Following(read(JobState.RUNNING, 6), 0)
    assert not following.take(moved(3, JobState.INTERRUPTED)), "of the past"
    assert following.take(moved(8, JobState.INTERRUPTED))
    following.job = read(JobState.PENDING, 9)
    assert not following.over, "resumed before it was read"
    following.job = read(JobState.INTERRUPTED, 9)
    assert not following.over, "what led there was not seen"
    assert following.take(moved(9, JobState.RUNNING))
    assert following.over


async def test_the_async_client_does_the_same(server: ServerProcess) -> None:
    async with AsyncClient(server.address) as client:
        assert await client.run("linear", {"items": [1]}) == {"items": [1, "a", "b", "c"]}
        asked = await client.submit("ask", {"items": []}, labels={"x": "y"})
        job = await client.get(asked.job_id, wait=30)
        await client.resume(job.job_id, answers={job.interrupts[0].interrupt_id: {"approved": True}})
        kinds = [e.kind async for e in client.watch(job.job_id)]
        assert kinds[-1] == StateChanged(JobState.RUNNING, JobState.SUCCEEDED, None)
        assert [j.job_id async for j in client.list(labels={"x": "y"})] == [job.job_id]
        checkpoints = [c async for c in client.checkpoints(job.job_id, values=True)]
        assert checkpoints[0].values == {"items": ["before", True, "after"]}
        assert "linear" in {w.name async for w in client.workflows()}
        assert (await client.prune(0, labels={"x": "y"}, dry_run=True)).deleted_jobs == 1
        await client.delete(job.job_id)
        with pytest.raises(JobNotFound):
            await client.get(job.job_id)


def test_errors_have_their_classes(client: Client, tmp_path: Any) -> None:
    client.submit("holding", {"items": [], "folder": str(tmp_path)}, thread_id="t")
    with pytest.raises(ThreadBusy) as busy:
        client.submit("linear", {"items": []}, thread_id="t")
    assert busy.value.metadata["thread_id"] == "t"
    (tmp_path / "go").touch()


def test_tokens(client: Client) -> None:
    job_id = client.submit("chat", {"messages": ["hi"]}).job_id
    kinds = [event.kind for event in client.watch(job_id, tokens=True)]
    # Tokens may be lost, when the watch began too late; the step's end has the whole.
    assert "".join(kind.text for kind in kinds if isinstance(kind, TokenChunk)) in ("", "one two three")
    (finished,) = [kind for kind in kinds if isinstance(kind, StepFinished)]
    assert finished.update["messages"][0]["content"] == "one two three"


def test_list_reads_all_pages(client: Client) -> None:
    ids = [client.submit("linear", {"items": []}).job_id for _ in range(5)]
    assert [job.job_id for job in client.list(page_size=2)] == ids[::-1]


def test_a_server_that_is_not_there() -> None:
    with Client("127.0.0.1:1") as client:
        with pytest.raises(ServerUnreachable):
            client.get("j")
        with pytest.raises(ServerUnreachable):
            list(client.watch("j", reconnect_for=0))


# --- a server that breaks its streams on cue ---


class Breaking(job_service_pb2_grpc.JobServiceServicer):
    """Sends a few events a call, and some of them again."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def WatchProgress(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        after = request.after_sequence
        self.calls.append(after)
        repeated = [job_pb2.ProgressEvent(sequence=s) for s in range(max(1, after), min(after + 3, 9) + 1)]
        yield job_service_pb2.WatchProgressResponse(events=repeated, through_sequence=repeated[-1].sequence)
        if repeated[-1].sequence < 9:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


def test_a_watch_goes_on_after_breaks_each_event_once() -> None:
    service = Breaking()
    server = grpc.server(ThreadPoolExecutor(2))
    job_service_pb2_grpc.add_JobServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as client:
        assert [e.sequence for e in client.watch("j")] == list(range(1, 10))
    assert service.calls == [0, 3, 6]
    server.stop(0)


def test_a_submit_that_is_repeated_after_a_crash_makes_one_job(
    server: ServerProcess, client: Client, tmp_path: Any
) -> None:
    first = client.submit("holding", {"items": [], "folder": str(tmp_path)}, request_id="once")
    appears(tmp_path / "holding")
    server.kill()
    back = threading.Thread(target=server.start)
    back.start()
    again = None
    while again is None:
        # A start may take longer than the client's own retries, on a busy machine.
        with contextlib.suppress(*[ServerUnreachable] if back.is_alive() else []):
            again = client.submit("holding", {"items": [], "folder": str(tmp_path)}, request_id="once")
    back.join()
    assert again.job_id == first.job_id
    (tmp_path / "go").touch()
    assert ended(client, first.job_id).state is JobState.SUCCEEDED
