"""Jobs of random workflows, and kill -9 at random moments; whatever clients saw is checked afterwards."""

import os
import random
import signal
from pathlib import Path

from tests.proof.conftest import Tried
from tests.proof.histories.checkers import check
from tests.proof.kills.lives import Lives
from tests.proof.kills.scene import damage
from tests.proof.load.housekeeping import Housekeeping
from tests.proof.load.time_travel import TimeTravel
from tests.proof.load.workload import OPTIONS, Workload, outcomes, write_config
from tests.proof.seed import SEED
from tests.proof.server import ServerProcess

JOBS = int(os.environ.get("AUTOPILOT_PROOF_JOBS", "200"))
KILLS = int(os.environ.get("AUTOPILOT_PROOF_KILLS", "8"))

# So many different graphs have every piece among them that there is.
GRAPHS = 40


def test_whatever_is_killed_when_everything_holds(tmp_path: Path, tried: Tried) -> None:
    """Hundreds of jobs, dozens of watchers that come and go, and a server that is killed again and again."""
    rng = random.Random(SEED)
    seeds = rng.sample(range(1000), GRAPHS)
    expected = outcomes(tmp_path, seeds)
    options = [*OPTIONS, "--prune-interval-seconds", "0.1"]
    server = ServerProcess(tmp_path, config=write_config(tmp_path, seeds), options=options)
    lives = Lives(server, [])
    lives.begin()
    workload = Workload(
        address=server.address,
        database=server.database,
        folder=tmp_path,
        outcomes=expected,
        jobs=JOBS,
        watchers=24,
        rng=rng,
        actors=[Housekeeping(), TimeTravel(tmp_path)],
    )
    lives.on_failure = workload.give_up
    try:
        workload.start()
        kill_at_random(lives, workload, rng, tried)
        history = workload.end()
    finally:
        workload.give_up()
        lives.end()
    history.restarts = lives.starts - 1
    if found := check(history) | damage(server):
        history.save(tmp_path / "history.jsonl")
    tried(**history.size())
    assert not found, f"{found} in {tmp_path}"
    assert history.restarts


def kill_at_random(lives: Lives, workload: Workload, rng: random.Random, tried: Tried) -> None:
    """As long as there are jobs to lose."""
    for _ in range(KILLS):
        if workload.finished.wait(rng.uniform(0.05, 1.0)):
            return
        tried(kills_from_outside=1, jobs_in_flight_at_kills=workload.in_flight)
        lives.end_with(signal.SIGKILL)
