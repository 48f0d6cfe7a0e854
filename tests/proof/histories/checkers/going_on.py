"""Goes on by itself: jobs come to what they come to undisturbed, and nothing that was told as done is done again."""

import json
from collections import Counter, defaultdict

from tests.proof.histories.seen import Seen, Violations, finished_run
from tests.proof.histories.states import CANCELLED, FAILED, PENDING, RESUMABLE, RUNNING, SUCCEEDED, name


def jobs_come_to_their_end(seen: Seen) -> Violations:
    """Every job ends as its undisturbed run does, or CANCELLED when somebody asked for that."""
    for job_id, log in seen.logs.items():
        job, trail = log.job, log.record.expected_trail
        if job.state == CANCELLED and _was_to_be_cancelled(seen, job_id):
            continue
        if job.state != (FAILED if trail is None else SUCCEEDED):
            yield f"job {job_id} is {name(job.state)}: {job.error.message}"
        elif trail is not None and (given := json.loads(job.output.json_text)["trail"]) != list(trail):
            yield f"job {job_id} came to {given}, undisturbed it comes to {list(trail)}"


def _was_to_be_cancelled(seen: Seen, job_id: str) -> bool:
    """Whether a client asked for it, and for no Resume since."""
    resumed = max((call.started for call in seen.answered(job_id, "Resume")), default=0)
    return any(call.method == "Cancel" and call.ended > resumed for call in seen.calls_of.get(job_id, ()))


# Why an attempt may have failed without an exception; requeued after a restart it has no error at all.
_NOT_BY_EXCEPTION = {"", "EXECUTION_TIMED_OUT", "WORKER_LOST"}


def restarts_cost_no_attempts(seen: Seen) -> Violations:
    """failed_attempts counts what exceptions of the workflow ended, and nothing else."""
    for job_id, log in seen.logs.items():
        failed = 0
        for move in log.moves:
            start = getattr(move, "from")
            if start in RESUMABLE and move.to == PENDING:
                failed = 0
            elif start == RUNNING and move.to in (PENDING, FAILED) and move.error.reason not in _NOT_BY_EXCEPTION:
                failed += 1
        # One more may have failed while it was CANCELLING, which the log does not tell.
        most = failed + (log.job.state == CANCELLED)
        if not failed <= log.job.failed_attempts <= most:
            yield f"job {job_id} counts {log.job.failed_attempts} failed attempts, its log tells of {failed}"


def jobs_wait_for_their_time(seen: Seen) -> Violations:
    """A job that has a scheduled_time does not begin before it."""
    for job_id, log in seen.logs.items():
        begun = [event for event in log.events if event.state_changed.to == RUNNING]
        scheduled = log.job.scheduled_time.ToNanoseconds()
        if begun and begun[0].event_time.ToNanoseconds() < scheduled:
            yield f"job {job_id} began at event {begun[0].sequence}, before its time"


def told_steps_do_not_run_again(seen: Seen) -> Violations:
    """A run of a node that any client saw finished does nothing after that, unless a client goes back behind it."""
    for job_id, log in seen.logs.items():
        told: dict[str, dict[int, int]] = defaultdict(dict)
        for stream in seen.streams_of.get(job_id, ()):
            for moment, event in stream.received_events():
                if event.sequence and (key := finished_run(event)) is not None:
                    told[key][event.sequence] = min(moment, told[key].get(event.sequence, moment))
        again = Counter(log.record.again)
        for key, moment in log.record.effects:
            times = sum(1 for received in told[key].values() if received < moment)
            if times > again[key]:
                yield f"job {job_id}: {key} ran again after it was told as finished"
