"""A job and what belongs to it, as plain frozen data.

Times are whole microseconds since 1970-01-01 UTC, spans are whole microseconds, and JSON values are JSON text
(RFC 8259), everywhere but at the edges.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from autopilot_server.jobs.states import JobState

Micros = int
"""A time or a span in microseconds."""

SECOND: Micros = 1_000_000


def now() -> Micros:
    """The wall clock, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


# Goes on while the machine is suspended, as the wall clock does, where the system has such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> Micros:
    """A clock that nobody steps, to measure spans with; its zero means nothing."""
    return time.clock_gettime_ns(_STEADY) // 1000


@dataclass(frozen=True, slots=True)
class Omitted:
    """Stands for a JSON value that is too large to be stored with an event."""

    size_bytes: int


Json = str
"""A JSON value as JSON text."""

Payload = Json | Omitted


class JobErrorReason(StrEnum):
    """Values of `JobError.reason` in the contract."""

    STEP_RAISED = "STEP_RAISED"
    STEP_LIMIT_REACHED = "STEP_LIMIT_REACHED"
    EXECUTION_TIMED_OUT = "EXECUTION_TIMED_OUT"
    RESOURCE_LIMIT_REACHED = "RESOURCE_LIMIT_REACHED"
    WORKER_LOST = "WORKER_LOST"
    ANSWER_REFUSED = "ANSWER_REFUSED"
    UPDATE_REFUSED = "UPDATE_REFUSED"
    STATE_INVALID = "STATE_INVALID"
    OUTPUT_INVALID = "OUTPUT_INVALID"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed or was cancelled, or why its last attempt failed. Empty text: not known."""

    reason: JobErrorReason
    message: str
    step: str = ""
    exception_type: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How attempts that an exception ended are repeated. The defaults are the contract's."""

    max_attempts: int = 3
    initial_backoff: Micros = SECOND
    max_backoff: Micros = 60 * SECOND
    backoff_multiplier: float = 2.0

    def backoff(self, failed_attempts: int) -> Micros:
        """Wait before the next attempt, when `failed_attempts` (1 or more) have failed so far.

        initial_backoff · backoff_multiplier^(failed_attempts - 1), at most max_backoff.
        """
        # The exponent is bounded because a float overflows at about 2^1024.
        growth = self.backoff_multiplier ** min(failed_attempts - 1, 64) if self.backoff_multiplier > 1 else 1.0
        return min(self.max_backoff, round(self.initial_backoff * min(growth, 1e12)))


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many jobs of a workflow run at once, whoever runs them. None: any number."""

    jobs: int | None = None
    """All tenants together."""
    per_key: int | None = None
    """Of a tenant's jobs with the same concurrency_key. None: a job may have no key."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that a workflow asked with LangGraph's `interrupt()`."""

    interrupt_id: str
    step: str
    step_run_id: str
    value: Payload
    create_time: Micros
    response_schema: Json | None = None
    """JSON Schema that an answer must satisfy, when the workflow gave one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    fraction: float = 0.0
    active_steps: tuple[str, ...] = ()
    completed_steps: int = 0
    estimated_total_steps: int = 0
    """0: not known."""
    elapsed: Micros = 0
    """Time spent RUNNING, all attempts together."""
    estimated_remaining: Micros | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """Another job's checkpoint. An empty `checkpoint_id` means its newest."""

    job_id: str
    checkpoint_id: str = ""


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where the next claim makes the job go on from, instead of from its newest checkpoint. Set by Resume."""

    former_state: JobState
    """What the job returns to when the update is refused."""
    checkpoint_id: str = ""
    """Empty: the newest."""
    state_update: Json | None = None
    state_update_step: str = ""
    """Empty: LangGraph finds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a client asked for: the part of a job that never changes once it was submitted."""

    job_id: str
    workflow: str
    thread_id: str
    """A thread of its own has the job's id, unless another thread has that name."""
    input: Json | None = None
    """None: none was given, or it was not read (`payloads=False`)."""
    context: Json | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    scheduled_time: Micros | None = None
    execution_timeout: Micros | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    fork_from: CheckpointRef | None = None
    retention: Micros | None = None
    """None: the server's."""
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    step_limit: int | None = None
    # No part of the text that digests of requests are made of: those from before there were keys stay as they are.
    concurrency_key: str = field(default="", repr=False)
    """Scoped by the tenant. Empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is stored."""

    spec: JobSpec
    state: JobState
    output: Json | None = None
    error: JobError | None = None
    interrupts: tuple[Interrupt, ...] = ()
    """Open questions that no stored answer waits for."""
    next_steps: tuple[str, ...] = ()
    progress: Progress = Progress()
    attempt: int = 0
    failed_attempts: int = 0
    checkpoint_id: str = ""
    latest_sequence: int = 0
    workflow_revision: str = ""
    create_time: Micros
    update_time: Micros
    start_time: Micros | None = None
    end_time: Micros | None = None
    expire_time: Micros | None = None
    next_attempt_time: Micros | None = None
    """Set while the job waits for a retry."""
    etag: str
    """Changes with state, attempt and interrupts; never repeats, not even for a job_id that was used before."""

    @property
    def job_id(self) -> str:
        """Shorthand for `spec.job_id`."""
        return self.spec.job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list or prune. All conditions that are set must hold."""

    states: frozenset[JobState] = frozenset()
    workflow: str = ""
    thread_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: Micros | None = None
    """Inclusive."""
    created_before: Micros | None = None
    """Exclusive."""
    tenant: str = ""
    patterns: tuple[str, ...] | None = None
    """Names of workflows with * and ?: only jobs of these. None: of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """State of a job's thread after a superstep, without its values."""

    checkpoint_id: str
    parent_checkpoint_id: str
    superstep: int
    source: str
    next_steps: tuple[str, ...]
    create_time: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Each of a workflow's jobs runs in a process of its own, and what that may use. None: as much as there is."""

    memory_bytes: int | None = None
    """Of its address space."""
    cpu_seconds: int | None = None
    """Of processor time, in each attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoints:
    """Which checkpoints of its jobs a workflow keeps. By default all of them."""

    last: int | None = None
    """At any time only so many, the newest."""
    newest_when_succeeded: bool = False
    """All while the job may go on, and only the newest once it has succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What a worker publishes of a workflow that it can run. Schemas are JSON Schema as JSON text."""

    name: str
    description: str
    revision: str
    input_schema: Json
    output_schema: Json
    context_schema: Json | None
    """None: the workflow's context is not described, anything is accepted."""
    steps: tuple[str, ...]
    mermaid: str
    longest_path: int
    """Steps on the graph's longest path without repetition; a first guess at how many a job takes. 0: not known."""
    retry_policy: RetryPolicy = RetryPolicy()
    concurrency: Concurrency = Concurrency()
    keeps_history: bool = False
    """True when a checkpoint cannot be read without its ancestors (LangGraph's DeltaChannel)."""
    isolation: Isolation | None = None
    """None: its jobs share workers with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStatistics:
    """Running means over the successful jobs of one workflow and revision."""

    jobs: int = 0
    mean_steps: float = 0.0
    mean_elapsed: float = 0.0
    """Microseconds spent RUNNING."""
