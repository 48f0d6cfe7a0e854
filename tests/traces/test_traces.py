"""Jobs as traces: how spans of clients, calls, attempts, steps and the workflows themselves hang together."""

from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import pytest
from autopilot.v1 import job_service_pb2, job_service_pb2_grpc
from autopilot_client import AsyncClient, Client, JobState, RetryPolicy
from opentelemetry import trace

from tests.promises.conftest import appears
from tests.traces.conftest import TracedServer
from tests.traces.receiver import Received, Receiver, tree

SECRET = "planted-secret"

SUBMIT, RESUME = "autopilot.v1.JobService/SubmitJob", "autopilot.v1.JobService/Resume"

AT_ONCE = RetryPolicy(max_attempts=2, initial_backoff=0)


def named(spans: Sequence[Received], name: str) -> list[Received]:
    """In the order in which they began."""
    found = [span for span in spans if span.name == name]
    return sorted(found, key=lambda span: span.raw.start_time_unix_nano)


def has(name: str, count: int = 1) -> Callable[[Sequence[Received]], bool]:
    return lambda spans: len(named(spans, name)) >= count


def one(spans: Sequence[Received], name: str) -> Received:
    (span,) = named(spans, name)
    return span


def inside(span: Received, around: Received) -> bool:
    return (span.trace_id, span.parent_id) == (around.trace_id, around.span_id)


def ids(span: trace.Span) -> tuple[str, str]:
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def test_a_job_is_part_of_its_submitter_s_trace(client: Client, receiver: Receiver, sampled: trace.Tracer) -> None:
    with sampled.start_as_current_span("order") as order:
        job = client.submit("work", {}, job_id="j")
    assert client.get(job.job_id, wait=60).state is JobState.SUCCEEDED
    spans = receiver.wait(has("attempt work"))
    submit, attempt = one(spans, SUBMIT), one(spans, "attempt work")
    assert (submit.trace_id, submit.parent_id) == ids(order)
    assert (submit.kind, submit.failed) == ("SERVER", False)
    assert submit.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": SUBMIT,
        "rpc.response.status_code": "OK",
    }
    assert inside(attempt, submit)
    assert (attempt.kind, attempt.failed, attempt.links) == ("CONSUMER", False, {})
    assert attempt.attributes == {
        "autopilot.job_id": "j",
        "autopilot.tenant": "",
        "autopilot.workflow": "work",
        "autopilot.attempt": 1,
        "autopilot.state": "SUCCEEDED",
    }
    for name in ("first", "second"):
        step, own = one(spans, f"step {name}"), one(spans, f"own {name}")
        assert inside(step, attempt)
        assert (step.attributes["autopilot.step"], step.attributes["autopilot.outcome"]) == (name, "finished")
        assert step.attributes["autopilot.step_run_id"]
        assert inside(own, step)
    assert inside(one(spans, "inside second"), one(spans, "own second"))
    # Nobody asked for GetStatus to be part of it.
    assert {span.name for span in spans if span.trace_id != submit.trace_id} <= {"autopilot.v1.JobService/GetStatus"}


async def test_also_of_the_asynchronous_client(server: TracedServer, receiver: Receiver, sampled: trace.Tracer) -> None:
    async with AsyncClient(server.address) as client:
        with sampled.start_as_current_span("order") as order:
            await client.run("work", {})
    assert one(receiver.spans, SUBMIT).trace_id == ids(order)[0]


def test_steps_beside_each_other_hold_their_own_spans(client: Client, receiver: Receiver) -> None:
    client.run("fan_out", {})
    spans = receiver.wait(has("attempt fan_out"))
    for name in ("left", "right", "third"):
        assert inside(one(spans, f"own {name}"), one(spans, f"step {name}"))
        assert inside(one(spans, f"step {name}"), one(spans, "attempt fan_out"))


def test_steps_of_graphs_inside_steps(client: Client, receiver: Receiver) -> None:
    client.run("nested", {})
    spans = receiver.wait(has("attempt nested"))
    attempt = one(spans, "attempt nested")
    # The node is nothing but the subgraph, and no step.
    assert inside(one(spans, "step sub/within"), attempt)
    assert inside(one(spans, "own within"), one(spans, "step sub/within"))
    assert inside(one(spans, "step calls"), attempt)
    assert inside(one(spans, "step calls/deep"), one(spans, "step calls"))
    assert inside(one(spans, "own deep"), one(spans, "step calls/deep"))


def test_a_killed_attempt_is_told_by_the_next_process(
    server: TracedServer, client: Client, receiver: Receiver, sampled: trace.Tracer, tmp_path: Path
) -> None:
    with sampled.start_as_current_span("order") as order:
        client.submit("hold", {"folder": str(tmp_path)}, job_id="j")
    appears(tmp_path / "holding")
    receiver.wait(has("step first"))
    server.kill()
    (tmp_path / "go").touch()
    server.start()
    assert client.get("j", wait=60).state is JobState.SUCCEEDED
    spans = [span for span in receiver.wait(has("attempt hold", 2)) if span.trace_id == ids(order)[0]]
    killed, last = named(spans, "attempt hold")
    assert inside(killed, one(spans, SUBMIT))
    assert inside(last, one(spans, SUBMIT))
    assert (killed.failed, killed.attributes["error.type"], killed.attributes["autopilot.attempt"]) == (
        True,
        "WORKER_LOST",
        1,
    )
    assert killed.raw.end_time_unix_nano >= killed.raw.start_time_unix_nano
    assert last.links == {"previous_attempt": (killed.trace_id, killed.span_id)}
    assert last.attributes["autopilot.attempt"] == 2
    # Finished steps are spans once: of the attempt in which they ran.
    assert inside(one(spans, "step first"), killed)
    assert inside(one(spans, "step hold"), last)
    assert tree(spans).startswith(SUBMIT)


def test_a_resume_is_linked_and_nothing_is_open_in_between(
    client: Client, receiver: Receiver, sampled: trace.Tracer
) -> None:
    with sampled.start_as_current_span("order") as order:
        client.submit("asks", {"secret": SECRET}, job_id="j")
    assert client.get("j", wait=60).state is JobState.INTERRUPTED
    spans = receiver.wait(has("attempt asks"))
    stopped = one(spans, "attempt asks")
    assert (stopped.attributes["autopilot.state"], stopped.failed) == ("INTERRUPTED", False)
    assert one(spans, "step ask").attributes["autopilot.outcome"] == "interrupted"
    with sampled.start_as_current_span("decision") as decision:
        client.resume("j", answer=SECRET)
    assert client.get("j", wait=60).state is JobState.SUCCEEDED
    spans = receiver.wait(has("attempt asks", 2))
    resume, last = one(spans, RESUME), named(spans, "attempt asks")[1]
    assert (resume.trace_id, resume.parent_id) == ids(decision)
    assert last.trace_id == ids(order)[0]
    assert last.links == {
        "previous_attempt": (stopped.trace_id, stopped.span_id),
        "resume": (resume.trace_id, resume.span_id),
    }


def test_a_retry_is_linked_and_an_error_is_told_by_its_type_only(client: Client, receiver: Receiver) -> None:
    client.run("fails_once", {"secret": SECRET}, retry_policy=AT_ONCE)
    spans = receiver.wait(has("attempt fails_once", 2))
    failed, last = named(spans, "attempt fails_once")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "LookupError")
    assert (failed.attributes["autopilot.state"], failed.attributes["autopilot.reason"]) == ("PENDING", "STEP_RAISED")
    assert last.links == {"previous_attempt": (failed.trace_id, failed.span_id)}
    step = named(spans, "step fragile")[0]
    assert (step.failed, step.attributes["error.type"]) == (True, "LookupError")
    assert (step.attributes["autopilot.outcome"], step.raw.status.message) == ("failed", "")


def test_a_cancelled_attempt_ends(client: Client, receiver: Receiver, tmp_path: Path) -> None:
    client.submit("hold", {"folder": str(tmp_path)}, job_id="j")
    appears(tmp_path / "holding")
    client.cancel("j", grace_period=0)
    spans = receiver.wait(has("attempt hold"))
    # By whoever carried out the Cancel, not by the attempt.
    assert "autopilot.state" not in one(spans, "attempt hold").attributes
    assert one(spans, "step hold").attributes["autopilot.outcome"] == "cancelled"


def test_a_drained_attempt_says_what_became_of_the_job(client: Client, receiver: Receiver, tmp_path: Path) -> None:
    client.submit("hold", {"folder": str(tmp_path)}, job_id="j")
    appears(tmp_path / "holding")
    client.cancel("j", grace_period=60)
    (tmp_path / "go").touch()
    assert client.get("j", wait=60).state is JobState.CANCELLED
    attempt = one(receiver.wait(has("attempt hold")), "attempt hold")
    assert (attempt.attributes["autopilot.state"], attempt.failed) == ("CANCELLED", False)


def test_the_end_of_the_process_sends_what_waits(tmp_path: Path, receiver: Receiver) -> None:
    server = TracedServer(tmp_path, receiver.address, OTEL_BSP_SCHEDULE_DELAY="3600000")
    server.start()
    with server.client() as client:
        client.run("work", {})
    assert not receiver.spans
    assert server.terminate() == 0
    assert has("attempt work")(receiver.spans)


def test_what_nobody_samples_stays_unsampled(client: Client, receiver: Receiver, unsampled: trace.Tracer) -> None:
    with unsampled.start_as_current_span("order") as order:
        assert not order.get_span_context().trace_flags.sampled
        # Given, and not the client's affair whether it is recorded.
        client.submit("fails_once", {}, job_id="unsampled", retry_policy=AT_ONCE)
    client.get("unsampled", wait=60)
    client.run("work", {})
    spans = receiver.wait(has("attempt work"))
    assert not named(spans, "attempt fails_once")
    assert not named(spans, "own fragile")
    assert ids(order)[0] not in {span.trace_id for span in spans}


def test_refused_calls_are_told_with_their_reason(client: Client, receiver: Receiver) -> None:
    with pytest.raises(Exception, match="no job"):
        client.resume("nobody")
    resume = one(receiver.wait(has(RESUME)), RESUME)
    assert resume.attributes["rpc.response.status_code"] == "NOT_FOUND"
    # The caller's fault.
    assert (resume.attributes["error.type"], resume.failed) == ("JOB_NOT_FOUND", False)


@pytest.mark.parametrize(
    "metadata",
    [
        [("traceparent", "nonsense")],
        [("traceparent", "0" * 4000)],
    ],
    ids=["malformed", "long"],
)
def test_what_is_no_trace_is_ignored(server: TracedServer, receiver: Receiver, metadata: list[tuple[str, str]]) -> None:
    with Client(server.address, metadata=metadata) as client:
        client.run("work", {})
    submit = one(receiver.wait(has("attempt work")), SUBMIT)
    assert submit.parent_id == ""


def test_a_tracestate_goes_along_unless_it_is_too_much(server: TracedServer, receiver: Receiver) -> None:
    parent = ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")
    for number, state in enumerate(["vendor=1", f"vendor={'x' * 5000}"], start=1):
        with Client(server.address, metadata=[parent, ("tracestate", state)]) as client:
            client.run("work", {})
        receiver.wait(has("attempt work", number))
    assert [span.raw.trace_state for span in named(receiver.spans, "attempt work")] == ["vendor=1", ""]


def test_watches_are_no_spans(client: Client, receiver: Receiver) -> None:
    job = client.submit("work", {})
    list(client.watch(job.job_id))
    list(client.list())
    spans = receiver.wait(has("autopilot.v1.JobService/ListJobs"))
    assert not [span for span in spans if "Watch" in span.name]


def test_no_secret_is_in_any_span(server: TracedServer, receiver: Receiver) -> None:
    fields = {"secret": SECRET}
    with server.client() as client:
        labels = {"label": SECRET}
        client.submit("asks", fields, context={"key": SECRET}, labels=labels, job_id="asks", request_id=SECRET)
        client.get("asks", wait=60)
        client.resume("asks", answer={"answer": SECRET})
        client.submit("fails_once", fields, job_id="fails", retry_policy=RetryPolicy(max_attempts=1))
        assert client.get("fails", wait=60).state is JobState.FAILED
        with pytest.raises(Exception, match="label"):
            client.submit("work", {}, labels={SECRET * 100: SECRET})
        client.submit("asks", fields, job_id="cancelled")
        client.cancel("cancelled", reason=SECRET)
    channel = grpc.insecure_channel(server.address)
    stub = job_service_pb2_grpc.JobServiceStub(channel)
    with pytest.raises(grpc.RpcError):
        stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=f"{SECRET} "))
    channel.close()
    server.terminate()
    assert has("attempt fails_once")(receiver.spans)
    assert SECRET.encode() not in b"".join(receiver.requests)


def test_log_lines_of_a_job_have_its_trace(server: TracedServer, client: Client, sampled: trace.Tracer) -> None:
    """Those of the engine and of the workflow's own code as well."""
    with sampled.start_as_current_span("order") as order:
        client.run("fails_once", {}, job_id="j", retry_policy=AT_ONCE)
    server.terminate()
    lines = [line for line in server.lines() if line.get("job_id") == "j"]
    assert {line["event"] for line in lines} >= {"job PENDING", "job RUNNING", "attempt failed", "the step's own line"}
    assert {line.get("trace_id") for line in lines} == {ids(order)[0]}
    assert {line["attempt"] for line in lines if line["event"] == "the step's own line"} == {1, 2}
