"""The samples of a soak, as a picture."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt

from tests.proof.soak.samples import Sample

_MIB = 1 << 20

Value = Callable[[Sample], float]

# Each panel: its title, and its lines. A line begins anew with each process where it tells of the process.
_PANELS: Sequence[tuple[str, Sequence[tuple[str, Value]]]] = (
    ("memory of the server, MiB: a line a process", [("resident", lambda s: s.resident_bytes / _MIB)]),
    (
        "files, MiB",
        [("database", lambda s: s.database_bytes / _MIB), ("write-ahead log", lambda s: s.wal_bytes / _MIB)],
    ),
    ("jobs", [("stored", lambda s: s.jobs), ("unfinished", lambda s: s.unfinished)]),
    ("stored events a second", [("events", lambda s: s.events_a_second)]),
    ("threads and files of the server", [("threads", lambda s: s.threads), ("open files", lambda s: s.files)]),
)


def plot(samples: Sequence[Sample], path: Path) -> None:
    """Write the picture; a grey line for each start of the server."""
    starts = [next(life).at / 60 for _, life in groupby(samples, key=lambda sample: sample.pid)]
    figure, panels = plt.subplots(len(_PANELS), 1, figsize=(11, 13), sharex=True, constrained_layout=True)
    for axes, (title, lines) in zip(panels, _PANELS, strict=True):
        axes.set_title(title, loc="left", fontsize=10)
        for number, (label, value) in enumerate(lines):
            _line(axes, samples, label, value, f"C{number}")
        for start in starts:
            axes.axvline(start, color="grey", alpha=0.25, linewidth=0.6)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right", fontsize=8)
    panels[-1].set_xlabel("minutes")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _line(axes: Any, samples: Sequence[Sample], label: str, value: Value, color: str) -> None:
    """One line, with a gap at each restart."""
    for _, group in groupby(samples, key=lambda sample: sample.pid):
        life = list(group)
        times, values = [sample.at / 60 for sample in life], [value(sample) for sample in life]
        axes.plot(times, values, color=color, linewidth=0.8, label=label, marker="." if len(life) == 1 else None)
        # The legend names a line once.
        label = "_nolegend_"
