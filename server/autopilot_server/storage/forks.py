"""Copies a checkpoint, with what belongs to it, under another thread."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autopilot_server.storage.queries import SQL
from autopilot_server.storage.transaction import Row, Transaction


@dataclass(frozen=True, slots=True)
class Source:
    """What to copy. `with_ancestors`: for workflows whose checkpoints cannot be read without them."""

    thread_id: str
    checkpoint_id: str
    with_ancestors: bool
    concurrency_key: str
    """The job's that is forked: of the new one, unless it has one of its own."""


def copy(transaction: Transaction, source: Source, *, to_thread: str, to_job: str) -> dict[str, Any]:
    """Copy; gives the columns of the new job's row that follow from it.

    What tasks of the checkpoint's superstep have done goes with it while the superstep is open, as after a failure or
    at a question. When the source went on from it, the fork runs the superstep anew; an edit of it is not of the fork.
    """
    places = transaction.rows(SQL.checkpoint_list_places, {"thread_id": source.thread_id})
    still_open = not any(_continues(p, source.checkpoint_id) for p in places)
    roots = _ancestry(places, source) if source.with_ancestors else [source.checkpoint_id]
    chosen = [("", checkpoint_id) for checkpoint_id in roots]
    chosen += [
        (p["checkpoint_ns"], p["checkpoint_id"]) for p in places if _belongs(p, source.checkpoint_id, still_open)
    ]
    for checkpoint_ns, checkpoint_id in chosen:
        is_asked_for = (checkpoint_ns, checkpoint_id) == ("", source.checkpoint_id)
        place = {
            "thread_id": source.thread_id,
            "checkpoint_ns": checkpoint_ns,
            "checkpoint_id": checkpoint_id,
            "to_thread": to_thread,
            # Only the checkpoint that was asked for is listed as the new job's, of the root's.
            "to_job": to_job if checkpoint_ns or is_asked_for else None,
            # Those of ancestors make up values of its own.
            "without_edits": is_asked_for,
        }
        transaction.execute(SQL.checkpoint_copy, place)
        if still_open or not is_asked_for:
            transaction.execute(SQL.write_copy, place)
    return {
        "checkpoint_id": source.checkpoint_id,
        "next_steps": _next_steps(transaction, to_job),
        # The client chose to go on from here: also past a breakpoint.
        "passed_breakpoint": source.checkpoint_id,
    }


def _ancestry(places: Sequence[Row], source: Source) -> list[str]:
    parents = {p["checkpoint_id"]: p["parent_checkpoint_id"] for p in places if not p["checkpoint_ns"]}
    line: list[str] = []
    checkpoint_id: str | None = source.checkpoint_id
    while checkpoint_id is not None and checkpoint_id in parents:
        line.append(checkpoint_id)
        checkpoint_id = parents[checkpoint_id]
    return line


def _continues(place: Row, root_id: str) -> bool:
    """Whether a checkpoint is that of the superstep after another: not an edit of it, or a way back to it."""
    return (
        not place["checkpoint_ns"]
        and place["parent_checkpoint_id"] == root_id
        and json.loads(place["metadata"]).get("source") == "loop"
    )


def _belongs(place: Row, root_id: str, still_open: bool) -> bool:
    """Whether a subgraph's checkpoint belongs to a root checkpoint: it was made while its tasks ran, which counts while
    its superstep is open, or it is part of the memory of a subgraph that keeps its state (no ':' in its namespace)."""
    if not place["checkpoint_ns"]:
        return False
    parent = json.loads(place["metadata"]).get("parents", {}).get("")
    if parent is None:
        return False
    if parent == root_id:
        return still_open
    return ":" not in place["checkpoint_ns"] and bool(parent < root_id)


def _next_steps(transaction: Transaction, job_id: str) -> str:
    row = transaction.row(SQL.checkpoint_list_of_job, {"job_id": job_id, "before": None, "limit": 1})
    return str(row["next_steps"]) if row is not None else "[]"
