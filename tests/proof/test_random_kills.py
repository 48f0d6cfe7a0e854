"""Jobs of random workflows, and kill -9 at random moments; whatever clients saw is checked afterwards."""

import os
import random
from pathlib import Path

from tests.proof.checkers import check
from tests.proof.server import ServerProcess
from tests.proof.workload import OPTIONS, Workload, outcomes, write_config

JOBS = int(os.environ.get("AUTOPILOT_PROOF_JOBS", "200"))
KILLS = int(os.environ.get("AUTOPILOT_PROOF_KILLS", "8"))
SEED = int(os.environ.get("AUTOPILOT_PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)


def test_whatever_is_killed_when_everything_holds(tmp_path: Path) -> None:
    """Hundreds of jobs, dozens of watchers that come and go, and a server that is killed again and again."""
    print(f"AUTOPILOT_PROOF_SEED={SEED}")
    rng = random.Random(SEED)
    seeds = rng.sample(range(1000), 40)
    expected = outcomes(tmp_path, seeds)
    server = ServerProcess(tmp_path, config=write_config(tmp_path, seeds), options=OPTIONS)
    server.start()
    workload = Workload(
        address=server.address,
        database=server.database,
        folder=tmp_path,
        outcomes=expected,
        jobs=JOBS,
        watchers=24,
        rng=rng,
    )
    workload.start()
    for _ in range(KILLS):
        workload.finished.wait(rng.uniform(0.05, 1.0))
        workload.history.restarts += 1
        server.kill()
        server.start()
    assert workload.finished.wait(120)
    history = workload.end()
    server.close()
    if found := check(history):
        history.save(tmp_path / "history.jsonl")
    assert not found, tmp_path
