"""Where a job belongs in the traces of those who submitted and resumed it, in the terms of W3C's trace context."""

import re
import secrets
from dataclasses import dataclass, replace

# Later versions may have more behind the flags.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_KEY = r"[a-z0-9][a-z0-9_*/@-]{0,255}"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_TRACESTATE = re.compile(rf"{_KEY}={_VALUE}(,{_KEY}={_VALUE}){{0,31}}")

# In characters: what everybody who passes a tracestate on must be able to take.
MOST_TRACESTATE = 512

_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span of somebody's trace. `TraceContext.read` checks what comes from outside."""

    traceparent: str
    """Of version 00."""
    tracestate: str = ""

    @classmethod
    def read(cls, traceparent: str, tracestate: str = "") -> "TraceContext | None":
        """What a caller sent. None when it is malformed; a tracestate that is, or is too long, is dropped."""
        found = _TRACEPARENT.fullmatch(traceparent)
        if found is None or (found[1] == "00" and found[5]):
            return None
        if len(tracestate) > MOST_TRACESTATE or not _TRACESTATE.fullmatch(tracestate):
            tracestate = ""
        return cls.of(found[2], found[3], sampled=bool(int(found[4], 16) & _SAMPLED), tracestate=tracestate)

    @classmethod
    def of(cls, trace_id: str, span_id: str, *, sampled: bool, tracestate: str = "") -> "TraceContext":
        """From its parts, in hexadecimal."""
        return cls(f"00-{trace_id}-{span_id}-{int(sampled):02x}", tracestate)

    @property
    def trace_id(self) -> str:
        """In hexadecimal."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """In hexadecimal."""
        return self.traceparent[36:52]

    @property
    def sampled(self) -> bool:
        """Whether the trace is recorded."""
        return self.traceparent.endswith("1")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTrace:
    """What a job's attempts need to know to be spans of its trace. Stored with the job: it outlives the process."""

    parent: TraceContext | None = None
    """Of the Submit: all attempts are its children. None: nobody gave one."""
    resumed: TraceContext | None = None
    """Of the last Resume."""
    span_id: str = ""
    """Of the newest attempt. It stands before the attempt begins, so that the next one can name it, whatever becomes
    of it."""
    previous_span_id: str = ""
    """Of the attempt before; empty for the first."""

    @property
    def trace_id(self) -> str:
        """In hexadecimal; empty when the job has no trace."""
        return "" if self.parent is None else self.parent.trace_id

    def next_attempt(self) -> "JobTrace":
        """For the attempt that begins now."""
        return replace(self, span_id=secrets.token_hex(8), previous_span_id=self.span_id)
