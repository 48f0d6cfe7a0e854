"""A measured figure, what it is compared with, what it has to reach, and how that is shown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a figure has to reach: at least or at most `factor` times the reference, plus `plus` of its unit."""

    kind: Literal["at least", "at most"]
    factor: float = 0.0
    plus: float = 0.0

    def margin(self, measured: float, reference: float) -> float:
        """How far the figure is on the good side of its limit, in units of the limit. Negative: on the wrong side."""
        limit = self.factor * reference + self.plus
        return (measured / limit - 1) if self.kind == "at least" else (1 - measured / limit)

    def text(self, unit: str) -> str:
        """The bound as it is shown."""
        parts = [f"{self.factor:g} ×"] if self.factor else []
        parts += [f"{self.plus:g} {unit}"] if self.plus else []
        return f"{'≥' if self.kind == 'at least' else '≤'} {' + '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table: repetitions of a measurement, each with the reference measured beside it."""

    name: str
    unit: str
    measured: Sequence[float]
    reference: Sequence[float] = ()
    """As many as `measured`, or none."""
    reference_name: str = ""
    bound: Bound | None = None

    @property
    def value(self) -> float:
        """Median of the repetitions."""
        return statistics.median(self.measured)

    @property
    def reference_value(self) -> float | None:
        """Median of the reference's repetitions."""
        return statistics.median(self.reference) if self.reference else None

    @property
    def ratio(self) -> float | None:
        """Median of the repetitions' own ratios: what drifts between two repetitions does not count."""
        if not self.reference:
            return None
        return statistics.median(m / r for m, r in zip(self.measured, self.reference, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the median repetition reaches the bound. None: there is none."""
        if self.bound is None:
            return None
        references = self.reference or [0.0] * len(self.measured)
        margins = [self.bound.margin(m, r) for m, r in zip(self.measured, references, strict=True)]
        return statistics.median(margins) >= 0

    def as_json(self) -> dict[str, Any]:
        """Everything about the figure, for a file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "measured": list(self.measured),
            "reference": self.reference_value,
            "reference_measured": list(self.reference),
            "reference_name": self.reference_name,
            "ratio": self.ratio,
            "target": self.bound.text(self.unit) if self.bound else None,
            "met": self.met,
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that `percent` per cent of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    table = Table()
    for heading in ("figure", "measured", "range", "reference", "ratio", "target", "met"):
        table.add_column(heading, justify="left" if heading in ("figure", "reference") else "right")
    for figure in figures:
        table.add_row(*_cells(figure))
    console.print(table)


def _cells(figure: Figure) -> tuple[str, ...]:
    low, high = min(figure.measured), max(figure.measured)
    reference = figure.reference_value
    return (
        figure.name,
        f"{_number(figure.value)} {figure.unit}",
        f"{_number(low)} … {_number(high)}",
        "" if reference is None else f"{_number(reference)} {figure.unit}, {figure.reference_name}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        figure.bound.text(figure.unit) if figure.bound else "",
        {True: "yes", False: "NO", None: ""}[figure.met],
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
