"""As many jobs run at once as may."""

from collections import defaultdict
from collections.abc import Iterator

from tests.proof.histories.seen import Log, Seen, Violations
from tests.proof.histories.states import OWNED


def as_many_with_a_key_run_as_may(seen: Seen) -> Violations:
    """Jobs with one key are RUNNING or CANCELLING no more at a time than the key says: `2 at once`."""
    changes: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for job_id, log in seen.logs.items():
        if key := log.job.concurrency_key:
            changes[log.job.workflow, key] += [(when, by, job_id) for when, by in _places_taken(log)]
    for (workflow, key), steps in changes.items():
        running: set[str] = set()
        # Who leaves at the same moment does so before somebody comes.
        for when, by, job_id in sorted(steps):
            (running.add if by > 0 else running.discard)(job_id)
            if len(running) > int(key.split()[0]):
                yield f"{sorted(running)} of {workflow}, {key}, all ran at {when}"


def _places_taken(log: Log) -> Iterator[tuple[int, int]]:
    """When a job took a place (1) and when it left it (-1)."""
    for event, (before, _), (after, _) in zip(log.events, log.states, log.states[1:], strict=False):
        if (by := (after in OWNED) - (before in OWNED)) != 0:
            yield event.event_time.ToNanoseconds(), by
