"""Violations of: steps at least once, transitions exactly once."""

from dataclasses import replace

from autopilot.v1 import job_pb2

from tests.proof.histories.checkers import transitions
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import changed, double, drop, found_by, set_job, set_log, succeeded


@found_by(transitions.transitions_follow_the_diagram)
def a_transition_happens_twice(history: History) -> None:
    double(history, "state_changed")


@found_by(transitions.transitions_follow_the_diagram)
def a_transition_is_lost(history: History) -> None:
    drop(history, "state_changed")


@found_by(transitions.transitions_follow_the_diagram)
def a_transition_is_not_in_the_diagram(history: History) -> None:
    log = succeeded(history)
    events = list(log.events)
    events[-1] = changed(events[-1])
    events[-1].state_changed.to = job_pb2.JOB_STATE_CANCELLED
    set_log(history, log, events)


@found_by(transitions.transitions_follow_the_diagram)
def a_job_is_not_where_its_log_ends(history: History) -> None:
    set_job(history, succeeded(history), state=job_pb2.JOB_STATE_CANCELLED)


@found_by(transitions.finished_steps_are_told_once)
def a_finished_step_is_told_twice(history: History) -> None:
    double(history, "step_finished")


@found_by(transitions.finished_steps_are_told_once)
def a_finished_step_is_not_told(history: History) -> None:
    drop(history, "step_finished")


@found_by(transitions.steps_run_at_least_once)
def a_told_step_did_nothing(history: History) -> None:
    log = succeeded(history)
    key = next(iter(log.finished_runs))
    left = tuple(effect for effect in log.record.effects if effect[0] != key)
    history.jobs[log.job_id] = replace(log.record, effects=left)


@found_by(transitions.steps_run_at_least_once)
def a_step_runs_that_is_none_of_the_job(history: History) -> None:
    log = succeeded(history)
    history.jobs[log.job_id] = replace(log.record, effects=(*log.record.effects, ("strange", 1)))
