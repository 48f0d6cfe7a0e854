"""Operations of the engine: claims, what runs write, how they end, and what dead ones left."""

import uuid
from collections.abc import Mapping
from itertools import islice
from typing import Any

from autopilot_server.jobs.errors import SealBrokenError, StaleRunError
from autopilot_server.jobs.job import JobError, JobErrorReason, Micros, Progress
from autopilot_server.jobs.states import JobState
from autopilot_server.jobs.tenants import scoped
from autopilot_server.storage import trimming
from autopilot_server.storage.clock import shift_spans
from autopilot_server.storage.damaged import damaged
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.rows import (
    checkpoint_parameters,
    dump_progress,
    dump_trace,
    dumps,
    elapsed,
    interrupt_row,
    load_progress,
    load_start_point,
    load_trace,
    readable,
    write_parameters,
)
from autopilot_server.storage.store import Claim, Fence, LostRun, Recovery, RunEnd, RunUpdate, Share
from autopilot_server.storage.submissions import LoadJob
from autopilot_server.storage.transaction import Row, Transaction
from autopilot_server.storage.transitions import Mover, append, cancelled
from autopilot_server.storage.turns import runnable


class Runs:
    """Carries out what the engine asks for."""

    def __init__(self, *, mover: Mover, load_job: LoadJob) -> None:
        """`load_job` reads a job with its payloads."""
        self._mover, self._load_job = mover, load_job

    # --- claims ---

    def claim(
        self,
        transaction: Transaction,
        workflows: Mapping[str, str],
        worker_id: str,
        limit: int,
        share: Share | None,
    ) -> list[Claim]:
        """See Store.job_claim."""
        taken = (
            self._claim(transaction, row, workflows[row["workflow"]], worker_id)
            for row in runnable(transaction, workflows, share, limit)
        )
        return list(islice((claim for claim in taken if claim is not None), limit))

    def _claim(self, transaction: Transaction, found: Row, revision: str, worker_id: str) -> Claim | None:
        """Move a job to RUNNING; on to FAILED, without a claim, when its content cannot be decrypted."""
        row, broken = readable(found)
        now, token = transaction.now, uuid.uuid4().hex
        budget = row["execution_timeout"]
        progress, trace = load_progress(row, now), load_trace(row).next_attempt()
        moved = self._mover.move(
            transaction,
            row,
            JobState.RUNNING,
            # A retry keeps saying why the attempt before it failed.
            keeps_error=True,
            attempt=row["attempt"] + 1,
            workflow_revision=revision,
            run_token=token,
            worker_id=worker_id,
            claim_time=now,
            start_time=row["start_time"] or now,
            deadline=None if budget is None else now + max(0, budget - row["budget_spent"]),
            trace=dump_trace(trace),
            progress=dump_progress(Progress(completed_steps=progress.completed_steps, message=progress.message)),
        )
        try:
            if broken is not None:
                raise broken
            return self._content(transaction, moved)
        except SealBrokenError as error:
            self._mover.move(transaction, moved, JobState.FAILED, damaged(error, row["job_id"]), start_point=None)
            return None

    def _content(self, transaction: Transaction, row: dict[str, Any]) -> Claim:
        """What the run of a job that was just claimed needs."""
        answers = transaction.rows(SQL.answer_list, {"job_id": row["job_id"]})
        return Claim(
            job=self._load_job(transaction, row),
            fence=Fence(row["job_id"], row["run_token"]),
            answers={answer["interrupt_id"]: answer["answer"] for answer in answers},
            start_point=load_start_point(row["start_point"]),
            passed_breakpoint=row["passed_breakpoint"],
            deadline=row["deadline"],
            trace=load_trace(row),
        )

    # --- writes of a run ---

    def write(self, transaction: Transaction, fence: Fence, update: RunUpdate) -> None:
        """See Store.run_write."""
        put = update.checkpoint
        root = put is not None and not put.row.checkpoint_ns
        written = transaction.change_if(
            SQL.run_write,
            {
                "job_id": fence.job_id,
                "run_token": fence.run_token,
                "events": len(update.events),
                "progress": None if update.progress is None else dump_progress(update.progress),
                "checkpoints": int(put is not None),
                "checkpoint_id": put.row.checkpoint_id if put is not None and root else None,
                "next_steps": dumps(put.next_steps) if put is not None and root else None,
                "ends_start_point": int(put is not None and put.ends_start_point),
                "now": transaction.now,
            },
        )
        if written is None:
            raise stale(fence)
        if put is not None and put.ends_start_point:
            # They were asked and answered where the job does not stand any more. A refused edit leaves them.
            transaction.execute(SQL.interrupt_delete, {"job_id": fence.job_id})
            transaction.execute(SQL.answer_delete_all, {"job_id": fence.job_id})
        _store_update(transaction, written, update)
        if put is not None and put.keep is not None:
            trimming.keep_last(transaction, fence.job_id, put, newest_root=written["checkpoint_id"])

    # --- the end of a run ---

    def end(self, transaction: Transaction, fence: Fence, end: RunEnd, update: RunUpdate) -> JobState:
        """See Store.run_end."""
        found = transaction.row(SQL.job_lock, {"job_id": fence.job_id})
        if found is None or found["run_token"] != fence.run_token:
            raise stale(fence)
        if update.checkpoint is not None:
            raise AssertionError("a checkpoint is stored by the run that made it, not with the run's end")
        row, _ = readable(found)
        row["latest_sequence"] += len(update.events)
        if update.progress is not None:
            row["progress"] = dump_progress(update.progress)
        _store_update(transaction, row, update)
        to_state, error = end.to_state, end.error
        if row["state"] == JobState.CANCELLING:
            to_state, error = JobState.CANCELLED, cancelled(row["cancel_reason"])
        changes = self._end_changes(transaction, row, end, to_state)
        if to_state is JobState.SUCCEEDED:
            self._succeeded(transaction, row, end)
        keeps_error = end.keeps_error and to_state is end.to_state
        self._mover.move(transaction, row, to_state, error, keeps_error=keeps_error, **changes)
        return to_state

    @staticmethod
    def _end_changes(transaction: Transaction, row: Row, end: RunEnd, to_state: JobState) -> dict[str, Any]:
        job_id = row["job_id"]
        changes: dict[str, Any] = {}
        interrupts = () if to_state is JobState.SUCCEEDED else end.interrupts
        for interrupt_id in end.refused_answers:
            transaction.execute(SQL.answer_delete, {"job_id": job_id, "interrupt_id": interrupt_id})
        if interrupts is not None:
            known = transaction.rows(SQL.interrupt_list, {"job_id": job_id}) if row["questions"] else []
            since = {i["interrupt_id"]: i["create_time"] for i in known}
            if known:
                transaction.execute(SQL.interrupt_delete, {"job_id": job_id})
            for position, interrupt in enumerate(interrupts):
                first = since.get(interrupt.interrupt_id, interrupt.create_time)
                transaction.execute(SQL.interrupt_insert, interrupt_row(job_id, position, interrupt, first))
            transaction.execute(SQL.answer_delete_stale, {"job_id": job_id})
            changes["questions"] = len(interrupts)
        if end.next_steps is not None:
            changes["next_steps"] = dumps(end.next_steps)
        if end.attempt_failed:
            changes["failed_attempts"] = row["failed_attempts"] + 1
        if end.clears_start_point or to_state is JobState.CANCELLED:
            changes["start_point"] = None
        if to_state is JobState.PENDING:
            changes |= _next_attempt(transaction, row, end)
        return changes

    @staticmethod
    def _succeeded(transaction: Transaction, row: Row, end: RunEnd) -> None:
        transaction.execute(SQL.payload_set_output, {"job_id": row["job_id"], "output": end.output})
        if end.keeps_newest:
            trimming.keep_newest(transaction, row)
        if end.steps is not None:
            transaction.execute_last(
                SQL.statistics_add,
                {
                    "name": scoped(row["tenant"], row["workflow"]),
                    "revision": row["workflow_revision"],
                    "steps": float(end.steps),
                    "elapsed": float(elapsed(row, transaction.now)),
                },
            )

    # --- runs that nobody ends ---

    def recover(
        self, transaction: Transaction, max_losses: int, worker_id: str | None, error: JobError | None
    ) -> Recovery:
        """See Store.jobs_recover."""
        moved: dict[JobState, list[str]] = {state: [] for state in JobState}
        lost = []

        def left(row: Row) -> bool:
            return row["run_token"] is not None and worker_id in (None, row["worker_id"])

        for row in transaction.lock_each(transaction.rows(SQL.job_list_owned, {"worker_id": worker_id}), left):
            lost.append(_lost_run(row))
            state = self._recover(transaction, row, max_losses, error)
            moved[state].append(row["job_id"])
        if worker_id is None:
            # The clock may have been stepped while no server ran.
            shift_spans(transaction, 0, transaction.now)
        return Recovery(
            requeued=moved[JobState.PENDING],
            cancelled=moved[JobState.CANCELLED],
            failed=moved[JobState.FAILED],
            lost=lost,
        )

    def _recover(self, transaction: Transaction, found: Row, max_losses: int, error: JobError | None) -> JobState:
        row, broken = readable(found)
        # The process died at some time after its last write; what came later was not spent on the job.
        run_ended = row["update_time"]
        if row["state"] == JobState.CANCELLING:
            self._mover.move(
                transaction,
                row,
                JobState.CANCELLED,
                cancelled(row["cancel_reason"]),
                run_ended=run_ended,
                start_point=None,
            )
            return JobState.CANCELLED
        if broken is not None:
            error = damaged(broken, row["job_id"])
            self._mover.move(transaction, row, JobState.FAILED, error, run_ended=run_ended, start_point=None)
            return JobState.FAILED
        advanced = row["checkpoints"] > row["checkpoints_at_loss"]
        losses = 1 if advanced or not row["losses"] else row["losses"] + 1
        loss = {"losses": losses, "checkpoints_at_loss": row["checkpoints"]}
        if error is not None or losses >= max_losses:
            told = error or _worker_lost(losses)
            self._mover.move(transaction, row, JobState.FAILED, told, run_ended=run_ended, **loss)
            return JobState.FAILED
        self._mover.move(
            transaction,
            row,
            JobState.PENDING,
            keeps_error=True,
            run_ended=run_ended,
            ready_time=_kept_turn(transaction, row),
            **loss,
        )
        return JobState.PENDING

    def expire(self, transaction: Transaction) -> Recovery:
        """See Store.jobs_expire."""
        ended: dict[JobState, list[str]] = {JobState.CANCELLED: [], JobState.FAILED: []}

        def overdue(row: Row) -> bool:
            return row["deadline"] is not None and row["deadline"] <= transaction.now

        for found in transaction.lock_each(transaction.rows(SQL.job_list_overdue, {"now": transaction.now}), overdue):
            row, _ = readable(found)
            if row["state"] == JobState.CANCELLING:
                state, error = JobState.CANCELLED, cancelled(row["cancel_reason"])
            else:
                state, error = JobState.FAILED, _timed_out(row)
            self._mover.move(transaction, row, state, error, start_point=None)
            ended[state].append(row["job_id"])
        return Recovery(cancelled=ended[JobState.CANCELLED], failed=ended[JobState.FAILED])


def _store_update(transaction: Transaction, row: Row, update: RunUpdate) -> None:
    """Store what an update holds, but for what belongs into the job's row, which counts the events already."""
    for writes in update.writes:
        statement = SQL.write_replace if writes.replace else SQL.write_put
        transaction.execute_many(statement, [write_parameters(writes, row) for row in writes.rows])
    if (put := update.checkpoint) is not None:
        transaction.execute(SQL.checkpoint_put, checkpoint_parameters(put, row["job_id"]))
    if update.events:
        append(transaction, row, update.events)


def _next_attempt(transaction: Transaction, row: Row, end: RunEnd) -> dict[str, Any]:
    """When a job that goes on may be claimed again."""
    if end.backoff:
        after = transaction.now + end.backoff
        return {"next_attempt_time": after, "ready_time": after}
    return {"ready_time": transaction.now if end.attempt_failed else _kept_turn(transaction, row)}


def _kept_turn(transaction: Transaction, row: Row) -> Micros:
    """Nothing of the job's own ended its attempt: it stands in the queue where it stood before."""
    return min(int(row["ready_time"]), transaction.now)


def stale(fence: Fence) -> StaleRunError:
    """The error of a run that was superseded."""
    return StaleRunError(f"the run of job {fence.job_id} was superseded")


def state_of_run(row: Row | None) -> JobState | None:
    """See Store.run_state."""
    return None if row is None else JobState(row["state"])


def _lost_run(row: Row) -> LostRun:
    return LostRun(
        job_id=row["job_id"],
        workflow=row["workflow"],
        attempt=row["attempt"],
        trace=load_trace(row),
        claim_time=row["claim_time"],
        last_write_time=row["update_time"],
    )


def _worker_lost(losses: int) -> JobError:
    return JobError(
        JobErrorReason.WORKER_LOST,
        f"The process that ran the job died {losses} times in a row before the job reached another checkpoint. "
        "Resume goes on from its last checkpoint.",
    )


def _timed_out(row: Row) -> JobError:
    seconds = row["execution_timeout"] / 1_000_000
    return JobError(
        JobErrorReason.EXECUTION_TIMED_OUT,
        f"The job ran for longer than its execution timeout of {seconds:g} s. Resume goes on from its last checkpoint, "
        "with the whole time again.",
    )
