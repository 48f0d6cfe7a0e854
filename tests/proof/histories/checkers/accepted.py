"""Accepted is kept: what a client was answered stays so."""

from collections import defaultdict

from autopilot.v1 import job_service_pb2

from tests.proof.histories.history import Call
from tests.proof.histories.seen import Seen, Violations
from tests.proof.histories.states import PENDING, RESUMABLE, name


def submitted_jobs_are_there(seen: Seen) -> Violations:
    """Each job that a Submit answered exists, and a repeated request made one job."""
    made: dict[str, set[str]] = defaultdict(set)
    for call in seen.history.calls:
        if call.method == "SubmitJob" and (job := call.job) is not None:
            made[job_service_pb2.SubmitJobRequest.FromString(call.request).request_id].add(job.job_id)
            if job.job_id not in seen.logs and job.job_id not in seen.history.deleted:
                yield f"job {job.job_id} was accepted and is gone"
    yield from (f"request {key} made jobs {sorted(jobs)}" for key, jobs in made.items() if key and len(jobs) > 1)


def resumes_happen_once(seen: Seen) -> Violations:
    """Each Resume that was answered is in the log, once however often it was asked; none is that nobody asked for."""
    for job_id, log in seen.logs.items():
        calls = [call for call in seen.calls_of.get(job_id, ()) if call.method == "Resume"]
        asked = {_request_id(call) for call in calls}
        accepted = {_request_id(call) for call in calls if call.code == "OK"}
        done = sum(1 for move in log.moves if getattr(move, "from") in RESUMABLE and move.to == PENDING)
        if not len(accepted) <= done <= len(asked):
            yield f"job {job_id}: {len(accepted)} Resumes were accepted, {len(asked)} asked for, {done} happened"


def _request_id(call: Call) -> str:
    return job_service_pb2.ResumeRequest.FromString(call.request).request_id


def deleted_jobs_stay_away(seen: Seen) -> Violations:
    """A job that was deleted, pruned or is over is gone, and does not come back."""
    for job_id in seen.history.deleted:
        calls = seen.calls_of.get(job_id, ())
        gone = [
            call.ended for call in calls if (call.method, call.code) == ("DeleteJob", "OK") or call.code == "NOT_FOUND"
        ]
        if not gone:
            yield f"job {job_id} was to go, and nobody saw that it was gone"
        elif any(call.job is not None and call.started > min(gone) for call in calls):
            yield f"job {job_id} was gone, and is there again"


def answers_agree_with_the_log(seen: Seen) -> Violations:
    """A job that was answered is as its log says that it was at that place."""
    for call in seen.history.calls:
        if (job := call.job) is None or job.job_id not in seen.logs:
            continue
        states = seen.logs[job.job_id].states
        if job.latest_sequence >= len(states):
            yield f"job {job.job_id}: {call.method} told of event {job.latest_sequence}, which is not in the log"
        elif (job.state, job.attempt) != states[job.latest_sequence]:
            state, attempt = states[job.latest_sequence]
            yield (
                f"job {job.job_id}: {call.method} answered {name(job.state)} in attempt {job.attempt} at event "
                f"{job.latest_sequence}, the log says {name(state)} in attempt {attempt}"
            )


def reads_never_go_back(seen: Seen) -> Violations:
    """What one client was told, every client is told that asks later."""
    for job_id in seen.logs:
        told = [(m.received, m.parsed().through_sequence) for s in seen.streams_of.get(job_id, ()) for m in s.messages]
        answers = [(call, job) for call in seen.calls_of.get(job_id, ()) if (job := call.job) is not None]
        told += [(call.ended, job.latest_sequence) for call, job in answers]
        told.sort()
        newest, position = 0, 0
        for call, job in sorted(answers, key=lambda answer: answer[0].started):
            while position < len(told) and told[position][0] < call.started:
                newest = max(newest, told[position][1])
                position += 1
            if job.latest_sequence < newest:
                yield f"job {job_id}: {call.method} answered event {job.latest_sequence} after event {newest} was told"
