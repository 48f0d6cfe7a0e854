"""Spans keep their length when somebody steps the wall clock."""

import pytest
from autopilot_server.jobs.job import SECOND, RetryPolicy
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.store import RunUpdate
from autopilot_server.storage.transaction import Transaction

from tests.storage.conftest import Box, put, row

HOUR, DAY = 3600, 86_400

# Back, forward, and further than any span of the tests.
STEPS = pytest.mark.parametrize("step", [-DAY, -HOUR, -1, 1, HOUR, DAY])


@STEPS
def test_a_grace_period_ends_when_it_would_have_ended(box: Box, step: int) -> None:
    box.running()
    box.store.job_cancel("j", reason="", etag="", grace_period=10 * SECOND).result()
    box.clock.advance(4)
    box.clock.step(step)
    assert box.store.next_deadline() == box.clock() + 6 * SECOND
    assert not box.store.jobs_expire().result().cancelled
    assert box.store.next_deadline() == box.clock() + 6 * SECOND
    box.clock.advance(6)
    assert box.store.jobs_expire().result().cancelled == ["j"]


@STEPS
def test_an_execution_timeout_spends_what_the_job_ran(box: Box, step: int) -> None:
    claim = box.running(execution_timeout=10 * SECOND)
    box.clock.advance(4)
    box.clock.step(step)
    assert box.job().progress.elapsed == 4 * SECOND
    assert not box.store.jobs_expire().result().failed
    assert box.job().progress.elapsed == 4 * SECOND
    job = box.end(claim, JobState.PENDING)
    assert job.progress.elapsed == 4 * SECOND
    assert box.claim().deadline == box.clock() + 6 * SECOND


@STEPS
def test_the_first_write_after_a_step_counts_by_the_new_clock(box: Box, step: int) -> None:
    box.running("old", execution_timeout=10 * SECOND)
    box.clock.step(step)
    box.store.job_cancel("old", reason="", etag="", grace_period=5 * SECOND).result()
    assert box.job("old").update_time == box.clock()
    assert box.store.next_deadline() == box.clock() + 5 * SECOND


@STEPS
def test_a_job_is_runnable_at_once_whatever_the_clock_does(box: Box, step: int) -> None:
    box.submit("before")
    box.clock.advance(1)
    box.clock.step(step)
    box.submit("after")
    assert [claim.job.job_id for claim in box.claims()] == ["before", "after"]


@STEPS
def test_a_backoff_takes_as_long_as_it_would_have_taken(box: Box, step: int) -> None:
    claim = box.running(retry_policy=RetryPolicy(max_backoff=20 * SECOND))
    box.end(claim, JobState.PENDING, backoff=10 * SECOND)
    box.clock.advance(4)
    box.clock.step(step)
    assert box.claims() == []
    assert box.job().next_attempt_time == box.clock() + 6 * SECOND
    box.clock.advance(6)
    assert len(box.claims()) == 1


def test_a_scheduled_time_is_a_time_of_the_wall_clock(box: Box) -> None:
    box.submit("j", scheduled_time=box.clock() + HOUR * SECOND)
    box.clock.step(-HOUR)
    box.clock.advance(HOUR)
    assert box.claims() == []
    box.clock.step(HOUR)
    assert len(box.claims()) == 1


def test_a_retry_does_not_wait_for_the_scheduled_time_again(box: Box) -> None:
    claim = box.running(scheduled_time=box.clock())
    box.clock.advance(1)
    box.end(claim, JobState.PENDING)
    box.clock.step(-HOUR)
    assert len(box.claims()) == 1


@STEPS
def test_a_job_that_is_given_back_after_a_step_keeps_its_turn(box: Box, step: int) -> None:
    claim = box.running("first", scheduled_time=box.clock())
    box.clock.advance(1)
    box.submit("second")
    box.clock.step(step)
    box.clock.advance(1)
    box.end(claim, JobState.PENDING)
    assert [claim.job.job_id for claim in box.claims()] == ["first", "second"]


@STEPS
def test_a_job_that_is_given_back_before_a_step_keeps_its_turn(box: Box, step: int) -> None:
    claim = box.running("first", scheduled_time=box.clock())
    box.clock.advance(1)
    box.submit("second")
    box.end(claim, JobState.PENDING)
    box.clock.step(step)
    assert [claim.job.job_id for claim in box.claims()] == ["first", "second"]


@STEPS
def test_a_job_that_was_lost_before_a_step_keeps_its_turn(box: Box, step: int) -> None:
    """Though no server ran when the clock was stepped."""
    box.running("first")
    box.clock.advance(1)
    box.submit("second")
    box.clock.advance(1)
    box.store.close()
    box.clock.step(step)
    box.open()
    box.store.jobs_recover(max_losses=10).result()
    assert [claim.job.job_id for claim in box.claims()] == ["first", "second"]


def test_small_steps_are_found_together(box: Box) -> None:
    box.running(execution_timeout=10 * SECOND)
    for _ in range(10):
        box.clock.step(-0.3)
        box.store.probe().result()
    assert abs(box.store.next_deadline() - box.clock() - 10 * SECOND) <= SECOND // 2


def test_an_operation_that_is_undone_does_not_undo_the_shift(box: Box) -> None:
    box.running(execution_timeout=10 * SECOND)
    box.clock.step(DAY)
    with pytest.raises(ValueError, match="behind"):
        box.store._writer.submit(_changes_and_fails).result()  # type: ignore[attr-defined]
    assert box.store.next_deadline() == box.clock() + 10 * SECOND


def _changes_and_fails(transaction: Transaction) -> None:
    transaction.execute(Statement.common("UPDATE jobs SET deadline = 0"))
    raise ValueError("behind a change")


@pytest.mark.parametrize("step", [-HOUR, DAY])
def test_a_run_that_died_after_a_step_has_spent_no_more_than_it_ran(box: Box, step: int) -> None:
    claim = box.running(execution_timeout=10 * SECOND)
    box.clock.advance(2)
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("j", "1")))).result()
    box.clock.step(step)
    box.store.probe().result()
    box.reopen()
    box.store.jobs_recover(max_losses=10).result()
    assert 0 <= box.job().progress.elapsed <= 2 * SECOND


@STEPS
def test_a_step_while_no_server_runs_leaves_no_job_waiting(box: Box, step: int) -> None:
    policy = RetryPolicy(max_backoff=20 * SECOND)
    retried = box.running("retried", retry_policy=policy)
    box.end(retried, JobState.PENDING, backoff=10 * SECOND)
    box.submit("new")
    box.store.close()
    box.clock.step(step)
    box.open()
    box.store.jobs_recover(max_losses=10).result()
    assert box.job("retried").next_attempt_time <= box.clock() + 20 * SECOND
    claimed = {claim.job.job_id for claim in box.claims()}
    assert "new" in claimed
    box.clock.advance(20)
    assert claimed | {claim.job.job_id for claim in box.claims()} == {"new", "retried"}
