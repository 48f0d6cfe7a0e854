"""Pages of jobs, each read from the index that fits its filter: page 1,000 costs what page 1 costs."""

from collections.abc import Callable, Collection
from heapq import merge
from itertools import islice
from typing import Any

from autopilot_server.jobs.job import JobFilter, Micros
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.sqlite.queries import SQL
from autopilot_server.storage.sqlite.rows import Row, dumps
from autopilot_server.storage.store import PageKey

Execute = Callable[[str, dict[str, Any]], Any]

# Greater than every key.
_BEFORE_ALL = PageKey(create_time=2**62, job_id="")


def list_rows(
    execute: Execute,
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
        "workflow": job_filter.workflow,
        "thread_id": job_filter.thread_id,
        "created_after": job_filter.created_after,
        "created_before": job_filter.created_before,
        "finished_before": finished_before,
        "labels": dumps(dict(job_filter.labels)),
        "limit": limit,
    }
    source, parameters_of_source, by_state = _source(job_filter, bool(states))
    sql = SQL.job_list.replace("{source}", source.strip()).replace("{key}", _key(source))
    wanted: list[JobState | None] = [*states] if states else list(JobState) if by_state else [None]
    pages = [execute(sql, parameters | parameters_of_source | {"state": state}).fetchall() for state in wanted]
    return list(islice(merge(*pages, key=_order, reverse=True), limit))


def _source(job_filter: JobFilter, has_states: bool) -> tuple[str, dict[str, Any], bool]:
    """The index to read from, its parameters, and whether it needs a state."""
    if job_filter.thread_id:
        return SQL.job_list_by_thread, {}, False
    if job_filter.labels:
        key, value = next(iter(job_filter.labels.items()))
        return SQL.job_list_by_label, {"label_key": key, "label_value": value}, False
    if job_filter.workflow:
        return SQL.job_list_by_workflow, {}, True
    if has_states:
        return SQL.job_list_by_state, {}, True
    return SQL.job_list_by_time, {}, False


def _key(source: str) -> str:
    """The alias of the table whose index gives the order."""
    return "l" if source == SQL.job_list_by_label else "j"


def _order(row: Row) -> tuple[Micros, str]:
    return row["create_time"], row["job_id"]
