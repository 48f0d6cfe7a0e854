"""Violations of: goes on by itself."""

import json
import time
from dataclasses import replace

from autopilot.v1 import job_service_pb2

from tests.proof.histories.checkers import going_on
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import call_of, changed, found_by, set_job, succeeded
from tests.proof.histories.seen import Log, finished_run
from tests.proof.histories.states import CANCELLED, RUNNING


@found_by(going_on.jobs_come_to_their_end)
def a_job_is_left_running(history: History) -> None:
    set_job(history, succeeded(history), state=RUNNING)


@found_by(going_on.jobs_come_to_their_end)
def a_job_comes_to_something_else(history: History) -> None:
    log = succeeded(history)
    output = json.loads(log.job.output.json_text)
    output["trail"].reverse()
    other = changed(log.job)
    other.output.json_text = json.dumps(output)
    history.jobs[log.job_id] = replace(log.record, job=other.SerializeToString())


@found_by(going_on.jobs_come_to_their_end)
def a_job_that_was_resumed_ends_as_it_was_cancelled_before(history: History) -> None:
    log = succeeded(history)
    answered = job_service_pb2.ResumeResponse(job=log.job).SerializeToString()
    history.calls += [
        call_of(log.job_id, "Cancel", job_service_pb2.CancelRequest(job_id=log.job_id)),
        call_of(log.job_id, "Resume", job_service_pb2.ResumeRequest(job_id=log.job_id), response=answered),
    ]
    set_job(history, log, state=CANCELLED)


@found_by(going_on.restarts_cost_no_attempts)
def a_restart_costs_an_attempt(history: History) -> None:
    log = succeeded(history)
    set_job(history, log, failed_attempts=log.job.failed_attempts + 1)


@found_by(going_on.jobs_wait_for_their_time)
def a_job_begins_too_early(history: History) -> None:
    log = succeeded(history)
    job = log.record.parsed()
    job.scheduled_time.CopyFrom(job.end_time)
    history.jobs[log.job_id] = replace(log.record, job=job.SerializeToString())


@found_by(going_on.told_steps_do_not_run_again)
def a_step_runs_again_after_it_was_told(history: History) -> None:
    log, key = _told_run(history)
    history.jobs[log.job_id] = replace(log.record, effects=(*log.record.effects, (key, time.monotonic_ns())))


def _told_run(history: History) -> tuple[Log, str]:
    told = (
        (stream.job_id, key)
        for stream in history.streams
        if stream.job_id in history.jobs and not history.jobs[stream.job_id].again
        for event in stream.events()
        if (key := finished_run(event)) is not None
    )
    job_id, key = next(told)
    return Log(job_id, history.jobs[job_id]), key
