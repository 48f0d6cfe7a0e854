"""What becomes of a job whose content cannot be decrypted."""

import logging
import uuid

from autopilot_server.jobs.errors import SealBrokenError
from autopilot_server.jobs.job import JobError, JobErrorReason

log = logging.getLogger(__name__)


def damaged(error: SealBrokenError, job_id: str) -> JobError:
    """The job's error: what is told to clients is where to find it in the log."""
    error_id = uuid.uuid4().hex
    log.error("internal error %s: %s", error_id, error, extra={"error_id": error_id, "job_id": job_id})
    return JobError(
        JobErrorReason.STATE_INVALID,
        f"What is stored of the job cannot be read; the server's log says why, under error id {error_id}.",
    )
