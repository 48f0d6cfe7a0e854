"""Draws a table."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt

from benchmarks.growth.table import Table


def draw(table: Table, path: Path) -> None:
    """Write the picture."""
    drawing = table.drawing
    figure, axes = plt.subplots(figsize=(7, 3.6), constrained_layout=True)
    for label, values in drawing.lines.items():
        axes.plot(drawing.x, values, marker="o", linewidth=1.2, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(drawing.x, [f"{x:,.0f}" for x in drawing.x], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(drawing.x_label)
    axes.set_ylabel(drawing.y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)
