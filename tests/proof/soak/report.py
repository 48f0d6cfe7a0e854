"""Writes the report of a soak: what was done, what was found, and a picture."""

import csv
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.proof.soak.judgement import (
    GROWTH,
    GROWTH_BYTES,
    JUDGED_SECONDS,
    MIB,
    WARM_UP_SECONDS,
    lives,
    quarters,
)
from tests.proof.soak.lanes import BATCH_SECONDS
from tests.proof.soak.plot import plot
from tests.proof.soak.samples import Sample
from tests.proof.soak.soak import Result
from tests.proof.soak.tally import CHECKS

# What people ask first, and the checks that would have told.
_LOST = ("submitted_jobs_are_there", "logs_are_gapless", "streams_are_gapless", "streams_agree_with_the_log")
_DUPLICATED = (
    "resumes_happen_once",
    "finished_steps_are_told_once",
    "told_steps_do_not_run_again",
    "watchers_see_each_event_once",
)
_STUCK = ("jobs_end_in_time",)


def write_report(result: Result, folder: Path, *, command: str) -> None:
    """Write report.md, soak.png, and the samples that both are made of."""
    _write_samples(result.samples, folder / "samples.csv")
    plot(result.samples, folder / "soak.png")
    parts = [_head(result, command), _done(result), _found(result)]
    if result.samples:
        parts += [_restarts(result), _memory(result), _space(result)]
    (folder / "report.md").write_text("\n".join(line for part in parts for line in part))


def _write_samples(samples: Sequence[Sample], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Sample))
        writer.writerows(astuple(sample) for sample in samples)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def _head(result: Result, command: str) -> list[str]:
    violations = result.tally.violations.total()
    verdict = f"**{violations:,} violations.**" if violations else "**Everything holds.**"
    return [
        f"# Soak, {result.seconds / 60:.1f} minutes",
        "",
        f"{verdict} Made by `{command}` on {result.began:%Y-%m-%d %H:%M} UTC, with the seed {result.seed}.",
        "",
        f"{_machine()}. Server and clients share the machine.",
        "",
        "![memory, files, jobs, events and threads over time](soak.png)",
        "",
    ]


def _machine() -> str:
    parts = (
        f"{os.cpu_count()} cores, {_memory_bytes() / 2**30:.0f} GiB of memory",
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
        *(f"{package} {version(package)}" for package in ("langgraph", "grpcio")),
        f"SQLite {sqlite3.sqlite_version}",
    )
    return ", ".join(parts)


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _done(result: Result) -> list[str]:
    counts, faults = result.tally.counts, result.faults.counts
    rows = [
        ("jobs", result.tally.jobs.total()),
        *((f"– {state}", result.tally.jobs[state]) for state in sorted(result.tally.jobs)),
        ("attempts", counts["attempts"]),
        ("Resumes, most of them with answers to questions", counts["resumes"]),
        ("Cancels", counts["cancels"]),
        ("kill -9", faults["kills"]),
        ("SIGTERM, drained", faults["drains"]),
        ("SIGSTOP and SIGCONT, for 0.2 to 3 s", faults["stops"]),
        ("database locked by another process, for 0.5 to 8 s", faults["locks"]),
        ("calls", counts["calls"]),
        ("– of them failed", counts["calls that failed"]),
        ("streams", counts["streams"]),
        ("– of them ended by the server's end, or by the watcher", counts["streams that broke"]),
        ("messages of streams", counts["messages"]),
        ("events checked in streams", counts["events watched"]),
        ("events checked in logs", counts["events in logs"]),
    ]
    return ["## What was done", "", *_table(("", "times"), rows)]


def _found(result: Result) -> list[str]:
    violations = result.tally.violations
    asked = [
        ("lost: accepted jobs that are gone, events that are missing", _LOST),
        ("duplicated: jobs, Resumes, steps or events that happened twice", _DUPLICATED),
        (f"stuck: jobs that were not finished within {BATCH_SECONDS} s, or in the end", _STUCK),
    ]
    rows = [(text, sum(violations[check] for check in checks)) for text, checks in asked]
    rows += [(f"`{check}`: {' '.join(text.split())}", _times(result, check)) for check, text in CHECKS.items()]
    lines = ["## What was found", "", *_table(("check", "violations"), rows)]
    for check, texts in result.tally.texts.items():
        lines += [f"`{check}`:", "", *(f"- {text}" for text in texts), ""]
    return lines


def _times(result: Result, check: str) -> int | str:
    times = result.tally.violations[check]
    if check == "memory_does_not_grow" and not lives(result.samples):
        return "not judged: no process lived so long"
    return times


def _restarts(result: Result) -> list[str]:
    seconds = sorted(result.faults.restart_seconds)
    rows = [
        ("least", f"{seconds[0]:.2f} s"),
        ("median", f"{median(seconds):.2f} s"),
        ("95th percentile", f"{seconds[int(0.95 * (len(seconds) - 1))]:.2f} s"),
        ("most", f"{seconds[-1]:.2f} s"),
    ]
    text = f"From the start of the process to its first answer, {len(seconds)} times, while all clients call again."
    return ["## Restarts", "", text, "", *_table(("", "time"), rows)]


_MEMORY = f"""Resident memory, shared pages included, looked at each second. Of each process that lived for at least
{JUDGED_SECONDS} s after a warm-up of {WARM_UP_SECONDS} s: the least in the first and in the last third of its time
after the warm-up, so that what a burst of jobs needs for a moment does not count. Processes that were ended earlier say
nothing about growth, and are not in the table. Fails above {GROWTH:g} × + {GROWTH_BYTES // MIB} MiB."""


def _memory(result: Result) -> list[str]:
    rows = [
        (f"{life.began / 60:.1f} min", f"{life.seconds:.0f} s", _mib(life.first), _mib(life.last), _mib(life.most))
        for life in lives(result.samples)
    ]
    table = _table(("began", "lived", "least, first third", "least, last third", "most"), rows)
    own = [sample.own_resident_bytes for sample in result.samples]
    return [
        *("## Memory", "", _MEMORY, ""),
        *(table if rows else ["No process lived so long.", ""]),
        f"The soak itself: {_mib(own[len(own) // 4])} after a quarter of the time, {_mib(own[-1])} in the end.",
        "",
    ]


_SPACE = """The database file's largest size in each quarter of the time, the write-ahead log's in all of it, and what
the file had after all jobs were deleted, its free pages given back, and the server stopped:"""


def _space(result: Result) -> list[str]:
    sizes = [_mib(size) for size in quarters(result.samples)]
    log = _mib(max(sample.wal_bytes for sample in result.samples))
    head = ("1st", "2nd", "3rd", "4th", "write-ahead log", "in the end")
    return ["## Space", "", _SPACE, "", *_table(head, [(*sizes, log, _mib(result.last_database_bytes))])]


def _mib(size: float) -> str:
    return f"{size / MIB:.1f} MiB"
