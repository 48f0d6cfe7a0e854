"""How many connections may be open at once: what the system lets a process have open, less what the server needs."""

import resource

from autopilot_server.config import Settings

# The database, the audit, certificates, libraries, and what workflows open.
_OWN_FILES = 128

# Those of a thread that reads the database: the file and its log.
_FILES_PER_THREAD = 2

# gRPC's number for any.
ANY_NUMBER = (1 << 31) - 1


def most_connections(settings: Settings) -> int:
    """Beyond it a connection is closed as soon as it is made: without files the database could not be read any more,
    and anybody can connect."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return ANY_NUMBER
    # Half of them at least: many threads are seldom all in use.
    left = max(files // 2, files - _OWN_FILES - _FILES_PER_THREAD * settings.threads)
    return min(left, ANY_NUMBER)
