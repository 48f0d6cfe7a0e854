"""Whose turn it is: which PENDING jobs may be claimed, by priority, by time, and by how many may run at once.

A job that waits with a concurrency_key is held, and not even looked at by claims, unless it is the first of its
priority and its key has room. So the claim's index has at most one job for each key and priority, however many wait;
each move of a job with a key keeps that so, in its own transaction. The limit of a workflow holds nobody: the claim's
index has a place for each workflow, and those that are full are left out.
"""

from collections.abc import Iterable, Iterator, Sequence

from autopilot_server.jobs.job import Micros, Workflow
from autopilot_server.jobs.states import OWNED, JobState
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.rows import dumps
from autopilot_server.storage.store import Share
from autopilot_server.storage.transaction import Parameters, Reading, Row, Transaction

ABOVE_ALL_PRIORITIES = 10

Places = dict[str, int | None]
"""How many more jobs of workflows may run. None: any number. Those that have no place are not there."""


# --- who is next ---


def runnable(transaction: Transaction, workflows: Iterable[str], share: Share | None, limit: int) -> Iterator[Row]:
    """Jobs whose turn it is, in order, read `limit` at a time. Each must be claimed before the next is asked for: it
    may take the place of others, and let others have their turn."""
    names = list(workflows)
    transaction.lock_places(dumps(names))
    places = _places(transaction, names)
    priority = ABOVE_ALL_PRIORITIES
    while places and (priority := _next_priority(transaction, priority)) >= 0:
        yield from _of_priority(transaction, places, share, {"priority": priority, "limit": limit})


def _next_priority(transaction: Transaction, below: int) -> int:
    """-1: there is none."""
    found = transaction.row(SQL.job_next_priority, {"below": below})
    return -1 if found is None or found[0] is None else int(found[0])


def _of_priority(transaction: Transaction, places: Places, share: Share | None, wanted: Parameters) -> Iterator[Row]:
    while places:
        now_wanted = {**wanted, "now": transaction.now, "lanes": _lanes(places, share)}
        for row in transaction.rows(SQL.job_list_to_claim, now_wanted):
            yield row
            if _take_place(places, row):
                # What was found behind it is not what comes next any more.
                break
        else:
            return


def _take_place(places: Places, row: Row) -> bool:
    """Count a job that was claimed. Whether it has changed whose turn it is."""
    left = places[row["workflow"]]
    if left is not None:
        places[row["workflow"]] = left - 1
    if left == 1:
        del places[row["workflow"]]
    return left == 1 or bool(row["concurrency_key"])


def _places(reading: Reading, workflows: Iterable[str]) -> Places:
    rows = reading.rows(SQL.workflow_list_places, {"workflows": dumps(list(workflows))})
    return {row["workflow"]: row["places"] for row in rows if row["places"] is None or row["places"] > 0}


def _lanes(workflows: Iterable[str], share: Share | None) -> str:
    """Where jobs stand in the indexes that are a share's: by workflow, and whether they are suspects."""
    return dumps([(name, int(suspect)) for name in workflows for suspect in _suspects(name, share)])


def _suspects(workflow: str, share: Share | None) -> tuple[bool, ...]:
    if share is None:
        return (False, True)
    if workflow in share.isolated:
        return (False, True) if share.apart else ()
    return (share.apart,)


def next_ready_time(reading: Reading, workflows: Iterable[str], share: Share | None) -> Micros | None:
    """When the next job's turn comes that no limit keeps waiting."""
    found = reading.row(SQL.job_next_ready_time, {"lanes": _lanes(_places(reading, workflows), share)})
    return None if found is None else found["ready_time"]


def oldest_ready_time(reading: Reading) -> Micros | None:
    """The same of all workflows that have waiting jobs."""
    return next_ready_time(reading, [row["name"] for row in reading.rows(SQL.workflow_list_waiting)], None)


# --- what changes it ---


def job_moved(transaction: Transaction, row: Row, from_state: JobState | None) -> None:
    """A job was submitted, or moved: let those have their turn who have it now, and ring for them."""
    if row["concurrency_key"]:
        _give_turns(transaction, {name: row[name] for name in ("workflow", "concurrency_key")})
    if from_state in OWNED and row["state"] not in OWNED:
        workflow = {"workflow": row["workflow"]}
        if (waiting := transaction.row(SQL.job_get_waiting_for_place, workflow)) is not None:
            transaction.tell(waiting["job_id"], JobState.PENDING)


def _give_turns(transaction: Transaction, key: Parameters) -> None:
    """Of a workflow and a key."""
    transaction.lock_turns(key)
    have = _job_ids(transaction, SQL.job_list_not_held_of_key, key)
    is_full = transaction.row(SQL.key_is_full, key) is not None
    get = set() if is_full else _job_ids(transaction, SQL.job_list_first_of_key, key)
    for job_id in have ^ get:
        transaction.execute(SQL.job_switch_held, {"job_id": job_id})
    for job_id in get - have:
        transaction.tell(job_id, JobState.PENDING)


def _job_ids(transaction: Transaction, statement: Statement, key: Parameters) -> set[str]:
    return {row["job_id"] for row in transaction.rows(statement, key) if row["job_id"] is not None}


def set_limits(transaction: Transaction, workflows: Sequence[Workflow]) -> None:
    """The limits of these workflows, and no others, hold from now on."""
    transaction.execute(SQL.concurrency_limit_delete_all)
    for workflow in workflows:
        limits = workflow.concurrency
        if limits.jobs is not None or limits.per_key is not None:
            row = {"workflow": workflow.name, "jobs": limits.jobs, "per_key": limits.per_key}
            transaction.execute(SQL.concurrency_limit_insert, row)
    give_all_turns(transaction)


def give_all_turns(transaction: Transaction) -> None:
    """After a change of limits, or of the times that jobs wait for: look at all that wait with a key."""
    transaction.lock_turns(None)
    wrong = [{"job_id": row["subject"]} for row in transaction.rows(SQL.check_turns)]
    transaction.execute_many(SQL.job_switch_held, wrong)
