"""Violations of: accepted is kept."""

from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.checkers import accepted
from tests.proof.histories.history import History
from tests.proof.histories.planted.planting import answer, call_of, found_by, set_answer, succeeded
from tests.proof.histories.states import RUNNING


@found_by(accepted.submitted_jobs_are_there)
def an_accepted_job_is_lost(history: History) -> None:
    del history.jobs[succeeded(history).job_id]


@found_by(accepted.submitted_jobs_are_there)
def a_repeated_request_makes_another_job(history: History) -> None:
    _, call = answer(history, "SubmitJob")
    history.calls.append(call)
    set_answer(history, len(history.calls) - 1, job_id=next(job for job in history.jobs if job != call.job_id))


@found_by(accepted.deleted_jobs_stay_away)
def a_job_that_was_to_go_stays(history: History) -> None:
    history.deleted.add(succeeded(history).job_id)


@found_by(accepted.deleted_jobs_stay_away)
def a_deleted_job_comes_back(history: History) -> None:
    request = job_service_pb2.GetStatusRequest(job_id="deleted")
    response = job_service_pb2.GetStatusResponse(job=job_pb2.Job(job_id="deleted"))
    history.calls.append(call_of("deleted", "GetStatus", request, response=response.SerializeToString()))


@found_by(accepted.resumes_happen_once)
def an_accepted_resume_does_not_happen(history: History) -> None:
    job_id = succeeded(history).job_id
    request = job_service_pb2.ResumeRequest(job_id=job_id, request_id="another")
    history.calls.append(call_of(job_id, "Resume", request))


@found_by(accepted.resumes_happen_once)
def a_resume_happens_that_nobody_asked_for(history: History) -> None:
    _, call = answer(history, "Resume")
    history.calls[:] = [c for c in history.calls if (c.method, c.job_id) != ("Resume", call.job_id)]


@found_by(accepted.answers_agree_with_the_log)
def an_answer_tells_of_another_state(history: History) -> None:
    place, _ = answer(history, "GetStatus")
    set_answer(history, place, state=RUNNING)


@found_by(accepted.answers_agree_with_the_log)
def an_answer_tells_of_an_attempt_that_was_not(history: History) -> None:
    place, call = answer(history, "GetStatus")
    set_answer(history, place, attempt=call.job.attempt + 1)  # type: ignore[union-attr]


@found_by(accepted.answers_agree_with_the_log)
def an_answer_tells_of_an_event_that_is_lost(history: History) -> None:
    place, call = answer(history, "GetStatus")
    set_answer(history, place, latest_sequence=call.job.latest_sequence + 1)  # type: ignore[union-attr]


@found_by(accepted.reads_never_go_back)
def an_answer_is_older_than_one_before(history: History) -> None:
    place, _ = answer(history, "GetStatus", succeeded(history).job_id)
    set_answer(history, place, latest_sequence=1)
