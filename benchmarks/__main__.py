"""The command `python -m benchmarks`: measures, prints a table, exits with 1 when a target is missed."""

import asyncio
import json
import os
import platform
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console

from benchmarks import audit, encryption, held, idle, memory, reads, recovery, sleeping, throughput, watchers
from benchmarks.figures import Figure, show
from benchmarks.scale import FULL, QUICK, Scale

BENCHMARKS: dict[str, Callable[[Path, Scale], Awaitable[list[Figure]]]] = {
    "throughput": throughput.measure,
    "idle": idle.measure,
    "watchers": watchers.measure,
    "memory": memory.measure,
    "sleeping": sleeping.measure,
    "recovery": recovery.measure,
    "held": held.measure,
    "reads": reads.measure,
    "encryption": encryption.measure,
    "audit": audit.measure,
}


@click.command(context_settings={"max_content_width": 110})
@click.option("--only", multiple=True, type=click.Choice(list(BENCHMARKS)), help="Measure only this; may be repeated.")
@click.option(
    "--quick", is_flag=True, help="A small fraction of the work, to see that it runs. Its figures mean nothing."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write every figure to this file.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the databases are made for the time being: the disk that is measured. Default: the temporary folder.",
)
def main(only: tuple[str, ...], quick: bool, json_file: Path | None, folder: Path | None) -> None:
    """Measure the server, as ratios to LangGraph alone in the same run where that makes sense."""
    # On standard error, so that a report can be piped.
    progress = Console(stderr=True)
    console = Console(width=None if Console().is_terminal else 160)
    console.print(machine(), highlight=False)
    figures: list[Figure] = []
    for name in only or BENCHMARKS:
        progress.print(f"{name} …")
        with tempfile.TemporaryDirectory(prefix="autopilot-bench-", dir=folder) as own:
            figures += asyncio.run(_measure(name, Path(own), QUICK if quick else FULL))
    show(figures, console)
    if json_file is not None:
        report = {"machine": machine(), "figures": [figure.as_json() for figure in figures]}
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    missed = [figure.name for figure in figures if figure.met is False]
    raise SystemExit(1 if missed and not quick else 0)


async def _measure(name: str, folder: Path, scale: Scale) -> list[Figure]:
    return await BENCHMARKS[name](folder, scale)


def machine() -> str:
    """What the figures were measured on, and how busy it was with other things."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "langgraph", "langgraph-checkpoint-sqlite"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {platform.machine()} {platform.system()}, "
        f"Python {platform.python_version()}, {packages}, load before {os.getloadavg()[0]:.2f}"
    )


if __name__ == "__main__":
    main()
