"""What the store keeps of traces, on every backend."""

from dataclasses import replace

import pytest
from autopilot_server.jobs.states import JobState
from autopilot_server.jobs.traces import JobTrace, TraceContext
from autopilot_server.storage.store import Resumption

from tests.storage.conftest import Box

SUBMIT = TraceContext.of("a" * 32, "b" * 16, sampled=True, tracestate="vendor=1")
RESUME = TraceContext.of("c" * 32, "d" * 16, sampled=False)


def submit(box: Box, trace: TraceContext | None = SUBMIT) -> None:
    box.store.job_submit(replace(box.submission(), trace=trace)).result()


def test_each_claim_has_a_span_id_of_its_own_and_names_the_one_before(box: Box) -> None:
    submit(box)
    first = box.claim()
    assert first.trace.parent == SUBMIT
    assert first.trace.resumed is None
    assert len(bytes.fromhex(first.trace.span_id)) == 8
    assert first.trace.previous_span_id == ""
    box.end(first, JobState.PENDING)
    second = box.claim()
    assert second.trace.previous_span_id == first.trace.span_id != second.trace.span_id


def test_what_a_dead_process_ran_is_told_and_named_by_the_next_attempt(box: Box) -> None:
    submit(box)
    died = box.claim()
    box.reopen()
    box.clock.advance(1)
    (lost,) = box.store.jobs_recover(max_losses=9).result().lost
    assert (lost.job_id, lost.workflow, lost.attempt, lost.trace) == ("j", "w", 1, died.trace)
    assert lost.claim_time <= lost.last_write_time < box.clock()
    assert box.claim().trace.previous_span_id == died.trace.span_id
    box.reopen()
    (lost,) = box.store.jobs_recover(max_losses=9).result().lost
    assert lost.attempt == 2


def test_a_resume_s_span_stays_until_the_next_resume(box: Box) -> None:
    submit(box)
    box.end(box.claim(), JobState.FAILED)
    box.store.job_resume(Resumption(job_id="j", trace=RESUME)).result()
    for _ in range(2):
        claim = box.claim()
        assert (claim.trace.parent, claim.trace.resumed) == (SUBMIT, RESUME)
        box.end(claim, JobState.PENDING)
    box.end(box.claim(), JobState.FAILED)
    box.store.job_resume(Resumption(job_id="j")).result()
    assert box.claim().trace.resumed is None


def test_moves_tell_the_trace(box: Box) -> None:
    submit(box)
    box.end(box.claim(), JobState.SUCCEEDED)
    box.reopen()
    assert [move.trace_id for move in box.moves] == ["a" * 32] * 3


def test_a_job_without_a_trace(box: Box) -> None:
    submit(box, None)
    claim = box.claim()
    assert claim.trace == JobTrace(span_id=claim.trace.span_id)
    box.reopen()
    assert {move.trace_id for move in box.moves} == {""}


def test_the_trace_is_no_part_of_what_a_request_id_stands_for(box: Box) -> None:
    for trace in (SUBMIT, RESUME):
        again = replace(box.submission(request_id="r", request_digest=b"d"), trace=trace)
        submitted = box.store.job_submit(again).result()
    assert submitted.deduplicated
    assert repr(Resumption(job_id="j", trace=RESUME)) == repr(Resumption(job_id="j"))


PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (PARENT, PARENT),
        (PARENT.replace("-01", "-00"), PARENT.replace("-01", "-00")),
        (PARENT.replace("-01", "-ff"), PARENT),
        # Of a version to come: what this one has of it.
        (f"cc{PARENT[2:]}-more", PARENT),
        (f"{PARENT}-more", None),
        (f"{PARENT}x", None),
        (f"{PARENT}\n", None),
        (f"ff{PARENT[2:]}", None),
        (PARENT.upper(), None),
        (PARENT.replace("a", "0"), None),
        (PARENT.replace("b", "0"), None),
        (PARENT[1:], None),
        ("", None),
        ("é" * 55, None),
        ("0" * 100_000, None),
    ],
)
def test_a_traceparent_is_read_or_ignored(sent: str, kept: str | None) -> None:
    found = TraceContext.read(sent)
    assert (None if found is None else found.traceparent) == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a=1", True),
        ("vendor@tenant=x y,b/c=2", True),
        (",".join(f"k{n}=v" for n in range(32)), True),
        (",".join(f"k{n}=v" for n in range(33)), False),
        (f"a={'x' * 256},b={'x' * 251}", True),
        (f"a={'x' * 256},b={'x' * 252}", False),
        (f"a={'x' * 100_000}", False),
        ("a", False),
        ("A=1", False),
        ("a=ü", False),
        ("a=1\nb=2", False),
        ("a==", False),
    ],
)
def test_a_tracestate_is_kept_or_dropped(sent: str, kept: bool) -> None:
    found = TraceContext.read(PARENT, sent)
    assert found is not None
    assert found.tracestate == (sent if kept else "")
