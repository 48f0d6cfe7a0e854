"""What must hold of every history, whatever was done to the server. Written from the contract, not from the server.

    python -m tests.proof.histories.checkers HISTORY

checks a history again that a failed test has kept.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.history import Call, History, JobRecord, Stream

NONE = job_pb2.JOB_STATE_UNSPECIFIED
PENDING = job_pb2.JOB_STATE_PENDING
RUNNING = job_pb2.JOB_STATE_RUNNING
INTERRUPTED = job_pb2.JOB_STATE_INTERRUPTED
CANCELLING = job_pb2.JOB_STATE_CANCELLING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
FAILED = job_pb2.JOB_STATE_FAILED
CANCELLED = job_pb2.JOB_STATE_CANCELLED

FINISHED = {SUCCEEDED, FAILED, CANCELLED}
UNFINISHED = {PENDING, RUNNING, INTERRUPTED, CANCELLING}
OWNED = {RUNNING, CANCELLING}
RESUMABLE = {INTERRUPTED, FAILED, CANCELLED}

# The diagram of the contract.
TRANSITIONS = {
    (NONE, PENDING),
    *((PENDING, to) for to in (RUNNING, CANCELLED)),
    *((RUNNING, to) for to in (PENDING, SUCCEEDED, FAILED, INTERRUPTED, CANCELLING)),
    (CANCELLING, CANCELLED),
    *((INTERRUPTED, to) for to in (PENDING, CANCELLED)),
    *((state, PENDING) for state in (FAILED, CANCELLED)),
}

_CLOSING = {"step_finished", "step_failed", "interrupt_raised"}


def name(state: int) -> str:
    """A state's name, for people."""
    return job_pb2.JobState.Name(state).removeprefix("JOB_STATE_")  # type: ignore[arg-type]


class Log:
    """A job's log, replayed."""

    def __init__(self, job_id: str, record: JobRecord) -> None:
        self.job_id, self.record = job_id, record
        self.job = record.parsed()
        self.events = record.events()

    @cached_property
    def moves(self) -> list[job_pb2.StateChanged]:
        """Its moves between states."""
        return [event.state_changed for event in self.events if event.WhichOneof("kind") == "state_changed"]

    @cached_property
    def states(self) -> list[tuple[int, int]]:
        """State and attempt after each event; the first entry is before all events."""
        state, attempt, states = NONE, 0, [(NONE, 0)]
        for event in self.events:
            if event.WhichOneof("kind") == "state_changed":
                state = event.state_changed.to
                attempt += state == RUNNING
            states.append((state, attempt))
        return states

    @cached_property
    def finished_runs(self) -> Counter[str]:
        """Which runs of nodes are told as finished, and how often."""
        return Counter(key for event in self.events if (key := finished_run(event)) is not None)


def finished_run(event: job_pb2.ProgressEvent) -> str | None:
    """Which run of a random graph's node an event tells as finished."""
    if not event.step_finished.update.json_text:
        return None
    update = json.loads(event.step_finished.update.json_text)
    trail = update.get("trail") if isinstance(update, dict) else None
    return trail[0] if trail else None


class Seen:
    """A history, with what several checks need of it."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.logs = {job_id: Log(job_id, record) for job_id, record in history.jobs.items()}

    @cached_property
    def calls_of(self) -> Mapping[str, list[Call]]:
        """The calls that concern a job."""
        calls: dict[str, list[Call]] = defaultdict(list)
        for call in self.history.calls:
            calls[call.job_id].append(call)
        return calls

    @cached_property
    def streams_of(self) -> Mapping[str, list[Stream]]:
        """The streams of a job."""
        streams: dict[str, list[Stream]] = defaultdict(list)
        for stream in self.history.streams:
            streams[stream.job_id].append(stream)
        return streams

    def answered(self, job_id: str, method: str) -> list[Call]:
        """The calls of a method that succeeded for a job."""
        return [call for call in self.calls_of.get(job_id, ()) if (call.method, call.code) == (method, "OK")]


Violations = Iterator[str]
Checker = Callable[[Seen], Violations]


# --- 1. accepted is kept -----------------------------------------------------------------------------------------


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


# --- 2. goes on by itself ----------------------------------------------------------------------------------------


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


# --- 3. steps at least once, transitions exactly once ------------------------------------------------------------


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


# --- 4. the watch is a log ---------------------------------------------------------------------------------------


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


def streams_are_gapless(seen: Seen) -> Violations:
    """Each message goes on where the one before ended, and says how far it goes; ordered, unique, without gaps."""
    for stream in seen.history.streams:
        place = stream.after_sequence
        for message in stream.messages:
            response = message.parsed()
            stored = [event.sequence for event in response.events if event.sequence]
            if stored != list(range(place + 1, place + 1 + len(stored))):
                yield f"{_who(stream)} got {stored} after {place}"
            place = stored[-1] if stored else place
            if response.through_sequence != place:
                yield f"{_who(stream)} was told that it has all up to {response.through_sequence}, and has {place}"


def watchers_see_each_event_once(seen: Seen) -> Violations:
    """A watcher that goes on after a break, however its streams ended, has each event exactly once."""
    place: dict[tuple[str, str], int] = {}
    for stream in seen.history.streams:
        who = (stream.watcher, stream.job_id)
        if who in place and stream.after_sequence != place[who]:
            yield f"{_who(stream)} went on after {stream.after_sequence}, and had {place[who]}"
        place[who] = max((event.sequence for event in stream.events()), default=stream.after_sequence)


def streams_agree_with_the_log(seen: Seen) -> Violations:
    """Everybody sees the same: what was shown before a crash is what the log holds after it."""
    for stream in seen.history.streams:
        if (log := seen.logs.get(stream.job_id)) is None:
            continue
        for event in stream.events():
            if event.sequence > len(log.events):
                yield f"{_who(stream)} saw event {event.sequence}, which is not in the log"
            elif event.sequence and event != log.events[event.sequence - 1]:
                yield f"{_who(stream)} saw another event {event.sequence} than the log holds"


def nothing_is_shown_before_it_is_stored(seen: Seen) -> Violations:
    """When a message arrives, what it tells is in the database already."""
    for stream in seen.history.streams:
        for message in stream.messages:
            through = message.parsed().through_sequence
            if 0 <= message.committed < through:
                yield f"{_who(stream)} saw event {through} when the database had {message.committed}"


def streams_end_with_the_job(seen: Seen) -> Violations:
    """A stream ends with OK after the event that finished the job, and at no other place."""
    for stream in seen.history.streams:
        if stream.end != "OK" or (log := seen.logs.get(stream.job_id)) is None:
            continue
        place = max((event.sequence for event in stream.events()), default=stream.after_sequence)
        if place >= len(log.states) or log.states[place][0] not in FINISHED:
            yield f"{_who(stream)} ended after event {place}, where the job was not finished"


def _who(stream: Stream) -> str:
    return f"watcher {stream.watcher} of job {stream.job_id}"


# --- 5. cancel ends, 7. and 8. no surprises ----------------------------------------------------------------------


def as_many_with_a_key_run_as_may(seen: Seen) -> Violations:
    """Jobs with one key are RUNNING or CANCELLING no more at a time than the key says: `2 at once`."""
    changes: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for job_id, log in seen.logs.items():
        if key := log.job.concurrency_key:
            changes[log.job.workflow, key] += [(when, by, job_id) for when, by in _places_taken(log)]
    for (workflow, key), steps in changes.items():
        running: set[str] = set()
        # Who leaves at the same moment does so before somebody comes.
        for when, by, job_id in sorted(steps):
            (running.add if by > 0 else running.discard)(job_id)
            if len(running) > int(key.split()[0]):
                yield f"{sorted(running)} of {workflow}, {key}, all ran at {when}"


def _places_taken(log: Log) -> Iterator[tuple[int, int]]:
    """When a job took a place (1) and when it left it (-1)."""
    for event, (before, _), (after, _) in zip(log.events, log.states, log.states[1:], strict=False):
        if (by := (after in OWNED) - (before in OWNED)) != 0:
            yield event.event_time.ToNanoseconds(), by


def cancelled_jobs_are_cancelled(seen: Seen) -> Violations:
    """A Cancel that was answered is in the log."""
    for job_id, log in seen.logs.items():
        calls = seen.answered(job_id, "Cancel")
        if calls and CANCELLED not in {move.to for move in log.moves}:
            yield f"job {job_id}: Cancel was answered, and it never was CANCELLED"


# What a client may meet while its server is killed: it is not there, or it went away in the middle.
_AWAY = {"UNAVAILABLE", "CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED"}


def errors_are_expected_ones(seen: Seen) -> Violations:
    """Never INTERNAL; a status without a reason only when there was no server that could have given one."""
    for what in (*seen.history.calls, *seen.history.streams):
        code = what.code if isinstance(what, Call) else what.end
        if code in ("OK", "DROPPED") or (what.reason and what.reason != "INTERNAL_ERROR"):
            continue
        # Without a server gRPC itself makes the status. Of INTERNAL it makes one when a stream is cut in a frame.
        cut = code == "INTERNAL" and not what.reason
        if (code not in _AWAY and not cut) or what.reason == "INTERNAL_ERROR" or not seen.history.restarts:
            yield f"{type(what).__name__} of job {what.job_id} ended with {code} {what.reason}"


CHECKERS: Mapping[str, tuple[Checker, ...]] = {
    "accepted is kept": (
        submitted_jobs_are_there,
        deleted_jobs_stay_away,
        resumes_happen_once,
        answers_agree_with_the_log,
        reads_never_go_back,
    ),
    "goes on by itself": (
        jobs_come_to_their_end,
        restarts_cost_no_attempts,
        jobs_wait_for_their_time,
        told_steps_do_not_run_again,
    ),
    "steps at least once, transitions exactly once": (
        transitions_follow_the_diagram,
        finished_steps_are_told_once,
        steps_run_at_least_once,
    ),
    "the watch is a log": (
        logs_are_gapless,
        events_belong_to_their_attempt,
        steps_are_closed,
        progress_never_falls,
        streams_are_gapless,
        watchers_see_each_event_once,
        streams_agree_with_the_log,
        nothing_is_shown_before_it_is_stored,
        streams_end_with_the_job,
    ),
    "so many at once": (as_many_with_a_key_run_as_may,),
    "cancel ends": (cancelled_jobs_are_cancelled,),
    "no error that nobody expects": (errors_are_expected_ones,),
}


def check(history: History) -> dict[str, list[str]]:
    """The violations in a history, by checker; empty when everything holds."""
    seen = Seen(history)
    found = {checker.__name__: list(checker(seen)) for checkers in CHECKERS.values() for checker in checkers}
    return {checker: violations for checker, violations in found.items() if violations}


def main() -> None:
    """Check a history that was kept, and tell what does not hold."""
    found = check(History.load(Path(sys.argv[1])))
    for checker, violations in found.items():
        print(f"{checker}: {len(violations)}")
        for violation in violations[:20]:
            print(f"  {violation}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
