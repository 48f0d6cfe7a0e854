"""The states of a job and the moves between them. Drawn in docs/semantics.md."""

from enum import IntEnum
from types import MappingProxyType


class JobState(IntEnum):
    """State of a job. The numbers are those of the contract's `JobState` and of the database."""

    PENDING = 1
    RUNNING = 2
    INTERRUPTED = 3
    CANCELLING = 4
    SUCCEEDED = 5
    FAILED = 6
    CANCELLED = 7


FINISHED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
UNFINISHED = frozenset(JobState) - FINISHED

# A run token stands in the job's row in these states, and in no other.
OWNED = frozenset({JobState.RUNNING, JobState.CANCELLING})

CANCELLABLE = UNFINISHED | {JobState.CANCELLED}
RESUMABLE = frozenset({JobState.INTERRUPTED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS = MappingProxyType(
    {
        JobState.PENDING: frozenset({JobState.RUNNING, JobState.CANCELLED}),
        # To PENDING: a retry, a drain, a lost worker. To CANCELLED without CANCELLING: a refused update
        # gives a job its former state back.
        JobState.RUNNING: frozenset(
            {
                JobState.PENDING,
                JobState.INTERRUPTED,
                JobState.CANCELLING,
                JobState.SUCCEEDED,
                JobState.FAILED,
                JobState.CANCELLED,
            }
        ),
        JobState.INTERRUPTED: frozenset({JobState.PENDING, JobState.CANCELLED}),
        JobState.CANCELLING: frozenset({JobState.CANCELLED}),
        JobState.SUCCEEDED: frozenset[JobState](),
        JobState.FAILED: frozenset({JobState.PENDING}),
        JobState.CANCELLED: frozenset({JobState.PENDING}),
    }
)
