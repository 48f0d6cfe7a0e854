"""A series of figures, as it is shown: a table, and what is drawn of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Lines over one axis. Both axes are logarithmic."""

    x_label: str
    y_label: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, and its drawing."""

    name: str
    """Of the drawing's file."""
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]] = field(default_factory=list)
    drawing: Drawing

    def markdown(self) -> str:
        """The table, under its title."""
        lines = [self.head, ["---", *["---:"] * (len(self.head) - 1)], *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(cells) + " |" for cells in lines), ""])


def number(value: float) -> str:
    """Three digits, or as many as there are before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where the repetitions went."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"
