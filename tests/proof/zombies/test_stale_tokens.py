"""The fence itself: whatever a run writes with a token that is not in the job's row any more is refused, and the
database stays as it is, to the byte."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from autopilot_server.jobs.errors import StaleRunError
from autopilot_server.jobs.job import SECOND, CheckpointRef, Interrupt, JobError, JobErrorReason, Progress
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import (
    Claim,
    EventDraft,
    Fence,
    Resumption,
    RunEnd,
    RunUpdate,
    WriteRow,
    WritesPut,
)

from tests.proof.conftest import Tried
from tests.proof.zombies.dumps import differences, dump
from tests.storage.conftest import Box, put, row

JOB, THREAD, QUESTION = "j", "t", "q1"
BROKEN = JobError(JobErrorReason.STEP_RAISED, "from a run that is over", "a", "E")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(f"sqlite:///{tmp_path}/jobs.db")
    yield box
    box.store.close()


# --- what a run writes -------------------------------------------------------------------------------------------


def _writes(*, is_replacing: bool, checkpoint_ns: str = "") -> WritesPut:
    rows = [WriteRow(task_id="z", task_path="", idx=0, channel="items", type="msgpack", value=b"\x01")]
    return WritesPut(thread_id=THREAD, checkpoint_ns=checkpoint_ns, checkpoint_id="c1", rows=rows, replace=is_replacing)


EVENT = EventDraft(b"from a run that is over", True)
ROOT = put(row(THREAD, "c9"), next_steps=("zombie",))

UPDATES: Mapping[str, RunUpdate] = {
    "nothing": RunUpdate(),
    "an event": RunUpdate(events=[EVENT]),
    "many events": RunUpdate(events=[EVENT] * 100),
    "progress": RunUpdate(progress=Progress(0.9, ("z",), 9, 10, 0, 1, "zombie")),
    "writes": RunUpdate(writes=[_writes(is_replacing=False)]),
    "writes that replace": RunUpdate(writes=[_writes(is_replacing=True)]),
    "writes of a subgraph": RunUpdate(writes=[_writes(is_replacing=False, checkpoint_ns="child:1")]),
    "a checkpoint": RunUpdate(checkpoint=ROOT),
    "a checkpoint again": RunUpdate(checkpoint=put(row(THREAD, "c1"))),
    "a checkpoint of a subgraph": RunUpdate(checkpoint=put(row(THREAD, "c9", "child:1"))),
    "the checkpoint of a start point": RunUpdate(checkpoint=replace(ROOT, ends_start_point=True)),
    "everything": RunUpdate(
        events=[EVENT], progress=Progress(0.9), writes=[_writes(is_replacing=True)], checkpoint=ROOT
    ),
}

ASKED = Interrupt("q9", "z", "run", '"?"', 1, None)

ENDS: Mapping[str, RunEnd] = {
    "success": RunEnd(to_state=JobState.SUCCEEDED, output='"zombie"', interrupts=(), steps=99),
    "questions": RunEnd(to_state=JobState.INTERRUPTED, interrupts=[ASKED], next_steps=("z",)),
    "a breakpoint": RunEnd(to_state=JobState.INTERRUPTED, interrupts=(), next_steps=("z",)),
    "a refused answer": RunEnd(
        to_state=JobState.INTERRUPTED, error=BROKEN, interrupts=[ASKED], refused_answers=[QUESTION]
    ),
    "a failure": RunEnd(to_state=JobState.FAILED, error=BROKEN, attempt_failed=True),
    "a retry": RunEnd(to_state=JobState.PENDING, error=BROKEN, attempt_failed=True, backoff=SECOND),
    "given back": RunEnd(to_state=JobState.PENDING, keeps_error=True, interrupts=(), next_steps=("z",)),
    "a refused update": RunEnd(to_state=JobState.FAILED, error=BROKEN, clears_start_point=True),
    "a refused update of a cancelled job": RunEnd(to_state=JobState.CANCELLED, error=BROKEN, clears_start_point=True),
}


# --- how it loses the job ----------------------------------------------------------------------------------------


def _cancelled(box: Box, claim: Claim) -> None:
    box.store.job_cancel(JOB, reason="enough", etag="", grace_period=0).result()


def _cancelled_after_its_grace(box: Box, claim: Claim) -> None:
    box.store.job_cancel(JOB, reason="enough", etag="", grace_period=SECOND).result()
    box.clock.advance(1)
    assert box.store.jobs_expire().result().cancelled == [JOB]


def _timed_out(box: Box, claim: Claim) -> None:
    box.clock.advance(60)
    assert box.store.jobs_expire().result().failed == [JOB]


def _recovered(box: Box, claim: Claim) -> None:
    assert box.store.jobs_recover(max_losses=10).result().requeued == [JOB]


def _recovered_while_cancelling(box: Box, claim: Claim) -> None:
    box.store.job_cancel(JOB, reason="enough", etag="", grace_period=SECOND).result()
    assert box.store.jobs_recover(max_losses=10).result().cancelled == [JOB]


def _lost_too_often(box: Box, claim: Claim) -> None:
    assert box.store.jobs_recover(max_losses=1).result().failed == [JOB]


def _ended(end: RunEnd) -> Callable[[Box, Claim], None]:
    def way(box: Box, claim: Claim) -> None:
        box.store.run_end(claim.fence, end, RunUpdate()).result()

    return way


def _reopened(box: Box, claim: Claim) -> None:
    box.reopen()
    _recovered(box, claim)


def _taken_over(box: Box, claim: Claim) -> None:
    _recovered(box, claim)
    assert box.claim().job.attempt == claim.job.attempt + 1


def _resumed(box: Box, claim: Claim) -> None:
    _cancelled(box, claim)
    box.store.job_resume(Resumption(job_id=JOB, request_id="r9")).result()


def _resumed_and_running(box: Box, claim: Claim) -> None:
    _resumed(box, claim)
    box.claim()


def _resumed_elsewhere(box: Box, claim: Claim) -> None:
    _cancelled(box, claim)
    box.store.job_resume(Resumption(job_id=JOB, checkpoint_id="c1", state_update='{"x":1}')).result()
    assert box.claim().start_point is not None


def _deleted(box: Box, claim: Claim) -> None:
    _cancelled(box, claim)
    assert box.store.job_delete(JOB, etag="").result()


def _submitted_again(box: Box, claim: Claim) -> None:
    _deleted(box, claim)
    box.submit(JOB, thread_id=THREAD)


def _submitted_again_and_running(box: Box, claim: Claim) -> None:
    _deleted(box, claim)
    again = box.running(JOB, thread_id=THREAD)
    while again.job.attempt < claim.job.attempt:
        _recovered(box, again)
        again = box.claim()
    # All that tells the two runs apart is the token.
    assert (again.job.attempt, again.job.job_id) == (claim.job.attempt, claim.job.job_id)
    box.store.run_write(again.fence, RunUpdate(checkpoint=put(row(THREAD, "c1")))).result()


def _submitted_again_as_a_fork(box: Box, claim: Claim) -> None:
    _deleted(box, claim)
    source = box.running("source")
    box.store.run_write(source.fence, RunUpdate(checkpoint=put(row("source", "c1")))).result()
    box.end(source, JobState.SUCCEEDED, output="1")
    box.submit(JOB, input=None, fork_from=CheckpointRef("source", "c1"))
    box.claim()


def _followed_on_its_thread(box: Box, claim: Claim) -> None:
    _cancelled(box, claim)
    box.running("next", thread_id=THREAD)


WAYS: Mapping[str, Callable[[Box, Claim], None]] = {
    way.__name__.strip("_"): way
    for way in (
        _cancelled,
        _cancelled_after_its_grace,
        _timed_out,
        _recovered,
        _recovered_while_cancelling,
        _lost_too_often,
        _reopened,
        _taken_over,
        _resumed,
        _resumed_and_running,
        _resumed_elsewhere,
        _deleted,
        _submitted_again,
        _submitted_again_and_running,
        _submitted_again_as_a_fork,
        _followed_on_its_thread,
    )
} | {f"ended_with_{name.replace(' ', '_')}": _ended(end) for name, end in ENDS.items() if "cancelled" not in name}


def _second_run(box: Box) -> Claim:
    """A job's run that has a checkpoint, a subgraph's, pending writes, an open question and an answer to it."""
    first = box.running(JOB, thread_id=THREAD, execution_timeout=60 * SECOND, labels={"a": "b"}, request_id="s1")
    for checkpoint in (put(row(THREAD, "c1")), put(row(THREAD, "c1", "child:1"))):
        box.store.run_write(first.fence, RunUpdate(checkpoint=checkpoint)).result()
    question = Interrupt(QUESTION, "a", "run", '"?"', 1, None)
    box.end(first, JobState.INTERRUPTED, interrupts=[question])
    box.store.job_resume(Resumption(job_id=JOB, answers={QUESTION: "1"}, request_id="r1")).result()
    claim = box.claim()
    box.store.run_write(claim.fence, RunUpdate(events=[EventDraft(b"e", False)], writes=[_mine()])).result()
    return claim


def _mine() -> WritesPut:
    rows = [WriteRow(task_id="z", task_path="", idx=0, channel="items", type="msgpack", value=b"\x02")]
    return WritesPut(thread_id=THREAD, checkpoint_ns="", checkpoint_id="c1", rows=rows, replace=False)


# --- the checks --------------------------------------------------------------------------------------------------


def _refusals(box: Box, fence: Fence) -> int:
    """Try everything with a stale token. How much that was."""
    database = Path(box.url.removeprefix("sqlite:///"))
    before, rung = dump(database), len(box.news)
    tries = 0
    for update in UPDATES.values():
        with pytest.raises(StaleRunError):
            box.store.run_write(fence, update).result()
        assert differences(before, dump(database)) == []
        tries += 1
    for end in ENDS.values():
        for update in (RunUpdate(), RunUpdate(events=[EVENT], writes=[_writes(is_replacing=True)])):
            with pytest.raises(StaleRunError):
                box.store.run_end(fence, end, update).result()
            assert differences(before, dump(database)) == []
            tries += 1
    assert box.store.run_state(fence) is None
    assert len(box.news) == rung
    return tries


@pytest.mark.parametrize("way", WAYS)
def test_a_stale_token_writes_nothing(box: Box, way: str, tried: Tried) -> None:
    claim = _second_run(box)
    assert box.store.run_state(claim.fence) is JobState.RUNNING
    WAYS[way](box, claim)
    tried(writes_with_a_stale_token=_refusals(box, claim.fence))


@pytest.mark.parametrize("update", UPDATES)
def test_the_same_write_with_the_right_token_is_stored(box: Box, update: str) -> None:
    """What is refused above is refused for the token alone."""
    claim = _second_run(box)
    database = Path(box.url.removeprefix("sqlite:///"))
    before = dump(database)
    box.clock.advance(1)
    box.store.run_write(claim.fence, UPDATES[update]).result()
    assert differences(before, dump(database)) != []


@pytest.mark.parametrize("end", ENDS)
def test_the_same_end_with_the_right_token_is_stored(box: Box, end: str) -> None:
    claim = _second_run(box)
    box.store.run_end(claim.fence, ENDS[end], RunUpdate()).result()
    assert box.job(JOB).state is ENDS[end].to_state


def test_tokens_of_others_and_no_token_at_all(box: Box, tried: Tried) -> None:
    """A token is good for its own job only, and a job without a run belongs to nobody."""
    claim = _second_run(box)
    other = box.running("other")
    mixed = Fence(JOB, other.fence.run_token)
    assert _refusals(box, mixed)
    _cancelled(box, claim)
    for token in ("", "NULL", "None", claim.fence.run_token.upper()):
        tried(writes_with_a_stale_token=_refusals(box, Fence(JOB, token)))
    assert _refusals(box, Fence("nobody", other.fence.run_token))


def test_a_stale_write_fails_alone_among_those_of_the_owner(box: Box) -> None:
    """They share a transaction; only the stale ones are undone."""
    claim = _second_run(box)
    _cancelled(box, claim)
    box.store.job_resume(Resumption(job_id=JOB)).result()
    owner = box.claim()
    good, stale = [], []
    for number in range(50):
        stale.append(box.store.run_write(claim.fence, UPDATES["everything"]))
        good.append(box.store.run_write(owner.fence, RunUpdate(events=[EventDraft(f"good {number}".encode(), False)])))
    stale.append(box.store.run_end(claim.fence, ENDS["success"], RunUpdate()))
    for write in good:
        write.result()
    for write in stale:
        with pytest.raises(StaleRunError):
            write.result()
    log = box.log(JOB)
    assert log[-50:] == [f"good {number}" for number in range(50)]
    assert EVENT.body.decode() not in log
    assert box.store.checkpoint_get(THREAD, "", "c9") is None
