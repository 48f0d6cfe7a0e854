"""A process that ends with the one that started it, however that ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

# What a terminal or a supervisor sends to all processes of a service at once: the server alone decides what it means
# for its own.
_SERVERS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def end_with_parent(parent: int) -> None:
    """Die when `parent` does. Where the kernel cannot arrange that, the end of the socket to it has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It was gone before.
        os._exit(1)


def leave_signals_to_parent() -> None:
    """Ignore the signals that are meant for the server."""
    for number in _SERVERS:
        signal.signal(number, signal.SIG_IGN)
