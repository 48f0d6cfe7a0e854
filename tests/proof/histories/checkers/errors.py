"""No error that nobody expects."""

from tests.proof.histories.history import Call, Stream
from tests.proof.histories.seen import Seen, Violations

# What gRPC itself says where there is no server, or where one goes away in the middle: INTERNAL of a stream that was
# cut in a frame.
_AWAY = {"UNAVAILABLE", "CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL"}


def errors_are_expected_ones(seen: Seen) -> Violations:
    """Never INTERNAL; a status without a reason only when there was no server that could have given one."""
    for what in (*seen.history.calls, *seen.history.streams):
        code = what.code if isinstance(what, Call) else what.end
        if code in ("OK", "DROPPED") or (what.reason and what.reason != "INTERNAL_ERROR"):
            continue
        if what.reason or code not in _AWAY or not _nobody_was_there(seen, what):
            yield f"{type(what).__name__} of job {what.job_id} ended with {code} {what.reason} at {what.ended}"


def _nobody_was_there(seen: Seen, what: Call | Stream) -> bool:
    """At some time while it lasted, or since anything was heard before it: a client finds out that its connection is
    dead when it uses it."""
    return seen.history.was_away(seen.heard_before(what.started), what.ended)
