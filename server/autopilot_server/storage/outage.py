"""What callers are told while the database is away."""

from autopilot_server.jobs.errors import StorageUnavailableError

# When to try again what failed because the database is away.
RETRY_SECONDS = 1.0


def away(what: str, cause: Exception | None = None) -> StorageUnavailableError:
    """The error for a caller: `what` is wrong with the database."""
    error = StorageUnavailableError(f"The job cannot be read or stored now: {what}.", retry_delay=RETRY_SECONDS)
    # For the log, which tells more than a client is told.
    error.__cause__ = cause
    return error
