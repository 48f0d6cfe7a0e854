"""How a watch goes on: after a break, and until its job rests. Pure; shared by both clients."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
from autopilot.v1 import job_pb2, job_service_pb2

from autopilot_client import _convert, _requests
from autopilot_client._errors import CallFailed
from autopilot_client._model import Event, Job, JobState, StateChanged

# Ends of a stream after which the log is there all the same.
_BREAKS = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
    }
)
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_LONGEST_RETRY_DELAY_SECONDS = 30.0


@dataclass(slots=True)
class Place:
    """A reader's place in a job's log."""

    job_id: str
    after_sequence: int
    stop_when_caught_up: bool
    include_tokens: bool
    patience: "Patience"

    def request(self) -> job_service_pb2.WatchProgressRequest:
        """The call that goes on from here."""
        return job_service_pb2.WatchProgressRequest(
            job_id=self.job_id,
            after_sequence=self.after_sequence,
            stop_when_caught_up=self.stop_when_caught_up,
            include_tokens=self.include_tokens,
            payload_format=_requests.TEXT,
        )

    def take(self, response: job_service_pb2.WatchProgressResponse) -> Iterator[Event]:
        """The events of a response, each stored one once."""
        self.patience.restore()
        for message in response.events:
            if self._is_new(message):
                yield _convert.event(message)
        self.after_sequence = max(self.after_sequence, response.through_sequence)

    def _is_new(self, message: job_pb2.ProgressEvent) -> bool:
        if not message.sequence:
            return True
        if message.sequence <= self.after_sequence:
            return False
        self.after_sequence = message.sequence
        return True


@dataclass(slots=True)
class Patience:
    """How long, and how often, to try again while a server is away."""

    seconds: float
    _breaks: int = 0
    _broken_since: float | None = field(default=None)

    def restore(self) -> None:
        """The server has answered."""
        self._breaks, self._broken_since = 0, None

    def pause(self, error: CallFailed) -> float:
        """Seconds to wait before going on after a break. Raises the error when it is final, or broken for too long."""
        moment = time.monotonic()
        self._broken_since = self._broken_since or moment
        if error.code not in _BREAKS or moment - self._broken_since >= self.seconds:
            raise error
        longest: float = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0**self._breaks)
        self._breaks = min(self._breaks + 1, 16)
        asked = max(0.0, min(error.retry_delay or 0.0, _LONGEST_RETRY_DELAY_SECONDS))
        # Jitter, so that the watchers of a server that comes back do not come all at once; on top of what it asks for,
        # for the same reason.
        return asked + longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


@dataclass(slots=True)
class Following:
    """A job that is watched until it rests: is finished, or INTERRUPTED now and not only at some time in its past."""

    job: Job
    sequence: int

    @property
    def over(self) -> bool:
        """Whether the job rests, and everything that led there was seen."""
        return self.job.state.resting and self.sequence == self.job.latest_sequence

    def take(self, event: Event) -> bool:
        """Whether the job may be INTERRUPTED after this event, and has to be read to know.

        The end of a finished job needs no care: its watch ends by itself.
        """
        self.sequence = event.sequence or self.sequence
        states = {self.job.state, event.kind.to_state if isinstance(event.kind, StateChanged) else None}
        return JobState.INTERRUPTED in states and self.sequence >= self.job.latest_sequence
