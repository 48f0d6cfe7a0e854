"""What is told of runs whose process has died."""

import logging

from autopilot_server.observer import Observer
from autopilot_server.storage.store import Recovery
from autopilot_server.tracer import Tracer

log = logging.getLogger(__name__)


def tell_recovery(moved: Recovery, *, whose: str, observer: Observer, tracer: Tracer) -> None:
    """Tell whoever measures, traces and reads the log. `whose`: who has died."""
    for run in moved.lost:
        tracer.attempt_lost(run)
    for outcome, jobs in (("requeued", moved.requeued), ("cancelled", moved.cancelled), ("failed", moved.failed)):
        observer.jobs_recovered(outcome, len(jobs))
    if moved.requeued or moved.cancelled or moved.failed:
        log.info(
            "took up what %s left: %d jobs go on, %d are cancelled, %d failed",
            whose,
            len(moved.requeued),
            len(moved.cancelled),
            len(moved.failed),
        )
