"""Violations, planted into a history that is in order: for each checker what it must find."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories import checkers
from tests.proof.histories.checkers import CANCELLED, OWNED, RUNNING, SUCCEEDED, Checker, Log, finished_run
from tests.proof.histories.history import Call, History, Message, Stream

Plant = Callable[[History], None]
"""Changes a history, which is a copy."""

PLANTS: dict[Checker, list[Plant]] = {}


def found_by(checker: Checker) -> Callable[[Plant], Plant]:
    """What a checker must find."""

    def plant(change: Plant) -> Plant:
        PLANTS.setdefault(checker, []).append(change)
        return change

    return plant


def copy(history: History) -> History:
    """A history that may be changed."""
    return History(
        list(history.calls), list(history.streams), dict(history.jobs), set(history.deleted), history.restarts
    )


# --- what to change, and how -------------------------------------------------------------------------------------


def logs(history: History) -> Iterator[Log]:
    """The logs of the jobs, those with the most events first."""
    return iter(sorted((Log(*item) for item in history.jobs.items()), key=lambda log: -len(log.events)))


def succeeded(history: History) -> Log:
    """The longest log of a job that went well, and that no client sent back."""
    return next(log for log in logs(history) if log.job.state == SUCCEEDED and not log.record.again)


def index_of(log: Log, kind: str) -> int:
    """Where the last event of a kind is: what its attempt began, no restart has ended."""
    return max(i for i, event in enumerate(log.events) if event.WhichOneof("kind") == kind)


def set_log(history: History, log: Log, events: Sequence[job_pb2.ProgressEvent], *, renumber: bool = False) -> None:
    """Give a job another log. `renumber`: without gaps, and the job knows how long it is."""
    job = log.record.parsed()
    if renumber:
        events = [_changed(event, sequence=number) for number, event in enumerate(events, 1)]
        job.latest_sequence = len(events)
    history.jobs[log.job_id] = replace(
        log.record, job=job.SerializeToString(), log=tuple(event.SerializeToString() for event in events)
    )


def set_job(history: History, log: Log, **fields: Any) -> None:
    """Change a job as it is in the end."""
    history.jobs[log.job_id] = replace(log.record, job=_changed(log.job, **fields).SerializeToString())


def _changed(message: Any, **fields: Any) -> Any:
    other = type(message)()
    other.CopyFrom(message)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def answer(history: History, method: str, job_id: str = "") -> tuple[int, Call]:
    """The last call of a method that was answered, of any job that is left or of one."""
    wanted = [job_id] if job_id else list(history.jobs)
    calls = [
        (place, call)
        for place, call in enumerate(history.calls)
        if (call.method, call.code) == (method, "OK") and call.job is not None and call.job.job_id in wanted
    ]
    return max(calls, key=lambda found: found[1].started)


def set_answer(history: History, place: int, **fields: Any) -> None:
    """Change the job in a call's answer."""
    call = history.calls[place]
    kind: Any = getattr(job_service_pb2, f"{call.method}Response")
    response = kind(job=_changed(call.job, **fields))
    history.calls[place] = replace(call, response=response.SerializeToString())


def call_of(job_id: str, method: str, request: Any, code: str = "OK", response: bytes = b"", reason: str = "") -> Call:
    """A call that is made now."""
    now = time.monotonic_ns()
    return Call(
        method=method,
        job_id=job_id,
        started=now,
        ended=now,
        request=request.SerializeToString(),
        response=response,
        code=code,
        reason=reason,
    )


def stream_of(history: History, fits: Callable[[Stream], bool]) -> int:
    """The first stream that fits, of a job that is left."""
    return next(i for i, stream in enumerate(history.streams) if stream.job_id in history.jobs and fits(stream))


def told_several(stream: Stream) -> bool:
    """Whether some message of a stream has several events, and how they lie is to be seen."""
    return any(len(message.parsed().events) > 2 for message in stream.messages)


def set_events(history: History, place: int, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change the events of the first message of a stream that has several."""
    stream = history.streams[place]
    at = next(i for i, message in enumerate(stream.messages) if len(message.parsed().events) > 2)
    parsed = stream.messages[at].parsed()
    events = change(list(parsed.events))
    del parsed.events[:]
    parsed.events.extend(events)
    set_message(history, place, at, body=parsed.SerializeToString())


def set_message(history: History, place: int, at: int, **fields: Any) -> None:
    stream = history.streams[place]
    messages: list[Message] = list(stream.messages)
    messages[at] = replace(messages[at], **fields)
    history.streams[place] = replace(stream, messages=tuple(messages))


# --- 1. accepted is kept -----------------------------------------------------------------------------------------


@found_by(checkers.submitted_jobs_are_there)
def an_accepted_job_is_lost(history: History) -> None:
    del history.jobs[succeeded(history).job_id]


@found_by(checkers.submitted_jobs_are_there)
def a_repeated_request_makes_another_job(history: History) -> None:
    _, call = answer(history, "SubmitJob")
    history.calls.append(call)
    set_answer(history, len(history.calls) - 1, job_id=next(job for job in history.jobs if job != call.job_id))


@found_by(checkers.deleted_jobs_stay_away)
def a_job_that_was_to_go_stays(history: History) -> None:
    history.deleted.add(succeeded(history).job_id)


@found_by(checkers.deleted_jobs_stay_away)
def a_deleted_job_comes_back(history: History) -> None:
    request = job_service_pb2.GetStatusRequest(job_id="deleted")
    response = job_service_pb2.GetStatusResponse(job=job_pb2.Job(job_id="deleted"))
    history.calls.append(call_of("deleted", "GetStatus", request, response=response.SerializeToString()))


@found_by(checkers.resumes_happen_once)
def an_accepted_resume_does_not_happen(history: History) -> None:
    job_id = succeeded(history).job_id
    request = job_service_pb2.ResumeRequest(job_id=job_id, request_id="another")
    history.calls.append(call_of(job_id, "Resume", request))


@found_by(checkers.resumes_happen_once)
def a_resume_happens_that_nobody_asked_for(history: History) -> None:
    _, call = answer(history, "Resume")
    history.calls[:] = [c for c in history.calls if (c.method, c.job_id) != ("Resume", call.job_id)]


@found_by(checkers.answers_agree_with_the_log)
def an_answer_tells_of_another_state(history: History) -> None:
    place, _ = answer(history, "GetStatus")
    set_answer(history, place, state=RUNNING)


@found_by(checkers.answers_agree_with_the_log)
def an_answer_tells_of_an_attempt_that_was_not(history: History) -> None:
    place, call = answer(history, "GetStatus")
    set_answer(history, place, attempt=call.job.attempt + 1)  # type: ignore[union-attr]


@found_by(checkers.answers_agree_with_the_log)
def an_answer_tells_of_an_event_that_is_lost(history: History) -> None:
    place, call = answer(history, "GetStatus")
    set_answer(history, place, latest_sequence=call.job.latest_sequence + 1)  # type: ignore[union-attr]


@found_by(checkers.reads_never_go_back)
def an_answer_is_older_than_one_before(history: History) -> None:
    place, _ = answer(history, "GetStatus", succeeded(history).job_id)
    set_answer(history, place, latest_sequence=1)


# --- 2. goes on by itself ----------------------------------------------------------------------------------------


@found_by(checkers.jobs_come_to_their_end)
def a_job_is_left_running(history: History) -> None:
    set_job(history, succeeded(history), state=RUNNING)


@found_by(checkers.jobs_come_to_their_end)
def a_job_comes_to_something_else(history: History) -> None:
    log = succeeded(history)
    output = json.loads(log.job.output.json_text)
    output["trail"].reverse()
    other = _changed(log.job)
    other.output.json_text = json.dumps(output)
    history.jobs[log.job_id] = replace(log.record, job=other.SerializeToString())


@found_by(checkers.jobs_come_to_their_end)
def a_job_that_was_resumed_ends_as_it_was_cancelled_before(history: History) -> None:
    log = succeeded(history)
    answered = job_service_pb2.ResumeResponse(job=log.job).SerializeToString()
    history.calls += [
        call_of(log.job_id, "Cancel", job_service_pb2.CancelRequest(job_id=log.job_id)),
        call_of(log.job_id, "Resume", job_service_pb2.ResumeRequest(job_id=log.job_id), response=answered),
    ]
    set_job(history, log, state=CANCELLED)


@found_by(checkers.restarts_cost_no_attempts)
def a_restart_costs_an_attempt(history: History) -> None:
    log = succeeded(history)
    set_job(history, log, failed_attempts=log.job.failed_attempts + 1)


@found_by(checkers.jobs_wait_for_their_time)
def a_job_begins_too_early(history: History) -> None:
    log = succeeded(history)
    job = log.record.parsed()
    job.scheduled_time.CopyFrom(job.end_time)
    history.jobs[log.job_id] = replace(log.record, job=job.SerializeToString())


@found_by(checkers.told_steps_do_not_run_again)
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


# --- 3. steps at least once, transitions exactly once ------------------------------------------------------------


@found_by(checkers.transitions_follow_the_diagram)
def a_transition_happens_twice(history: History) -> None:
    _double(history, "state_changed")


@found_by(checkers.transitions_follow_the_diagram)
def a_transition_is_lost(history: History) -> None:
    _drop(history, "state_changed")


@found_by(checkers.transitions_follow_the_diagram)
def a_transition_is_not_in_the_diagram(history: History) -> None:
    log = succeeded(history)
    events = list(log.events)
    events[-1] = _changed(events[-1])
    events[-1].state_changed.to = job_pb2.JOB_STATE_CANCELLED
    set_log(history, log, events)


@found_by(checkers.transitions_follow_the_diagram)
def a_job_is_not_where_its_log_ends(history: History) -> None:
    set_job(history, succeeded(history), state=job_pb2.JOB_STATE_CANCELLED)


@found_by(checkers.finished_steps_are_told_once)
def a_finished_step_is_told_twice(history: History) -> None:
    _double(history, "step_finished")


@found_by(checkers.finished_steps_are_told_once)
def a_finished_step_is_not_told(history: History) -> None:
    _drop(history, "step_finished")


@found_by(checkers.steps_run_at_least_once)
def a_told_step_did_nothing(history: History) -> None:
    log = succeeded(history)
    key = next(iter(log.finished_runs))
    left = tuple(effect for effect in log.record.effects if effect[0] != key)
    history.jobs[log.job_id] = replace(log.record, effects=left)


@found_by(checkers.steps_run_at_least_once)
def a_step_runs_that_is_none_of_the_job(history: History) -> None:
    log = succeeded(history)
    history.jobs[log.job_id] = replace(log.record, effects=(*log.record.effects, ("strange", 1)))


def _double(history: History, kind: str) -> None:
    log = succeeded(history)
    at = index_of(log, kind)
    set_log(history, log, [*log.events[: at + 1], *log.events[at:]], renumber=True)


def _drop(history: History, kind: str) -> None:
    log = succeeded(history)
    at = index_of(log, kind)
    set_log(history, log, [*log.events[:at], *log.events[at + 1 :]], renumber=True)


# --- 4. the watch is a log ---------------------------------------------------------------------------------------


@found_by(checkers.logs_are_gapless)
def a_log_lacks_an_event(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, [*log.events[:2], *log.events[3:]])


@found_by(checkers.logs_are_gapless)
def a_log_has_an_event_twice(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, [*log.events[:3], *log.events[2:]])


@found_by(checkers.logs_are_gapless)
def a_log_is_not_in_order(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, [log.events[1], log.events[0], *log.events[2:]])


@found_by(checkers.logs_are_gapless)
def a_log_lacks_its_end(history: History) -> None:
    log = succeeded(history)
    set_log(history, log, log.events[:-1])


@found_by(checkers.events_belong_to_their_attempt)
def a_step_reports_under_another_attempt(history: History) -> None:
    log = succeeded(history)
    events, at = list(log.events), index_of(log, "step_finished")
    events[at] = _changed(events[at], attempt=events[at].attempt + 1)
    set_log(history, log, events)


@found_by(checkers.events_belong_to_their_attempt)
def a_step_reports_after_the_end(history: History) -> None:
    log = succeeded(history)
    at = index_of(log, "step_finished")
    set_log(history, log, [*log.events[:at], *log.events[at + 1 :], log.events[at]], renumber=True)


@found_by(checkers.steps_are_closed)
def a_step_starts_twice(history: History) -> None:
    _double(history, "step_started")


@found_by(checkers.steps_are_closed)
def a_step_ends_that_did_not_start(history: History) -> None:
    _drop(history, "step_started")


@found_by(checkers.steps_are_closed)
def a_step_ends_twice(history: History) -> None:
    _double(history, "step_finished")


@found_by(checkers.steps_are_closed)
def a_step_of_a_job_that_succeeded_does_not_end(history: History) -> None:
    _drop(history, "step_finished")


@found_by(checkers.progress_never_falls)
def the_progress_falls(history: History) -> None:
    log = succeeded(history)
    pairs = enumerate(pairwise(log.events), 1)
    at = next(i for i, (one, two) in pairs if one.progress.fraction > 0 and one.attempt == two.attempt and i > 2)
    events = list(log.events)
    events[at] = _changed(events[at])
    events[at].progress.fraction = 0.0
    set_log(history, log, events)


@found_by(checkers.progress_never_falls)
def the_progress_is_whole_too_early(history: History) -> None:
    log = succeeded(history)
    events, at = list(log.events), index_of(log, "step_finished")
    events[at] = _changed(events[at])
    events[at].progress.fraction = 1.0
    set_log(history, log, events)


@found_by(checkers.streams_are_gapless)
def a_stream_lacks_an_event(history: History) -> None:
    set_events(history, stream_of(history, told_several), lambda events: [events[0], *events[2:]])


@found_by(checkers.streams_are_gapless)
def a_stream_has_an_event_twice(history: History) -> None:
    set_events(history, stream_of(history, told_several), lambda events: [events[0], *events])


@found_by(checkers.streams_are_gapless)
def a_stream_is_not_in_order(history: History) -> None:
    set_events(history, stream_of(history, told_several), lambda events: [events[1], events[0], *events[2:]])


@found_by(checkers.streams_are_gapless)
def a_stream_says_that_it_sent_more(history: History) -> None:
    place = stream_of(history, lambda stream: bool(stream.messages))
    parsed = history.streams[place].messages[-1].parsed()
    parsed.through_sequence += 1
    set_message(history, place, len(history.streams[place].messages) - 1, body=parsed.SerializeToString())


@found_by(checkers.watchers_see_each_event_once)
def a_watcher_that_goes_on_gets_an_event_again(history: History) -> None:
    _shift(history, -1)


@found_by(checkers.watchers_see_each_event_once)
def a_watcher_that_goes_on_misses_an_event(history: History) -> None:
    _shift(history, 1)


def _shift(history: History, by: int) -> None:
    """Let a stream that goes on from another begin elsewhere."""
    seen = set()
    for place, stream in enumerate(history.streams):
        who = (stream.watcher, stream.job_id)
        if who in seen and stream.after_sequence:
            history.streams[place] = replace(stream, after_sequence=stream.after_sequence + by)
            return
        seen.add(who)
    raise AssertionError("no watcher went on")


@found_by(checkers.streams_agree_with_the_log)
def a_stream_tells_of_something_else_than_the_log(history: History) -> None:
    def change(events: list[Any]) -> list[Any]:
        return [_changed(events[0], attempt=events[0].attempt + 1), *events[1:]]

    set_events(history, stream_of(history, told_several), change)


@found_by(checkers.streams_agree_with_the_log)
def a_stream_told_of_an_event_that_is_lost(history: History) -> None:
    told = [(stream.job_id, message.parsed().events) for stream in history.streams for message in stream.messages]
    seen = {job_id for job_id, events in told if any(e.state_changed.to == SUCCEEDED for e in events)}
    log = next(log for log in logs(history) if log.job_id in seen and log.job.state == SUCCEEDED)
    set_log(history, log, log.events[:-1], renumber=True)


@found_by(checkers.nothing_is_shown_before_it_is_stored)
def an_event_is_told_before_it_is_committed(history: History) -> None:
    place = stream_of(history, lambda stream: any(m.committed > 0 for m in stream.messages))
    messages = history.streams[place].messages
    at = next(i for i, message in enumerate(messages) if message.committed > 0)
    set_message(history, place, at, committed=messages[at].parsed().through_sequence - 1)


@found_by(checkers.streams_end_with_the_job)
def a_stream_ends_early(history: History) -> None:
    place = stream_of(history, lambda stream: stream.end == "OK" and len(list(stream.events())) > 1)
    stream = history.streams[place]
    at = max(i for i, message in enumerate(stream.messages) if message.parsed().events)
    history.streams[place] = replace(stream, messages=stream.messages[:at])


# --- how many run at once ----------------------------------------------------------------------------------------


@found_by(checkers.as_many_with_a_key_run_as_may)
def one_job_more_runs_all_the_while(history: History) -> None:
    log = succeeded(history)
    for number in range(int(log.job.concurrency_key.split()[0])):
        history.jobs[f"{log.job_id}-{number}"] = log.record


# --- 5. cancel ends, 7. and 8. no surprises ----------------------------------------------------------------------


@found_by(checkers.cancelled_jobs_are_cancelled)
def a_cancel_is_answered_and_does_nothing(history: History) -> None:
    job_id = next(log.job_id for log in logs(history) if not OWNED & {m.to for m in log.moves} - {RUNNING})
    history.calls.append(call_of(job_id, "Cancel", job_service_pb2.CancelRequest(job_id=job_id)))


@found_by(checkers.errors_are_expected_ones)
def a_call_ends_with_an_internal_error(history: History) -> None:
    request = job_service_pb2.GetStatusRequest()
    history.calls.append(call_of("", "GetStatus", request, code="INTERNAL", reason="INTERNAL_ERROR"))


@found_by(checkers.errors_are_expected_ones)
def a_call_ends_with_a_status_without_a_reason(history: History) -> None:
    request = job_service_pb2.GetStatusRequest()
    history.calls.append(call_of("", "GetStatus", request, code="NOT_FOUND"))


@found_by(checkers.errors_are_expected_ones)
def a_stream_breaks_while_nobody_kills(history: History) -> None:
    history.restarts = 0
    history.streams[0] = replace(history.streams[0], end="UNAVAILABLE", reason="")
