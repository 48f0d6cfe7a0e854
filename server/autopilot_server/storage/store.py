"""The storage protocol. Its docstrings are promises; `tests/storage` proves each of them on every backend.

Ids of jobs, threads and requests are scoped by their tenant, see jobs/tenants.py: a job is found by its own tenant
only. Errors name them as clients know them.

Reads are short and indexed, and are made inline on any thread. Writes are queued when they are called, in the order
of the calls, and return a `Write`: await it on an event loop, or call `result()` on a thread. It resolves after the
commit. A write that fails changes nothing and fails alone. A caller may drop a `Write`; it is carried out all the
same.

Errors of any write and read: StorageUnavailableError when the database is away, locked or full; the write then did
not happen, as far as can be told: a commit whose outcome is unknown is looked up, and may be found nowhere before the
database is back. Every commit that changes a job rings the doorbell, afterwards, with what it changed.

Times are the wall clock's. When somebody steps it, what a job waits for or may spend keeps its length all the same:
deadlines, backoffs, the time spent RUNNING, and that a job without scheduled_time is runnable at once. Only what was
asked for as a time goes by the clock as it is: `scheduled_time` and `expire_time`.

An `etag` argument: empty means any; EtagMismatchError when it is not the job's. An `admit` argument: see Admit; asked
when the job is found, before anything else of it is looked at. A `fence` argument: the run must
still hold the job, that is, its token stands in the job's row; else StaleRunError and nothing is written.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from autopilot_server.doorbell import StoredEvent
from autopilot_server.jobs.errors import Violation
from autopilot_server.jobs.events import Event
from autopilot_server.jobs.job import (
    Checkpoint,
    Interrupt,
    Job,
    JobError,
    JobFilter,
    JobSpec,
    Json,
    Micros,
    Progress,
    StartPoint,
    Workflow,
    WorkflowStatistics,
)
from autopilot_server.jobs.states import JobState
from autopilot_server.jobs.traces import JobTrace, TraceContext

T_co = TypeVar("T_co", covariant=True)

Admit = Callable[[str, str], None]
"""Called inside a transaction with a job's id and its workflow, before anything of the job is told or changed: raises
what refuses the caller."""


def anybody(job_id: str, workflow: str) -> None:
    """Admits every caller."""


class Write(Protocol[T_co]):
    """A queued write."""

    def __await__(self) -> Generator[object, None, T_co]:
        """Wait on an event loop for the commit, and give the write's result or raise its error."""
        ...

    def result(self) -> T_co:
        """The same on a thread that has no event loop. Blocks."""
        ...

    def on_failure(self, callback: Callable[[Exception], None]) -> None:
        """Call `callback` with the error if the write fails, on any thread; at once if it has failed already."""
        ...


# --- API side ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A new job. `spec.thread_id` is empty for a thread of its own."""

    spec: JobSpec
    request_id: str = ""
    request_digest: bytes = b""
    """Digest of the request's canonical contents: equal for requests that ask for the same."""
    unfinished_limit: int
    """Refuse the job when as many unfinished ones exist."""
    tenant_unfinished_limit: int | None = None
    """The same for those of the job's tenant. None: no limit of its own."""
    admit: Admit = anybody
    """Asked about the job that is forked from."""
    trace: TraceContext | None = None
    """The span that the job's attempts are children of."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission."""

    job: Job
    deduplicated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """A Resume. `answers` go by interrupt id; `sole_answer` is for the only open question, whatever its id."""

    job_id: str
    answers: Mapping[str, Json] = field(default_factory=dict)
    sole_answer: Json | None = None
    checkpoint_id: str = ""
    state_update: Json | None = None
    state_update_step: str = ""
    request_id: str = ""
    request_digest: bytes = b""
    etag: str = ""
    wrong_answers: Mapping[str, Sequence[Violation]] | None = None
    """What is wrong with the answer to each question that was open when the answers were checked, by interrupt id;
    None: they were not checked."""
    # No part of what is asked for, whose text the digest is made of.
    unfinished_limit: int | None = field(default=None, repr=False)
    """Refuse a job that is finished when as many unfinished ones exist. None: no limit."""
    tenant_unfinished_limit: int | None = field(default=None, repr=False)
    """The same for those of the job's tenant."""
    trace: TraceContext | None = field(default=None, repr=False)
    """A span that the job's next attempts refer to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageKey:
    """Where a page of jobs ends: the next one begins behind it. Jobs are ordered by (create_time, job_id), newest
    first."""

    create_time: Micros
    job_id: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much one batch of pruning deleted (or counted, in a dry run)."""

    jobs: int
    checkpoints: int
    more: bool
    """True when another batch may find more."""
    resume_after: PageKey | None = None
    """Pass to the next batch."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of a log, in order."""

    events: tuple[StoredEvent, ...]
    latest_sequence: int
    """Newest stored sequence, at the time of reading."""
    oldest_sequence: int
    """Oldest stored sequence, `latest_sequence` + 1 when there is none."""
    state: JobState
    workflow: str
    create_time: Micros
    """Of the job, which tells it from others that had its id before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """A checkpoint as LangGraph's savers store it, with what we add."""

    thread_id: str
    checkpoint_ns: str
    """Empty for the job's own graph, `node:task_id|…` for a subgraph's."""
    checkpoint_id: str
    parent_checkpoint_id: str | None
    type: str
    checkpoint: bytes
    metadata: bytes
    """JSON, in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRow:
    """A pending write of a checkpoint, as LangGraph's savers store it."""

    task_id: str
    task_path: str
    idx: int
    channel: str
    type: str
    value: bytes


@dataclass(frozen=True, slots=True)
class JobCount:
    """How many jobs of a workflow are in a state."""

    workflow: str
    state: JobState
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMove:
    """A job moved from one state to another."""

    job_id: str
    workflow: str
    attempt: int
    from_state: JobState | None
    """None: it was submitted."""
    to_state: JobState
    reason: str
    """Of the error that the move tells; empty when it tells none."""
    trace_id: str = ""
    """Empty: the job has no trace."""


# --- Engine side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fence:
    """Who writes: the run token is new with each claim and stands in the job's row while the run owns the job."""

    job_id: str
    run_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that was just made RUNNING, and what its run needs."""

    job: Job
    """With payloads."""
    fence: Fence
    answers: Mapping[str, Json]
    """Stored answers by interrupt id."""
    start_point: StartPoint | None
    passed_breakpoint: str
    """The checkpoint whose breakpoint a Resume told the job to go past; empty when none did."""
    deadline: Micros | None
    """When `jobs_expire` ends the run, unless it ends before."""
    trace: JobTrace
    """With a new span id for this attempt, which stands in the database before anything of the attempt is told."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which of the runnable jobs a worker takes, where some run apart, each in a process of its own: those of isolated
    workflows, and suspects, which have lost their worker twice in a row without a new checkpoint. They may be what ends
    it, and others must not end with it again."""

    apart: bool
    isolated: frozenset[str]
    """Workflows whose jobs all run apart."""


@dataclass(frozen=True, slots=True)
class EventDraft:
    """A serialized event on its way to the log."""

    body: bytes
    has_payload: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPut:
    """A checkpoint to store, in any namespace of the job's thread."""

    row: CheckpointRow
    superstep: int
    source: str
    next_steps: tuple[str, ...] = ()
    create_time: Micros
    ends_start_point: bool = False
    """True for the checkpoint that carries out the job's start point: that is cleared with it, and so are the questions
    that were open before, and all stored answers."""
    keep: int | None = None
    """Only so many of the job's checkpoints in this namespace stay, the newest, this one included. Older ones go in the
    same transaction, with their pending writes, and with what the subgraphs inside had saved by then; but of a state
    that a subgraph keeps from call to call stays what each root checkpoint that stays was made with. At most a hundred
    go at once. None: all stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritesPut:
    """Pending writes to store. `replace`: those that exist are overwritten, else they are kept (as LangGraph does)."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    rows: Sequence[WriteRow]
    replace: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUpdate:
    """What a run stores at once: pending writes, a checkpoint, and what it has to tell of them."""

    events: Sequence[EventDraft] = ()
    """Appended to the log."""
    progress: Progress | None = None
    """None: nothing has changed."""
    writes: Sequence[WritesPut] = ()
    checkpoint: CheckpointPut | None = None
    """An existing one with its id is replaced. In the root namespace it becomes the job's `checkpoint_id`."""
    after: Write[None] | None = None
    """The run's write before this one. When it fails, so does this one, with its error: a log has no holes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, for its job: one value for every outcome."""

    to_state: JobState
    """PENDING (a retry, a drain), INTERRUPTED, SUCCEEDED, FAILED, or a start point's former state. A job that is
    CANCELLING becomes CANCELLED whatever stands here."""
    error: JobError | None = None
    keeps_error: bool = False
    """True: the job's error stays what it is, as when a run is only given back."""
    output: Json | None = None
    interrupts: Sequence[Interrupt] | None = None
    """The questions that are open in the state now. None: not looked up, those of the row stay. Stored answers to
    others than these are deleted."""
    next_steps: tuple[str, ...] | None = None
    """None: those of the newest root checkpoint, which every put of one writes to the row, stay."""
    attempt_failed: bool = False
    """Counts in `failed_attempts`."""
    backoff: Micros = 0
    """How long a PENDING job waits, which `next_attempt_time` then tells."""
    refused_answers: Sequence[str] = ()
    """Interrupt ids whose stored answers are deleted, so that the questions are open again."""
    clears_start_point: bool = False
    steps: int | None = None
    """Steps that the job took in all; set on success, for the workflow's statistics."""
    keeps_newest: bool = False
    """True: when the job is SUCCEEDED now, all its checkpoints but the newest are deleted, as `jobs_prune` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRun:
    """A run that a dead process left."""

    job_id: str
    workflow: str
    attempt: int
    trace: JobTrace
    claim_time: Micros
    last_write_time: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What `jobs_recover` and `jobs_expire` moved."""

    requeued: Sequence[str] = ()
    cancelled: Sequence[str] = ()
    failed: Sequence[str] = ()
    lost: Sequence[LostRun] = ()
    """Every run that `jobs_recover` found without its process."""


class Store(Protocol):
    """Where jobs, events, answers, workflows and checkpoints live."""

    def close(self) -> None:
        """Carry out what is queued, then close. Idempotent."""
        ...

    # Jobs, for the API

    def job_submit(self, submission: Submission) -> Write[Submitted]:
        """Store a PENDING job with its first event, StateChanged(None → PENDING).

        A known request_id with the same digest gives the job as it is now, with another RequestIdReusedError. Then
        in this order: JobAlreadyExistsError; with fork_from JobNotFoundError, CheckpointNotFoundError, and
        FieldInvalidError when the source is of another workflow; ThreadBusyError when an unfinished job uses the
        thread; LimitExceededError (name `tenant_unfinished_jobs` or `unfinished_jobs`).

        A thread of its own is one that no job uses or used: named like the job, unless that name is taken.

        With fork_from the checkpoint is copied under the new job's own thread, with the pending writes (but answers)
        of it and of its subgraphs' checkpoints, and becomes the job's `checkpoint_id`; `keeps_history` workflows get
        its ancestors too. Without a concurrency_key of its own the job gets the source's.
        """
        ...

    def job_get_by_request(self, request_id: str, request_digest: bytes) -> Job | None:
        """The job that a request_id made, without payloads. RequestIdReusedError when the digest is another."""
        ...

    def job_get(self, job_id: str, *, payloads: bool) -> Job | None:
        """Read a job. Without payloads, `input`, `context`, `output` are None and interrupts' values are Omitted."""
        ...

    def job_list(self, job_filter: JobFilter, *, limit: int, after: PageKey | None) -> Sequence[Job]:
        """Read a page of jobs without payloads, newest first. Its cost does not grow with how far behind the newest it
        begins."""
        ...

    def job_cancel(
        self, job_id: str, *, reason: str, etag: str, grace_period: Micros, admit: Admit = anybody
    ) -> Write[Job]:
        """Cancel a job: PENDING and INTERRUPTED become CANCELLED, RUNNING becomes CANCELLING with a deadline
        `grace_period` from now. With a grace period of 0 a RUNNING or CANCELLING job goes on to CANCELLED in the
        same transaction (both moves are in the log), and its run is fenced off. A CANCELLING job's deadline is only
        ever moved forward in time to an earlier one. CANCELLED: nothing changes, whatever the etag.

        JobError: CANCELLED, with the reason as its message. Errors in this order: JobNotFoundError,
        EtagMismatchError, JobStateConflictError (SUCCEEDED, FAILED).
        """
        ...

    def job_resume(self, resumption: Resumption, *, admit: Admit = anybody) -> Write[Submitted]:
        """Make an INTERRUPTED, FAILED or CANCELLED job PENDING, with its answers or its start point stored.

        In this order: JobNotFoundError; a known request_id of this job with the same digest gives the job as it is now,
        with another RequestIdReusedError; EtagMismatchError; JobStateConflictError; ThreadAdvancedError when a newer
        job uses or used the thread, even one that was deleted since; CheckpointNotFoundError when it is not one of the
        job's own; InterruptNotPendingError when an answer names no open question, `sole_answer` meets none or several,
        or a job that is INTERRUPTED by interrupt() gets neither answers nor a start point; FieldInvalidError with the
        `wrong_answers`; LimitExceededError as in job_submit, but never for an INTERRUPTED job, which is unfinished
        already. A question that came up after they were checked is not open for this Resume.

        Clears error, end_time, expire_time, failed attempts, losses and the spent part of the execution timeout. The
        newest checkpoint of an INTERRUPTED job becomes its passed breakpoint. The job is runnable at once, but never
        before its scheduled_time.
        """
        ...

    def job_delete(self, job_id: str, *, etag: str, admit: Admit = anybody) -> Write[bool]:
        """Delete a finished job with its events, answers and requests; its thread's checkpoints go with the last job on
        the thread, until then they are nobody's. False when there is no such job, or `admit` says so.
        EtagMismatchError, JobStateConflictError (unfinished)."""
        ...

    def jobs_prune(
        self,
        job_filter: JobFilter,
        *,
        finished_before: Micros,
        checkpoints_only: bool,
        dry_run: bool,
        limit: int,
        after: PageKey | None,
    ) -> Write[Pruned]:
        """Delete at most `limit` jobs that finished before a time, as `job_delete` does, in one transaction.

        `checkpoints_only` keeps the jobs and each one's newest root checkpoint (and its ancestors when the
        workflow `keeps_history`), and deletes the older ones of finished jobs. A dry run changes nothing and counts
        the same.
        """
        ...

    def jobs_delete_expired(self, *, limit: int) -> Write[int]:
        """Delete at most `limit` finished jobs whose `expire_time` has come. The number deleted."""
        ...

    def space_reclaim(self, *, pages: int) -> Write[int]:
        """Give at most `pages` free pages back to the file system. How many free pages are left."""
        ...

    def events_read(self, job_id: str, *, after_sequence: int, limit: int, max_bytes: int) -> EventPage | None:
        """Read events with a greater sequence, in order and without gaps, at most `limit` and about `max_bytes` (but
        at least one when there is one). None when there is no such job."""
        ...

    # Jobs, for the engine

    def job_claim(
        self, workflows: Mapping[str, str], *, worker_id: str, limit: int, share: Share | None = None
    ) -> Write[Sequence[Claim]]:
        """Take up at most `limit` runnable jobs of these workflows (name → revision): PENDING → RUNNING, attempt + 1,
        a fresh run token and span id, a StateChanged event. Runnable: scheduled_time and next_attempt_time have come.
        `share`: only those; None: all.
        Order: priority, the greatest first, then the time since when the job is runnable, then job_id. No job is ever
        claimed by two.

        No more jobs of a workflow, and of a tenant with one concurrency_key, are RUNNING or CANCELLING afterwards than
        the workflow's published limits say; those that have no place are passed over, and are the first once there is
        one. The cost does not grow with how many wait. A commit after which there is a place for a job that waited for
        one rings for that job, as PENDING."""
        ...

    def next_runnable_time(self, workflows: Mapping[str, str], *, share: Share | None = None) -> Micros | None:
        """When the next PENDING job of these workflows becomes runnable that no limit keeps waiting; a time in the past
        when one is already.
        `share` as in job_claim."""
        ...

    def runs_of(self, worker_id: str) -> Mapping[Fence, JobState]:
        """The runs that a worker owns, RUNNING or CANCELLING."""
        ...

    def run_state(self, fence: Fence) -> JobState | None:
        """RUNNING or CANCELLING while the run owns the job, else None."""
        ...

    def run_write(self, fence: Fence, update: RunUpdate) -> Write[None]:
        """Store what a run has so far."""
        ...

    def run_end(self, fence: Fence, end: RunEnd, update: RunUpdate) -> Write[JobState]:
        """Give the job back: what `update` holds, the state of `end`, the token cleared, and a StateChanged event.

        CANCELLING becomes CANCELLED, with the Cancel's reason. FAILED, CANCELLED, SUCCEEDED set end_time and
        expire_time, SUCCEEDED empties interrupts and answers and enters the workflow's statistics. The time since the
        claim is added to what the job has spent RUNNING. A PENDING job that waits for nothing and whose attempt did
        not fail keeps its turn. Gives the state that the job is in then."""
        ...

    def jobs_recover(
        self, *, max_losses: int, worker_id: str | None = None, error: JobError | None = None
    ) -> Write[Recovery]:
        """Requeue what a dead worker left: RUNNING → PENDING, CANCELLING → CANCELLED, at once runnable, and before
        those that came later. Without `worker_id` what all workers left, for a store that no living one uses.

        Then also no job is left waiting because the clock was stepped while no server ran: a PENDING one that waits
        neither for its scheduled_time nor for a backoff is runnable, and no backoff takes longer than the job's
        max_backoff.

        A job counts its losses in a row without a new checkpoint; at `max_losses` it is FAILED (WORKER_LOST)
        instead; with an `error` at once, with that.
        Time spent RUNNING is counted up to the dead run's last write. Tells of every run that was left."""
        ...

    def jobs_expire(self) -> Write[Recovery]:
        """End the runs whose deadline has come: CANCELLING → CANCELLED, RUNNING → FAILED (EXECUTION_TIMED_OUT)."""
        ...

    def next_deadline(self) -> Micros | None:
        """The earliest deadline of any run, by the wall clock as it is now."""
        ...

    # Checkpoints

    def checkpoint_get(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> CheckpointRow | None:
        """Read one checkpoint; the newest of the namespace when no id is given."""
        ...

    def checkpoint_history(
        self, thread_id: str, checkpoint_ns: str | None, *, before: str | None, limit: int | None
    ) -> Sequence[CheckpointRow]:
        """Read checkpoints of a thread, newest first: of one namespace or of all (None), older than `before`."""
        ...

    def writes_get(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str) -> Sequence[WriteRow]:
        """Read a checkpoint's pending writes, ordered by (task_path, task_id, idx) as LangGraph's own saver does."""
        ...

    def checkpoints_list(self, job_id: str, *, limit: int, before: str | None) -> Sequence[Checkpoint]:
        """Read the root checkpoints that a job wrote (or was forked from), newest first, older than `before`."""
        ...

    # Workflows

    def workflows_publish(self, workflows: Sequence[Workflow]) -> Write[None]:
        """Replace the workflows that can be run here. Their limits hold from the next claim on; what runs already
        goes on."""
        ...

    def workflow_get(self, name: str) -> Workflow | None:
        """Read one."""
        ...

    def workflow_list(self, *, limit: int, after: str, patterns: Sequence[str] | None = None) -> Sequence[Workflow]:
        """Read a page, ordered by name, of those whose names match a pattern if there are any."""
        ...

    def workflow_statistics(self, name: str, revision: str, *, tenant: str = "") -> WorkflowStatistics:
        """Read a tenant's running means; zeros when none of its jobs of the revision has succeeded."""
        ...

    # Operation

    def token_key(self) -> bytes:
        """A secret of this database, made with it: what signs page tokens outlives a restart."""
        ...

    def job_counts(self) -> Sequence[JobCount]:
        """How many jobs there are of each workflow and state; none where there are none. Reads the whole index."""
        ...

    def oldest_ready_time(self) -> Micros | None:
        """Since when the PENDING job is runnable that waits the longest, whatever its workflow, but for those that a
        limit keeps waiting; it may be a time to come. None when there is none."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """How many bytes the database takes, by its parts: `database`, and `log` where that is counted apart."""
        ...

    def writing_process(self) -> int | None:
        """The process that keeps all others from writing now; None when there is none, or when nobody can tell."""
        ...

    def probe(self) -> Write[None]:
        """Write something harmless durably: fails when the database cannot be written."""
        ...


OnMoves = Callable[[Sequence[JobMove]], None]
"""Hears how jobs have moved, after the commit and after the doorbell; must not raise."""

EncodeEvent = Callable[[Event], EventDraft]
"""What a store is given to serialize the events that it makes itself (moves between states)."""
