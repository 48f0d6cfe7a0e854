"""Bad input: a clear status with every violation, and nothing stored."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_server.api import payload
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NULL_VALUE, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Api

SUBMIT: list[tuple[dict[str, Any], str]] = [
    ({"job_id": "a b"}, "job_id"),
    ({"job_id": "x" * 65}, "job_id"),
    ({"job_id": "naïve"}, "job_id"),
    ({"job_id": "nul\0"}, "job_id"),
    ({"request_id": "x" * 129}, "request_id"),
    ({"request_id": "a\nb"}, "request_id"),
    ({"thread_id": "x" * 129}, "thread_id"),
    ({"priority": -1}, "priority"),
    ({"priority": 10}, "priority"),
    ({"labels": {"Upper": "x"}}, 'labels["Upper"]'),
    ({"labels": {"": "x"}}, 'labels[""]'),
    ({"labels": {"k": "v" * 64}}, 'labels["k"]'),
    ({"labels": {f"k{n}": "" for n in range(65)}}, "labels"),
    ({"scheduled_time": Timestamp(seconds=253_402_300_800)}, "scheduled_time"),
    ({"scheduled_time": Timestamp(seconds=-62_135_596_801)}, "scheduled_time"),
    ({"scheduled_time": Timestamp(nanos=-1)}, "scheduled_time"),
    ({"execution_timeout": Duration(seconds=-1)}, "execution_timeout"),
    ({"execution_timeout": Duration()}, "execution_timeout"),
    ({"execution_timeout": Duration(seconds=2**62)}, "execution_timeout"),
    ({"execution_timeout": Duration(seconds=1, nanos=-5)}, "execution_timeout"),
    ({"retention": Duration(seconds=-1)}, "retention"),
    ({"retry_policy": job_pb2.RetryPolicy(max_attempts=-1)}, "retry_policy.max_attempts"),
    ({"retry_policy": job_pb2.RetryPolicy(backoff_multiplier=0.5)}, "retry_policy.backoff_multiplier"),
    ({"retry_policy": job_pb2.RetryPolicy(backoff_multiplier=float("nan"))}, "retry_policy.backoff_multiplier"),
    ({"retry_policy": job_pb2.RetryPolicy(max_backoff=Duration(seconds=-1))}, "retry_policy.max_backoff"),
    ({"interrupt_before": ["a", "nowhere"]}, "interrupt_before[1]"),
    ({"step_limit": -1}, "step_limit"),
    ({"concurrency_key": "a\nb"}, "concurrency_key"),
    ({"concurrency_key": "x" * 129}, "concurrency_key"),
    ({"concurrency_key": "k", "workflow": "other"}, "concurrency_key"),
    ({"workflow": "no such name!"}, "workflow"),
    ({"workflow": ""}, "workflow"),
    ({"input": job_pb2.Payload(json_text="{")}, "input"),
    ({"input": job_pb2.Payload(json_text="")}, "input"),
    ({"input": job_pb2.Payload(json_text='{"n": NaN}')}, "input"),
    ({"input": job_pb2.Payload(json_text='{"n": 1e400}')}, "input"),
    ({"input": job_pb2.Payload(json_text='{"n": 1, "n": 2}')}, "input"),
    ({"input": job_pb2.Payload(json_text='{"n": "\\ud800"}')}, "input"),
    ({"input": job_pb2.Payload(json_text="[" * 100_000)}, "input"),
    ({"input": job_pb2.Payload(json_text='{"n": ' + "9" * 5000 + "}")}, "input"),
    ({"input": job_pb2.Payload(json=Value())}, "input"),
    ({"input": job_pb2.Payload(json=Value(number_value=float("inf")))}, "input"),
    ({"input": job_pb2.Payload(omitted=job_pb2.Omitted(size_bytes=1))}, "input"),
    ({"input": job_pb2.Payload()}, "input"),
    ({"input": job_pb2.Payload(json=Value(null_value=NULL_VALUE))}, "input"),
    ({"input": job_pb2.Payload(json_text='{"n": 1, "items": {}}')}, "input.items"),
    ({"context": job_pb2.Payload(json_text="[]")}, "context"),
    ({"context": job_pb2.Payload(json_text='{"tone": 1}')}, "context.tone"),
    ({"context": job_pb2.Payload(json_text='{"other": 1}')}, "context"),
    ({"fork_from": job_service_pb2.CheckpointRef()}, "fork_from.job_id"),
]


@pytest.mark.parametrize(("fields", "field"), SUBMIT, ids=lambda value: str(value)[:40])
async def test_submit(api: Api, fields: dict[str, Any], field: str) -> None:
    refused = await api.refused(api.submit(**fields))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert field in refused.violations, refused.violations
    assert not (await api.stub.ListJobs(job_service_pb2.ListJobsRequest())).jobs


OTHERS: list[tuple[str, Any, str]] = [
    ("GetStatus", job_service_pb2.GetStatusRequest(), "job_id"),
    ("GetStatus", job_service_pb2.GetStatusRequest(job_id="j", view=9), "view"),
    ("GetStatus", job_service_pb2.GetStatusRequest(job_id="j", payload_format=9), "payload_format"),
    ("GetStatus", job_service_pb2.GetStatusRequest(job_id="j", wait_timeout=Duration(seconds=-1)), "wait_timeout"),
    ("ListJobs", job_service_pb2.ListJobsRequest(page_size=-1), "page_size"),
    (
        "ListJobs",
        job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(states=[0])),
        "filter.states[0]",
    ),
    (
        "ListJobs",
        job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(labels={"A": ""})),
        'filter.labels["A"]',
    ),
    ("Cancel", job_service_pb2.CancelRequest(job_id="j", grace_period=Duration(seconds=-1)), "grace_period"),
    ("Cancel", job_service_pb2.CancelRequest(job_id="j", reason="x" * 1025), "reason"),
    (
        "Resume",
        job_service_pb2.ResumeRequest(
            job_id="j", answer=job_pb2.Payload(json_text="1"), answers={"a": job_pb2.Payload(json_text="1")}
        ),
        "answer",
    ),
    (
        "Resume",
        job_service_pb2.ResumeRequest(job_id="j", answer=job_pb2.Payload(json_text="1"), checkpoint_id="c"),
        "checkpoint_id",
    ),
    (
        "Resume",
        job_service_pb2.ResumeRequest(
            job_id="j", answers={"a": job_pb2.Payload(json_text="1")}, state_update=job_pb2.Payload(json_text="1")
        ),
        "state_update",
    ),
    ("Resume", job_service_pb2.ResumeRequest(job_id="j", state_update_step="a"), "state_update_step"),
    ("DeleteJob", job_service_pb2.DeleteJobRequest(job_id="/"), "job_id"),
    ("ListCheckpoints", job_service_pb2.ListCheckpointsRequest(job_id="j", page_size=-3), "page_size"),
    ("ListWorkflows", job_service_pb2.ListWorkflowsRequest(page_size=-3), "page_size"),
    ("PruneJobs", job_service_pb2.PruneJobsRequest(finished_for=Duration(seconds=-1)), "finished_for"),
]


@pytest.mark.parametrize(("method", "request_", "field"), OTHERS, ids=lambda value: str(value)[:40])
async def test_the_others(api: Api, method: str, request_: Any, field: str) -> None:
    refused = await api.refused(getattr(api.stub, method)(request_))
    assert refused.reason == "FIELD_INVALID"
    assert field in refused.violations, refused.violations


async def test_everything_that_is_wrong_is_told_at_once(api: Api) -> None:
    refused = await api.refused(
        api.submit(job_id=" ", priority=99, labels={f"K{n}": "" for n in range(64)}, step_limit=-1)
    )
    more = int(refused.violations.pop("").removeprefix("and ").removesuffix(" more"))
    assert len(refused.violations) >= 32
    assert len(refused.violations) + more == 67


async def test_a_payload_over_the_limit(api: Api) -> None:
    refused = await api.refused(api.submit({"n": 1, "items": ["x" * (2 << 20)]}))
    assert refused.reason == "PAYLOAD_TOO_LARGE"
    assert refused.metadata["field"] == "input"
    assert refused.metadata["limit_bytes"] == str(1 << 20)
    assert int(refused.metadata["size_bytes"]) > 2 << 20


async def test_unknown_things(api: Api) -> None:
    refused = await api.refused(api.submit(workflow="nope"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    assert refused.metadata == {"workflow": "nope"}
    for call in (
        api.get("nobody"),
        api.stub.Cancel(job_service_pb2.CancelRequest(job_id="nobody")),
        api.stub.Resume(job_service_pb2.ResumeRequest(job_id="nobody")),
        api.stub.ListCheckpoints(job_service_pb2.ListCheckpointsRequest(job_id="nobody")),
        api.stub.WatchProgress(job_service_pb2.WatchProgressRequest(job_id="nobody")).read(),
    ):
        refused = await api.refused(call)
        assert (refused.reason, refused.metadata) == ("JOB_NOT_FOUND", {"job_id": "nobody"})
    await api.submit(job_id="j")
    refused = await api.refused(api.submit(job_id="j"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "JOB_ALREADY_EXISTS")


METHODS = ["SubmitJob", "GetStatus", "ListJobs", "Cancel", "Resume", "DeleteJob", "ListCheckpoints", "PruneJobs"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), data=st.binary(max_size=200))
async def test_garbage_on_the_wire_is_never_internal(api: Api, method: str, data: bytes) -> None:
    call = api.channel.unary_unary(f"/autopilot.v1.JobService/{method}")
    outcome = (await asyncio.gather(call(data, timeout=20), return_exceptions=True))[0]
    if isinstance(outcome, grpc.RpcError):
        assert outcome.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


@pytest.mark.parametrize("method", [*METHODS, "WatchProgress"])
async def test_bytes_that_are_no_message(api: Api, method: str) -> None:
    path = f"/autopilot.v1.JobService/{method}"
    make = api.channel.unary_stream if method == "WatchProgress" else api.channel.unary_unary
    call = make(path)(b"\xff\xff\xff", timeout=20)
    refused = await api.refused(call.read() if method == "WatchProgress" else call)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


async def test_where_breakpoints_can_be_set_is_said(api: Api) -> None:
    refused = await api.refused(api.submit(interrupt_before=["b/inner", "c"]))
    assert refused.violations == {
        "interrupt_before[0]": "'b/inner' is inside a subgraph; breakpoints can be set at a, b",
        "interrupt_before[1]": "'c' is no step of the workflow; breakpoints can be set at a, b",
    }


async def test_an_answer_where_nothing_is_asked(api: Api) -> None:
    job = await api.interrupted()
    request = job_service_pb2.ResumeRequest(job_id=job.job_id, answer=job_pb2.Payload(json_text="1"))
    refused = await api.refused(api.stub.Resume(request))
    assert refused.reason == "INTERRUPT_NOT_PENDING"
    assert "Resume it without an answer" in refused.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_text_is_exact(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    read = payload.read(job_pb2.Payload(json_text=text))
    assert json.loads(read) == value
    written = payload.as_text(read)
    assert written is not None
    assert json.loads(written.json_text) == value


@given(JSON)
def test_a_value_holds_what_a_double_holds(value: Any) -> None:
    written = payload.as_value(json.dumps(value))
    assert written is not None
    if written.HasField("json"):
        job_pb2.Payload.FromString(written.SerializeToString())
        # The order of names is lost there.
        assert json.loads(payload.read(written)) == _as_double(value)


def _as_double(value: Any) -> Any:
    match value:
        case bool() | None | str():
            return value
        case int():
            return value if abs(value) <= payload.LARGEST_EXACT else str(value)
        case float():
            return int(value) if value.is_integer() and abs(value) <= payload.LARGEST_EXACT else value
        case list():
            return [_as_double(item) for item in value]
        case _:
            return {key: _as_double(value[key]) for key in value}
