"""Operations that clients ask for: submit, cancel, resume."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from autopilot_server.jobs.errors import (
    CheckpointNotFoundError,
    EtagMismatchError,
    FieldInvalidError,
    InterruptNotPendingError,
    JobAlreadyExistsError,
    JobStateConflictError,
    LimitExceededError,
    RequestIdReusedError,
    ThreadAdvancedError,
    ThreadBusyError,
    Violation,
    job_not_found,
)
from autopilot_server.jobs.job import Job, Json, Micros, StartPoint
from autopilot_server.jobs.states import CANCELLABLE, FINISHED, OWNED, RESUMABLE, JobState
from autopilot_server.jobs.tenants import public, tenant_of
from autopilot_server.storage import forks
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.rows import (
    dump_start_point,
    dump_trace,
    etag,
    label_row,
    load_trace,
    load_workflow,
    new_job_row,
)
from autopilot_server.storage.store import Admit, Resumption, Submission, Submitted, anybody
from autopilot_server.storage.transaction import Row, Transaction
from autopilot_server.storage.transitions import Mover, cancelled

LoadJob = Callable[[Transaction, Row], Job]

# A full queue empties at the pace of the jobs: worth another look in a few seconds.
LIMIT_RETRY_SECONDS = 5.0


def find_job(transaction: Transaction, job_id: str, admit: Admit = anybody) -> Row:
    """Read a job's row, which nobody else changes then. JobNotFoundError, and what `admit` raises."""
    row = transaction.row(SQL.job_lock, {"job_id": job_id})
    if row is None:
        raise job_not_found(public(job_id))
    admit(job_id, row["workflow"])
    return row


def check_etag(row: Row, wanted: str) -> None:
    """EtagMismatchError when the job has changed."""
    current = etag(row)
    if wanted and wanted != current:
        job_id = public(row["job_id"])
        raise EtagMismatchError(
            f"Job {job_id!r} has changed: its etag is {current!r} now. Read it again, then decide again.",
            job_id=job_id,
            etag=current,
        )


def state_conflict(row: Row, method: str, allowed: str) -> JobStateConflictError:
    """The error for a job that is in the wrong state."""
    state = JobState(row["state"]).name
    return JobStateConflictError(
        f"{method} is not possible: job {public(row['job_id'])!r} is {state}; it must be {allowed}.",
        job_id=public(row["job_id"]),
        state=state,
        method=method,
    )


class Submissions:
    """Carries out Submit, Cancel and Resume."""

    def __init__(self, *, mover: Mover, load_job: LoadJob, newest_create_time: Micros) -> None:
        """`newest_create_time`: of the jobs that the database has; each new one gets a later one."""
        self._mover, self._load_job = mover, load_job
        self._newest_create_time = newest_create_time

    # --- submit ---

    def submit(self, transaction: Transaction, submission: Submission) -> Submitted:
        """See Store.job_submit."""
        spec = submission.spec
        # First, so that whoever asks for the same at the same time finds what the other has stored.
        transaction.lock_thread(spec.thread_id or spec.job_id)
        if submission.request_id:
            known = transaction.row(SQL.job_get_by_request, {"request_id": submission.request_id})
            if known is not None:
                check_digest(known["request_digest"], submission.request_digest, submission.request_id)
                return Submitted(self._load_job(transaction, known), deduplicated=True)
        if transaction.row(SQL.job_get, {"job_id": spec.job_id}) is not None:
            job_id = public(spec.job_id)
            raise JobAlreadyExistsError(f"There is a job {job_id!r} already.", job_id=job_id)
        fork = None if spec.fork_from is None else self._fork_source(transaction, submission)
        thread_id = spec.thread_id or _own_thread(transaction, spec.job_id)
        _check_thread_free(transaction, thread_id)
        _check_room(transaction, tenant_of(spec.job_id), submission)
        if fork is not None and not spec.concurrency_key:
            submission = replace(submission, spec=replace(spec, concurrency_key=fork.concurrency_key))
        row = new_job_row(submission, thread_id, self._create_time(transaction.now), transaction.now)
        if fork is not None:
            row |= forks.copy(transaction, fork, to_thread=thread_id, to_job=spec.job_id)
        transaction.execute(SQL.job_insert, row)
        self._insert_parts(transaction, submission, row)
        self._mover.created(transaction, row)
        return Submitted(self._load_job(transaction, row), deduplicated=False)

    @staticmethod
    def _insert_parts(transaction: Transaction, submission: Submission, row: dict[str, Any]) -> None:
        spec = submission.spec
        transaction.execute(SQL.payload_insert, {"job_id": spec.job_id, "input": spec.input, "context": spec.context})
        for key, value in spec.labels.items():
            transaction.execute(SQL.label_insert, label_row(row, key, value))

    def _create_time(self, now: Micros) -> Micros:
        # Strictly growing, so that the order of jobs is total and a job's etag is never repeated.
        self._newest_create_time = max(now, self._newest_create_time + 1)
        return self._newest_create_time

    @staticmethod
    def _fork_source(transaction: Transaction, submission: Submission) -> forks.Source:
        spec = submission.spec
        assert spec.fork_from is not None  # noqa: S101 - asked by the caller
        source = find_job(transaction, spec.fork_from.job_id, submission.admit)
        if source["workflow"] != spec.workflow:
            text = f"job {public(spec.fork_from.job_id)!r} is of workflow {source['workflow']!r}, not {spec.workflow!r}"
            raise FieldInvalidError(f"fork_from: {text}.", violations=[Violation("fork_from.job_id", text)])
        checkpoint_id = spec.fork_from.checkpoint_id or source["checkpoint_id"]
        _check_checkpoint(transaction, spec.fork_from.job_id, checkpoint_id)
        stored = transaction.row(SQL.workflow_get, {"name": spec.workflow})
        keeps_history = stored is not None and load_workflow(stored["descriptor"]).keeps_history
        return forks.Source(source["thread_id"], checkpoint_id, keeps_history, source["concurrency_key"])

    # --- cancel ---

    def cancel(
        self,
        transaction: Transaction,
        job_id: str,
        reason: str,
        wanted_etag: str,
        grace_period: Micros,
        admit: Admit,
    ) -> Job:
        """See Store.job_cancel."""
        row = find_job(transaction, job_id, admit)
        state = JobState(row["state"])
        if state is not JobState.CANCELLED:
            check_etag(row, wanted_etag)
            if state not in CANCELLABLE:
                raise state_conflict(row, "Cancel", "unfinished")
            row = self._cancel(transaction, row, state, reason, grace_period)
        return self._load_job(transaction, row)

    def _cancel(self, transaction: Transaction, row: Row, state: JobState, reason: str, grace_period: Micros) -> Row:
        if state not in OWNED:
            return self._mover.move(
                transaction, row, JobState.CANCELLED, cancelled(reason), cancel_reason=reason, start_point=None
            )
        deadline = min(transaction.now + grace_period, row["deadline"] or 2**62)
        if state is JobState.RUNNING:
            row = self._mover.move(transaction, row, JobState.CANCELLING, cancel_reason=reason, deadline=deadline)
        if grace_period <= 0:
            return self._mover.move(
                transaction, row, JobState.CANCELLED, cancelled(row["cancel_reason"]), start_point=None
            )
        transaction.execute(SQL.job_set_deadline, {"job_id": row["job_id"], "deadline": deadline})
        transaction.tell(row["job_id"], JobState.CANCELLING)
        return find_job(transaction, row["job_id"])

    # --- resume ---

    def resume(self, transaction: Transaction, resumption: Resumption, admit: Admit) -> Submitted:
        """See Store.job_resume."""
        job_id = resumption.job_id
        row = find_job(transaction, job_id, admit)
        request = {"job_id": job_id, "request_id": resumption.request_id}
        if resumption.request_id:
            known = transaction.row(SQL.resume_request_get, request)
            if known is not None:
                check_digest(known["request_digest"], resumption.request_digest, resumption.request_id)
                return Submitted(self._load_job(transaction, row), deduplicated=True)
        check_etag(row, resumption.etag)
        if row["state"] not in RESUMABLE:
            raise state_conflict(row, "Resume", "INTERRUPTED, FAILED or CANCELLED")
        _check_newest_of_thread(transaction, row)
        if resumption.checkpoint_id:
            _check_checkpoint(transaction, job_id, resumption.checkpoint_id)
        answers = _answers(transaction, row, resumption)
        _check_answers(job_id, answers, resumption)
        if row["state"] in FINISHED:
            _check_room(transaction, row["tenant"], resumption)
        if resumption.request_id:
            transaction.execute(SQL.resume_request_insert, request | {"request_digest": resumption.request_digest})
        start = _start_point(row, resumption)
        for interrupt_id, answer in answers.items():
            transaction.execute(SQL.answer_insert, {"job_id": job_id, "interrupt_id": interrupt_id, "answer": answer})
        row = self._mover.move(
            transaction,
            row,
            JobState.PENDING,
            failed_attempts=0,
            losses=0,
            budget_spent=0,
            cancel_reason="",
            ready_time=max(transaction.now, row["scheduled_time"] or 0),
            start_point=None if start is None else dump_start_point(start),
            # Only a job that stands at a breakpoint is told to go past it: a Cancel or a timeout may have come just
            # before the stop.
            passed_breakpoint=(
                row["checkpoint_id"] if row["state"] == JobState.INTERRUPTED else row["passed_breakpoint"]
            ),
            trace=dump_trace(replace(load_trace(row), resumed=resumption.trace)),
        )
        return Submitted(self._load_job(transaction, row), deduplicated=False)


def check_digest(stored: bytes, wanted: bytes, request_id: str) -> None:
    """RequestIdReusedError when a request_id was used for something else."""
    if stored != wanted:
        request_id = public(request_id)
        raise RequestIdReusedError(
            f"request_id {request_id!r} was used before, for a request with other contents. "
            "Use a new one for each request, and the same one only to repeat it.",
            request_id=request_id,
        )


def _own_thread(transaction: Transaction, job_id: str) -> str:
    """A thread that no job uses: named like the job, unless somebody has chosen that name for another thread."""
    if transaction.row(SQL.thread_is_used, {"thread_id": job_id}) is None:
        return job_id
    return f"{job_id}-{uuid.uuid4()}"


def _check_thread_free(transaction: Transaction, thread_id: str) -> None:
    owner = transaction.row(SQL.job_get_unfinished_of_thread, {"thread_id": thread_id})
    if owner is not None:
        raise ThreadBusyError(
            f"Thread {public(thread_id)!r} is used by the unfinished job {public(owner['job_id'])!r}: wait for it, or "
            "cancel it.",
            thread_id=public(thread_id),
            job_id=public(owner["job_id"]),
        )


def _check_room(transaction: Transaction, tenant: str, wanted: Submission | Resumption) -> None:
    limit = wanted.tenant_unfinished_limit
    if limit is not None:
        of_tenant = {"tenant": tenant, "limit": limit}
        if _count(transaction, SQL.job_count_unfinished_of_tenant, of_tenant) >= limit:
            raise _no_room(f"{limit} of your jobs are unfinished", limit, "tenant_unfinished_jobs")
    limit = wanted.unfinished_limit
    if limit is not None and _count(transaction, SQL.job_count_unfinished, {"limit": limit}) >= limit:
        raise _no_room(f"{limit} jobs are unfinished", limit, "unfinished_jobs")


def _count(transaction: Transaction, statement: Statement, parameters: dict[str, Any]) -> int:
    found = transaction.row(statement, parameters)
    return 0 if found is None else int(found[0])


def _no_room(text: str, limit: int, name: str) -> LimitExceededError:
    return LimitExceededError(
        f"{text}, and the server takes no more. Try again when some are finished.",
        retry_delay=LIMIT_RETRY_SECONDS,
        limit=limit,
        name=name,
    )


def _check_checkpoint(transaction: Transaction, job_id: str, checkpoint_id: str) -> None:
    if transaction.row(SQL.checkpoint_exists, {"job_id": job_id, "checkpoint_id": checkpoint_id}) is None:
        which = f"checkpoint {checkpoint_id!r}" if checkpoint_id else "checkpoint yet"
        job_id = public(job_id)
        raise CheckpointNotFoundError(f"Job {job_id!r} has no {which}.", job_id=job_id, checkpoint_id=checkpoint_id)


def _check_newest_of_thread(transaction: Transaction, row: Row) -> None:
    newer = transaction.row(
        SQL.job_get_newer_of_thread, {"thread_id": row["thread_id"], "create_time": row["create_time"]}
    )
    if newer is not None:
        raise _thread_advanced(row, f"job {public(newer['job_id'])!r}", public(newer["job_id"]))
    place = {name: row[name] for name in ("thread_id", "checkpoint_id", "create_time")}
    if transaction.row(SQL.checkpoint_get_newer_of_thread, place) is not None:
        raise _thread_advanced(row, "a job that was deleted since", "")


def _thread_advanced(row: Row, with_whom: str, newer_job_id: str) -> ThreadAdvancedError:
    thread_id, job_id = public(row["thread_id"]), public(row["job_id"])
    return ThreadAdvancedError(
        f"Thread {thread_id!r} has gone on with {with_whom}: job {job_id!r} cannot be resumed. Submit a job with "
        "fork_from to go on from its checkpoint.",
        thread_id=thread_id,
        job_id=newer_job_id,
    )


def _answers(transaction: Transaction, row: Row, resumption: Resumption) -> dict[str, Json]:
    """The answers by interrupt id. InterruptNotPendingError."""
    job_id = row["job_id"]
    open_ids = [i["interrupt_id"] for i in transaction.rows(SQL.interrupt_list_open, {"job_id": job_id})]
    job_id = public(job_id)
    answers = dict(resumption.answers)
    if resumption.sole_answer is not None:
        if not open_ids:
            raise InterruptNotPendingError(
                f"Job {job_id!r} has no open question to answer: Resume it without an answer.",
                job_id=job_id,
                interrupt_id="",
            )
        if len(open_ids) != 1:
            raise InterruptNotPendingError(
                f"Job {job_id!r} has {len(open_ids)} open questions and `answer` needs exactly one: "
                "name the questions with `answers`.",
                job_id=job_id,
                interrupt_id="",
            )
        answers[open_ids[0]] = resumption.sole_answer
    for interrupt_id in answers:
        if interrupt_id not in open_ids:
            raise InterruptNotPendingError(
                f"Job {job_id!r} has no open question {interrupt_id!r}.", job_id=job_id, interrupt_id=interrupt_id
            )
    starts_elsewhere = bool(resumption.checkpoint_id) or resumption.state_update is not None
    if row["state"] == JobState.INTERRUPTED and open_ids and not answers and not starts_elsewhere:
        raise InterruptNotPendingError(
            f"Job {job_id!r} waits for answers to its questions, and the request has none.",
            job_id=job_id,
            interrupt_id=open_ids[0],
        )
    return answers


def _check_answers(job_id: str, answers: Mapping[str, Json], resumption: Resumption) -> None:
    """FieldInvalidError with what the questions' schemas refuse."""
    wrong = resumption.wrong_answers
    if wrong is None:
        return
    for interrupt_id in answers:
        if interrupt_id not in wrong:
            raise InterruptNotPendingError(
                f"Job {job_id!r} asked {interrupt_id!r} only just now: read the question, then answer it.",
                job_id=job_id,
                interrupt_id=interrupt_id,
            )
    if violations := [violation for interrupt_id in answers for violation in wrong[interrupt_id]]:
        raise FieldInvalidError.of(violations)


def _start_point(row: Row, resumption: Resumption) -> StartPoint | None:
    if not resumption.checkpoint_id and resumption.state_update is None:
        # A start point that was never reached, because the job was cancelled before, is not taken up again.
        return None
    return StartPoint(
        former_state=JobState(row["state"]),
        checkpoint_id=resumption.checkpoint_id,
        state_update=resumption.state_update,
        state_update_step=resumption.state_update_step,
    )
