"""What a soak has counted and found."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.histories.checkers import CHECKERS
from tests.proof.histories.history import History
from tests.proof.histories.states import name

# Of each kind of violation and of all histories, the first ones are enough to begin with.
KEPT_TEXTS = 20
KEPT_HISTORIES = 5

# The checks that the soak makes besides those of a history.
OWN_CHECKS = {
    "soak_comes_to_its_end": "nothing ends the soak before its time",
    "jobs_end_in_time": "every batch of jobs is finished in time",
    "clients_are_answered": "no client waits in vain, and none meets an error that it cannot explain",
    "server_stays_alive": "the server ends only when it is ended",
    "log_tells_of_no_error": "the server's log tells of no error, but that its database was locked",
    "drains_end_well": "a server that is asked to stop ends with 0",
    "lists_are_right": "lists are ordered, without duplicates, and hold what was asked for",
    "deleted_is_gone": "jobs that were deleted or pruned are not found again",
    "nothing_is_left_behind": "no table holds rows of jobs that are not there",
    "database_is_sound": "integrity_check, and nothing RUNNING, in the end",
    "space_is_given_back": "the file shrinks to what it holds, and comes to a plateau",
    "memory_does_not_grow": "the server's memory comes to a plateau",
}


CHECKS = {
    checker.__name__: (checker.__doc__ or "").partition(".")[0]
    for checkers in CHECKERS.values()
    for checker in checkers
} | OWN_CHECKS
"""All checks that are made, and what they look for."""


@dataclass(slots=True)
class Tally:
    """Threads may share it."""

    folder: Path
    """Where the histories go in which something does not hold."""
    tell: Callable[[str], None] = print
    """Told what does not hold, at once."""
    jobs: Counter[str] = field(default_factory=Counter)
    """By the state that they came to."""
    counts: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    """By checker."""
    texts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    histories: list[Path] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complain(self, check: str, what: str) -> None:
        """Something does not hold."""
        with self._lock:
            self.violations[check] += 1
            if len(self.texts[check]) < KEPT_TEXTS:
                self.texts[check].append(what)
                self.tell(f"{check}: {what}")

    def add(self, batch: str, history: History, found: dict[str, list[str]]) -> None:
        """Count a batch that was checked; keep its history when something was found."""
        with self._lock:
            self.counts["batches"] += 1
            self.jobs.update(name(record.parsed().state) for record in history.jobs.values())
            self.counts.update(_counts(history))
        for check, violations in found.items():
            for violation in violations:
                self.complain(check, violation)
        if found:
            self.keep(batch, history)

    def keep(self, batch: str, history: History) -> None:
        """Keep a history, to check it again."""
        with self._lock:
            if len(self.histories) < KEPT_HISTORIES:
                self.histories.append(self.folder / f"{batch}.jsonl")
                history.save(self.histories[-1])


def _counts(history: History) -> dict[str, int]:
    answered = Counter(call.method for call in history.calls if call.code == "OK")
    return {
        "calls": len(history.calls),
        "calls that failed": sum(1 for call in history.calls if call.code != "OK"),
        "resumes": answered["Resume"],
        "cancels": answered["Cancel"],
        "streams": len(history.streams),
        "streams that broke": sum(1 for stream in history.streams if stream.end != "OK"),
        "messages": sum(len(stream.messages) for stream in history.streams),
        "events watched": sum(1 for stream in history.streams for _ in stream.events()),
        "events in logs": sum(len(record.log) for record in history.jobs.values()),
        "attempts": sum(record.parsed().attempt for record in history.jobs.values()),
    }
