"""A short run with a bit of everything, on a server that dies at chosen points: where kills are tried one by one."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.check import check as check_database

from tests.proof.conftest import Tried
from tests.proof.histories.checkers import check
from tests.proof.histories.history import History
from tests.proof.kills.drains import Drains
from tests.proof.kills.lives import Lives
from tests.proof.kills.scrapes import Scrapes
from tests.proof.load.grace import Grace
from tests.proof.load.housekeeping import Housekeeping
from tests.proof.load.random_graphs import Outcome
from tests.proof.load.time_travel import TimeTravel
from tests.proof.load.workload import OPTIONS, Actor, Workload, outcomes, write_config
from tests.proof.server import Sabotage, ServerProcess

# Random graphs that have, among them, every piece that graphs are made of.
SEEDS = (3, 4, 5, 6, 7, 9, 20)

# Each server has a host of its own.
METRICS_PORT = 9464


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of one run."""

    died_at: Sequence[Sabotage]
    history: History
    found: Mapping[str, Sequence[str]]
    folder: Path

    def count(self, tried: Tried) -> None:
        """What was tried in it."""
        tried(**self.history.size(), servers_that_died_at_a_point=len(self.died_at))

    def holds(self) -> None:
        """Everything held."""
        assert not self.found, f"{self.found} in {self.folder}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the runs take place."""

    folder: Path
    config: Path
    outcomes: dict[int, Outcome]

    @classmethod
    def set_up(cls, folder: Path) -> "Scene":
        """Prepare what all runs share."""
        return cls(folder, write_config(folder, SEEDS), outcomes(folder, SEEDS))

    def server(self, name: str) -> ServerProcess:
        """A server with a folder of its own."""
        folder = self.folder / name
        folder.mkdir()
        options = [*OPTIONS, "--prune-interval-seconds", "0.1", "--drain-seconds", "0.2"]
        return ServerProcess(folder, config=self.config, options=options)

    def live(self, name: str, sabotages: Sequence[Sabotage], *, drains: int = 0) -> Run:
        """A server's lives, with jobs of every kind, until all jobs are over."""
        server = self.server(name)
        metrics = f"{server.host}:{METRICS_PORT}"
        server.options += ["--metrics-listen", metrics]
        lives = Lives(server, sabotages)
        lives.begin()
        try:
            actors: list[Actor] = [Housekeeping(), TimeTravel(server.folder), Grace(server.folder), Scrapes(metrics)]
            if drains:
                actors.append(Drains(lives, drains))
            history = self._workload(server, lives, actors).run()
        finally:
            lives.end()
        history.restarts, history.absences = lives.starts - 1, lives.absences
        found = check(history) | damage(server)
        if found:
            history.save(server.folder / "history.jsonl")
        return Run(lives.died_at, history, found, server.folder)

    def _workload(self, server: ServerProcess, lives: Lives, actors: Sequence[Actor]) -> Workload:
        workload = Workload(
            address=server.address,
            database=server.database,
            folder=server.folder,
            outcomes=self.outcomes,
            jobs=len(SEEDS),
            watchers=3,
            rng=random.Random(7),
            cancelled=0.3,
            actors=actors,
        )
        lives.on_failure = workload.give_up
        return workload


def damage(server: ServerProcess, sealer: Sealer | None = None) -> dict[str, list[str]]:
    """What does not hold of a server's database and of its log. `sealer`: of a database that is encrypted."""
    found = {
        "the database is whole": [f"{finding}" for finding in check_database(server.database, sealer)],
        "the log tells of no error": server.errors,
    }
    return {what: violations for what, violations in found.items() if violations}
