"""Calls of the store that are special, by what they are given or what comes out of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autopilot_server.storage.store import Recovery, Resumption, RunEnd, RunUpdate, Submission


@dataclass(frozen=True, slots=True)
class Given:
    """Those whose arguments are such."""

    method: str
    is_one: Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Result:
    """Those that do something: known in the transaction only."""

    method: str
    is_one: Callable[[Any], bool]


def _forks(submission: Submission) -> bool:
    return submission.spec.fork_from is not None


def _answers(resumption: Resumption) -> bool:
    return resumption.sole_answer is not None or bool(resumption.answers)


def _goes_back(resumption: Resumption) -> bool:
    return bool(resumption.checkpoint_id)


def _edits(resumption: Resumption) -> bool:
    return resumption.state_update is not None


def _carries_out_a_start_point(_: object, update: RunUpdate) -> bool:
    return update.checkpoint is not None and update.checkpoint.ends_start_point


def _is_of_a_subgraph(_: object, update: RunUpdate) -> bool:
    return update.checkpoint is not None and bool(update.checkpoint.row.checkpoint_ns)


def _asks(_: object, end: RunEnd, __: object) -> bool:
    return bool(end.interrupts)


def _fails(_: object, end: RunEnd, __: object) -> bool:
    return end.attempt_failed


def _succeeds(_: object, end: RunEnd, __: object) -> bool:
    return end.output is not None


def _moves(recovery: Recovery) -> bool:
    return bool(recovery.failed or recovery.cancelled or recovery.requeued)


KINDS: Mapping[str, Given | Result] = {
    "fork": Given("job_submit", _forks),
    "answer": Given("job_resume", _answers),
    "rewind": Given("job_resume", _goes_back),
    "edit": Given("job_resume", _edits),
    "start_point": Given("run_write", _carries_out_a_start_point),
    "subgraph": Given("run_write", _is_of_a_subgraph),
    "question": Given("run_end", _asks),
    "retry": Given("run_end", _fails),
    "success": Given("run_end", _succeeds),
    "claim": Result("job_claim", bool),
    "expiry": Result("jobs_delete_expired", bool),
    "deadline": Result("jobs_expire", _moves),
    "prune": Result("jobs_prune", lambda pruned: pruned.jobs > 0),
    "checkpoints": Result("jobs_prune", lambda pruned: pruned.checkpoints > 0),
}
