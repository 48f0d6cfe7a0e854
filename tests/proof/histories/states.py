"""The states of a job, and the moves between them that the contract allows."""

from autopilot.v1 import job_pb2

NONE = job_pb2.JOB_STATE_UNSPECIFIED
PENDING = job_pb2.JOB_STATE_PENDING
RUNNING = job_pb2.JOB_STATE_RUNNING
INTERRUPTED = job_pb2.JOB_STATE_INTERRUPTED
CANCELLING = job_pb2.JOB_STATE_CANCELLING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
FAILED = job_pb2.JOB_STATE_FAILED
CANCELLED = job_pb2.JOB_STATE_CANCELLED

FINISHED = {SUCCEEDED, FAILED, CANCELLED}
UNFINISHED = {PENDING, RUNNING, INTERRUPTED, CANCELLING}
OWNED = {RUNNING, CANCELLING}
RESUMABLE = {INTERRUPTED, FAILED, CANCELLED}

# The diagram of the contract.
TRANSITIONS = {
    (NONE, PENDING),
    *((PENDING, to) for to in (RUNNING, CANCELLED)),
    *((RUNNING, to) for to in (PENDING, SUCCEEDED, FAILED, INTERRUPTED, CANCELLING)),
    (CANCELLING, CANCELLED),
    *((INTERRUPTED, to) for to in (PENDING, CANCELLED)),
    *((state, PENDING) for state in (FAILED, CANCELLED)),
}


def name(state: int) -> str:
    """A state's name, for people."""
    return job_pb2.JobState.Name(state).removeprefix("JOB_STATE_")  # type: ignore[arg-type]
