"""Each method with each right, on workflows that the right is for, and on others."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_server.access.identity import METHODS
from autopilot_server.jobs.states import JobState
from google.protobuf.duration_pb2 import Duration

from tests.access.conftest import EVERYTHING, Guarded
from tests.refused import Refused

INPUT = job_pb2.Payload(json_text='{"n": 1}')

# A request of each method about a job of a workflow.
REQUESTS: dict[str, Callable[[str, str], Any]] = {
    "SubmitJob": lambda job_id, workflow: job_service_pb2.SubmitJobRequest(workflow=workflow, input=INPUT),
    "GetStatus": lambda job_id, workflow: job_service_pb2.GetStatusRequest(job_id=job_id),
    "ListJobs": lambda job_id, workflow: job_service_pb2.ListJobsRequest(),
    "WatchProgress": lambda job_id, workflow: job_service_pb2.WatchProgressRequest(
        job_id=job_id, stop_when_caught_up=True
    ),
    "Cancel": lambda job_id, workflow: job_service_pb2.CancelRequest(job_id=job_id),
    "Resume": lambda job_id, workflow: job_service_pb2.ResumeRequest(job_id=job_id),
    "DeleteJob": lambda job_id, workflow: job_service_pb2.DeleteJobRequest(job_id=job_id),
    "ListCheckpoints": lambda job_id, workflow: job_service_pb2.ListCheckpointsRequest(job_id=job_id),
    "PruneJobs": lambda job_id, workflow: job_service_pb2.PruneJobsRequest(
        finished_for=Duration(seconds=0), filter=job_service_pb2.JobFilter(workflow=workflow)
    ),
    "ListWorkflows": lambda job_id, workflow: job_service_pb2.ListWorkflowsRequest(),
}
# What each right gives beside itself.
GIVES = {
    "submit": {"submit"},
    "read": {"read"},
    "control": {"control", "read"},
    "admin": {"admin"},
}
OF_WORKFLOW = ("SubmitJob", "PruneJobs")
OF_ALL = ("ListJobs", "ListWorkflows")


async def call(api: Guarded, method: str, request: Any) -> Any:
    """The answer, or the refusal."""
    try:
        answer = getattr(api.stub, method)(request)
        if method == "WatchProgress":
            return [response async for response in answer]
        return await answer
    except grpc.RpcError as error:
        return Refused(error)


def test_every_method_has_its_right() -> None:
    methods = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].methods_by_name
    assert set(METHODS) == set(methods) == set(REQUESTS)


async def _job_for(api: Guarded, method: str) -> str:
    job = await api.submit()
    if method in ("Resume", "DeleteJob", "PruneJobs"):
        await api.end(await api.claim(), JobState.FAILED)
    return job.job_id


@pytest.mark.parametrize("right", GIVES)
@pytest.mark.parametrize("method", REQUESTS)
async def test_a_method_needs_its_right(guarded: Guarded, method: str, right: str) -> None:
    job_id = await _job_for(guarded.caller(), method)
    answer = await call(guarded.caller(right), method, REQUESTS[method](job_id, "w"))
    if METHODS[method] in GIVES[right]:
        assert not isinstance(answer, Refused), answer.message
    else:
        assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_FORBIDDEN")
        assert answer.metadata == {"method": method}


@pytest.mark.parametrize("method", [m for m in REQUESTS if m not in OF_ALL])
async def test_a_right_on_other_workflows_is_none_on_this(guarded: Guarded, method: str) -> None:
    """What the caller may not read is for it what never was; what it may, and no more, is forbidden."""
    job_id = await _job_for(guarded.caller(), method)
    blind, reader = guarded.caller(f"{EVERYTHING}:o*"), guarded.caller(f"{EVERYTHING}:o*", "read:w")
    unseen = await call(blind, method, REQUESTS[method](job_id, "w"))
    never = await call(blind, method, REQUESTS[method]("never", "never"))
    if method == "PruneJobs":
        assert unseen.deleted_jobs == never.deleted_jobs == 0
    else:
        assert (unseen.code, unseen.reason) == (never.code, never.reason)
        assert unseen.message.replace(job_id, "never").replace("'w'", "'never'") == never.message
        assert unseen.code == grpc.StatusCode.NOT_FOUND
    seen = await call(reader, method, REQUESTS[method](job_id, "w"))
    if METHODS[method] == "read":
        assert not isinstance(seen, Refused)
    else:
        assert (seen.reason, seen.metadata) == ("METHOD_FORBIDDEN", {"method": method})
    assert (await guarded.caller().get(job_id)).job_id == job_id


async def test_lists_show_what_may_be_read_on_full_pages(guarded: Guarded) -> None:
    everyone = guarded.caller()
    for number in range(12):
        await everyone.submit(workflow="w" if number % 3 else "other", labels={"n": "1"}, thread_id=f"t{number}")
    for pattern, count in {"w": 8, "oth?r": 4, "*": 12, "x*": 0, "W": 0}.items():
        reader = guarded.caller(f"read:{pattern}", "submit:w", "control:zzz")
        for filters in ({}, {"labels": {"n": "1"}}, {"states": [job_pb2.JOB_STATE_PENDING]}):
            request = job_service_pb2.ListJobsRequest(page_size=3, filter=job_service_pb2.JobFilter(**filters))
            pages = []
            while True:
                page = await reader.stub.ListJobs(request)
                pages.append(len(page.jobs))
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
            assert sum(pages) == count, (pattern, filters)
            assert all(size == 3 for size in pages[:-1]), (pattern, filters)
        named = job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(workflow="other"))
        assert len((await reader.stub.ListJobs(named)).jobs) == (4 if pattern in ("oth?r", "*") else 0)
        thread = job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(thread_id="t0"))
        assert len((await reader.stub.ListJobs(thread)).jobs) == (1 if pattern in ("oth?r", "*") else 0)
        workflows = (await reader.stub.ListWorkflows(job_service_pb2.ListWorkflowsRequest())).workflows
        assert [w.name for w in workflows] == {"w": ["w"], "oth?r": ["other"], "*": ["other", "w"]}.get(pattern, [])


async def test_a_prune_takes_what_its_right_is_for(guarded: Guarded) -> None:
    everyone = guarded.caller()
    for workflow in ("w", "other"):
        await everyone.finished(workflow=workflow)
    request = job_service_pb2.PruneJobsRequest(finished_for=Duration(seconds=0))
    assert (await guarded.caller("admin:o*").stub.PruneJobs(request)).deleted_jobs == 1
    left = (await everyone.stub.ListJobs(job_service_pb2.ListJobsRequest())).jobs
    assert [job.workflow for job in left] == ["w"]


async def test_a_fork_needs_the_right_to_read_its_source(guarded: Guarded) -> None:
    source = await guarded.caller().submit(job_id="source")
    claim = await guarded.claim()
    await guarded.checkpoint(claim, "c1")
    await guarded.end(claim)
    submitter = guarded.caller("submit", "read:other")
    fork = {"job_id": source.job_id, "checkpoint_id": "c1"}
    refused = await submitter.refused(submitter.submit(fork_from=fork))
    assert (refused.reason, refused.metadata) == ("JOB_NOT_FOUND", {"job_id": "source"})
    assert (await guarded.caller("submit,read:w").submit(fork_from=fork)).checkpoint_id == "c1"


async def test_an_allowed_deletion_of_a_job_that_may_not_be_seen_deletes_nothing(guarded: Guarded) -> None:
    await guarded.caller().finished(job_id="hidden")
    other = guarded.caller(f"{EVERYTHING}:other")
    await other.stub.DeleteJob(job_service_pb2.DeleteJobRequest(job_id="hidden", allow_missing=True))
    assert (await guarded.caller().get("hidden")).job_id == "hidden"
