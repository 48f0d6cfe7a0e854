"""Logging: one line an event, for people or for machines."""

import json
import logging
import sys
from datetime import UTC, datetime

# What every record has; the rest was given with `extra` and belongs to the event.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    def _parts(self, record: logging.LogRecord) -> dict[str, object]:
        extras = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        parts: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **extras,
        }
        if record.exc_info:
            parts["exception"] = self.formatException(record.exc_info)
        return parts


class JsonFormatter(_Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return json.dumps(self._parts(record), default=str)


class TextFormatter(_Formatter):
    """Time, level, event and its fields; an exception on the lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        parts = self._parts(record)
        exception = parts.pop("exception", "")
        head = f"{parts.pop('time')} {parts.pop('level')!s:7} {parts.pop('event')}"
        parts.pop("logger")
        fields = " ".join(f"{key}={value}" for key, value in parts.items())
        return "\n".join(part for part in (f"{head} {fields}".rstrip(), str(exception)) if part)


def configure(*, level: str, log_format: str) -> None:
    """Send the server's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
