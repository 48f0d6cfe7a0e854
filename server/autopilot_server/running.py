"""Chooses who runs a server's jobs."""

from typing import Any

from autopilot_server.config import INLINE, Settings
from autopilot_server.jobs.errors import StartupError
from autopilot_server.runner import Nobody, Runner


async def load_runner(settings: Settings, **parts: Any) -> Runner:
    """Whom `--workers` asks for, with the workflows loaded. StartupError when they cannot be.

    Only what runs jobs in this process imports LangGraph.
    """
    if settings.reload and settings.workers in (INLINE, "0"):
        raise StartupError(f"--reload needs workers, which --workers {settings.workers} has not")
    if settings.workers == INLINE:
        from autopilot_server.inline import InlineRunner

        return InlineRunner(settings=settings, **parts)
    if int(settings.workers) == 0:
        return Nobody()
    from autopilot_server.workers.pool import WorkerPool

    return await WorkerPool.load(settings, **parts)
