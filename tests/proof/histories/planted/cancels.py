"""Violations of: Cancel ends."""

from collections.abc import Callable
from dataclasses import replace

from autopilot.v1 import job_service_pb2

from tests.proof.histories.checkers import cancels
from tests.proof.histories.history import STOPPED, TOLD, History
from tests.proof.histories.planted.planting import answer, call_of, found_by, logs
from tests.proof.histories.states import CANCELLED


@found_by(cancels.cancelled_jobs_are_cancelled)
def a_cancel_is_answered_and_does_nothing(history: History) -> None:
    job_id = next(log.job_id for log in logs(history) if CANCELLED not in {move.to for move in log.moves})
    history.calls.append(call_of(job_id, "Cancel", job_service_pb2.CancelRequest(job_id=job_id)))


@found_by(cancels.steps_are_told_and_get_their_grace)
def a_step_is_not_told(history: History) -> None:
    _set_effects(history, lambda key, moment: None if key == TOLD else moment)


@found_by(cancels.steps_are_told_and_get_their_grace)
def a_step_is_stopped_too_early(history: History) -> None:
    _, cancel = answer(history, "Cancel", _cancelled_job(history))
    _set_effects(history, lambda key, moment: cancel.started if key == STOPPED else moment)


def _cancelled_job(history: History) -> str:
    return next(job_id for job_id, record in history.jobs.items() if TOLD in record.expected_runs)


def _set_effects(history: History, change: Callable[[str, int], int | None]) -> None:
    """Of the job whose step tells what becomes of it. `change`: gives a new moment; None: there is no such effect."""
    job_id = _cancelled_job(history)
    record = history.jobs[job_id]
    effects = tuple((key, other) for key, moment in record.effects if (other := change(key, moment)) is not None)
    history.jobs[job_id] = replace(record, effects=effects)
