"""What commands print: JSON for programs, lines for people."""

import dataclasses
import json
import re
import sys
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import click

from autopilot_client import (
    CheckpointSaved,
    Event,
    InterruptRaised,
    Job,
    JobState,
    Omitted,
    ProgressReported,
    StateChanged,
    StepFailed,
    StepFinished,
    StepStarted,
    TokenChunk,
)
from autopilot_client._model import Missing

# Ends of lines, of all kinds, and what moves a terminal's cursor.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def to_json(value: Any) -> Any:
    """A result as JSON: times in ISO 8601, spans in seconds, states by name; what is missing is left out."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.name
        case Omitted(size):
            return {"omitted_bytes": size}
        case dict():
            return {key: to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
            return {name: to_json(item) for name, item in fields if item is not None and not isinstance(item, Missing)}
        case _:
            return value


def event_to_json(event: Event) -> Any:
    """An event, its kind by name."""
    content = to_json(event)
    kind = content.pop("kind")
    if kind.get("from_state") == JobState.UNKNOWN.name:
        # The first event: there was no state before.
        del kind["from_state"]
    return {**content, "kind": type(event.kind).__name__, **kind}


def print_json(value: Any) -> None:
    """One JSON document on a line: several of them are NDJSON."""
    click.echo(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def short_json(value: Any, length: int = 200) -> str:
    """A JSON value on one line, cut where it is long; nothing for what the response has not got."""
    text = "" if isinstance(value, Missing) else json.dumps(to_json(value), ensure_ascii=False)
    return text if len(text) <= length else text[: length - 1] + "…"


def print_job(job: Job) -> None:
    """A job for people."""
    state = job.state.name
    lines = [
        f"job       {job.job_id}",
        f"workflow  {job.workflow} ({job.workflow_revision or 'not started'})",
        f"state     {state}, attempt {job.attempt}, {job.failed_attempts} of {job.max_attempts} failed",
        f"progress  {job.progress.fraction:.0%}, {job.progress.completed_steps} steps, "
        f"{span(job.progress.elapsed)} running",
    ]
    if job.progress.active_steps:
        lines.append(f"running   {', '.join(job.progress.active_steps)}")
    if job.next_steps and not job.state.finished:
        lines.append(f"next      {', '.join(job.next_steps)}")
    if job.concurrency_key:
        lines.append(f"key       {job.concurrency_key}")
    if job.labels:
        lines.append(f"labels    {', '.join(f'{key}={value}' for key, value in sorted(job.labels.items()))}")
    if job.error is not None:
        where = f" in {job.error.step}" if job.error.step else ""
        lines.append(f"error     {job.error.reason}{where}: {job.error.message}")
    for question in job.interrupts:
        asked = f"question  {question.interrupt_id} ({question.step})"
        lines.append(": ".join(part for part in (asked, short_json(question.value)) if part))
    if not isinstance(job.output, Missing):
        lines.append(f"output    {short_json(job.output, 2000)}")
    click.echo("\n".join(map(one_line, lines)))


def one_line(text: str) -> str:
    """A text of a workflow as one line that moves no cursor."""
    return _CONTROL.sub(" ", text)


def span(value: timedelta) -> str:
    """A span for people."""
    seconds = value.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02} min"


def event_line(event: Event) -> str:
    """An event as a plain line: one, whatever a workflow says."""
    when = event.event_time.astimezone().strftime("%H:%M:%S") if event.event_time is not None else "        "
    return f"{when} {event.sequence or '':>4} {event.progress.fraction:>4.0%}  {one_line(_event_text(event))}"


def _event_text(event: Event) -> str:
    match event.kind:
        case StateChanged(_, state, error):
            why = f": {error.reason}: {error.message}" if error is not None else ""
            return f"{state.name}{why}"
        case StepStarted(step):
            return f"{step} …"
        case StepFinished(step, _, _, duration):
            return f"{step} done in {span(duration)}"
        case StepFailed(step, _, error, _):
            return f"{step} failed: {error.message}"
        case InterruptRaised(question):
            return f"{question.step} asks {short_json(question.value)} (id {question.interrupt_id})"
        case ProgressReported(step, message, fraction, data, _):
            parts = [f"{fraction:.0%}" if fraction is not None else "", message]
            parts.append("" if isinstance(data, Missing) else short_json(data))
            return f"{step}: {' '.join(part for part in parts if part)}"
        case CheckpointSaved(_, superstep, _):
            return f"checkpoint {superstep}"
        case TokenChunk(step, _, text):
            return f"{step} writes {short_json(text)}"
        case _:
            return "an event that this client does not know"
