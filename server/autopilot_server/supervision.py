"""What to do when a part of the server dies that nothing works without."""

import asyncio
import logging
import os
import signal
from types import FrameType

log = logging.getLogger(__name__)


def end_process_with(task: asyncio.Task[None]) -> None:
    """Stop the process in order when a task fails: better to be restarted than to go on half alive.

    For `Task.add_done_callback`.
    """
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s died; the process stops", task.get_name(), exc_info=error)
        end_process()


def leave_to_parent(_number: int, _frame: FrameType | None) -> None:
    """A handler that does nothing. Not SIG_IGN: whatever the process starts would ignore the signal as well."""


def end_process() -> None:
    """Stop the process in order; one that leaves signals to its parent ends at once, and the parent replaces it."""
    if signal.getsignal(signal.SIGTERM) is leave_to_parent:
        os._exit(1)
    os.kill(os.getpid(), signal.SIGTERM)
