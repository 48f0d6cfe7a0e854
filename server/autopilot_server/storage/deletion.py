"""Deleting jobs and checkpoints, in batches."""

import json
from collections.abc import Callable
from dataclasses import replace

from autopilot_server.jobs.errors import JobNotFoundError
from autopilot_server.jobs.job import JobFilter, Micros
from autopilot_server.jobs.states import FINISHED
from autopilot_server.storage import trimming
from autopilot_server.storage.listing import list_rows
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.rows import label_row, load_workflow
from autopilot_server.storage.store import Admit, PageKey, Pruned
from autopilot_server.storage.submissions import check_etag, find_job, state_conflict
from autopilot_server.storage.transaction import Row, Transaction


def delete(transaction: Transaction, job_id: str, wanted_etag: str, admit: Admit) -> bool:
    """See Store.job_delete."""
    try:
        row = find_job(transaction, job_id, admit)
    except JobNotFoundError:
        return False
    check_etag(row, wanted_etag)
    if row["state"] not in FINISHED:
        raise state_conflict(row, "DeleteJob", "finished")
    _delete(transaction, row)
    return True


def delete_expired(transaction: Transaction, limit: int) -> int:
    """See Store.jobs_delete_expired."""

    def expired(row: Row) -> bool:
        return row["expire_time"] is not None and row["expire_time"] <= transaction.now

    listed = transaction.rows(SQL.job_list_expired, {"now": transaction.now, "limit": limit})
    deleted = 0
    for row in transaction.lock_each(listed, expired):
        _delete(transaction, row)
        deleted += 1
    return deleted


def prune(
    transaction: Transaction,
    job_filter: JobFilter,
    *,
    finished_before: Micros,
    checkpoints_only: bool,
    dry_run: bool,
    limit: int,
    after: PageKey | None,
) -> Pruned:
    """See Store.jobs_prune."""
    states = (job_filter.states or FINISHED) & FINISHED
    if not states:
        # Only unfinished ones were asked for; to list_rows no state would mean any.
        return Pruned(0, 0, more=False)

    def chosen(*, thread_id: str, limit: int, after: PageKey | None) -> list[Row]:
        wanted = replace(job_filter, thread_id=thread_id)
        return list_rows(transaction, wanted, states=states, limit=limit, after=after, finished_before=finished_before)

    rows = chosen(thread_id=job_filter.thread_id, limit=limit, after=after)
    jobs = checkpoints = 0
    for row in rows if dry_run else transaction.lock_each(rows, lambda row: row["state"] in FINISHED):
        if checkpoints_only:
            checkpoints += _prune_checkpoints(transaction, row, dry_run)
        else:
            jobs += 1
            if _takes_its_thread(transaction, row, chosen):
                checkpoints += _count_checkpoints(transaction, row)
            if not dry_run:
                _delete(transaction, row)
    last = PageKey(create_time=rows[-1]["create_time"], job_id=rows[-1]["job_id"]) if rows else None
    return Pruned(jobs, checkpoints, more=len(rows) == limit, resume_after=last)


def _takes_its_thread(transaction: Transaction, row: Row, list_chosen: Callable[..., list[Row]]) -> bool:
    """Whether a thread goes with a job: its oldest, when all of its jobs are chosen, whatever batches they are in."""
    thread = {"thread_id": row["thread_id"]}
    found = transaction.row(SQL.thread_count_jobs, thread)
    count = 0 if found is None else found[0]
    if count == 1:
        return True
    chosen = list_chosen(thread_id=row["thread_id"], limit=count, after=None)
    return len(chosen) == count and bool(chosen[-1]["job_id"] == row["job_id"])


def _count_checkpoints(transaction: Transaction, row: Row) -> int:
    count = transaction.row(SQL.checkpoint_count_of_thread, {"thread_id": row["thread_id"]})
    return int(count[0]) if count is not None else 0


def _delete(transaction: Transaction, row: Row) -> None:
    job = {"job_id": row["job_id"]}
    transaction.lock_thread(row["thread_id"])
    for key, value in json.loads(row["labels"]).items():
        transaction.execute(SQL.label_delete, label_row(row, key, value))
    for statement in (
        SQL.event_delete,
        SQL.interrupt_delete,
        SQL.answer_delete_all,
        SQL.resume_request_delete,
        SQL.payload_delete,
        SQL.job_delete,
    ):
        transaction.execute(statement, job)
    thread = {"thread_id": row["thread_id"]}
    if transaction.row(SQL.thread_is_used, thread) is None:
        transaction.execute(SQL.checkpoint_delete_thread, thread)
        transaction.execute(SQL.write_delete_thread, thread)
    else:
        transaction.execute(SQL.checkpoint_disown, job | thread)
    transaction.tell(row["job_id"], None, create_time=row["create_time"])


def _prune_checkpoints(transaction: Transaction, row: Row, dry_run: bool) -> int:
    stored = transaction.row(SQL.workflow_get, {"name": row["workflow"]})
    if not row["checkpoint_id"] or (stored is not None and load_workflow(stored["descriptor"]).keeps_history):
        return 0
    old = trimming.superseded(transaction, row["job_id"], oldest_kept=row["checkpoint_id"])
    if not dry_run:
        trimming.delete(transaction, row["thread_id"], old)
    return len(old)
