"""Logging: one line an event, for people or for machines."""

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from textwrap import indent
from typing import TextIO

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, ExcInfo, Processor

from autopilot_server.jobs.tenants import public, tenant_of
from autopilot_server.storage.store import JobMove

# Libraries whose lines say nothing about jobs.
_NOISY = ("httpx", "httpcore", "asyncio", "grpc")

log = logging.getLogger(__name__)


_followers: list[Callable[[str], None]] = []


def configure(*, level: str, log_format: str, process: str = "") -> None:
    """Send the log to stderr. `process`: stands in each line, unless it is the server's own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format, process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def turn_by_signals(level: str) -> None:
    """SIGUSR1 then turns the level to debug, SIGUSR2 back to `level`."""
    signal.signal(signal.SIGUSR1, lambda *_: _turn("debug"))
    signal.signal(signal.SIGUSR2, lambda *_: _turn(level))


def follow_level(follower: Callable[[str], None]) -> None:
    """Call `follower` with the level whenever it is turned. On the main thread."""
    _followers.append(follower)


def turn_to(level: str) -> None:
    """Log as much as `level` says from now on."""
    logging.getLogger().setLevel(level.upper())


def _turn(level: str) -> None:
    turn_to(level)
    log.log(logging.getLogger().level, "the log level is %s now", level)
    for follower in _followers:
        follower(level)


def _formatter(log_format: str, process: str = "") -> logging.Formatter:
    # Every line comes from the standard library's loggers, those of the libraries included.
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        _split_tenant,
        *([partial(_name_process, process)] if process else []),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    after: list[Processor]
    if log_format == "json":
        after = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="time",
            pad_event_to=0,
            # Not its own choice: where rich is installed that shows the variables of each frame, payloads and secrets
            # among them, and takes so long that the engine's loop stalls.
            exception_formatter=_traceback,
        )
        after = [_escape, console]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after]
    )


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What stands in a line may be a client's, by way of a workflow's exception: it ends no line, and moves no
    terminal's cursor."""
    return {key: _printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """As Python writes it; further in than any line of the log's own, which its text could look like."""
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.write(indent("\n".join(map(_printable, text.getvalue().split("\n"))), "    "))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def log_moves(moves: Sequence[JobMove]) -> None:
    """A line for each move of a job."""
    if not log.isEnabledFor(logging.INFO):
        return
    for move in moves:
        told = {"job_id": move.job_id, "workflow": move.workflow, "attempt": move.attempt}
        if move.from_state is not None:
            told["from_state"] = move.from_state.name
        if move.reason:
            told["reason"] = move.reason
        if move.trace_id:
            told["trace_id"] = move.trace_id
        log.info("job %s", move.to_state.name, extra=told)


def _name_process(process: str, _logger: object, _method: str, event: EventDict) -> EventDict:
    event["process"] = process
    return event


def _split_tenant(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Ids are scoped by their tenant inside the server: a line has both, apart."""
    job_id = event.get("job_id")
    if isinstance(job_id, str) and (tenant := tenant_of(job_id)):
        event["tenant"], event["job_id"] = tenant, public(job_id)
    return event
