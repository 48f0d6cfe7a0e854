"""The form of requests: collects everything that is wrong, then refuses once."""

import math
import re
from collections.abc import Mapping, Sequence

from autopilot.v1 import job_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from autopilot_server.api import payload
from autopilot_server.jobs.errors import FieldInvalidError, PayloadTooLargeError, Violation
from autopilot_server.jobs.job import Json, Micros
from autopilot_server.jobs.tenants import scoped

MICROS = 1_000_000

JOB_ID = re.compile(r"[a-zA-Z0-9._-]{1,64}")
NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")
LABEL_KEY = re.compile(r"[a-z][a-z0-9_./-]{0,62}")
MAX_LABELS = 64
MAX_TEXT = 128
MAX_REASON = 1024
MAX_STEPS = 500
MAX_STATES = 64
MAX_ANSWERS = 10_000

# The year 1 to the year 9999, as google.protobuf.Timestamp has it.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799

# A hundred years: longer than any wait, short enough that no sum overflows.
LONGEST = 100 * 366 * 86400


class Checks:
    """Reads a request's fields, and remembers every violation."""

    def __init__(self, tenant: str, *, payload_bytes: int) -> None:
        """Of a tenant's client: ids of jobs, threads and requests are read as the tenant's. JSON values of at most
        `payload_bytes`."""
        self._tenant = tenant
        self._payload_bytes = payload_bytes
        self._violations: list[Violation] = []
        self._too_large: tuple[str, int] | None = None

    def add(self, field: str, description: str) -> None:
        """Remember a violation."""
        self._violations.append(Violation(field, description))

    def refuse(self) -> None:
        """Raise when anything was wrong: FieldInvalidError with everything, or PayloadTooLargeError."""
        if self._violations:
            raise FieldInvalidError.of(self._violations)
        if self._too_large is not None:
            # Made here: kept in this object, it would keep its own traceback, and with it the request.
            field, size = self._too_large
            raise PayloadTooLargeError(
                f"{field} has {size} bytes, and the limit is {self._payload_bytes}. Pass large data by reference.",
                field=field,
                size_bytes=size,
                limit_bytes=self._payload_bytes,
            )

    def too_many(self, count: int, most: int, field: str, what: str) -> bool:
        """Whether a field has more items than it may. They are not looked at then: a request holds millions."""
        if count > most:
            self.add(field, f"must have at most {most} {what}")
        return count > most

    # --- texts ---

    def job_id(self, value: str, field: str = "job_id", *, required: bool = True) -> str:
        """A job's id, scoped."""
        if not value and not required:
            return ""
        if not value:
            self.add(field, "is required")
        elif not JOB_ID.fullmatch(value):
            self.add(field, "must be 1 to 64 of the characters a-z A-Z 0-9 . _ -")
        return scoped(self._tenant, value)

    def id(self, value: str, field: str) -> str:
        """The id of a thread or a request, scoped; it may be any text."""
        return scoped(self._tenant, self.text(value, field))

    def name(self, value: str, field: str, *, required: bool = True) -> str:
        """A workflow's name."""
        if not value and not required:
            return ""
        if not value:
            self.add(field, "is required")
        elif not NAME.fullmatch(value):
            self.add(field, "must be 1 to 100 of the characters a-z A-Z 0-9 . _ -")
        return value

    def text(self, value: str, field: str, *, longest: int = MAX_TEXT) -> str:
        """A text without control characters."""
        if len(value) > longest:
            self.add(field, f"must have at most {longest} characters")
        elif any(ord(character) < 32 or ord(character) == 127 for character in value):
            self.add(field, "must not have control characters")
        return value

    def reason(self, value: str) -> str:
        """A text for people, of several lines if need be."""
        if len(value) > MAX_REASON:
            self.add("reason", f"must have at most {MAX_REASON} characters")
        elif "\0" in value:
            self.add("reason", "must not have NUL characters")
        return value

    def labels(self, value: Mapping[str, str], field: str) -> dict[str, str]:
        """Labels."""
        if self.too_many(len(value), MAX_LABELS, field, "pairs"):
            return {}
        for key, text in sorted(value.items()):
            where = f'{field}["{key[:70]}"]'
            if not LABEL_KEY.fullmatch(key):
                self.add(where, "a key must be 1 to 63 of the characters a-z 0-9 _ . / -, the first a letter")
            if len(text) > 63:
                self.add(where, "a value must have at most 63 characters")
            elif any(ord(character) < 32 for character in text):
                self.add(where, "a value must not have control characters")
        return dict(sorted(value.items()))

    def steps(self, value: Sequence[str], field: str, known: tuple[str, ...] | None) -> tuple[str, ...]:
        """Names of steps at which to stop. Only the workflow's own nodes have breakpoints, not its subgraphs'."""
        if self.too_many(len(value), MAX_STEPS, field, "steps"):
            return ()
        for index, step in enumerate(value):
            if known is not None and step != "*":
                self._breakpoint(step, f"{field}[{index}]", known)
        return tuple(value)

    def _breakpoint(self, step: str, field: str, known: tuple[str, ...]) -> None:
        top = dict.fromkeys(name.partition("/")[0] for name in known)
        if step not in top:
            where = "is inside a subgraph" if step in known else "is no step of the workflow"
            self.add(field, f"{step[:100]!r} {where}; breakpoints can be set at {', '.join(top)[:MAX_REASON]}")

    # --- numbers ---

    def number(self, value: int, field: str, least: int, most: int) -> int:
        """A whole number."""
        if not least <= value <= most:
            self.add(field, f"must be from {least} to {most}")
        return value

    def page_size(self, value: int, *, default: int = 50, most: int = 500) -> int:
        """A page's size; 0 is the default, larger ones are lowered."""
        if value < 0:
            self.add("page_size", "must not be negative")
        return min(value or default, most)

    def sequence(self, value: int, field: str) -> int:
        """A place in a log."""
        if value < 0:
            self.add(field, "must not be negative")
        return value

    def enum(self, value: int, field: str, kind: type, default: int) -> int:
        """A value of an enum; 0 is the default."""
        if value not in kind.values():  # type: ignore[attr-defined]
            self.add(field, f"{value} is not one of its values")
        return value or default

    # --- times ---

    def timestamp(self, value: Timestamp, field: str) -> Micros:
        """A time."""
        if not _FIRST_SECOND <= value.seconds <= _LAST_SECOND or not 0 <= value.nanos < 10**9:
            self.add(field, "must be a time of the years 1 to 9999")
        return value.seconds * MICROS + value.nanos // 1000

    def duration(self, value: Duration, field: str, *, least: float = 0, most: float = LONGEST) -> Micros:
        """A span, in seconds from `least` to `most`."""
        span = value.seconds * MICROS + math.ceil(value.nanos / 1000)
        if abs(value.nanos) >= 10**9 or value.seconds * value.nanos < 0:
            self.add(field, "is not a valid duration")
        elif not least * MICROS <= span <= most * MICROS:
            limit = "100 years" if most == LONGEST else f"{most:g} s"
            self.add(field, f"must be from {least:g} s to {limit}")
        return span

    # --- JSON ---

    def json(self, value: job_pb2.Payload, field: str) -> Json | None:
        """A JSON value as text; None when it is wrong."""
        size = value.ByteSize() if value.HasField("json") else len(value.json_text.encode())
        if size > self._payload_bytes:
            self._too_large = self._too_large or (field, size)
            return None
        try:
            text = payload.read(value)
        except payload.PayloadError as error:
            self.add(field, f"{error}")
            return None
        except RecursionError:
            self.add(field, "it is nested too deeply")
            return None
        return text
