"""The watch is a log: what the log of each job says."""

from itertools import pairwise
from typing import Any

from tests.proof.histories.seen import Seen, Violations
from tests.proof.histories.states import OWNED, SUCCEEDED, name

_CLOSING = {"step_finished", "step_failed", "interrupt_raised"}


def logs_are_gapless(seen: Seen) -> Violations:
    """1, 2, 3 … to the newest that the job tells of."""
    for job_id, log in seen.logs.items():
        sequences = [event.sequence for event in log.events]
        if sequences != list(range(1, log.job.latest_sequence + 1)):
            yield f"job {job_id}: its log has {sequences}, its newest event is {log.job.latest_sequence}"


def events_belong_to_their_attempt(seen: Seen) -> Violations:
    """Steps report while the job runs, under the attempt that runs them."""
    for job_id, log in seen.logs.items():
        for event, (state, attempt) in zip(log.events, log.states, strict=False):
            kind = event.WhichOneof("kind")
            if kind != "state_changed" and state not in OWNED:
                yield f"job {job_id}: event {event.sequence} is a {kind} of a job that is {name(state)}"
            elif kind != "state_changed" and event.attempt != attempt:
                yield f"job {job_id}: event {event.sequence} says attempt {event.attempt}, it is {attempt}"


def steps_are_closed(seen: Seen) -> Violations:
    """Each step that started ends once: by an event of its own, or when the job stops running, but for a job that
    succeeds: there nothing is left open."""
    for job_id, log in seen.logs.items():
        started: set[tuple[int, str]] = set()
        for event in log.events:
            kind = event.WhichOneof("kind") or ""
            if kind == "state_changed" and event.state_changed.to not in OWNED:
                if started and event.state_changed.to == SUCCEEDED:
                    yield f"job {job_id} succeeds at event {event.sequence}, and {len(started)} of its steps are open"
                started.clear()
            elif kind == "step_started":
                run = (event.attempt, event.step_started.step_run_id)
                if run in started:
                    yield f"job {job_id}: event {event.sequence} starts a step again that has not ended"
                started.add(run)
            elif kind in _CLOSING:
                if (run := (event.attempt, _step_run_id(event, kind))) not in started:
                    yield f"job {job_id}: event {event.sequence} is a {kind} of a step that is not running"
                started.discard(run)


def _step_run_id(event: Any, kind: str) -> str:
    what = getattr(event, kind)
    run_id: str = what.interrupt.step_run_id if kind == "interrupt_raised" else what.step_run_id
    return run_id


def progress_never_falls(seen: Seen) -> Violations:
    """Within an attempt the fraction only grows, and is 1 only at the end of a job that succeeded."""
    for job_id, log in seen.logs.items():
        for (one, _), (other, state) in pairwise(zip(log.events, log.states[1:], strict=False)):
            low, high = one.progress.fraction, other.progress.fraction
            if one.attempt == other.attempt and high < low and state[0] in OWNED:
                yield f"job {job_id}: its progress falls from {low} to {high} at event {other.sequence}"
            if high == 1 and state[0] != SUCCEEDED:
                yield f"job {job_id}: its progress is 1 at event {other.sequence}, and it is {name(state[0])}"
