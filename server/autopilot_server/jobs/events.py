"""What happens to a job: the entries of its event log, before they are serialized."""

from dataclasses import dataclass

from autopilot_server.jobs.job import Interrupt, JobError, Micros, Payload, Progress
from autopilot_server.jobs.states import JobState


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The job moved from one state to another. `from_state` is None for a job that was just submitted."""

    from_state: JobState | None
    to_state: JobState
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A node's task began. Closed by one event with the same attempt and `step_run_id`, or by a StateChanged."""

    step: str
    step_run_id: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A node's task returned, and what it wrote is durable."""

    step: str
    step_run_id: str
    update: Payload | None
    duration: Micros


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A node's task raised."""

    step: str
    step_run_id: str
    error: JobError
    duration: Micros


@dataclass(frozen=True, slots=True)
class InterruptRaised:
    """A node's task asked a question, and the job waits for the answer."""

    interrupt: Interrupt


@dataclass(frozen=True, slots=True)
class ProgressReported:
    """A workflow reported through LangGraph's stream writer."""

    step: str
    message: str = ""
    fraction: float | None = None
    data: Payload | None = None
    dropped: int = 0
    """Reports that came too fast and were skipped just before this one."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The job's state after a superstep is durable."""

    checkpoint_id: str
    superstep: int
    next_steps: tuple[str, ...]


EventKind = (
    StateChanged | StepStarted | StepFinished | StepFailed | InterruptRaised | ProgressReported | CheckpointSaved
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job, before it has its place in the log."""

    job_id: str
    event_time: Micros
    attempt: int
    progress: Progress
    """The job's progress just after the event."""
    kind: EventKind


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """A piece of a language model's answer. Never stored."""

    job_id: str
    event_time: Micros
    attempt: int
    step: str
    message_id: str
    text: str
