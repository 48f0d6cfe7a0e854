"""Cancel ends."""

from collections.abc import Sequence

from autopilot.v1 import job_service_pb2

from tests.proof.histories.history import BEGUN, STOPPED, TOLD, Call
from tests.proof.histories.seen import Log, Seen, Violations
from tests.proof.histories.states import CANCELLED, CANCELLING


def cancelled_jobs_are_cancelled(seen: Seen) -> Violations:
    """A Cancel that was answered is in the log."""
    for job_id, log in seen.logs.items():
        calls = seen.answered(job_id, "Cancel")
        if calls and CANCELLED not in {move.to for move in log.moves}:
            yield f"job {job_id}: Cancel was answered, and it never was CANCELLED"


def steps_are_told_and_get_their_grace(seen: Seen) -> Violations:
    """A step that runs when its job is cancelled is told, and is not stopped before its grace period is over."""
    for job_id, log in seen.logs.items():
        calls = [call for call in seen.calls_of.get(job_id, ()) if call.method == "Cancel"]
        if not calls or TOLD not in log.record.expected_runs or not _met_its_step(log):
            continue
        asked, grace = min(call.started for call in calls), min(map(_grace, calls))
        if _process_died(seen, log, asked):
            continue
        effects = [(key, moment) for key, moment in log.record.effects if moment >= asked]
        if TOLD not in dict(effects):
            yield f"job {job_id}: its step was not told of the Cancel"
        for key, moment in effects:
            if key == STOPPED and moment < asked + grace:
                yield f"job {job_id}: its step was stopped {moment - asked} ns after the Cancel, which gave it {grace}"


def _grace(call: Call) -> int:
    return job_service_pb2.CancelRequest.FromString(call.request).grace_period.ToNanoseconds()


def _met_its_step(log: Log) -> bool:
    """Whether Cancel came to a job whose step was running."""
    runs = False
    for event in log.events:
        if event.WhichOneof("kind") == "step_started":
            runs = True
        elif event.WhichOneof("kind") == "state_changed":
            if event.state_changed.to == CANCELLING:
                return runs
            runs = False
    return False


def _process_died(seen: Seen, log: Log, asked: int) -> bool:
    """Whether that of the step may have, before its job was told as CANCELLED: what is CANCELLING then ends at once."""
    begun = max((moment for key, moment in log.record.effects if key == BEGUN and moment <= asked), default=0)
    ended = min(_told_cancelled(seen, log.job_id), default=asked)
    return seen.history.was_away(begun, ended) or any(begun <= loss <= ended for loss in seen.history.losses)


def _told_cancelled(seen: Seen, job_id: str) -> Sequence[int]:
    """When clients were answered that it is."""
    calls = seen.calls_of.get(job_id, ())
    return [call.ended for call in calls if call.job is not None and call.job.state == CANCELLED]
