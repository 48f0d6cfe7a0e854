"""Steps at least once, transitions exactly once."""

from collections import Counter

from tests.proof.histories.seen import Log, Seen, Violations
from tests.proof.histories.states import NONE, SUCCEEDED, TRANSITIONS, name


def transitions_follow_the_diagram(seen: Seen) -> Violations:
    """Each move begins where the one before ended, and the last one leads to the job's state."""
    for job_id, log in seen.logs.items():
        state = NONE
        for move in log.moves:
            start = getattr(move, "from")
            if start != state or (start, move.to) not in TRANSITIONS:
                yield f"job {job_id} is {name(state)} and moves from {name(start)} to {name(move.to)}"
            state = move.to
        if state != log.job.state:
            yield f"job {job_id} is {name(log.job.state)}, its log ends with {name(state)}"


def finished_steps_are_told_once(seen: Seen) -> Violations:
    """Each run of a node is told as finished once; of a job that succeeded, all of them are."""
    for job_id, log in seen.logs.items():
        for key, times in log.finished_runs.items():
            if times > 1 + log.record.again.count(key):
                yield f"job {job_id}: {key} is told as finished {times} times"
        if log.job.state == SUCCEEDED and (missing := log.record.expected_runs - log.finished_runs.keys()):
            yield f"job {job_id} succeeded, and its log does not tell of {sorted(missing)}"


def steps_run_at_least_once(seen: Seen) -> Violations:
    """What is told as finished did its work; nothing did any that does not belong to the job."""
    for job_id, log in seen.logs.items():
        done = Counter(key for key, _ in log.record.effects)
        if lost := log.finished_runs - done:
            yield f"job {job_id}: {sorted(lost)} are told as finished and did nothing"
        if strange := {key.rstrip("!") for key in done} - log.record.expected_runs - _failing(log):
            yield f"job {job_id}: {sorted(strange)} ran, which an undisturbed run does not do"


def _failing(log: Log) -> set[str]:
    return {"doomed"} if log.record.expected_trail is None else set()
