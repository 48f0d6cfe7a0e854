"""What must hold of a database whoever wrote it, whatever database it is, and what to do when it does not."""

from dataclasses import dataclass

from autopilot_server.jobs.tenants import SEPARATOR
from autopilot_server.storage.queries import SQL, Statement

_RESUBMIT = "the job cannot be trusted: cancel or delete it, and submit it again"
_RESTART = "a server gives all waiting jobs their turns anew when it starts: restart it"
_HARMLESS = "harmless, but nothing deletes it any more: please report it with the versions that wrote this database"


@dataclass(frozen=True, slots=True)
class Invariant:
    """The query that finds where something does not hold, and what to do then."""

    name: str
    query: Statement
    advice: str

    def violated(self, subject: str, detail: str) -> "Finding":
        """What is told of a row that the query finds."""
        return Finding(self.name, subject.replace(SEPARATOR, "/"), detail, self.advice)


INVARIANTS = (
    Invariant("log", SQL.check_log, _RESUBMIT),
    Invariant("state", SQL.check_state, _RESUBMIT),
    Invariant("checkpoint", SQL.check_checkpoint, _RESUBMIT),
    Invariant("parts", SQL.check_parts, _RESUBMIT),
    Invariant("turns", SQL.check_turns, _RESTART),
    Invariant("orphans", SQL.check_orphans, _HARMLESS),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where something does not hold."""

    invariant: str
    subject: str
    """A job's or a thread's id, as TENANT/ID when it is a tenant's; empty when it concerns the database as a whole."""
    detail: str
    advice: str
