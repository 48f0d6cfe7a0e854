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


class FieldInvalid(AutopilotError):  # noqa: N818 - named as the contract names the reason, here and below
    """The request is out of form; `violations` has everything that is wrong."""


class PayloadTooLarge(AutopilotError):  # noqa: N818
    """A JSON value is over the server's limit."""


class RequestIdReused(AutopilotError):  # noqa: N818
    """The request_id was used for something else."""


class PageTokenInvalid(AutopilotError):  # noqa: N818
    """The page token is not the server's, or for another filter."""


class JobNotFound(AutopilotError):  # noqa: N818
    """There is no such job."""


class WorkflowNotFound(AutopilotError):  # noqa: N818
    """There is no such workflow."""


class CheckpointNotFound(AutopilotError):  # noqa: N818
    """The job has no such checkpoint."""


class JobAlreadyExists(AutopilotError):  # noqa: N818
    """The job_id is taken."""


class JobStateConflict(AutopilotError):  # noqa: N818
    """Not possible in the job's state."""


class InterruptNotPending(AutopilotError):  # noqa: N818
    """The question is not open."""


class ThreadBusy(AutopilotError):  # noqa: N818
    """Another unfinished job uses the thread."""


class ThreadAdvanced(AutopilotError):  # noqa: N818
    """A newer job has gone on with the thread."""


class EtagMismatch(AutopilotError):  # noqa: N818
    """The job has changed meanwhile."""


class SequenceOutOfRange(AutopilotError):  # noqa: N818
    """The place to watch from is not in the log."""


class LimitExceeded(AutopilotError):  # noqa: N818
    """The server is full."""


class ServerDraining(AutopilotError):  # noqa: N818
    """The server is stopping."""


class StorageUnavailable(AutopilotError):  # noqa: N818
    """The server's database is away."""


class ServerFault(AutopilotError):  # noqa: N818
    """The server failed; `metadata["error_id"]` finds it in its log."""


class CredentialsInvalid(AutopilotError):  # noqa: N818
    """Who calls is not known."""


class MethodForbidden(AutopilotError):  # noqa: N818
    """Who calls may not."""


class ServerUnreachable(AutopilotError):  # noqa: N818
    """No server answered."""


class DeadlineExceeded(AutopilotError):  # noqa: N818
    """The call took longer than its timeout."""


class JobEnded(Exception):  # noqa: N818
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


REASONS: dict[str, type[AutopilotError]] = {
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

_CODES: dict[grpc.StatusCode, type[AutopilotError]] = {
    grpc.StatusCode.UNAVAILABLE: ServerUnreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc(error: Any) -> AutopilotError:
    """The exception for a grpc.RpcError."""
    code, message = error.code(), error.details() or ""
    info, violations, delay = _details(error)
    if info is None or info.domain != DOMAIN:
        kind = _CODES.get(code, AutopilotError)
        return kind(message or code.name, code=code, retry_delay=delay)
    return REASONS.get(info.reason, AutopilotError)(
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
