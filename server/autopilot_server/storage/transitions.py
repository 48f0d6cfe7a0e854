"""How a job moves from one state to another, inside the writer's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autopilot_server.doorbell import StoredEvent
from autopilot_server.jobs.events import Event, StateChanged
from autopilot_server.jobs.job import JobError, JobErrorReason, Micros
from autopilot_server.jobs.progress import ALMOST_DONE
from autopilot_server.jobs.states import FINISHED, OWNED, TRANSITIONS, JobState
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.rows import dump_error, dump_progress, elapsed, load_progress, load_trace
from autopilot_server.storage.sealing import as_dict
from autopilot_server.storage.store import EncodeEvent, EventDraft, JobMove
from autopilot_server.storage.transaction import Row, Transaction
from autopilot_server.storage.turns import job_moved


class Mover:
    """Moves jobs: the row, the event that tells of it, and the bell."""

    def __init__(self, *, encode_event: EncodeEvent, retention: Micros) -> None:
        """`retention`: how long finished jobs are kept that ask for no time of their own."""
        self._encode, self._retention = encode_event, retention

    def move(
        self,
        transaction: Transaction,
        row: Row,
        to_state: JobState,
        error: JobError | None = None,
        *,
        keeps_error: bool = False,
        **changes: Any,
    ) -> dict[str, Any]:
        """Move a job that was read in this transaction; gives the row as it is now.

        `error` is the job's from now on, and told with the move; with `keeps_error` the job's stays, and is not told
        again. `changes` are further columns. Leaving RUNNING or CANCELLING clears the run's columns and counts its
        time; finishing sets end and expiry, anything else clears them.
        """
        from_state, now = JobState(row["state"]), transaction.now
        if to_state not in TRANSITIONS[from_state]:
            raise AssertionError(f"a job never goes from {from_state.name} to {to_state.name}")
        moved = as_dict(row) | {
            "state": to_state,
            "version": row["version"] + 1,
            "latest_sequence": row["latest_sequence"] + 1,
            "update_time": now,
            "error": row["error"] if keeps_error else dump_error(error),
            "next_attempt_time": None,
            "end_time": None,
            "expire_time": None,
        }
        if from_state in OWNED and to_state not in OWNED:
            moved |= _released(row, to_state, changes.pop("run_ended", now))
        if to_state in FINISHED:
            retention = self._retention if row["retention"] is None else row["retention"]
            moved |= {"end_time": now, "expire_time": now + retention}
        moved |= changes
        transaction.change_one(SQL.job_move, moved | {"from_state": from_state, "from_version": row["version"]})
        self._tell(transaction, moved, StateChanged(from_state, to_state, error))
        job_moved(transaction, moved, from_state)
        return moved

    def created(self, transaction: Transaction, row: dict[str, Any]) -> None:
        """Tell of a job that was just inserted."""
        self._tell(transaction, row, StateChanged(None, JobState.PENDING))
        job_moved(transaction, row, None)

    def _tell(self, transaction: Transaction, row: Row, kind: StateChanged) -> None:
        draft = self._encode(
            Event(
                job_id=row["job_id"],
                event_time=transaction.now,
                attempt=row["attempt"],
                progress=load_progress(row, transaction.now),
                kind=kind,
            )
        )
        append(transaction, row, [draft])
        transaction.moves.append(
            JobMove(
                job_id=row["job_id"],
                workflow=row["workflow"],
                attempt=row["attempt"],
                from_state=kind.from_state,
                to_state=kind.to_state,
                reason="" if kind.error is None else kind.error.reason,
                trace_id=load_trace(row).trace_id,
            )
        )


def append(transaction: Transaction, row: Row, drafts: Sequence[EventDraft]) -> None:
    """Store events, and tell of them. `row`: the job's, which counts them already."""
    job_id = row["job_id"]
    first = row["latest_sequence"] - len(drafts) + 1
    events = [
        StoredEvent(sequence, draft.body, draft.has_payload) for sequence, draft in enumerate(drafts, start=first)
    ]
    transaction.execute_many(
        SQL.event_insert,
        [
            {"job_id": job_id, "sequence": event.sequence, "body": event.body, "has_payload": event.has_payload}
            for event in events
        ],
    )
    transaction.tell(job_id, JobState(row["state"]), events, create_time=row["create_time"])


def cancelled(reason: str) -> JobError:
    """The error of a cancelled job."""
    return JobError(JobErrorReason.CANCELLED, reason or "Cancelled.")


def _released(row: Row, to_state: JobState, run_ended: Micros) -> dict[str, Any]:
    """The columns of a run that is over."""
    total = elapsed(row, run_ended)
    progress = load_progress(row, run_ended)
    ends = to_state in (JobState.FAILED, JobState.CANCELLED)
    remaining = None if ends else progress.estimated_remaining
    # A run that came to its end while it was CANCELLING has said that all is done.
    fraction = progress.fraction if to_state is JobState.SUCCEEDED else min(progress.fraction, ALMOST_DONE)
    left = replace(progress, active_steps=(), estimated_remaining=remaining, fraction=fraction)
    return {
        "progress": dump_progress(left),
        "run_token": None,
        "worker_id": None,
        "claim_time": None,
        "deadline": None,
        "elapsed": total,
        "budget_spent": row["budget_spent"] + total - row["elapsed"],
    }
