"""The store's promises about jobs, one by one."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from autopilot_server.jobs.errors import (
    CheckpointNotFoundError,
    EtagMismatchError,
    FieldInvalidError,
    InterruptNotPendingError,
    JobAlreadyExistsError,
    JobNotFoundError,
    JobStateConflictError,
    LimitExceededError,
    RequestIdReusedError,
    StaleRunError,
    ThreadAdvancedError,
    ThreadBusyError,
    Violation,
)
from autopilot_server.jobs.job import (
    SECOND,
    CheckpointRef,
    Interrupt,
    JobError,
    JobErrorReason,
    JobFilter,
    Progress,
    RetryPolicy,
)
from autopilot_server.jobs.states import FINISHED, JobState
from autopilot_server.storage.store import (
    EventDraft,
    Fence,
    PageKey,
    Pruned,
    Resumption,
    RunEnd,
    RunUpdate,
    WriteRow,
    WritesPut,
)

from tests.storage.conftest import ON_SQLITE, RETENTION, Box, Clock, on_backend, put, row


@pytest.fixture(params=[*ON_SQLITE, "postgres", "postgres-encrypted"])
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A store on each backend, with encryption and without."""
    yield from on_backend(request.param, request)


BROKEN = JobError(JobErrorReason.STEP_RAISED, "broken", "a", "E")


def question(interrupt_id: str, create_time: int = 1) -> Interrupt:
    return Interrupt(interrupt_id, "a", "run", '"?"', create_time, '{"type":"integer"}')


def test_a_submitted_job_is_pending_with_its_first_event(box: Box) -> None:
    submitted = box.submit("j", labels={"a": "b"}, retry_policy=RetryPolicy(5, 1, 2, 3.5), retention=9)
    assert not submitted.deduplicated
    job = box.job()
    assert job.state is JobState.PENDING
    assert job.spec.thread_id == "j"
    assert (job.spec.labels, job.spec.retry_policy, job.spec.retention) == ({"a": "b"}, RetryPolicy(5, 1, 2, 3.5), 9)
    assert len(box.log()) == 1
    (news,) = box.news
    assert (news.job_id, news.state, [e.sequence for e in news.events]) == ("j", JobState.PENDING, [1])


def test_request_ids(box: Box) -> None:
    box.submit("j", request_id="r", request_digest=b"1")
    again = box.submit("other", request_id="r", request_digest=b"1")
    assert again.deduplicated
    assert again.job.job_id == "j"
    with pytest.raises(RequestIdReusedError):
        box.submit("other", request_id="r", request_digest=b"2")
    assert box.store.job_get("other", payloads=False) is None
    found = box.store.job_get_by_request("r", b"1")
    assert found is not None
    assert found.job_id == "j"
    assert box.store.job_get_by_request("s", b"1") is None


def test_a_refused_submission_stores_nothing(box: Box) -> None:
    box.submit("j", thread_id="t")
    with pytest.raises(JobAlreadyExistsError):
        box.submit("j")
    with pytest.raises(ThreadBusyError) as busy:
        box.submit("k", thread_id="t")
    assert busy.value.metadata == {"thread_id": "t", "job_id": "j"}
    with pytest.raises(LimitExceededError) as full:
        box.submit("k", unfinished_limit=1)
    assert full.value.retry_delay
    with pytest.raises(JobNotFoundError):
        box.submit("k", fork_from=CheckpointRef("nobody"))
    with pytest.raises(CheckpointNotFoundError):
        box.submit("k", fork_from=CheckpointRef("j"))
    assert len(box.store.job_list(JobFilter(), limit=10, after=None)) == 1
    assert box.log() == box.log("j")
    assert len(box.news) == 1


def test_claims_go_by_priority_then_time_and_never_twice(box: Box) -> None:
    for job_id, priority in (("a", 0), ("b", 5), ("c", 9), ("d", 5)):
        box.submit(job_id, priority=priority)
        box.clock.advance(1)
    box.submit("later", priority=9, scheduled_time=box.clock() + 10 * SECOND)
    box.submit("foreign", workflow="x")
    assert [c.job.job_id for c in box.claims(2)] == ["c", "b"]
    assert [c.job.job_id for c in box.claims()] == ["d", "a"]
    assert box.claims() == []
    assert box.store.next_runnable_time({"w": "r"}) == box.clock() + 10 * SECOND
    box.clock.advance(10)
    assert [c.job.job_id for c in box.claims()] == ["later"]
    assert box.store.next_runnable_time({"w": "r"}) is None


def test_two_that_claim_at_once_never_share_a_job(box: Box) -> None:
    for number in range(200):
        box.submit(f"j{number}")
    taken: list[str] = []

    def work() -> None:
        while claims := box.claims(3):
            taken.extend(claim.job.job_id for claim in claims)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"j{number}" for number in range(200))


def test_a_claim(box: Box) -> None:
    claim = box.running(context='{"c":1}', execution_timeout=60 * SECOND)
    assert claim.job.state is JobState.RUNNING
    assert (claim.job.attempt, claim.job.workflow_revision) == (1, "r1")
    assert (claim.job.spec.input, claim.job.spec.context) == ('{"in":1}', '{"c":1}')
    assert claim.deadline == box.clock() + 60 * SECOND == box.store.next_deadline()
    assert box.store.run_state(claim.fence) is JobState.RUNNING
    assert box.store.run_state(Fence("j", "another")) is None


def test_the_fence(box: Box) -> None:
    """Every write of a run that is not the owner any more is refused, and leaves nothing."""
    claim = box.running()
    zombie = Fence("j", "0" * 32)
    before = (box.job(), box.log())
    update = RunUpdate(events=[EventDraft(b"x", False)], progress=Progress(0.9))
    writes = WritesPut(
        thread_id="j",
        checkpoint_ns="",
        checkpoint_id="c",
        rows=[WriteRow(task_id="t", task_path="", idx=0, channel="x", type="msgpack", value=b"")],
        replace=False,
    )
    for write in (
        box.store.run_write(zombie, update),
        box.store.run_write(zombie, replace(update, checkpoint=put(row("j", "c")))),
        box.store.run_write(zombie, replace(update, writes=[writes])),
    ):
        with pytest.raises(StaleRunError):
            write.result()
    with pytest.raises(StaleRunError):
        box.end(claim.__class__(**_with_fence(claim, zombie)), JobState.SUCCEEDED, output="1")
    assert (box.job(), box.log()) == before
    assert box.store.checkpoint_get("j", "", "c") is None
    assert box.store.writes_get("j", "", "c") == []


def _with_fence(claim: object, fence: Fence) -> dict[str, object]:
    names = claim.__slots__  # type: ignore[attr-defined]
    return {name: getattr(claim, name) for name in names} | {"fence": fence}


def test_what_a_run_writes_commits_together(box: Box) -> None:
    claim = box.running()
    update = RunUpdate(events=[EventDraft(b"saved", False)], progress=Progress(0.5, ("a",), 1, 4, 0, 7, "hm"))
    box.store.run_write(claim.fence, replace(update, checkpoint=put(row("j", "c1"), next_steps=("b",)))).result()
    job = box.job()
    assert (job.checkpoint_id, job.next_steps, job.latest_sequence) == ("c1", ("b",), 3)
    assert (job.progress.fraction, job.progress.active_steps, job.progress.message) == (0.5, ("a",), "hm")
    assert box.log()[-1] == "saved"
    assert [e.body for e in box.news[-1].events] == [b"saved"]
    # A subgraph's checkpoint is not the job's.
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c2", "child:1")))).result()
    assert box.job().checkpoint_id == "c1"
    assert [c.checkpoint_id for c in box.store.checkpoints_list("j", limit=9, before=None)] == ["c1"]


def test_success(box: Box) -> None:
    claim = box.running()
    box.clock.advance(3)
    job = box.end(claim, JobState.SUCCEEDED, output='{"o":1}', steps=4, progress=Progress(1.0), interrupts=())
    assert job.state is JobState.SUCCEEDED
    job = box.job()
    assert (job.output, job.interrupts, job.error) == ('{"o":1}', (), None)
    assert job.progress.elapsed == 3 * SECOND
    assert job.end_time == box.clock()
    assert job.expire_time == box.clock() + RETENTION
    statistics = box.store.workflow_statistics("w", "r1")
    assert (statistics.jobs, statistics.mean_steps, statistics.mean_elapsed) == (1, 4.0, 3.0 * SECOND)
    assert box.store.run_state(claim.fence) is None


def test_a_retry_waits_for_its_time(box: Box) -> None:
    claim = box.running()
    when = box.clock() + 5 * SECOND
    box.end(claim, JobState.PENDING, error=BROKEN, attempt_failed=True, backoff=5 * SECOND)
    job = box.job()
    assert (job.state, job.failed_attempts, job.next_attempt_time, job.error) == (JobState.PENDING, 1, when, BROKEN)
    assert box.claims() == []
    box.clock.advance(5)
    again = box.claim()
    assert again.job.attempt == 2
    assert again.job.next_attempt_time is None
    assert again.job.error == BROKEN
    box.end(again, JobState.PENDING, keeps_error=True)
    assert box.job().error == BROKEN
    # Told once, with the attempt that failed.
    assert ["broken" in event for event in box.log()] == [False, False, True, False, False]


def test_cancelling_always_ends_cancelled(box: Box) -> None:
    for job_id, state in (("a", JobState.SUCCEEDED), ("b", JobState.FAILED), ("c", JobState.INTERRUPTED)):
        claim = box.running(job_id)
        box.store.job_cancel(job_id, reason="why", etag="", grace_period=SECOND).result()
        assert box.store.run_state(claim.fence) is JobState.CANCELLING
        job = box.end(claim, state, output="1", interrupts=(question("q"),), progress=Progress(1.0))
        assert job.state is JobState.CANCELLED
        assert job.progress.fraction < 1
        assert job.error is not None
        assert (job.error.reason, job.error.message) == (JobErrorReason.CANCELLED, "why")
        assert box.job(job_id).output is None


def test_cancel_at_once_fences_the_run_off(box: Box) -> None:
    claim = box.running()
    busy = Progress(0.5, ("a", "b"), 1, 4, 0, 7, "hm")
    box.store.run_write(claim.fence, RunUpdate(progress=busy)).result()
    job = box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    assert job.state is JobState.CANCELLED
    assert job.progress == Progress(0.5, (), 1, 4, 0, None, "hm")
    assert "CANCELLING" in box.log()[-2]
    assert box.store.run_state(claim.fence) is None
    same = box.store.job_cancel("j", reason="other", etag="wrong", grace_period=0).result()
    assert same == job


def test_deadlines(box: Box) -> None:
    timed = box.running("timed", execution_timeout=10 * SECOND)
    cancelled = box.running("cancelled")
    box.store.job_cancel("cancelled", reason="", etag="", grace_period=20 * SECOND).result()
    box.clock.advance(10)
    assert list(box.store.jobs_expire().result().failed) == ["timed"]
    job = box.job("timed")
    assert job.state is JobState.FAILED
    assert job.error.reason is JobErrorReason.EXECUTION_TIMED_OUT
    assert box.store.run_state(timed.fence) is None
    box.clock.advance(10)
    assert list(box.store.jobs_expire().result().cancelled) == ["cancelled"]
    assert box.store.run_state(cancelled.fence) is None
    # Resume begins the time anew.
    box.store.job_resume(Resumption(job_id="timed")).result()
    assert box.claim().deadline == box.clock() + 10 * SECOND


def test_the_execution_timeout_counts_all_attempts(box: Box) -> None:
    claim = box.running(execution_timeout=10 * SECOND)
    box.clock.advance(4)
    box.end(claim, JobState.PENDING)
    box.clock.advance(100)
    assert box.claim().deadline == box.clock() + 6 * SECOND


def test_recovery(box: Box) -> None:
    box.running("running")
    box.running("cancelling")
    box.store.job_cancel("cancelling", reason="", etag="", grace_period=SECOND).result()
    box.clock.advance(50)
    box.reopen()
    moved = box.store.jobs_recover(max_losses=10).result()
    assert (list(moved.requeued), list(moved.cancelled), list(moved.failed)) == (["running"], ["cancelling"], [])
    job = box.job("running")
    assert (job.state, job.failed_attempts) == (JobState.PENDING, 0)
    # The time that nobody worked on the job is not the job's.
    assert job.progress.elapsed == 0
    assert box.claim().job.attempt == 2


def test_a_job_that_loses_its_worker_again_and_again(box: Box) -> None:
    box.submit()
    for loss in range(1, 6):
        claim = box.claim()
        if loss == 2:
            box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c", "child:1")))).result()
        moved = box.store.jobs_recover(max_losses=3).result()
        # The second loss came after a new checkpoint, and counts anew.
        assert bool(moved.failed) is (loss == 4)
        if moved.failed:
            break
    job = box.job()
    assert job.error.reason is JobErrorReason.WORKER_LOST
    box.store.job_resume(Resumption(job_id="j")).result()
    box.claim()
    assert not box.store.jobs_recover(max_losses=3).result().failed


def test_questions_and_answers(box: Box) -> None:
    claim = box.running()
    box.end(claim, JobState.INTERRUPTED, interrupts=[question("p"), question("q")])
    assert [i.interrupt_id for i in box.job().interrupts] == ["p", "q"]
    with pytest.raises(InterruptNotPendingError):
        box.store.job_resume(Resumption(job_id="j")).result()
    with pytest.raises(InterruptNotPendingError):
        box.store.job_resume(Resumption(job_id="j", sole_answer="1")).result()
    with pytest.raises(InterruptNotPendingError):
        box.store.job_resume(Resumption(job_id="j", answers={"x": "1"})).result()
    box.store.job_resume(Resumption(job_id="j", answers={"q": "1"})).result()
    assert [i.interrupt_id for i in box.job().interrupts] == ["p"]
    claim = box.claim()
    assert claim.answers == {"q": "1"}
    # Kept until its question is gone, through restarts.
    box.reopen()
    box.store.jobs_recover(max_losses=10).result()
    claim = box.claim()
    assert claim.answers == {"q": "1"}
    box.end(claim, JobState.INTERRUPTED, interrupts=[question("p", create_time=99)])
    (left,) = box.job().interrupts
    assert (left.interrupt_id, left.create_time) == ("p", 1)
    box.store.job_resume(Resumption(job_id="j", sole_answer="2")).result()
    assert box.claim().answers == {"p": "2"}


def test_an_answer_that_was_checked_against_another_question(box: Box) -> None:
    box.end(box.running(), JobState.INTERRUPTED, interrupts=[question("q")])
    with pytest.raises(InterruptNotPendingError):
        box.store.job_resume(Resumption(job_id="j", sole_answer="1", wrong_answers={"p": ()})).result()
    wrong = {"q": [Violation("answer", "is wrong")]}
    with pytest.raises(FieldInvalidError):
        box.store.job_resume(Resumption(job_id="j", sole_answer="1", wrong_answers=wrong)).result()
    box.store.job_resume(Resumption(job_id="j", sole_answer="1", wrong_answers={"q": ()})).result()


def test_a_refused_answer_opens_its_question_again(box: Box) -> None:
    box.end(box.running(), JobState.INTERRUPTED, interrupts=[question("q")])
    box.store.job_resume(Resumption(job_id="j", answers={"q": "1"})).result()
    claim = box.claim()
    box.end(claim, JobState.INTERRUPTED, interrupts=[question("q")], refused_answers=["q"], error=BROKEN)
    job = box.job()
    assert [i.interrupt_id for i in job.interrupts] == ["q"]
    assert job.error == BROKEN


def test_a_job_is_read_as_of_one_moment(box: Box) -> None:
    """What is committed between two statements of a read does not come into it."""
    box.end(box.running(request_id="r", request_digest=b""), JobState.INTERRUPTED, interrupts=[question("q")])
    reader, answered = threading.get_ident(), threading.Event()
    answered.set()

    class Ticking(Clock):
        def __call__(self) -> int:
            if threading.get_ident() == reader and not answered.is_set():
                answered.set()
                box.store.job_resume(Resumption(job_id="j", answers={"q": "1"})).result()
            return super().__call__()

    box.store.close()
    box.clock = Ticking()
    box.open()
    answered.clear()
    for read in (
        lambda: box.store.job_get("j", payloads=True),
        lambda: box.store.job_get_by_request("r", b""),
    ):
        job = read()
        assert job is not None
        assert (job.state, len(job.interrupts)) == (JobState.INTERRUPTED, 1)
        box.end(box.claim(), JobState.INTERRUPTED, interrupts=[question("q")], refused_answers=["q"])
        answered.clear()


def test_a_finished_job_is_resumed_only_where_there_is_room(box: Box) -> None:
    box.end(box.running("asks"), JobState.INTERRUPTED, interrupts=[question("q")])
    box.end(box.running("failed"), JobState.FAILED, error=BROKEN)
    for limits in ({"unfinished_limit": 1}, {"tenant_unfinished_limit": 1}):
        resumption = Resumption(job_id="failed", request_id="r", **limits)
        with pytest.raises(LimitExceededError) as full:
            box.store.job_resume(resumption).result()
        assert full.value.metadata == {"limit": "1", "name": next(iter(limits)).replace("limit", "jobs")}
        assert full.value.retry_delay
    assert box.job("failed").state is JobState.FAILED
    # Unfinished already: it takes no more room.
    box.store.job_resume(Resumption(job_id="asks", answers={"q": "1"}, unfinished_limit=1)).result()
    box.end(box.claim(), JobState.SUCCEEDED)
    # What was refused is not remembered as done.
    resumed = box.store.job_resume(Resumption(job_id="failed", request_id="r", unfinished_limit=1)).result()
    assert (resumed.job.state, resumed.deduplicated) == (JobState.PENDING, False)


def test_resume_requests(box: Box) -> None:
    box.end(box.running(), JobState.INTERRUPTED, interrupts=[question("q")])
    resumption = Resumption(job_id="j", answers={"q": "1"}, request_id="r", request_digest=b"1")
    assert not box.store.job_resume(resumption).result().deduplicated
    assert box.store.job_resume(resumption).result().deduplicated
    with pytest.raises(RequestIdReusedError):
        box.store.job_resume(Resumption(job_id="j", request_id="r", request_digest=b"2")).result()
    with pytest.raises(JobStateConflictError):
        box.store.job_resume(Resumption(job_id="j")).result()


def test_a_start_point_is_kept_until_it_is_reached(box: Box) -> None:
    claim = box.running()
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c1")))).result()
    box.end(claim, JobState.INTERRUPTED, interrupts=[question("q")])
    with pytest.raises(CheckpointNotFoundError):
        box.store.job_resume(Resumption(job_id="j", checkpoint_id="c9")).result()
    box.store.job_resume(Resumption(job_id="j", checkpoint_id="c1", state_update="{}")).result()
    for _ in range(2):
        claim = box.claim()
        assert claim.start_point is not None
        assert claim.start_point.former_state is JobState.INTERRUPTED
        box.store.jobs_recover(max_losses=10).result()
    claim = box.claim()
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c2"), ends_start_point=True))).result()
    box.store.jobs_recover(max_losses=10).result()
    assert box.claim().start_point is None


def test_questions_of_before_a_start_point_cannot_be_answered_behind_it(box: Box) -> None:
    """A Cancel may end the run before it can say which questions are open now."""
    claim = box.running()
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c1")))).result()
    box.end(claim, JobState.INTERRUPTED, interrupts=[question("q")])
    box.store.job_resume(Resumption(job_id="j", checkpoint_id="c1")).result()
    claim = box.claim()
    assert [i.interrupt_id for i in box.job().interrupts] == ["q"]
    etag = box.job().etag
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c2"), ends_start_point=True))).result()
    assert box.job().interrupts == ()
    assert box.job().etag != etag
    box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    with pytest.raises(InterruptNotPendingError):
        box.store.job_resume(Resumption(job_id="j", answers={"q": "1"})).result()


def test_a_refused_edit_costs_no_answers(box: Box) -> None:
    """They are sent again, as if nobody had asked for the edit; one that is carried out makes them void."""
    box.end(box.running(), JobState.INTERRUPTED, interrupts=[question("q")])
    box.store.job_resume(Resumption(job_id="j", answers={"q": "1"})).result()
    box.end(box.claim(), JobState.FAILED, error=BROKEN)
    box.store.job_resume(Resumption(job_id="j", state_update="{}")).result()
    job = box.end(box.claim(), JobState.FAILED, error=BROKEN, clears_start_point=True)
    assert not job.interrupts
    box.store.job_resume(Resumption(job_id="j", state_update="{}")).result()
    claim = box.claim()
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c"), ends_start_point=True))).result()
    box.store.jobs_recover(max_losses=10).result()
    assert not box.claim().answers


def test_the_passed_breakpoint_is_the_newest_checkpoint_at_resume(box: Box) -> None:
    claim = box.running()
    assert claim.passed_breakpoint == ""
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c1")))).result()
    box.end(claim, JobState.INTERRUPTED, interrupts=())
    box.store.job_resume(Resumption(job_id="j")).result()
    claim = box.claim()
    assert claim.passed_breakpoint == "c1"
    # A failure behind it does not bring it back; what was not reached yet is not passed.
    box.end(claim, JobState.FAILED, error=BROKEN)
    box.store.job_resume(Resumption(job_id="j")).result()
    claim = box.claim()
    assert claim.passed_breakpoint == "c1"
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "c2")))).result()
    box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    box.store.job_resume(Resumption(job_id="j")).result()
    assert box.claim().passed_breakpoint == "c1"


def test_resume_does_not_start_a_job_before_its_time(box: Box) -> None:
    box.submit(scheduled_time=box.clock() + 5 * SECOND)
    box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    box.store.job_resume(Resumption(job_id="j")).result()
    assert box.claims() == []
    box.clock.advance(5)
    assert box.claim().job.attempt == 1


def test_a_job_that_is_not_its_thread_s_newest(box: Box) -> None:
    box.end(box.running("a", thread_id="t"), JobState.FAILED, error=BROKEN)
    box.end(box.running("b", thread_id="t"), JobState.FAILED, error=BROKEN)
    with pytest.raises(ThreadAdvancedError):
        box.store.job_resume(Resumption(job_id="a")).result()
    box.store.job_resume(Resumption(job_id="b")).result()


def test_a_thread_that_a_deleted_job_has_moved_on(box: Box) -> None:
    """An earlier job on it must not go on from where the deleted one ended."""
    first = box.running("a", thread_id="t")
    box.store.run_write(first.fence, RunUpdate(checkpoint=put(row("t", "c1")))).result()
    box.end(first, JobState.FAILED, error=BROKEN)
    box.end(box.running("idle", thread_id="t"), JobState.FAILED, error=BROKEN)
    second = box.running("b", thread_id="t")
    box.clock.advance(1)
    box.store.run_write(second.fence, RunUpdate(checkpoint=put(row("t", "c2"), create_time=box.clock()))).result()
    box.end(second, JobState.SUCCEEDED, output="1")
    assert box.store.job_delete("b", etag="").result()
    # Neither the newest job, which has got nowhere, nor, when that is deleted too, the one before.
    with pytest.raises(ThreadAdvancedError):
        box.store.job_resume(Resumption(job_id="idle")).result()
    assert box.store.job_delete("idle", etag="").result()
    with pytest.raises(ThreadAdvancedError) as refused:
        box.store.job_resume(Resumption(job_id="a")).result()
    assert refused.value.metadata == {"thread_id": "t", "job_id": ""}


def test_a_job_that_did_nothing_on_its_thread_leaves_it_to_the_one_before(box: Box) -> None:
    first = box.running("a", thread_id="t")
    box.store.run_write(first.fence, RunUpdate(checkpoint=put(row("t", "c1")))).result()
    box.end(first, JobState.FAILED, error=BROKEN)
    box.end(box.running("b", thread_id="t"), JobState.FAILED, error=BROKEN)
    assert box.store.job_delete("b", etag="").result()
    assert box.store.job_resume(Resumption(job_id="a")).result().job.state is JobState.PENDING


def test_a_job_with_a_deleted_one_s_id_has_none_of_its_checkpoints(box: Box) -> None:
    claim = box.running("a", thread_id="t")
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("t", "c1")))).result()
    box.end(claim, JobState.SUCCEEDED, output="1")
    box.end(box.running("b", thread_id="t"), JobState.FAILED, error=BROKEN)
    assert box.store.job_delete("a", etag="").result()
    box.end(box.running("a"), JobState.FAILED, error=BROKEN)
    assert box.store.checkpoints_list("a", limit=9, before=None) == []
    with pytest.raises(CheckpointNotFoundError):
        box.store.job_resume(Resumption(job_id="a", checkpoint_id="c1")).result()
    with pytest.raises(CheckpointNotFoundError):
        box.submit("fork", fork_from=CheckpointRef("a", "c1"))


def test_a_thread_of_its_own_is_nobody_else_s(box: Box) -> None:
    claim = box.running("first", thread_id="taken")
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("taken", "c1")))).result()
    # Also while the other is unfinished.
    second = box.submit("taken").job
    assert second.spec.thread_id not in ("taken", "")
    assert box.store.checkpoint_get(second.spec.thread_id, "", None) is None
    box.end(claim, JobState.SUCCEEDED, output="1")
    box.claim()
    box.store.job_cancel("taken", reason="", etag="", grace_period=0).result()
    assert box.store.job_delete("taken", etag="").result()
    assert box.submit("taken", fork_from=CheckpointRef("first", "c1")).job.checkpoint_id == "c1"


def test_etags_change_with_each_move_and_never_repeat(box: Box) -> None:
    seen = {box.submit().job.etag}
    with pytest.raises(EtagMismatchError):
        box.store.job_cancel("j", reason="", etag="x", grace_period=0).result()
    claim = box.claim()
    seen.add(box.job().etag)
    box.store.run_write(claim.fence, RunUpdate(progress=Progress(0.3))).result()
    assert box.job().etag in seen
    box.store.job_cancel("j", reason="", etag=box.job().etag, grace_period=0).result()
    assert box.job().etag not in seen
    seen.add(box.job().etag)
    assert box.store.job_delete("j", etag="").result()
    assert box.submit().job.etag not in seen


def test_deletion(box: Box) -> None:
    claim = box.running("a", thread_id="t", labels={"k": "v"}, request_id="r", request_digest=b"")
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("t", "c1")))).result()
    with pytest.raises(JobStateConflictError):
        box.store.job_delete("a", etag="").result()
    box.end(claim, JobState.SUCCEEDED, output="1")
    box.end(box.running("b", thread_id="t"), JobState.SUCCEEDED, output="1")
    assert box.store.job_delete("a", etag="").result()
    assert not box.store.job_delete("a", etag="").result()
    assert box.news[-1].state is None
    assert box.store.job_get("a", payloads=False) is None
    assert box.store.events_read("a", after_sequence=0, limit=1, max_bytes=1) is None
    # The thread's rows go with its last job.
    assert box.store.checkpoint_get("t", "", "c1") is not None
    assert box.store.job_delete("b", etag="").result()
    assert box.store.checkpoint_get("t", "", "c1") is None
    assert box.submit("a", request_id="r", request_digest=b"other").job.state is JobState.PENDING


def test_expired_jobs_go_in_batches_and_unfinished_ones_never(box: Box) -> None:
    for number in range(5):
        box.end(box.running(f"j{number}", retention=number * SECOND), JobState.SUCCEEDED, output="1")
    box.submit("waiting", retention=0)
    box.clock.advance(2)
    assert box.store.jobs_delete_expired(limit=2).result() == 2
    assert box.store.jobs_delete_expired(limit=2).result() == 1
    assert box.store.jobs_delete_expired(limit=2).result() == 0
    left = box.store.job_list(JobFilter(), limit=10, after=None)
    assert [job.job_id for job in left] == ["waiting", "j4", "j3"]


def test_pruning(box: Box) -> None:
    for number in range(5):
        claim = box.running(f"j{number}", labels={"n": str(number % 2)})
        for checkpoint in ("c1", "c2", "c3"):
            box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row(f"j{number}", checkpoint)))).result()
        box.end(claim, JobState.SUCCEEDED, output="1")
        box.clock.advance(1)
    common = {"finished_before": box.clock(), "limit": 2, "after": None}
    even = JobFilter(labels={"n": "0"})

    def prune(job_filter: JobFilter, **fields: bool) -> tuple[int, int]:
        jobs = checkpoints = 0
        after = None
        while True:
            given = {"checkpoints_only": False, "dry_run": False} | fields
            batch = box.store.jobs_prune(job_filter, **(common | {"after": after}), **given).result()  # type: ignore[arg-type]
            jobs, checkpoints, after = jobs + batch.jobs, checkpoints + batch.checkpoints, batch.resume_after
            if not batch.more:
                return jobs, checkpoints

    assert prune(even, dry_run=True, checkpoints_only=True) == (0, 6)
    assert prune(even, checkpoints_only=True) == (0, 6)
    assert [c.checkpoint_id for c in box.store.checkpoints_list("j0", limit=9, before=None)] == ["c3"]
    assert prune(JobFilter(), dry_run=True) == (5, 9)
    assert prune(even) == (3, 3)
    assert prune(JobFilter(states=frozenset({JobState.PENDING}))) == (0, 0)
    assert [j.job_id for j in box.store.job_list(JobFilter(), limit=9, after=None)] == ["j3", "j1"]


def test_a_dry_run_counts_what_the_jobs_of_a_thread_leave_in_whatever_batches(box: Box) -> None:
    for job_id in ("a", "b", "c"):
        claim = box.running(job_id, thread_id="t", labels={"odd": str(job_id != "b")})
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("t", f"{job_id}1")))).result()
        box.end(claim, JobState.SUCCEEDED, output="1")

    def prune(job_filter: JobFilter, limit: int, dry_run: bool) -> tuple[int, int]:
        jobs = checkpoints = 0
        batch = Pruned(0, 0, more=True)
        while batch.more:
            batch = box.store.jobs_prune(
                job_filter,
                finished_before=box.clock(),
                checkpoints_only=False,
                dry_run=dry_run,
                limit=limit,
                after=batch.resume_after,
            ).result()
            jobs, checkpoints = jobs + batch.jobs, checkpoints + batch.checkpoints
        return jobs, checkpoints

    some = JobFilter(labels={"odd": "True"})
    assert [prune(some, limit, dry_run=True) for limit in (1, 2, 9)] == [(2, 0)] * 3
    assert [prune(JobFilter(), limit, dry_run=True) for limit in (1, 2, 9)] == [(3, 3)] * 3
    assert prune(some, 1, dry_run=False) == (2, 0)
    assert [prune(JobFilter(), limit, dry_run=True) for limit in (1, 9)] == [(1, 3)] * 2
    assert prune(JobFilter(), 1, dry_run=False) == (1, 3)


def test_pruning_leaves_each_job_what_its_newest_checkpoint_needs(box: Box) -> None:
    """The memory of a subgraph that keeps its state, as it was for an earlier job on the thread."""
    for job_id in ("a", "b"):
        claim = box.running(job_id, thread_id="t")
        for number in ("1", "2"):
            root = f"{job_id}{number}"
            update = RunUpdate(checkpoint=put(row("t", f"{root}-m", "memory", parents={"": root})))
            box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("t", root)))).result()
            box.store.run_write(claim.fence, update).result()
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("t", f"{job_id}3")))).result()
        box.end(claim, JobState.SUCCEEDED, output="1")
    pruned = box.store.jobs_prune(
        JobFilter(), finished_before=box.clock(), checkpoints_only=True, dry_run=False, limit=9, after=None
    ).result()
    assert pruned.checkpoints == 6
    kept = box.store.checkpoint_history("t", None, before=None, limit=None)
    assert sorted(c.checkpoint_id for c in kept) == ["a2-m", "a3", "b2-m", "b3"]
    box.submit("fork", fork_from=CheckpointRef("a"))
    copied = box.store.checkpoint_history("fork", None, before=None, limit=None)
    assert sorted(c.checkpoint_id for c in copied) == ["a2-m", "a3"]


def test_listing_by_every_filter(box: Box) -> None:
    """Each way to read a page gives what a plain look at all jobs gives."""
    for number in range(40):
        box.submit(
            f"j{number:02}",
            workflow="wx"[number % 2],
            thread_id=f"t{number}",
            labels={"a": str(number % 3), "b": str(number % 5)},
        )
        box.clock.advance(number % 2)
    for claim in box.claims(7):
        box.end(claim, JobState.FAILED, error=BROKEN)
    box.claims(5, "x")
    everything = box.store.job_list(JobFilter(), limit=100, after=None)
    assert len(everything) == 40
    middle = everything[20].create_time
    filters = [
        JobFilter(),
        JobFilter(states=frozenset({JobState.FAILED})),
        JobFilter(states=frozenset({JobState.FAILED, JobState.RUNNING})),
        JobFilter(workflow="x"),
        JobFilter(workflow="w", states=frozenset({JobState.PENDING})),
        JobFilter(thread_id="t3"),
        JobFilter(labels={"a": "1"}),
        JobFilter(labels={"a": "1", "b": "2"}),
        JobFilter(labels={"a": "1"}, states=FINISHED | {JobState.PENDING}, workflow="w"),
        JobFilter(created_after=middle),
        JobFilter(created_before=middle, workflow="x"),
    ]
    for wanted in filters:
        expected = [job.job_id for job in everything if _matches(job, wanted)]
        found: list[str] = []
        after = None
        while page := box.store.job_list(wanted, limit=3, after=after):
            found += [job.job_id for job in page]
            after = PageKey(create_time=page[-1].create_time, job_id=page[-1].job_id)
        assert found == expected, wanted


def _matches(job: object, wanted: JobFilter) -> bool:
    spec, state, created = job.spec, job.state, job.create_time  # type: ignore[attr-defined]
    return (
        (not wanted.states or state in wanted.states)
        and wanted.workflow in ("", spec.workflow)
        and wanted.thread_id in ("", spec.thread_id)
        and wanted.labels.items() <= spec.labels.items()
        and (wanted.created_after is None or created >= wanted.created_after)
        and (wanted.created_before is None or created < wanted.created_before)
    )


def test_forks_copy_what_belongs_to_a_checkpoint(box: Box) -> None:
    claim = box.running("j", thread_id="t")
    rows = [
        row("t", "c1"),
        row("t", "c2", parent="c1"),
        row("t", "s1", "child:1", parents={"": "c1"}),
        row("t", "s2", "child:2", parents={"": "c2"}),
        row("t", "m1", "memory", parents={"": "c1"}),
        row("t", "m3", "memory", parents={"": "c3"}),
        row("t", "c3", parent="c2", source="update"),
    ]
    for item in rows:
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(item, next_steps=("n",)))).result()
    writes = [
        WriteRow(task_id="t1", task_path="", idx=index, channel=channel, type="msgpack", value=b"v")
        for index, channel in enumerate(("x", "__resume__", "__interrupt__"))
    ]
    place = {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c2"}
    box.store.run_write(claim.fence, RunUpdate(writes=[WritesPut(rows=writes, replace=False, **place)])).result()  # type: ignore[arg-type]
    fork = box.submit("fork", fork_from=CheckpointRef("j", "c2")).job
    assert (fork.checkpoint_id, fork.next_steps, fork.spec.thread_id) == ("c2", ("n",), "fork")
    copied = box.store.checkpoint_history("fork", None, before=None, limit=None)
    assert sorted((c.checkpoint_ns, c.checkpoint_id) for c in copied) == [
        ("", "c2"),
        ("child:2", "s2"),
        ("memory", "m1"),
    ]
    assert [w.channel for w in box.store.writes_get("fork", "", "c2")] == ["x", "__interrupt__"]
    assert [c.checkpoint_id for c in box.store.checkpoints_list("fork", limit=9, before=None)] == ["c2"]
    assert box.claims()[0].passed_breakpoint == "c2"
    # Once the superstep is over, a fork runs it anew.
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("t", "c4", parent="c2", source="loop")))).result()
    box.submit("anew", fork_from=CheckpointRef("j", "c2"))
    copied = box.store.checkpoint_history("anew", None, before=None, limit=None)
    assert sorted((c.checkpoint_ns, c.checkpoint_id) for c in copied) == [("", "c2"), ("memory", "m1")]
    assert box.store.writes_get("anew", "", "c2") == []


def test_writes_are_kept_or_replaced_as_langgraph_asks(box: Box) -> None:
    claim = box.running()
    place = {"thread_id": "j", "checkpoint_ns": "", "checkpoint_id": "c"}

    def write(value: bytes, replaced: bool) -> None:
        item = WriteRow(task_id="t", task_path="", idx=0, channel="x", type="msgpack", value=value)
        box.store.run_write(claim.fence, RunUpdate(writes=[WritesPut(rows=[item], replace=replaced, **place)])).result()  # type: ignore[arg-type]

    write(b"1", False)
    write(b"2", False)
    assert [w.value for w in box.store.writes_get("j", "", "c")] == [b"1"]
    write(b"3", True)
    assert [w.value for w in box.store.writes_get("j", "", "c")] == [b"3"]


def test_reading_a_log_in_pages(box: Box) -> None:
    claim = box.running()
    drafts = [EventDraft(b"x" * 100, number % 2 == 0) for number in range(50)]
    box.store.run_write(claim.fence, RunUpdate(events=drafts)).result()
    page = box.store.events_read("j", after_sequence=2, limit=10, max_bytes=1 << 20)
    assert page is not None
    assert [e.sequence for e in page.events] == list(range(3, 13))
    assert [e.has_payload for e in page.events][:2] == [True, False]
    assert (page.latest_sequence, page.oldest_sequence, page.state) == (52, 1, JobState.RUNNING)
    page = box.store.events_read("j", after_sequence=2, limit=100, max_bytes=350)
    assert page is not None
    assert len(page.events) == 3
    page = box.store.events_read("j", after_sequence=2, limit=100, max_bytes=1)
    assert page is not None
    assert len(page.events) == 1


def test_moves_are_told_once_they_are_committed(box: Box) -> None:
    claim = box.running()
    box.end(claim, JobState.FAILED, error=JobError(JobErrorReason.STEP_RAISED, "why"))
    told = [(move.workflow, move.attempt, move.from_state, move.to_state, move.reason) for move in box.moves]
    assert told == [
        ("w", 0, None, JobState.PENDING, ""),
        ("w", 1, JobState.PENDING, JobState.RUNNING, ""),
        ("w", 1, JobState.RUNNING, JobState.FAILED, "STEP_RAISED"),
    ]
    with pytest.raises(JobAlreadyExistsError):
        box.submit()
    assert len(box.moves) == 3


@pytest.mark.parametrize("cancelling", [False, True])
def test_the_end_of_a_run_tells_what_became_of_its_job(box: Box, cancelling: bool) -> None:
    claim = box.running()
    if cancelling:
        box.store.job_cancel("j", reason="", etag="", grace_period=SECOND).result()
    state = box.store.run_end(claim.fence, RunEnd(to_state=JobState.PENDING), RunUpdate()).result()
    assert state is box.job().state is (JobState.CANCELLED if cancelling else JobState.PENDING)
