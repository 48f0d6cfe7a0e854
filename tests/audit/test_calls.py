"""What the audit tells of calls: who, what, when, from where, and what was answered; and nothing that jobs hold."""

import asyncio
import json
import os
import re
import threading
from collections import Counter
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_server.access.identity import METHODS as RIGHTS
from autopilot_server.access.tokens import read_tokens
from autopilot_server.api import audit
from autopilot_server.api.audited import ANSWERED, ASKED
from autopilot_server.audit import METHODS
from autopilot_server.jobs.states import JobState
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.access.test_rights import REQUESTS, call
from tests.audit.conftest import Audited, records
from tests.waiting import until

READING = {"GetStatus", "ListJobs", "WatchProgress", "ListCheckpoints", "ListWorkflows"}


def test_every_method_that_changes_anything_is_audited() -> None:
    assert set(METHODS) == set(ASKED) == set(ANSWERED) == set(RIGHTS) - READING


def brief(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is different each time, which is checked for its form."""
    own, answer = dict(record), dict(record["answer"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", own.pop("time"))
    assert own.pop("time", "") <= answer.pop("time")
    assert re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", own.pop("peer"))
    assert answer.pop("seconds") > 0
    assert own.pop("call")
    assert own.pop("event") == "request"
    return own | {"answer": answer}


async def test_each_method_is_told_with_its_answer(audited: Audited) -> None:
    api = audited.caller(tenant="acme", name="ci")
    who = {"identity": "ci", "tenant": "acme", "credential": f"token {read_tokens(audited.file)[0].token_id}"}
    await api.submit(job_id="one", request_id="r1", thread_id="t")
    await api.submit(job_id="one", request_id="r1", thread_id="t")
    await api.stub.Cancel(job_service_pb2.CancelRequest(job_id="one"))
    await api.interrupted("q1", "q2", job_id="two")
    answer = job_pb2.Payload(json_text='{"ok": true}')
    answers = {"q1": answer, "q2": answer}
    await api.stub.Resume(job_service_pb2.ResumeRequest(job_id="two", answers=answers, request_id="r2"))
    await api.stub.DeleteJob(job_service_pb2.DeleteJobRequest(job_id="one"))
    await api.end(await api.claim(), JobState.FAILED)
    wanted = job_service_pb2.JobFilter(
        workflow="w", states=[job_pb2.JOB_STATE_FAILED, 99], created_after=Timestamp(seconds=0)
    )
    dry = job_service_pb2.PruneJobsRequest(finished_for=Duration(seconds=0), dry_run=True)
    await api.stub.PruneJobs(dry)
    dry.dry_run = False
    wanted.states.pop()
    dry.filter.CopyFrom(wanted)
    await api.stub.PruneJobs(dry)

    found = [brief(record) for record in await audited.told(8)]
    job = {"job_id": "one", "workflow": "w"}
    assert found[0] == {
        **({"method": "SubmitJob", "request_id": "r1", "thread_id": "t"} | who | job),
        "answer": {"code": "OK", "state": "PENDING"} | job,
    }
    assert found[1]["answer"] == {"code": "OK", "state": "PENDING", "deduplicated": True} | job
    assert found[2] == {"method": "Cancel", "job_id": "one", "answer": {"code": "OK", "state": "CANCELLED"} | job} | who
    assert found[4] == {
        **({"method": "Resume", "job_id": "two", "request_id": "r2", "interrupt_ids": ["q1", "q2"]} | who),
        "answer": {"code": "OK", "job_id": "two", "workflow": "w", "state": "PENDING"},
    }
    assert found[5] == {"method": "DeleteJob", "job_id": "one", "answer": {"code": "OK"}} | who
    pruned = {"code": "OK", "deleted_jobs": 1, "deleted_checkpoints": 0}
    assert found[6] == {"method": "PruneJobs", "dry_run": True, "answer": pruned} | who
    assert found[7] == {
        **({"method": "PruneJobs", "workflow": "w"} | who),
        "filter": {"states": ["FAILED"], "created_after": "1970-01-01T00:00:00Z"},
        "answer": pruned,
    }


async def test_what_only_reads_is_not_told(audited: Audited) -> None:
    api = audited.caller()
    for method in READING:
        await call(api, method, REQUESTS[method]("never", "w"))
    await api.submit()
    assert [record["method"] for record in await audited.told(1)] == ["SubmitJob"]


@pytest.mark.parametrize("method", METHODS)
async def test_what_is_refused_for_its_rights_is_told(audited: Audited, method: str) -> None:
    job = await audited.caller().submit()
    api = audited.caller("read", "submit:other", "control:other", "admin:other", name="reader", tenant="")
    blind = audited.caller("read", name="blind")
    assert (await call(api, method, REQUESTS[method](job.job_id, "w"))).reason == "METHOD_FORBIDDEN"
    assert (await call(blind, method, REQUESTS[method](job.job_id, "w"))).reason == "METHOD_FORBIDDEN"
    _, on_workflow, on_any = await audited.told(3)
    assert (on_workflow["identity"], on_workflow["method"]) == ("reader", method)
    assert on_workflow["answer"].items() >= {"code": "PERMISSION_DENIED", "reason": "METHOD_FORBIDDEN"}.items()
    # Nothing of its request was received.
    assert on_any["event"] == "refused"
    told = {"identity": "blind", "tenant": "", "method": method, "code": "PERMISSION_DENIED"}
    assert on_any.items() >= (told | {"reason": "METHOD_FORBIDDEN"}).items()
    assert on_any["peer"].startswith("ipv4:127.0.0.1:")
    assert on_any["credential"].startswith("token ")


async def test_what_is_refused_for_other_reasons_is_told(audited: Audited) -> None:
    api = audited.caller()
    await api.refused(api.submit(workflow="nowhere"))
    await api.refused(api.submit(job_id="not an id!"))
    await api.refused(api.stub.Cancel(job_service_pb2.CancelRequest(job_id="never")))
    submit = audited.channel.unary_unary("/autopilot.v1.JobService/SubmitJob")
    await api.refused(submit(b"\xff\xff\xff", metadata=api.stub.metadata))
    found = await audited.told(4)
    assert [record["answer"]["reason"] for record in found[:3]] == [
        "WORKFLOW_NOT_FOUND",
        "FIELD_INVALID",
        "JOB_NOT_FOUND",
    ]
    assert [record.get("job_id") for record in found] == [None, "not an id!", "never", None]
    assert (found[3]["event"], found[3]["reason"]) == ("refused", "FIELD_INVALID")


async def test_a_limit_s_refusal_is_told(audited: Audited) -> None:
    audited.limit_submits()
    await audited.restart()
    api = audited.caller()
    await api.submit()
    await api.refused(api.submit())
    found = await audited.told(2)
    assert found[1]["answer"].items() >= {"code": "RESOURCE_EXHAUSTED", "reason": "LIMIT_EXCEEDED"}.items()


async def test_a_fault_of_the_server_is_told_and_not_what_it_is(audited: Audited) -> None:
    async def job_submit(submission: Any) -> Any:
        raise RuntimeError("secret")

    audited.store.job_submit = job_submit  # type: ignore[method-assign]
    api = audited.caller()
    assert (await api.refused(api.submit())).reason == "INTERNAL_ERROR"
    (record,) = await audited.told(1)
    assert record["answer"].items() >= {"code": "INTERNAL", "reason": "INTERNAL_ERROR"}.items()
    assert "secret" not in audited.audit_file.read_text()


async def test_of_calls_without_credentials_there_is_a_line_now_and_then(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make them, as many as the network carries: they do not fill the disk."""
    for authorization in (None, "Bearer x", "Bearer autopilot_" + "x" * 43, "Basic secret"):
        api = audited.presenting(authorization)
        for method in METHODS:
            await call(api, method, REQUESTS[method]("never", "w"))
    before = audited.lines()
    await audited.server.stop(0)
    await until(lambda: len(audited.lines()) > len(before))
    (line,) = audited.lines()[len(before) :]
    assert line.pop("last_peer").startswith("ipv4:127.0.0.1:")
    assert line.pop("time")
    told = {"event": "strangers", "reason": "CREDENTIALS_INVALID", "count": 20, "last_method": METHODS[-1]}
    assert line == told
    assert [line["event"] for line in before] == ["start"]


async def test_strangers_are_told_of_while_the_server_runs(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot_server.api.audit.STRANGERS_SECONDS", 0.01)
    stranger = audited.presenting(None)
    for count in (1, 2):
        await call(stranger, "SubmitJob", REQUESTS["SubmitJob"]("", "w"))
        await until(lambda count=count: len(audited.lines()) == 1 + count)  # type: ignore[misc]
    assert [line.get("count") for line in audited.lines()] == [None, 1, 1]


SECRET = "planted-5ecret"


async def test_nothing_that_jobs_hold_is_told(audited: Audited) -> None:
    api = audited.caller()
    planted = job_pb2.Payload(json_text=json.dumps({"n": 1, "tone": SECRET}))
    context = job_pb2.Payload(json_text=json.dumps({"tone": SECRET}))
    await api.submit({"n": 1, "x": SECRET}, context=context, labels={"secret": SECRET}, job_id="one")
    await api.stub.Cancel(job_service_pb2.CancelRequest(job_id="one", reason=SECRET))
    await api.interrupted("q1", job_id="two", labels={"secret": SECRET})
    for more in ({"answer": planted}, {"answers": {"q1": planted}}, {"state_update": planted}):
        await call(api, "Resume", job_service_pb2.ResumeRequest(job_id="two", **more))
    text = audited.audit_file.read_text()
    await audited.told(6)
    assert SECRET not in text
    assert '"sole_answer":true' in text
    assert '"state_update":true' in text
    assert api.stub.metadata[0][1].removeprefix("Bearer ") not in text


async def test_a_line_has_bounds(audited: Audited) -> None:
    """Requests are told before they are checked."""
    api = audited.caller()
    await api.refused(api.submit(job_id="x" * 1_000_000, thread_id="\n" * 1_000_000))
    payload = job_pb2.Payload(json_text="1")
    answers = {f"{number}{'y' * 900}": payload for number in range(10_000)}
    await api.refused(api.stub.Resume(job_service_pb2.ResumeRequest(job_id="never", answers=answers)))
    labels = {f"{number}{'z' * 900}": "z" * 900 for number in range(1_000)}
    prune = job_service_pb2.PruneJobsRequest(
        filter=job_service_pb2.JobFilter(labels=labels, states=[1] * 100_000), finished_for=Duration(seconds=-(1 << 60))
    )
    await api.refused(api.stub.PruneJobs(prune))
    found = await audited.told(3)
    assert found[1]["answers"] == 10_000
    assert max(map(len, audited.audit_file.read_text().splitlines())) < 64_000


async def test_nothing_is_carried_out_before_it_is_on_disk(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, synced = threading.Event(), threading.Event()
    sync = os.fsync

    def hold(handle: int) -> None:
        syncing.set()
        synced.wait()
        sync(handle)

    api = audited.caller()
    monkeypatch.setattr(os, "fsync", hold)
    submit = asyncio.ensure_future(api.submit(job_id="job"))
    try:
        await until(syncing.is_set)
        # The loop turns meanwhile, and serves others.
        assert (await api.refused(api.get("job"))).reason == "JOB_NOT_FOUND"
        assert audited.job("job") is None
        assert not submit.done()
    finally:
        synced.set()
    await submit
    assert audited.job("job") is not None


async def test_calls_at_the_same_time_share_a_sync(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    assert audited.journal is not None
    journal = audited.journal
    first, sizes, sync = threading.Event(), [], os.fsync

    def hold(handle: int) -> None:
        sizes.append(os.fstat(handle).st_size)
        first.wait()
        sync(handle)

    held = audited.hold_submits()
    api = audited.caller()
    monkeypatch.setattr(os, "fsync", hold)
    submits = [asyncio.ensure_future(api.submit())]
    await until(lambda: sizes)
    submits += [asyncio.ensure_future(api.submit()) for _ in range(49)]
    await until(lambda: len(journal._entries) == 49)
    first.set()
    await until(lambda: len(audited.lines()) == 51)
    assert len(sizes) == 2
    held.set()
    await asyncio.gather(*submits)


async def test_a_client_that_goes_away_is_told_of(audited: Audited) -> None:
    held = audited.hold_submits()
    submit = asyncio.ensure_future(audited.caller().submit(job_id="job"))
    await until(lambda: len(audited.lines()) == 2)
    submit.cancel()
    (record,) = await audited.told(1)
    assert (record["job_id"], record["answer"]["code"]) == ("job", "CANCELLED")
    held.set()


# --- the file cannot be written ---


def break_file(audited: Audited) -> None:
    audited.audit_file.rename(audited.audit_file.with_suffix(".aside"))
    audited.audit_file.mkdir()


def mend_file(audited: Audited) -> None:
    audited.audit_file.rmdir()
    audited.audit_file.with_suffix(".aside").rename(audited.audit_file)


async def test_what_cannot_be_told_is_not_carried_out(audited: Audited) -> None:
    api = audited.caller()
    job = await api.submit()
    await audited.told(1)
    break_file(audited)
    for method in METHODS * 2:
        refused = await call(api, method, REQUESTS[method](job.job_id, "w"))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert refused.retry == 1.0
    blind = await call(audited.caller("read"), "Cancel", REQUESTS["Cancel"](job.job_id, "w"))
    assert blind.reason == "STORAGE_UNAVAILABLE"
    assert audited.health == [False]
    # Reading goes on.
    assert (await api.get(job.job_id)).state == job_pb2.JOB_STATE_PENDING
    mend_file(audited)
    await until(lambda: audited.health == [False, True])
    await api.submit(job_id="later")
    found = await audited.told(3)
    assert [record["event"] for record in found] == ["request", "back", "request"]
    # All but the one in whose place it was found out.
    assert found[1]["refused"] == 10
    assert found[2]["job_id"] == "later"


async def test_an_answer_that_cannot_be_told_is_kept_until_it_can(audited: Audited) -> None:
    held = audited.hold_submits()
    api = audited.caller()
    submits = [asyncio.ensure_future(api.submit(job_id=name)) for name in ("one", "two")]
    await until(lambda: len(audited.lines()) == 3)
    break_file(audited)
    held.set()
    # What was carried out is answered so.
    assert {job.job_id for job in await asyncio.gather(*submits)} == {"one", "two"}
    await until(lambda: audited.health == [False])
    mend_file(audited)
    found = await audited.told(3)
    assert [record["answer"]["code"] for record in found[:2]] == ["OK", "OK"]


async def test_who_may_change_nothing_cannot_fill_the_file(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls are told up to a number, and then counted; of others each one is told."""
    monkeypatch.setattr(audit, "REFUSALS_SECONDS", 3600.0)
    reader, submitter = audited.caller("read", name="reader"), audited.caller("submit", name="submitter")
    for api in (reader, submitter):
        for _ in range(25):
            prune = api.stub.PruneJobs(job_service_pb2.PruneJobsRequest())
            assert (await api.refused(prune)).reason == "METHOD_FORBIDDEN"
    auditor = audited.server._auditor
    assert auditor is not None
    # As at the end of the server, or of the time.
    auditor.close()
    await until(lambda: '"refusals"' in audited.audit_file.read_text())
    found = records(audited.audit_file)
    told = Counter((record["event"], record["identity"]) for record in found)
    assert told == {("refused", "reader"): 10, ("refusals", "reader"): 1, ("refused", "submitter"): 25}
    (counted,) = (record for record in found if record["event"] == "refusals")
    assert (counted["count"], counted["last_method"], counted["reason"]) == (15, "PruneJobs", "METHOD_FORBIDDEN")
