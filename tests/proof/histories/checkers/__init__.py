"""What must hold of every history, whatever was done to the server. Written from the contract, not from the server.

    python -m tests.proof.histories.checkers HISTORY

checks a history again that a failed test has kept.
"""

from collections.abc import Mapping

from tests.proof.histories.checkers import accepted, cancels, errors, going_on, limits, logs, streams, transitions
from tests.proof.histories.history import History
from tests.proof.histories.seen import Checker, Seen

CHECKERS: Mapping[str, tuple[Checker, ...]] = {
    "accepted is kept": (
        accepted.submitted_jobs_are_there,
        accepted.deleted_jobs_stay_away,
        accepted.resumes_happen_once,
        accepted.answers_agree_with_the_log,
        accepted.reads_never_go_back,
    ),
    "goes on by itself": (
        going_on.jobs_come_to_their_end,
        going_on.restarts_cost_no_attempts,
        going_on.jobs_wait_for_their_time,
        going_on.told_steps_do_not_run_again,
    ),
    "steps at least once, transitions exactly once": (
        transitions.transitions_follow_the_diagram,
        transitions.finished_steps_are_told_once,
        transitions.steps_run_at_least_once,
    ),
    "the watch is a log": (
        logs.logs_are_gapless,
        logs.events_belong_to_their_attempt,
        logs.steps_are_closed,
        logs.progress_never_falls,
        streams.streams_are_gapless,
        streams.watchers_see_each_event_once,
        streams.streams_agree_with_the_log,
        streams.nothing_is_shown_before_it_is_stored,
        streams.streams_end_with_the_job,
    ),
    "so many at once": (limits.as_many_with_a_key_run_as_may,),
    "cancel ends": (cancels.cancelled_jobs_are_cancelled, cancels.steps_are_told_and_get_their_grace),
    "no error that nobody expects": (errors.errors_are_expected_ones,),
}


def check(history: History) -> dict[str, list[str]]:
    """The violations in a history, by checker; empty when everything holds."""
    seen = Seen(history)
    found = {checker.__name__: list(checker(seen)) for checkers in CHECKERS.values() for checker in checkers}
    return {checker: violations for checker, violations in found.items() if violations}
