"""The store on an SQL database: each method of the protocol, and where it is carried out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from autopilot_server.doorbell import StoredEvent
from autopilot_server.jobs.job import Checkpoint, Job, JobError, JobFilter, Micros, Workflow, WorkflowStatistics
from autopilot_server.jobs.states import JobState
from autopilot_server.jobs.tenants import scoped
from autopilot_server.storage import deletion, turns
from autopilot_server.storage.clock import SteppedClock
from autopilot_server.storage.listing import list_rows
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.queued_write import QueuedWrite
from autopilot_server.storage.rows import (
    dump_workflow,
    dumps,
    load_checkpoint,
    load_checkpoint_row,
    load_interrupt,
    load_job,
    load_workflow,
)
from autopilot_server.storage.runs import Runs, state_of_run
from autopilot_server.storage.sealing import as_dict
from autopilot_server.storage.store import (
    Admit,
    CheckpointRow,
    Claim,
    EncodeEvent,
    EventPage,
    Fence,
    JobCount,
    PageKey,
    Pruned,
    Recovery,
    Resumption,
    RunEnd,
    RunUpdate,
    Share,
    Submission,
    Submitted,
    Write,
    WriteRow,
    anybody,
)
from autopilot_server.storage.submissions import Submissions, check_digest
from autopilot_server.storage.transaction import Operation, Parameters, Reading, Row, Snapshot, Transaction
from autopilot_server.storage.transitions import Mover

T = TypeVar("T")

# More rows than any history has.
_ALL = 2**62


class Writer(Protocol):
    """Carries out operations one after the other, many in one transaction of the database."""

    def submit(self, operation: Operation[T], *, after: QueuedWrite[Any] | None = None) -> QueuedWrite[T]:
        """Queue an operation; one that fails when `after` does."""
        ...


class Readers(Protocol):
    """Reads on any thread."""

    def read(self, query: Callable[[Snapshot], T]) -> T:
        """Run `query` in one snapshot of the database."""
        ...

    def rows(self, statement: Statement, parameters: Parameters) -> Sequence[Row]:
        """All rows of one statement."""
        ...

    def row(self, statement: Statement, parameters: Parameters) -> Row | None:
        """The first row of one statement."""
        ...


def take_up(readers: Readers, clock: SteppedClock) -> Micros:
    """Enter the frame of a database that is there. When its newest job was created; 0 where there is none."""
    frame = readers.row(SQL.clock_get, {})
    assert frame is not None  # noqa: S101 - its row was made with the schema
    clock.enter(frame["apart"])
    newest = readers.row(SQL.job_newest_time, {})
    return (newest[0] if newest is not None else None) or 0


class SqlStore:
    """Implements `storage.store.Store`, whose docstrings say what each method promises, but for what each database does
    in its own way: opening, closing, and giving space back."""

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        clock: SteppedClock,
        encode_event: EncodeEvent,
        retention: Micros,
        newest_create_time: Micros,
    ) -> None:
        """Read and write by what the database brings along."""
        self._writer, self._readers, self._clock = writer, readers, clock
        mover = Mover(encode_event=encode_event, retention=retention)
        self._submissions = Submissions(
            mover=mover,
            load_job=_load_without_payloads,
            newest_create_time=newest_create_time,
        )
        self._runs = Runs(mover=mover, load_job=_load_with_payloads)

    # --- jobs, for the API ---

    def job_submit(self, submission: Submission) -> Write[Submitted]:
        return self._writer.submit(lambda t: self._submissions.submit(t, submission))

    def job_get_by_request(self, request_id: str, request_digest: bytes) -> Job | None:
        def read(reading: Reading) -> Job | None:
            row = reading.row(SQL.job_get_by_request, {"request_id": request_id})
            if row is None:
                return None
            check_digest(row["request_digest"], request_digest, request_id)
            return self._load(reading, row, payloads=False)

        return self._readers.read(read)

    def job_get(self, job_id: str, *, payloads: bool) -> Job | None:
        def read(reading: Reading) -> Job | None:
            row = reading.row(SQL.job_get, {"job_id": job_id})
            return None if row is None else self._load(reading, row, payloads=payloads)

        # In one snapshot: the row, its payloads and its questions are of one moment.
        return self._readers.read(read)

    def job_list(self, job_filter: JobFilter, *, limit: int, after: PageKey | None) -> Sequence[Job]:
        return self._readers.read(partial(self._list, job_filter, limit, after))

    def _list(
        self,
        job_filter: JobFilter,
        limit: int,
        after: PageKey | None,
        reading: Reading,
    ) -> list[Job]:
        rows = list_rows(reading, job_filter, states=job_filter.states, limit=limit, after=after)
        return [self._load(reading, row, payloads=False) for row in rows]

    def _load(self, reading: Reading, row: Row, *, payloads: bool) -> Job:
        return _load(reading, row, payloads, self._clock.now())

    def job_cancel(
        self, job_id: str, *, reason: str, etag: str, grace_period: Micros, admit: Admit = anybody
    ) -> Write[Job]:
        return self._writer.submit(lambda t: self._submissions.cancel(t, job_id, reason, etag, grace_period, admit))

    def job_resume(self, resumption: Resumption, *, admit: Admit = anybody) -> Write[Submitted]:
        return self._writer.submit(lambda t: self._submissions.resume(t, resumption, admit))

    def job_delete(self, job_id: str, *, etag: str, admit: Admit = anybody) -> Write[bool]:
        return self._writer.submit(lambda t: deletion.delete(t, job_id, etag, admit))

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
        return self._writer.submit(
            lambda t: deletion.prune(
                t,
                job_filter,
                finished_before=finished_before,
                checkpoints_only=checkpoints_only,
                dry_run=dry_run,
                limit=limit,
                after=after,
            )
        )

    def jobs_delete_expired(self, *, limit: int) -> Write[int]:
        return self._writer.submit(lambda t: deletion.delete_expired(t, limit))

    def events_read(self, job_id: str, *, after_sequence: int, limit: int, max_bytes: int) -> EventPage | None:
        return self._readers.read(lambda c: _read_events(c, job_id, after_sequence, limit, max_bytes))

    # --- jobs, for the engine ---

    def job_claim(
        self, workflows: Mapping[str, str], *, worker_id: str, limit: int, share: Share | None = None
    ) -> Write[Sequence[Claim]]:
        def claim(transaction: Transaction) -> Sequence[Claim]:
            return self._runs.claim(transaction, workflows, worker_id, limit, share)

        return self._writer.submit(claim)

    def next_runnable_time(self, workflows: Mapping[str, str], *, share: Share | None = None) -> Micros | None:
        return self._readers.read(lambda snapshot: turns.next_ready_time(snapshot, workflows, share))

    def runs_of(self, worker_id: str) -> Mapping[Fence, JobState]:
        rows = self._readers.rows(SQL.run_list, {"worker_id": worker_id})
        return {Fence(row["job_id"], row["run_token"]): JobState(row["state"]) for row in rows}

    def run_state(self, fence: Fence) -> JobState | None:
        return state_of_run(
            self._readers.row(SQL.run_get_state, {"job_id": fence.job_id, "run_token": fence.run_token})
        )

    def run_write(self, fence: Fence, update: RunUpdate) -> Write[None]:
        after = update.after
        assert after is None or isinstance(after, QueuedWrite)  # noqa: S101 - it came from this store
        return self._writer.submit(lambda t: self._runs.write(t, fence, update), after=after)

    def run_end(self, fence: Fence, end: RunEnd, update: RunUpdate) -> Write[JobState]:
        return self._writer.submit(lambda t: self._runs.end(t, fence, end, update))

    def jobs_recover(
        self, *, max_losses: int, worker_id: str | None = None, error: JobError | None = None
    ) -> Write[Recovery]:
        return self._writer.submit(lambda t: self._runs.recover(t, max_losses, worker_id, error))

    def jobs_expire(self) -> Write[Recovery]:
        return self._writer.submit(self._runs.expire)

    def next_deadline(self) -> Micros | None:
        row = self._readers.row(SQL.job_next_deadline, {})
        # The write that the caller makes of it adopts the step.
        if row is None or row["deadline"] is None:
            return None
        deadline: Micros = row["deadline"] + self._clock.step(row["apart"])
        return deadline

    # --- checkpoints ---

    def checkpoint_get(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> CheckpointRow | None:
        sql = SQL.checkpoint_get if checkpoint_id else SQL.checkpoint_get_newest
        row = self._readers.row(
            sql, {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, "checkpoint_id": checkpoint_id}
        )
        return None if row is None else load_checkpoint_row(row)

    def checkpoint_history(
        self, thread_id: str, checkpoint_ns: str | None, *, before: str | None, limit: int | None
    ) -> Sequence[CheckpointRow]:
        rows = self._readers.rows(
            SQL.checkpoint_history,
            {
                "thread_id": thread_id,
                "checkpoint_ns": checkpoint_ns,
                "before": before,
                "limit": _ALL if limit is None else limit,
            },
        )
        return [load_checkpoint_row(row) for row in rows]

    def writes_get(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str) -> Sequence[WriteRow]:
        rows = self._readers.rows(
            SQL.write_list,
            {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, "checkpoint_id": checkpoint_id},
        )
        return [WriteRow(**{name: row[name] for name in WriteRow.__slots__}) for row in rows]

    def checkpoints_list(self, job_id: str, *, limit: int, before: str | None) -> Sequence[Checkpoint]:
        rows = self._readers.rows(SQL.checkpoint_list_of_job, {"job_id": job_id, "limit": limit, "before": before})
        return [load_checkpoint(row) for row in rows]

    # --- workflows ---

    def workflows_publish(self, workflows: Sequence[Workflow]) -> Write[None]:
        return self._writer.submit(lambda t: _publish(t, workflows))

    def workflow_get(self, name: str) -> Workflow | None:
        row = self._readers.row(SQL.workflow_get, {"name": name})
        return None if row is None else load_workflow(row["descriptor"])

    def workflow_list(self, *, limit: int, after: str, patterns: Sequence[str] | None = None) -> Sequence[Workflow]:
        wanted = {"limit": limit, "after": after, "patterns": None if patterns is None else dumps(patterns)}
        rows = self._readers.rows(SQL.workflow_list, wanted)
        return [load_workflow(row["descriptor"]) for row in rows]

    def workflow_statistics(self, name: str, revision: str, *, tenant: str = "") -> WorkflowStatistics:
        row = self._readers.row(SQL.statistics_get, {"name": scoped(tenant, name), "revision": revision})
        return WorkflowStatistics() if row is None else WorkflowStatistics(**as_dict(row))

    # --- operation ---

    def token_key(self) -> bytes:
        row = self._readers.row(SQL.secret_get, {"name": "page_tokens"})
        key: bytes = row["value"] if row is not None else b""
        return key

    def job_counts(self) -> Sequence[JobCount]:
        rows = self._readers.rows(SQL.job_count_by_state, {})
        return [JobCount(row["workflow"], JobState(row["state"]), row["jobs"]) for row in rows]

    def oldest_ready_time(self) -> Micros | None:
        return self._readers.read(turns.oldest_ready_time)

    def writing_process(self) -> int | None:
        return None

    def probe(self) -> Write[None]:
        # Every batch writes its own id, and is durable with it.
        return self._writer.submit(lambda _: None)


def _load(reading: Reading, row: Row, payloads: bool, now: Micros) -> Job:
    job = {"job_id": row["job_id"]}
    payload = reading.row(SQL.payload_get, job) if payloads else None
    questions = reading.rows(SQL.interrupt_list_open, job) if row["questions"] else []
    return load_job(row, payload, tuple(load_interrupt(q, payloads=payloads) for q in questions), now)


def _load_with_payloads(transaction: Transaction, row: Row) -> Job:
    return _load(transaction, row, True, transaction.now)


def _load_without_payloads(transaction: Transaction, row: Row) -> Job:
    return _load(transaction, row, False, transaction.now)


def _read_events(reading: Snapshot, job_id: str, after: int, limit: int, max_bytes: int) -> EventPage | None:
    row = reading.row(SQL.event_bounds, {"job_id": job_id})
    if row is None:
        return None
    events: list[StoredEvent] = []
    size = 0
    wanted = {"job_id": job_id, "after": after, "limit": limit, "max_bytes": max_bytes}
    for row_of_event in reading.each(SQL.event_list, wanted):
        sequence, body, has_payload = (row_of_event[name] for name in ("sequence", "body", "has_payload"))
        size += len(body)
        if events and size > max_bytes:
            break
        events.append(StoredEvent(sequence, body, bool(has_payload)))
    latest, oldest = row["latest_sequence"], row["oldest"]
    return EventPage(
        events=tuple(events),
        latest_sequence=latest,
        oldest_sequence=latest + 1 if oldest is None else oldest,
        state=JobState(row["state"]),
        workflow=row["workflow"],
        create_time=row["create_time"],
    )


def _publish(transaction: Transaction, workflows: Sequence[Workflow]) -> None:
    transaction.execute(SQL.workflow_delete_all)
    for workflow in workflows:
        transaction.execute(SQL.workflow_insert, {"name": workflow.name, "descriptor": dump_workflow(workflow)})
    turns.set_limits(transaction, workflows)
