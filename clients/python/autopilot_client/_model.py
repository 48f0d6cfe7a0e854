"""What the client gives: frozen data with Python's own types."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any


class JobState(IntEnum):
    """State of a job. A state that this client does not know is UNKNOWN."""

    UNKNOWN = 0
    PENDING = 1
    RUNNING = 2
    INTERRUPTED = 3
    CANCELLING = 4
    SUCCEEDED = 5
    FAILED = 6
    CANCELLED = 7

    @classmethod
    def _missing_(cls, value: object) -> "JobState":  # noqa: ARG003 - enum's signature
        return cls.UNKNOWN

    def __str__(self) -> str:
        return self.name

    @property
    def finished(self) -> bool:
        """Whether nothing more happens unless somebody resumes the job."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    @property
    def resting(self) -> bool:
        """Whether the job is finished, or waits for answers."""
        return self.finished or self is JobState.INTERRUPTED


class Missing:
    """Stands for a JSON value that the response has not got. False in conditions, and not None, which JSON has."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Omitted:
    """Stands for a JSON value that was too large for its response."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed or was cancelled."""

    reason: str
    message: str
    step: str = ""
    exception_type: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that waits for an answer."""

    interrupt_id: str
    step: str
    value: Any
    create_time: datetime | None
    response_schema: dict[str, Any] | None
    step_run_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    fraction: float = 0.0
    active_steps: tuple[str, ...] = ()
    completed_steps: int = 0
    estimated_total_steps: int = 0
    elapsed: timedelta = timedelta()
    estimated_remaining: timedelta | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. `input` and `output` are MISSING when the response has not got them, and Omitted when too large.

    `deduplicated` is not of the job but of the call that returned it: whether a submit or resume with this request_id
    had been carried out before, so that this one did nothing. None when it was another call.
    """

    job_id: str
    workflow: str
    thread_id: str
    state: JobState
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    input: Any = MISSING
    output: Any = MISSING
    error: JobError | None = None
    interrupts: tuple[Interrupt, ...] = ()
    progress: Progress = Progress()
    attempt: int = 0
    max_attempts: int = 0
    failed_attempts: int = 0
    checkpoint_id: str = ""
    latest_sequence: int = 0
    next_steps: tuple[str, ...] = ()
    create_time: datetime | None = None
    scheduled_time: datetime | None = None
    start_time: datetime | None = None
    update_time: datetime | None = None
    end_time: datetime | None = None
    expire_time: datetime | None = None
    next_attempt_time: datetime | None = None
    etag: str = ""
    workflow_revision: str = ""
    concurrency_key: str = ""
    deduplicated: bool | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a job's thread after a superstep."""

    checkpoint_id: str
    parent_checkpoint_id: str
    superstep: int
    source: str
    next_steps: tuple[str, ...]
    create_time: datetime | None
    values: Any


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow that the server can run. How many of its jobs run at once, and how many with the same
    concurrency_key; 0: any number, and no keys."""

    name: str
    description: str
    revision: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    steps: tuple[str, ...]
    mermaid: str
    max_running_jobs: int = 0
    max_running_jobs_per_key: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What PruneJobs deleted, or would delete."""

    deleted_jobs: int
    deleted_checkpoints: int


# --- events ---


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The job moved. `from_state` is UNKNOWN for a job that was just submitted."""

    from_state: JobState
    to_state: JobState
    error: JobError | None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step began."""

    step: str
    step_run_id: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step returned, and what it wrote is durable."""

    step: str
    step_run_id: str
    update: Any
    duration: timedelta


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step raised."""

    step: str
    step_run_id: str
    error: JobError
    duration: timedelta


@dataclass(frozen=True, slots=True)
class InterruptRaised:
    """A step asked a question."""

    interrupt: Interrupt


@dataclass(frozen=True, slots=True)
class ProgressReported:
    """A workflow reported."""

    step: str
    message: str
    fraction: float | None
    data: Any
    dropped: int


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The state after a superstep is durable."""

    checkpoint_id: str
    superstep: int
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """A piece of a language model's answer. Not stored, may be lost."""

    step: str
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of a newer server."""


EventKind = (
    StateChanged
    | StepStarted
    | StepFinished
    | StepFailed
    | InterruptRaised
    | ProgressReported
    | CheckpointSaved
    | TokenChunk
    | UnknownEvent
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job. `sequence` is 0 for what is not stored."""

    job_id: str
    sequence: int
    event_time: datetime | None
    attempt: int
    progress: Progress
    kind: EventKind
