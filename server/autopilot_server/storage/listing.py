"""Pages of jobs, each read from the index that fits its filter: page 1,000 costs what page 1 costs."""

from collections.abc import Collection
from heapq import merge
from itertools import islice
from typing import Any

from autopilot_server.jobs.job import JobFilter, Micros
from autopilot_server.jobs.states import JobState
from autopilot_server.jobs.tenants import scoped
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.rows import dumps
from autopilot_server.storage.store import PageKey
from autopilot_server.storage.transaction import Reading, Row

# Greater than every key.
_BEFORE_ALL = PageKey(create_time=2**62, job_id="")


def list_rows(
    reading: Reading,
    job_filter: JobFilter,
    *,
    states: Collection[JobState],
    limit: int,
    after: PageKey | None,
    finished_before: Micros | None = None,
) -> list[Row]:
    """Rows of jobs in any of `states` (all when empty), newest first, behind `after`."""
    key = after or _BEFORE_ALL
    parameters: dict[str, Any] = {
        "after_time": key.create_time,
        "after_id": key.job_id,
        "tenant": job_filter.tenant,
        "workflow": job_filter.workflow,
        "patterns": None if job_filter.patterns is None else dumps(job_filter.patterns),
        "thread_id": job_filter.thread_id,
        "created_after": job_filter.created_after,
        "created_before": job_filter.created_before,
        "finished_before": finished_before,
        "labels": dumps({scoped(job_filter.tenant, key): value for key, value in job_filter.labels.items()}),
        "limit": limit,
    }
    statement, places = _source(reading, job_filter, parameters, states)
    pages = [reading.rows(statement, parameters | place) for place in places]
    return list(islice(merge(*pages, key=_order, reverse=True), limit))


def _source(
    reading: Reading, job_filter: JobFilter, parameters: dict[str, Any], states: Collection[JobState]
) -> tuple[Statement, list[dict[str, Any]]]:
    """The index to read from, and the parameters of each place in it to read a page from."""
    any_state: list[JobState | None] = [*states] or [None]
    if job_filter.thread_id:
        return SQL.job_list_by_thread, [{"state": state} for state in any_state]
    if job_filter.labels:
        key, value = next(iter(job_filter.labels.items()))
        label = {"label_key": scoped(job_filter.tenant, key), "label_value": value}
        return SQL.job_list_by_label, [label | {"state": state} for state in any_state]
    if job_filter.workflow or job_filter.patterns is not None:
        # Each workflow has a place of its own: what the caller may not see costs nothing.
        names = [job_filter.workflow] if job_filter.workflow else _workflows(reading, parameters)
        every_state = [*states] or list(JobState)
        return SQL.job_list_by_workflow, [{"workflow": n, "state": state} for n in names for state in every_state]
    if states:
        return SQL.job_list_by_state, [{"state": state} for state in states]
    return SQL.job_list_by_time, [{}]


def _workflows(reading: Reading, parameters: dict[str, Any]) -> list[str]:
    return [row["name"] for row in reading.rows(SQL.job_list_workflows, parameters)]


def _order(row: Row) -> tuple[Micros, str]:
    return row["create_time"], row["job_id"]
