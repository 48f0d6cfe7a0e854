"""A process that ends with the one that started it, however that ends."""

import ctypes
import os
import signal
import sys
import threading

from autopilot_server.supervision import leave_to_parent

_PR_SET_PDEATHSIG = 1

# What a terminal or a supervisor sends to all processes of a service at once: the server alone decides what it means
# for its own.
_SERVERS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def end_with_parent(parent: int) -> None:
    """Die when `parent` does. Where the kernel cannot arrange that, the end of the socket to it has to do."""
    if sys.platform == "linux":
        _hear_of_its_end_by(signal.SIGKILL)
    if os.getppid() != parent:
        # It was gone before.
        os._exit(1)


def outlive_parent() -> None:
    """Go on when the parent dies, for what is still to be done then: the socket to it tells. A process that somebody
    has stopped goes on as well."""
    if sys.platform == "linux":
        _hear_of_its_end_by(signal.SIGCONT)


def _hear_of_its_end_by(number: signal.Signals) -> None:
    """What the kernel sends this process when its parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def leave_signals_to_parent() -> None:
    """Do nothing on the signals that are meant for the server."""
    for number in _SERVERS:
        signal.signal(number, leave_to_parent)


def give_signals_to_children() -> None:
    """What is forked from this process, by a step, ends on them again, as any process does."""
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_take_signals)


_held = threading.local()


def _hold_signals() -> None:
    # One that comes before the child has its own handlers would be lost.
    _held.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SERVERS)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.before)


def _take_signals() -> None:
    for number in _SERVERS:
        signal.signal(number, signal.SIG_DFL)
    _let_signals()
