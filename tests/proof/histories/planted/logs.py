"""Violations of: the watch is a log, in logs."""

from itertools import pairwise

from tests.proof.histories.checkers import logs
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import changed, double, drop, found_by, index_of, set_log, succeeded


@found_by(logs.logs_are_gapless)
def a_log_lacks_an_event(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, [*log.events[:2], *log.events[3:]])


@found_by(logs.logs_are_gapless)
def a_log_has_an_event_twice(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, [*log.events[:3], *log.events[2:]])


@found_by(logs.logs_are_gapless)
def a_log_is_not_in_order(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, [log.events[1], log.events[0], *log.events[2:]])


@found_by(logs.logs_are_gapless)
def a_log_lacks_its_end(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, log.events[:-1])


@found_by(logs.events_belong_to_their_attempt)
def a_step_reports_under_another_attempt(history: History) -> None:
    log = succeeded(history)
    events, at = list(log.events), index_of(log, "step_finished")
    events[at] = changed(events[at], attempt=events[at].attempt + 1)
    set_log(history, log, events)


@found_by(logs.events_belong_to_their_attempt)
def a_step_reports_after_the_end(history: History) -> None:
    log = succeeded(history)
    at = index_of(log, "step_finished")
    set_log(history, log, [*log.events[:at], *log.events[at + 1 :], log.events[at]], renumber=True)


@found_by(logs.steps_are_closed)
def a_step_starts_twice(history: History) -> None:
    double(history, "step_started")


@found_by(logs.steps_are_closed)
def a_step_ends_that_did_not_start(history: History) -> None:
    drop(history, "step_started")


@found_by(logs.steps_are_closed)
def a_step_ends_twice(history: History) -> None:
    double(history, "step_finished")


@found_by(logs.steps_are_closed)
def a_step_of_a_job_that_succeeded_does_not_end(history: History) -> None:
    drop(history, "step_finished")


@found_by(logs.progress_never_falls)
def the_progress_falls(history: History) -> None:
    log = succeeded(history)
    pairs = enumerate(pairwise(log.events), 1)
    at = next(i for i, (one, two) in pairs if one.progress.fraction > 0 and one.attempt == two.attempt and i > 2)
    events = list(log.events)
    events[at] = changed(events[at])
    events[at].progress.fraction = 0.0
    set_log(history, log, events)


@found_by(logs.progress_never_falls)
def the_progress_is_whole_too_early(history: History) -> None:
    log = succeeded(history)
    events, at = list(log.events), index_of(log, "step_finished")
    events[at] = changed(events[at])
    events[at].progress.fraction = 1.0
    set_log(history, log, events)
