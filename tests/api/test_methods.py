"""Every method and field of the contract, but the watch."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_server.jobs.job import Interrupt, JobError, JobErrorReason
from autopilot_server.jobs.states import JobState
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.api.conftest import ANSWER_SCHEMA, Api

TEXT = job_pb2.PAYLOAD_FORMAT_JSON_TEXT


def payload(text: str) -> job_pb2.Payload:
    return job_pb2.Payload(json_text=text)


async def test_a_submitted_job_has_what_was_asked_for(api: Api) -> None:
    job = await api.submit(
        {"n": 2**53 + 1},
        job_id="my-job",
        thread_id="my thread",
        labels={"team": "blue", "a/b": ""},
        scheduled_time=Timestamp(seconds=4_000_000_000),
        priority=9,
        execution_timeout=Duration(seconds=60),
        retry_policy=job_pb2.RetryPolicy(max_attempts=7),
        retention=Duration(seconds=5),
        interrupt_before=["*"],
        interrupt_after=["a", "b"],
        context=payload('{"tone": "dry"}'),
        step_limit=12,
        concurrency_key="my customer",
    )
    assert job.state == job_pb2.JOB_STATE_PENDING
    found = await api.get("my-job", payload_format=TEXT)
    assert found.input.json_text == '{"n":9007199254740993}'
    assert (found.thread_id, found.priority, found.max_attempts) == ("my thread", 9, 7)
    assert dict(found.labels) == {"team": "blue", "a/b": ""}
    assert found.scheduled_time.seconds == 4_000_000_000
    assert found.latest_sequence == 1
    assert found.concurrency_key == "my customer"
    stored = api.store.job_get("my-job", payloads=True)
    assert stored is not None
    assert stored.spec.context == '{"tone":"dry"}'
    assert (stored.spec.interrupt_before, stored.spec.interrupt_after) == (("*",), ("a", "b"))
    assert (stored.spec.step_limit, stored.spec.retention) == (12, 5_000_000)


async def test_integers_that_a_double_does_not_hold_are_strings_in_values(api: Api) -> None:
    await api.submit({"n": 2**53 + 1, "items": [1, 1.5, 2**53 - 1]}, job_id="j")
    fields = (await api.get("j")).input.json.struct_value.fields
    assert fields["n"].string_value == "9007199254740993"
    assert [v.number_value for v in fields["items"].list_value.values] == [1, 1.5, 2**53 - 1]


async def test_a_value_s_whole_doubles_reach_the_workflow_as_integers(api: Api) -> None:
    value = job_pb2.Payload()
    value.json.struct_value.update({"n": 3, "items": [0.5, True, None, "x", {"k": -1e300}]})
    await api.submit(job_id="j", input=value)
    found = json.loads((await api.get("j", payload_format=TEXT)).input.json_text)
    assert found == {"n": 3, "items": [0.5, True, None, "x", {"k": -1e300}]}
    assert isinstance(found["n"], int)


async def test_a_repeated_request_gives_the_job_as_it_is_now(api: Api) -> None:
    request = job_service_pb2.SubmitJobRequest(workflow="w", input=payload('{"n": 1, "items": []}'), request_id="r")
    first = await api.stub.SubmitJob(request)
    await api.end(await api.claim())
    same = job_service_pb2.SubmitJobRequest(workflow="w", request_id="r")
    same.input.json.struct_value.update({"items": [], "n": 1})
    second = await api.stub.SubmitJob(same)
    assert not first.deduplicated
    assert second.deduplicated
    assert second.job.job_id == first.job.job_id
    assert second.job.state == job_pb2.JOB_STATE_SUCCEEDED
    request.priority = 1
    refused = await api.refused(api.stub.SubmitJob(request))
    assert (refused.reason, refused.metadata) == ("REQUEST_ID_REUSED", {"request_id": "r"})
    request.priority = 0
    request.concurrency_key = "k"
    assert (await api.refused(api.stub.SubmitJob(request))).reason == "REQUEST_ID_REUSED"
    request.concurrency_key = ""
    # The contract's policy instead of the workflow's.
    request.retry_policy.SetInParent()
    assert (await api.refused(api.stub.SubmitJob(request))).reason == "REQUEST_ID_REUSED"


async def test_get_status_is_woken_by_the_commit(api: Api) -> None:
    job = await api.submit()
    waiting = asyncio.create_task(api.get(job.job_id, wait_timeout=Duration(seconds=60)))
    claim = await api.claim()
    await api.end(claim)
    assert (await waiting).state == job_pb2.JOB_STATE_SUCCEEDED
    # It elapses without an error, and before the call's deadline.
    other = await api.submit()
    request = job_service_pb2.GetStatusRequest(job_id=other.job_id, wait_timeout=Duration(seconds=60))
    response = await api.stub.GetStatus(request, timeout=0.3)
    assert response.job.state == job_pb2.JOB_STATE_PENDING


async def test_views(api: Api) -> None:
    job = await api.interrupted("q1")
    basic = await api.get(job.job_id, view=job_pb2.VIEW_BASIC)
    assert not basic.HasField("input")
    assert [q.interrupt_id for q in basic.interrupts] == ["q1"]
    assert not basic.interrupts[0].HasField("value")
    full = await api.get(job.job_id)
    assert full.interrupts[0].value.json.string_value == "?"
    assert full.interrupts[0].response_schema["required"] == ["ok"]


async def test_a_response_stays_below_what_clients_receive(api: Api) -> None:
    big = "x" * 900_000
    for number in range(6):
        await api.submit({"n": 1, "items": [big]}, job_id=f"j{number}")
    request = job_service_pb2.ListJobsRequest(view=job_pb2.VIEW_FULL, payload_format=TEXT)
    seen: list[str] = []
    while True:
        page = await api.stub.ListJobs(request)
        assert page.ByteSize() < 4 << 20
        assert page.jobs
        seen += [job.job_id for job in page.jobs]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == [f"j{number}" for number in reversed(range(6))]


async def test_list_jobs_pages_and_filters(api: Api) -> None:
    jobs = [await api.submit(labels={"n": str(number % 2)}) for number in range(5)]
    request = job_service_pb2.ListJobsRequest(page_size=2)
    request.filter.labels["n"] = "0"
    page = await api.stub.ListJobs(request)
    assert [j.job_id for j in page.jobs] == [jobs[4].job_id, jobs[2].job_id]
    request.page_token = page.next_page_token
    page = await api.stub.ListJobs(request)
    assert [j.job_id for j in page.jobs] == [jobs[0].job_id]
    assert not page.next_page_token
    request.filter.labels["n"] = "1"
    refused = await api.refused(api.stub.ListJobs(request))
    assert refused.reason == "PAGE_TOKEN_INVALID"
    request.page_token = "AAAA"
    assert (await api.refused(api.stub.ListJobs(request))).reason == "PAGE_TOKEN_INVALID"
    states = job_service_pb2.ListJobsRequest()
    states.filter.states.append(job_pb2.JOB_STATE_RUNNING)
    assert not (await api.stub.ListJobs(states)).jobs
    await api.claim()
    assert [j.job_id for j in (await api.stub.ListJobs(states)).jobs] == [jobs[0].job_id]


async def test_cancel(api: Api) -> None:
    job = await api.submit()
    refused = await api.refused(api.stub.Cancel(job_service_pb2.CancelRequest(job_id=job.job_id, etag="old")))
    assert refused.reason == "ETAG_MISMATCH"
    assert refused.metadata == {"job_id": job.job_id, "etag": job.etag}
    request = job_service_pb2.CancelRequest(job_id=job.job_id, etag=job.etag, reason="because")
    done = await api.stub.Cancel(request)
    assert done.job.state == job_pb2.JOB_STATE_CANCELLED
    assert (done.job.error.reason, done.job.error.message) == ("CANCELLED", "because")
    # Already done comes before the etag.
    again = await api.stub.Cancel(request)
    assert again.job.etag == done.job.etag
    finished = await api.finished()
    refused = await api.refused(api.stub.Cancel(job_service_pb2.CancelRequest(job_id=finished.job_id)))
    assert refused.reason == "JOB_STATE_CONFLICT"
    assert refused.metadata == {"job_id": finished.job_id, "state": "SUCCEEDED", "method": "Cancel"}


async def test_a_running_job_is_cancelling_and_its_grace_only_shrinks(api: Api) -> None:
    job = await api.submit()
    await api.claim()

    async def cancel(seconds: int) -> job_pb2.Job:
        request = job_service_pb2.CancelRequest(job_id=job.job_id, grace_period=Duration(seconds=seconds))
        return (await api.stub.Cancel(request)).job

    assert (await cancel(60)).state == job_pb2.JOB_STATE_CANCELLING
    first = api.store.next_deadline()
    await cancel(600)
    assert api.store.next_deadline() == first
    await cancel(5)
    shorter = api.store.next_deadline()
    assert shorter is not None
    assert first is not None
    assert shorter < first
    assert (await cancel(0)).state == job_pb2.JOB_STATE_CANCELLED
    assert api.store.next_deadline() is None


async def test_resume(api: Api) -> None:
    job = await api.interrupted("q1", "q2")
    stub = api.stub

    def resume(**fields: Any) -> Any:
        return stub.Resume(job_service_pb2.ResumeRequest(job_id=job.job_id, **fields))

    refused = await api.refused(resume())
    assert refused.reason == "INTERRUPT_NOT_PENDING"
    refused = await api.refused(resume(answer=payload('{"ok": true}')))
    assert refused.reason == "INTERRUPT_NOT_PENDING"
    refused = await api.refused(resume(answers={"q9": payload("1")}))
    assert (refused.reason, refused.metadata["interrupt_id"]) == ("INTERRUPT_NOT_PENDING", "q9")
    refused = await api.refused(resume(answers={"q1": payload('{"ok": 1}'), "q2": payload("{}")}))
    assert set(refused.violations) == {'answers["q1"].ok', 'answers["q2"]'}
    done = await resume(answers={"q1": payload('{"ok": true}')}, request_id="r")
    assert done.job.state == job_pb2.JOB_STATE_PENDING
    assert [q.interrupt_id for q in done.job.interrupts] == ["q2"]
    again = await resume(answers={"q1": payload('{ "ok":true }')}, request_id="r")
    assert again.deduplicated
    refused = await api.refused(resume(answers={"q2": payload('{"ok": true}')}, request_id="r"))
    assert refused.reason == "REQUEST_ID_REUSED"
    refused = await api.refused(resume(answers={"q2": payload('{"ok": true}')}))
    assert (refused.reason, refused.metadata["method"]) == ("JOB_STATE_CONFLICT", "Resume")
    claim = await api.claim()
    assert claim.answers == {"q1": '{"ok":true}'}


async def test_resume_from_a_checkpoint_with_an_update(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    await api.checkpoint(claim, "c1")
    await api.end(claim, JobState.FAILED, error=JobError(JobErrorReason.STEP_RAISED, "no"))
    request = job_service_pb2.ResumeRequest(job_id=job.job_id, checkpoint_id="c2")
    refused = await api.refused(api.stub.Resume(request))
    assert refused.reason == "CHECKPOINT_NOT_FOUND"
    request = job_service_pb2.ResumeRequest(
        job_id=job.job_id, checkpoint_id="c1", state_update=payload('{"x": 1}'), state_update_step="a"
    )
    await api.stub.Resume(request)
    start = (await api.claim()).start_point
    assert start is not None
    assert (start.checkpoint_id, start.state_update, start.state_update_step) == ("c1", '{"x":1}', "a")


async def test_an_answer_is_checked_against_its_own_question(api: Api) -> None:
    """A repeated Resume is known whatever is asked by now; a stale one is told that it is stale."""
    job = await api.submit()
    asked = Interrupt("first", "a", "run-1", '"?"', 1, None)
    await api.end(await api.claim(), JobState.INTERRUPTED, interrupts=[asked])
    request = job_service_pb2.ResumeRequest(job_id=job.job_id, request_id="r", answer=payload('"yes"'))
    assert not (await api.stub.Resume(request)).deduplicated
    strict = Interrupt("second", "a", "run-1", '"?"', 1, json.dumps(ANSWER_SCHEMA))
    await api.end(await api.claim(), JobState.INTERRUPTED, interrupts=[strict])
    assert (await api.stub.Resume(request)).deduplicated
    request.request_id = "other"
    assert (await api.refused(api.stub.Resume(request))).violations.keys() == {"answer"}
    request.etag = job.etag
    assert (await api.refused(api.stub.Resume(request))).reason == "ETAG_MISMATCH"
    request.etag, request.answer.json_text = "", '{"ok": true}'
    assert not (await api.stub.Resume(request)).deduplicated


async def test_threads(api: Api) -> None:
    first = await api.submit(thread_id="t")
    refused = await api.refused(api.submit(thread_id="t"))
    assert (refused.reason, refused.metadata) == ("THREAD_BUSY", {"thread_id": "t", "job_id": first.job_id})
    await api.end(await api.claim(), JobState.FAILED, error=JobError(JobErrorReason.STEP_RAISED, "no"))
    second = await api.submit(thread_id="t")
    await api.end(await api.claim())
    refused = await api.refused(api.stub.Resume(job_service_pb2.ResumeRequest(job_id=first.job_id)))
    assert (refused.reason, refused.metadata) == ("THREAD_ADVANCED", {"thread_id": "t", "job_id": second.job_id})


async def test_a_thread_may_have_what_the_input_leaves_out(api: Api) -> None:
    refused = await api.refused(api.submit({}))
    assert refused.violations == {"input": "'n' is a required property"}
    assert (await api.submit({}, thread_id="t")).state == job_pb2.JOB_STATE_PENDING


async def test_fork(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    ref = job_service_pb2.CheckpointRef(job_id=job.job_id)
    assert (await api.refused(api.submit(fork_from=ref))).reason == "CHECKPOINT_NOT_FOUND"
    await api.checkpoint(claim, "c1")
    fork = await api.submit(fork_from=ref)
    assert fork.checkpoint_id == "c1"
    assert list(fork.next_steps) == ["b"]
    missing = job_service_pb2.CheckpointRef(job_id="nobody")
    assert (await api.refused(api.submit(fork_from=missing))).reason == "JOB_NOT_FOUND"
    refused = await api.refused(api.submit(fork_from=ref, workflow="other"))
    assert refused.reason == "FIELD_INVALID"
    refused = await api.refused(api.submit(fork_from=ref, input=payload("{}"), thread_id="t"))
    assert set(refused.violations) == {"input", "thread_id"}


async def test_checkpoints(api: Api) -> None:
    job = await api.submit()
    claim = await api.claim()
    for number in range(3):
        await api.checkpoint(claim, f"c{number}", number)
    api.values = {f"c{number}": f'{{"n":{number}}}' for number in range(3)}
    request = job_service_pb2.ListCheckpointsRequest(
        job_id=job.job_id, page_size=2, view=job_pb2.VIEW_FULL, payload_format=TEXT
    )
    page = await api.stub.ListCheckpoints(request)
    assert [(c.checkpoint_id, c.superstep, c.values.json_text) for c in page.checkpoints] == [
        ("c2", 2, '{"n":2}'),
        ("c1", 1, '{"n":1}'),
    ]
    assert page.checkpoints[0].source == "loop"
    assert list(page.checkpoints[0].next_steps) == ["b"]
    request.page_token = page.next_page_token
    request.view = job_pb2.VIEW_BASIC
    page = await api.stub.ListCheckpoints(request)
    assert [c.checkpoint_id for c in page.checkpoints] == ["c0"]
    assert not page.checkpoints[0].HasField("values")


async def test_delete_and_prune(api: Api) -> None:
    job = await api.submit()
    request = job_service_pb2.DeleteJobRequest(job_id=job.job_id)
    refused = await api.refused(api.stub.DeleteJob(request))
    assert (refused.reason, refused.metadata["method"]) == ("JOB_STATE_CONFLICT", "DeleteJob")
    await api.end(await api.claim())
    request.etag = "x"
    assert (await api.refused(api.stub.DeleteJob(request))).reason == "ETAG_MISMATCH"
    request.etag = ""
    await api.stub.DeleteJob(request)
    assert (await api.refused(api.stub.DeleteJob(request))).reason == "JOB_NOT_FOUND"
    request.allow_missing = True
    await api.stub.DeleteJob(request)

    for _ in range(120):
        await api.finished()
    prune = job_service_pb2.PruneJobsRequest(finished_for=Duration(), dry_run=True)
    assert (await api.stub.PruneJobs(prune)).deleted_jobs == 120
    prune.dry_run = False
    prune.finished_for.seconds = 3600
    assert (await api.stub.PruneJobs(prune)).deleted_jobs == 0
    prune.finished_for.seconds = 0
    assert (await api.stub.PruneJobs(prune)).deleted_jobs == 120
    prune.ClearField("finished_for")
    assert (await api.refused(api.stub.PruneJobs(prune))).violations == {"finished_for": "is required"}


async def test_list_workflows(api: Api) -> None:
    request = job_service_pb2.ListWorkflowsRequest(page_size=1)
    page = await api.stub.ListWorkflows(request)
    (other,) = page.workflows
    assert (other.name, other.max_running_jobs, other.max_running_jobs_per_key) == ("other", 0, 0)
    request.page_token = page.next_page_token
    (workflow,) = (await api.stub.ListWorkflows(request)).workflows
    assert (workflow.name, workflow.revision, workflow.mermaid) == ("w", "r1", "graph TD;")
    assert workflow.input_schema["required"] == ["n"]
    assert list(workflow.steps) == ["a", "b/inner"]
    assert (workflow.max_running_jobs, workflow.max_running_jobs_per_key) == (100, 1)


async def test_health_and_draining(api: Api) -> None:
    health: Any = health_pb2_grpc.HealthStub(api.channel)

    async def status(service: str = "") -> int:
        return (await health.Check(health_pb2.HealthCheckRequest(service=service))).status

    assert await status() == await status("autopilot.v1.JobService") == health_pb2.HealthCheckResponse.SERVING
    job = await api.submit()
    waiting = asyncio.create_task(api.refused(api.get(job.job_id, wait_timeout=Duration(seconds=60))))
    await api.get(job.job_id)
    await api.server.drain()
    assert await status() == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await waiting).reason == "SERVER_DRAINING"
    assert (await api.refused(api.submit())).reason == "SERVER_DRAINING"
    assert (await api.get(job.job_id)).state == job_pb2.JOB_STATE_PENDING


async def test_reflection_knows_the_service(api: Api) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
    async for answer in stub.ServerReflectionInfo(iter(requests)):
        names = {service.name for service in answer.list_services_response.service}
        assert "autopilot.v1.JobService" in names
        break


async def test_a_fault_of_the_program_shows_nothing_internal(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    job = await api.submit()
    await api.checkpoint(await api.claim(), "c1")
    request = job_service_pb2.ListCheckpointsRequest(job_id=job.job_id, view=job_pb2.VIEW_FULL)
    refused = await api.refused(api.stub.ListCheckpoints(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert refused.metadata["error_id"] in refused.message
    assert "KeyError" not in refused.message
    assert "KeyError" in caplog.text
    assert refused.metadata["error_id"] in caplog.text


async def test_a_full_list_reads_no_more_payloads_than_it_shows(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of large jobs ends where the response is full, and the next one goes on behind it."""
    large = {"n": 1, "items": ["x" * 900_000]}
    for number in range(10):
        await api.submit(large, job_id=f"j{number}")
    read: list[str] = []
    job_get = api.store.job_get

    def counted(job_id: str, *, payloads: bool) -> object:
        read.append(job_id)
        return job_get(job_id, payloads=payloads)

    monkeypatch.setattr(api.store, "job_get", counted)
    request = job_service_pb2.ListJobsRequest(view=job_pb2.VIEW_FULL, payload_format=TEXT)
    seen: list[str] = []
    while True:
        read.clear()
        response = await api.stub.ListJobs(request)
        seen += [job.job_id for job in response.jobs]
        assert all(json.loads(job.input.json_text) == large for job in response.jobs)
        assert len(read) <= len(response.jobs) + 1
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert seen == [f"j{number}" for number in reversed(range(10))]
