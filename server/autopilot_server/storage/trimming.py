"""Deletes the checkpoints that a job does not keep, in the transaction that supersedes them."""

from collections.abc import Sequence

from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import as_dict
from autopilot_server.storage.store import CheckpointPut
from autopilot_server.storage.transaction import Row, Transaction

# LangGraph's, between the parts of a namespace; and a text that is behind all others.
_SEPARATOR, _BEHIND_ALL = "|", "\U0010ffff"

# More than any job has.
_ALL = 2**62

# In one transaction, of a job that has kept more until now: the next ones go on.
MOST_AT_A_PUT = 100


def keep_last(transaction: Transaction, job_id: str, put: CheckpointPut, *, newest_root: str) -> None:
    """See CheckpointPut.keep. The checkpoint is stored already; `newest_root` is the job's newest root checkpoint."""
    assert put.keep is not None  # noqa: S101 - asked by the caller
    place = put.row
    oldest = transaction.row(
        SQL.checkpoint_get_oldest_of_last,
        {"job_id": job_id, "checkpoint_ns": place.checkpoint_ns, "newer": put.keep - 1},
    )
    # Ids go by the clock. After it was set back the newest may stand behind older ones: nothing is deleted then.
    if oldest is None or oldest["checkpoint_id"] > place.checkpoint_id:
        return
    found = superseded(
        transaction,
        job_id,
        oldest_kept=oldest["checkpoint_id"],
        checkpoint_ns=place.checkpoint_ns,
        # What a subgraph that keeps its state was at earlier root checkpoints goes when they go.
        newer_than=newest_root if place.checkpoint_ns else "",
        most=MOST_AT_A_PUT,
    )
    delete(transaction, place.thread_id, found)


def keep_newest(transaction: Transaction, row: Row) -> None:
    """Delete a job's checkpoints but its newest, and what that needs."""
    if row["checkpoint_id"]:
        found = superseded(transaction, row["job_id"], oldest_kept=row["checkpoint_id"])
        delete(transaction, row["thread_id"], found)


def superseded(
    transaction: Transaction,
    job_id: str,
    *,
    oldest_kept: str,
    checkpoint_ns: str = "",
    newer_than: str = "",
    most: int = _ALL,
) -> Sequence[Row]:
    """A job's checkpoints in a namespace, and inside it, that are older than the oldest one that it keeps there."""
    inside = checkpoint_ns + _SEPARATOR if checkpoint_ns else ""
    wanted = {
        "job_id": job_id,
        "oldest_kept": oldest_kept,
        "checkpoint_ns": checkpoint_ns,
        "inside": inside,
        "last_inside": inside + _BEHIND_ALL,
        "newer_than": newer_than,
        "most": most,
    }
    return transaction.rows(SQL.checkpoint_list_superseded, wanted)


def delete(transaction: Transaction, thread_id: str, places: Sequence[Row]) -> None:
    """Delete checkpoints of a thread with their pending writes."""
    rows = [as_dict(place) | {"thread_id": thread_id} for place in places]
    transaction.execute_many(SQL.checkpoint_delete, rows)
    transaction.execute_many(SQL.write_delete, rows)
