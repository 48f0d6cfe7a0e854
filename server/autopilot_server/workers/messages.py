"""What the server, its fork server and its workers tell each other."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autopilot_server.config import Settings
from autopilot_server.doorbell import News, StoredEvent
from autopilot_server.jobs.events import TokenChunk
from autopilot_server.jobs.job import Job, Json, Workflow
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import Share

# How often the server hears that a worker's interpreter runs, and what was observed.
BEAT_SECONDS = 0.5

# On this signal a worker writes down the stacks of all its threads, also while a step holds the interpreter.
STACKS_SIGNAL = signal.SIGUSR1

# --- server to fork server, and back ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load the workflows, and be ready to fork."""

    settings: Settings
    parent: int
    """The process that the fork server ends with."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The workflows are there."""

    workflows: Sequence[Workflow]
    sources: Sequence[str]
    """The files that they come from."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The workflows cannot be loaded, and why: one line for the operator."""

    why: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Make a worker. Its end of a link, and files for its stacks and its notes, come with the message."""

    worker_id: str
    limits: tuple[tuple[int, int], ...] = ()
    """Of its resources, as resource.setrlimit takes them."""


@dataclass(frozen=True, slots=True)
class Forked:
    """The worker is there."""

    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker has ended, with this exit code: less than 0 for a signal."""

    worker_id: str
    code: int


# --- server to worker ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The first message: what the worker is for."""

    settings: Settings
    worker_id: str
    name: str
    """For the log."""
    secrets: Sequence[bytes]
    """Of the keys that content is encrypted with; none: it is not encrypted."""
    share: Share | None
    """The jobs to run; of those that run apart just one. None: none, the worker reads values."""
    workflows: Sequence[str]
    """Their names."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Others have committed something."""

    news: Sequence[tuple[str, JobState | None]]


@dataclass(frozen=True, slots=True)
class ClaimNoMore:
    """Before all drain: what one gives back would be claimed by another."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Give the jobs back at their next checkpoints, after some seconds wherever they are, and end."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    """Log as much as the server does now."""

    level: str


@dataclass(frozen=True, slots=True)
class ReadValues:
    """Read the values of a job's checkpoints."""

    number: int
    job: Job
    checkpoint_ids: Sequence[str]


# --- worker to server ---


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker works."""


@dataclass(frozen=True, slots=True)
class ClaimsNoMore:
    """The worker claims nothing from now on."""


@dataclass(frozen=True, slots=True)
class Rang:
    """A commit of the worker's had news."""

    news: Sequence[tuple[str, int | None, Sequence[tuple[int, bytes, bool]], int]]
    """Plain, because there are many: job id, state, the events with sequence, body and has_payload, and create time."""


@dataclass(frozen=True, slots=True)
class Told:
    """Tokens for whoever watches now."""

    chunk: TokenChunk


@dataclass(frozen=True, slots=True)
class Observed:
    """Calls of an observer: (method, arguments, named arguments)."""

    calls: Sequence[tuple[str, tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Alive:
    """The worker's interpreter runs, and how much it does."""

    running_jobs: int
    abandoned_threads: int


@dataclass(frozen=True, slots=True)
class DeadlineBegan:
    """A run with a deadline has begun."""


@dataclass(frozen=True, slots=True)
class DatabaseAway:
    """The worker cannot write."""


@dataclass(frozen=True, slots=True)
class Values:
    """The answer to ReadValues."""

    number: int
    values: dict[str, Json] | None = None
    """None: they could not be read; the worker's log says why."""
    database_away: bool = False


def rang(news: Sequence[News], *, with_events: bool = True) -> Rang:
    """News as a message. Without events who watches reads the log."""
    return Rang(
        [
            (
                item.job_id,
                None if item.state is None else int(item.state),
                [(e.sequence, e.body, e.has_payload) for e in item.events] if with_events else [],
                item.create_time,
            )
            for item in news
        ]
    )


def news_of(message: Rang) -> list[News]:
    """The news of a message."""
    return [
        News(
            job_id,
            None if state is None else JobState(state),
            tuple(StoredEvent(*event) for event in events),
            create_time,
        )
        for job_id, state, events, create_time in message.news
    ]
