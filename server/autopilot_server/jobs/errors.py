"""The errors that a client can meet: one class for each row of the contract's `ErrorReason`.

The class carries the status code's name and the reason; the instance carries the metadata that the contract names
for it. `api` turns them into a google.rpc.Status; nobody else knows gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with one field of a request."""

    field: str
    """Path in the request, as `retry_policy.max_attempts`, `labels["a b"]` or `input.json_text`."""
    description: str


class ServiceError(Exception):
    """Something that a client asked for and does not get. `message` is for the person who meets it."""

    code: ClassVar[str]
    """Name of the gRPC status code."""
    reason: ClassVar[str]
    """Name of the contract's ErrorReason, without its prefix."""

    def __init__(
        self,
        message: str,
        *,
        retry_delay: float | None = None,
        violations: Sequence[Violation] = (),
        **metadata: str | int,
    ) -> None:
        """Make the error. `retry_delay`: seconds after which trying again makes sense, None when it does not."""
        super().__init__(message)
        self.message = message
        self.retry_delay = retry_delay
        self.violations = tuple(violations)
        self.metadata = {key: str(value) for key, value in metadata.items()}


class FieldInvalidError(ServiceError):
    """The request is out of form. Carries every violation."""

    code, reason = "INVALID_ARGUMENT", "FIELD_INVALID"

    @classmethod
    def of(cls, violations: Sequence[Violation]) -> "FieldInvalidError":
        """With the first violation, and how many more there are, as the message."""
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        return cls(f"{first.field}: {first.description}{more}".replace("..", "."), violations=violations)


class PayloadTooLargeError(ServiceError):
    """Metadata: `field`, `size_bytes`, `limit_bytes`."""

    code, reason = "INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE"


class RequestIdReusedError(ServiceError):
    """Metadata: `request_id`."""

    code, reason = "INVALID_ARGUMENT", "REQUEST_ID_REUSED"


class PageTokenInvalidError(ServiceError):
    """A page token that this server did not make, or that belongs to another filter."""

    code, reason = "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"


class JobNotFoundError(ServiceError):
    """Metadata: `job_id`."""

    code, reason = "NOT_FOUND", "JOB_NOT_FOUND"


class WorkflowNotFoundError(ServiceError):
    """Metadata: `workflow`."""

    code, reason = "NOT_FOUND", "WORKFLOW_NOT_FOUND"


class CheckpointNotFoundError(ServiceError):
    """Metadata: `job_id`, `checkpoint_id`."""

    code, reason = "NOT_FOUND", "CHECKPOINT_NOT_FOUND"


class JobAlreadyExistsError(ServiceError):
    """Metadata: `job_id`."""

    code, reason = "ALREADY_EXISTS", "JOB_ALREADY_EXISTS"


class JobStateConflictError(ServiceError):
    """Metadata: `job_id`, `state`, `method`."""

    code, reason = "FAILED_PRECONDITION", "JOB_STATE_CONFLICT"


class InterruptNotPendingError(ServiceError):
    """Metadata: `job_id`, `interrupt_id`."""

    code, reason = "FAILED_PRECONDITION", "INTERRUPT_NOT_PENDING"


class ThreadBusyError(ServiceError):
    """Metadata: `thread_id`, `job_id` of the job that uses the thread."""

    code, reason = "FAILED_PRECONDITION", "THREAD_BUSY"


class ThreadAdvancedError(ServiceError):
    """Metadata: `thread_id`, `job_id` of the newer job."""

    code, reason = "FAILED_PRECONDITION", "THREAD_ADVANCED"


class EtagMismatchError(ServiceError):
    """Metadata: `job_id`, `etag`: the current one."""

    code, reason = "ABORTED", "ETAG_MISMATCH"


class SequenceOutOfRangeError(ServiceError):
    """Metadata: `job_id`, `oldest_sequence`, `latest_sequence`."""

    code, reason = "OUT_OF_RANGE", "SEQUENCE_OUT_OF_RANGE"


class LimitExceededError(ServiceError):
    """Metadata: `limit`, `name`."""

    code, reason = "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"


class ServerDrainingError(ServiceError):
    """The server is stopping."""

    code, reason = "UNAVAILABLE", "SERVER_DRAINING"


class StorageUnavailableError(ServiceError):
    """The database is away, full or locked. Always carries a retry delay."""

    code, reason = "UNAVAILABLE", "STORAGE_UNAVAILABLE"


class CredentialsInvalidError(ServiceError):
    """Nobody knows the caller's credentials, or they are no good any more."""

    code, reason = "UNAUTHENTICATED", "CREDENTIALS_INVALID"


class MethodForbiddenError(ServiceError):
    """Metadata: `method`."""

    code, reason = "PERMISSION_DENIED", "METHOD_FORBIDDEN"


class InternalError(ServiceError):
    """A fault of the program. Metadata: `error_id`, also in the log."""

    code, reason = "INTERNAL", "INTERNAL_ERROR"


def job_not_found(job_id: str) -> JobNotFoundError:
    """The error for a job that is not there for the caller. `job_id`: as clients know it."""
    return JobNotFoundError(f"There is no job {job_id!r}.", job_id=job_id)


def workflow_not_found(name: str) -> WorkflowNotFoundError:
    """The error for a workflow that is not there for the caller."""
    return WorkflowNotFoundError(
        f"There is no workflow {name!r} here. ListWorkflows names those that there are.", workflow=name
    )


class StaleRunError(Exception):
    """A run wrote although its token is no longer the job's: it was superseded, and changes nothing. Never shown."""


class SealBrokenError(Exception):
    """Something that is stored encrypted cannot be decrypted: it was changed, or its key was not given. A fault of the
    server to clients; the message, for the log, says where it stands and nothing of what it is."""


class StartupError(Exception):
    """The server cannot start. One line that says what is wrong and what to do; exit code 2."""
