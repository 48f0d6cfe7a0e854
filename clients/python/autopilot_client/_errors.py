"""One exception class for each reason that the server gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from autopilot_client._model import Job

_DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "autopilot"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with one field of a request."""

    field: str
    description: str


class AutopilotError(Exception):
    """What goes wrong with Autopilot: CallFailed, or of `run` also JobEnded."""


class CallFailed(AutopilotError):  # noqa: N818 - named as the contract names its reasons, here and below
    """An RPC that failed. `code` is gRPC's; `reason` the server's, empty when the server was not reached."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_delay: float | None = None,
    ) -> None:
        """Keep what the server said. `retry_delay`: seconds after which trying again makes sense."""
        super().__init__(message)
        self.message, self.code, self.reason = message, code, reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay = retry_delay


class FieldInvalid(CallFailed):
    """The request is out of form; `violations` has everything that is wrong."""


class PayloadTooLarge(CallFailed):
    """A JSON value is over the server's limit."""


class RequestIdReused(CallFailed):
    """The request_id was used for something else."""


class PageTokenInvalid(CallFailed):
    """The page token is not the server's, or for another filter."""


class JobNotFound(CallFailed):
    """There is no such job."""


class WorkflowNotFound(CallFailed):
    """There is no such workflow."""


class CheckpointNotFound(CallFailed):
    """The job has no such checkpoint."""


class JobAlreadyExists(CallFailed):
    """The job_id is taken."""


class JobStateConflict(CallFailed):
    """Not possible in the job's state."""


class InterruptNotPending(CallFailed):
    """The question is not open."""


class ThreadBusy(CallFailed):
    """Another unfinished job uses the thread."""


class ThreadAdvanced(CallFailed):
    """A newer job has gone on with the thread."""


class EtagMismatch(CallFailed):
    """The job has changed meanwhile."""


class SequenceOutOfRange(CallFailed):
    """The place to watch from is not in the log."""


class LimitExceeded(CallFailed):
    """The server is full."""


class ServerDraining(CallFailed):
    """The server is stopping."""


class StorageUnavailable(CallFailed):
    """The server's database is away."""


class ServerFault(CallFailed):
    """The server failed; `metadata["error_id"]` finds it in its log."""


class CredentialsInvalid(CallFailed):
    """Who calls is not known."""


class MethodForbidden(CallFailed):
    """Who calls may not."""


class ServerUnreachable(CallFailed):
    """No server answered."""


class DeadlineExceeded(CallFailed):
    """The call took longer than its timeout."""


class JobEnded(AutopilotError):  # noqa: N818
    """`run` met a job that did not succeed; `job` is the job."""

    def __init__(self, job: "Job") -> None:
        """Keep the job."""
        text = f": {job.error.message}" if job.error is not None else ""
        super().__init__(f"job {job.job_id} is {job.state.name}{text}")
        self.job = job


class JobFailed(JobEnded):
    """The job FAILED."""


class JobCancelled(JobEnded):
    """The job was CANCELLED."""


class JobInterrupted(JobEnded):
    """The job waits for answers; resume it."""


REASONS: dict[str, type[CallFailed]] = {
    "FIELD_INVALID": FieldInvalid,
    "PAYLOAD_TOO_LARGE": PayloadTooLarge,
    "REQUEST_ID_REUSED": RequestIdReused,
    "PAGE_TOKEN_INVALID": PageTokenInvalid,
    "JOB_NOT_FOUND": JobNotFound,
    "WORKFLOW_NOT_FOUND": WorkflowNotFound,
    "CHECKPOINT_NOT_FOUND": CheckpointNotFound,
    "JOB_ALREADY_EXISTS": JobAlreadyExists,
    "JOB_STATE_CONFLICT": JobStateConflict,
    "INTERRUPT_NOT_PENDING": InterruptNotPending,
    "THREAD_BUSY": ThreadBusy,
    "THREAD_ADVANCED": ThreadAdvanced,
    "ETAG_MISMATCH": EtagMismatch,
    "SEQUENCE_OUT_OF_RANGE": SequenceOutOfRange,
    "LIMIT_EXCEEDED": LimitExceeded,
    "SERVER_DRAINING": ServerDraining,
    "STORAGE_UNAVAILABLE": StorageUnavailable,
    "INTERNAL_ERROR": ServerFault,
    "CREDENTIALS_INVALID": CredentialsInvalid,
    "METHOD_FORBIDDEN": MethodForbidden,
}

_CODES: dict[grpc.StatusCode, type[CallFailed]] = {
    grpc.StatusCode.UNAVAILABLE: ServerUnreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc(error: Any, *, server: str = "", timeout: float = 0) -> CallFailed:
    """The exception for a grpc.RpcError of a call to a server that had `timeout` seconds."""
    code, message = error.code(), error.details() or ""
    info, violations, delay = _details(error)
    if info is None or info.domain != DOMAIN:
        kind = _CODES.get(code, CallFailed)
        if kind is DeadlineExceeded and timeout:
            message = f"no answer from {server} within {timeout:g} s"
        return kind(message or code.name, code=code, retry_delay=delay)
    return REASONS.get(info.reason, CallFailed)(
        message,
        code=code,
        reason=info.reason,
        metadata=info.metadata,
        violations=violations,
        retry_delay=delay,
    )


def _details(error: Any) -> tuple[Any, list[Violation], float | None]:
    info, violations, delay = None, [], None
    for detail in _status(error).details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest.FromString(detail.value)
            violations = [Violation(v.field, v.description) for v in request.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            span = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            delay = span.seconds + span.nanos / 1e9
    return info, violations, delay


def _status(error: Any) -> Any:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
