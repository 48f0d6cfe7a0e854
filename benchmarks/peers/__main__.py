"""The command `python -m benchmarks.peers`: W with each peer, one after the other, and a table of all."""

import asyncio
import json
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from benchmarks.__main__ import machine
from benchmarks.peers.autopilot.peer import Autopilot
from benchmarks.peers.celery_redis.peer import CeleryRedis
from benchmarks.peers.dbos.peer import DbosPostgres, DbosSqlite
from benchmarks.peers.installing import NotInstalledError
from benchmarks.peers.langgraph_dev.peer import LangGraphDev
from benchmarks.peers.langgraph_loop.peer import Loop
from benchmarks.peers.measuring import FULL, QUICK, Result, Scale, measure
from benchmarks.peers.peer import Peer, folder_for_all
from benchmarks.peers.restate.peer import Restate
from benchmarks.peers.table import report
from benchmarks.peers.temporal.peer import TemporalDev

PEERS: dict[str, type[Peer]] = {
    "loop": Loop,
    "autopilot": Autopilot,
    "langgraph-dev": LangGraphDev,
    "celery": CeleryRedis,
    "dbos-sqlite": DbosSqlite,
    "dbos-postgres": DbosPostgres,
    "restate": Restate,
    "temporal": TemporalDev,
}


@click.command(context_settings={"max_content_width": 110})
@click.option("--only", multiple=True, type=click.Choice(list(PEERS)), help="Measure only this; may be repeated.")
@click.option(
    "--quick", is_flag=True, help="A small fraction of the work, to see that it runs. Its figures mean nothing."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write everything to this file.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the databases are made for the time being: the disk that is measured. Default: the temporary folder.",
)
def main(only: tuple[str, ...], quick: bool, json_file: Path | None, folder: Path | None) -> None:
    """Run W with each peer, as its users would write it, and print tables in Markdown.

    What is missing is installed first, under .tools/peers and from the system's packages.
    """
    # On standard error, so that a report can be piped.
    progress = Console(stderr=True, highlight=False)
    head = machine()
    scale = QUICK if quick else FULL
    results: dict[type[Peer], Result | str] = {}
    for name in only or PEERS:
        started = time.perf_counter()
        results[PEERS[name]] = _measured(name, scale, folder, progress)
        progress.print(f"{name}: {time.perf_counter() - started:.0f} s")
    click.echo(f"{head}\n\n{report(results, scale)}")
    if json_file is not None:
        as_json = {peer.title: each if isinstance(each, str) else asdict(each) for peer, each in results.items()}
        json_file.write_text(json.dumps({"machine": head, "peers": as_json}, indent=2) + "\n")


def _measured(name: str, scale: Scale, parent: Path | None, progress: Console) -> Result | str:
    """What was measured of a peer; or why nothing was: one that fails does not keep the others from being measured."""
    with folder_for_all(parent) as folder:
        try:
            return asyncio.run(measure(PEERS[name], Path(folder), scale))
        except NotInstalledError as error:
            return f"cannot be installed here: {error}"
        except (RuntimeError, OSError, TimeoutError) as error:
            progress.print(traceback.format_exc())
            return f"it failed: {str(error) or type(error).__name__}"


if __name__ == "__main__":
    main()
