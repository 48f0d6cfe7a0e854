"""A history as checkers look at it: the log of each job replayed, and who called and watched for it."""

import bisect
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from autopilot.v1 import job_pb2

from tests.proof.histories.history import Call, History, JobRecord, Stream
from tests.proof.histories.states import NONE, RUNNING


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

    @cached_property
    def heard(self) -> Sequence[int]:
        """When anything came from a server: an answer, a refusal that gives its reason, a message; in order."""
        moments = [call.ended for call in self.history.calls if call.code == "OK" or call.reason]
        moments += [message.received for stream in self.history.streams for message in stream.messages]
        return sorted(moments)

    def heard_before(self, moment: int) -> int:
        """When anything had come last; 0: nothing yet."""
        place = bisect.bisect_right(self.heard, moment)
        return self.heard[place - 1] if place else 0

    def answered(self, job_id: str, method: str) -> list[Call]:
        """The calls of a method that succeeded for a job."""
        return [call for call in self.calls_of.get(job_id, ()) if (call.method, call.code) == (method, "OK")]


def who(stream: Stream) -> str:
    """A stream's watcher, for people."""
    return f"watcher {stream.watcher} of job {stream.job_id}"


Violations = Iterator[str]
Checker = Callable[[Seen], Violations]
