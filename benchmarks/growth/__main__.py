"""The command `python -m benchmarks.growth`: measures, prints tables in Markdown, and draws them."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from rich.console import Console

from benchmarks.__main__ import machine
from benchmarks.growth import history, throughput, watching
from benchmarks.growth.extent import FULL, QUICK, Extent
from benchmarks.growth.page import insert
from benchmarks.growth.table import Table

MEASUREMENTS: dict[str, Callable[[Path, Extent], Awaitable[list[Table]]]] = {
    "workers": throughput.by_workers,
    "nodes": throughput.by_nodes,
    "state": throughput.by_state,
    "history": history.measure,
    "watchers": watching.measure,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Measure only this; repeatable.")
@click.option("--quick", is_flag=True, help="As little work as shows that it runs. Its figures mean nothing.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Put the tables into this page, and drawings of them into a folder beside it that has its name.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the databases are made for the time being: the disk that is measured. Default: the temporary folder.",
)
def main(only: tuple[str, ...], quick: bool, page: Path | None, folder: Path | None) -> None:
    """Measure how the server's figures grow, beside LangGraph alone in the same run where that makes sense."""
    progress = Console(stderr=True)
    # Before anything is busy with it.
    where = f"{machine()}."
    print(f"{where}\n")
    for name in only or MEASUREMENTS:
        progress.print(f"{name} …")
        with tempfile.TemporaryDirectory(prefix="autopilot-bench-", dir=folder) as own:
            tables = asyncio.run(_measure(name, Path(own), QUICK if quick else FULL))
        print("\n".join(table.markdown() for table in tables))
        if page is not None:
            _publish(page, name, where, tables)


async def _measure(name: str, folder: Path, extent: Extent) -> list[Table]:
    return await MEASUREMENTS[name](folder, extent)


def _publish(page: Path, name: str, where: str, tables: list[Table]) -> None:
    # Only drawing needs what it imports.
    from benchmarks.growth.plot import draw

    pictures = page.with_suffix("")
    pictures.mkdir(exist_ok=True)
    parts = [where]
    for table in tables:
        draw(table, pictures / f"{table.name}.png")
        parts += [table.markdown(), f"![{table.title}]({pictures.name}/{table.name}.png)"]
    insert(page, name, "\n\n".join(part.strip() for part in parts))


if __name__ == "__main__":
    main()
