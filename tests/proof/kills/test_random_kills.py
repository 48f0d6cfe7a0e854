"""Jobs of random workflows, and kill -9 at random moments; whatever clients saw is checked afterwards."""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from autopilot_server.audit import METHODS
from autopilot_server.audit.records import Wanted, read_records
from autopilot_server.storage.keys import add_key, read_keys
from autopilot_server.storage.sealing import Sealer

from tests.proof.conftest import Tried
from tests.proof.histories.checkers import check
from tests.proof.histories.history import History
from tests.proof.kills.lives import Lives
from tests.proof.kills.scene import damage
from tests.proof.load.grace import Grace
from tests.proof.load.housekeeping import Housekeeping
from tests.proof.load.time_travel import TimeTravel
from tests.proof.load.workload import OPTIONS, Workload, outcomes, write_config
from tests.proof.seed import SEED
from tests.proof.server import WORKERS, ServerProcess
from tests.workers.conftest import children

JOBS = int(os.environ.get("AUTOPILOT_PROOF_JOBS", "200"))
KILLS = int(os.environ.get("AUTOPILOT_PROOF_KILLS", "8"))

Killer = Callable[[ServerProcess, Lives, Workload, random.Random, Tried], None]

# So many different graphs have every piece among them that there is.
GRAPHS = 40


def test_whatever_is_killed_when_everything_holds(tmp_path: Path, tried: Tried) -> None:
    """Hundreds of jobs, dozens of watchers that come and go, and a server that is killed again and again."""
    server, history = survive(tmp_path, tried, jobs=JOBS)
    holds(history, damage(server), server)


def test_what_is_encrypted_and_told_in_an_audit_is_killed_too(tmp_path: Path, tried: Tried) -> None:
    """The same with everything encrypted at rest; each change that was answered stands in the audit."""
    keys, audit = tmp_path / "keys.txt", tmp_path / "audit.jsonl"
    add_key(keys)
    options = ["--encryption-key-file", str(keys), "--audit-file", str(audit)]
    server, history = survive(tmp_path, tried, jobs=JOBS // 3, options=options)
    found = damage(server, Sealer(read_keys(keys)))
    if untold := list(not_in_the_audit(history, audit)):
        found["the audit tells of each change"] = untold
    holds(history, found, server)


def test_workers_are_killed_too(tmp_path: Path, tried: Tried) -> None:
    """Jobs run in processes of their own, and these are killed, the one that they are forked from, and the server."""
    server, history = survive(tmp_path, tried, jobs=JOBS // 3, workers="2", kill=kill_processes_at_random)
    found = damage(server)
    if told := [error for error in found.pop("the log tells of no error", ()) if not OUR_KILLS.search(error)]:
        found["the log tells of no other error than our kills"] = told
    holds(history, found, server)


# What the log tells of a process that was killed.
OUR_KILLS = re.compile(r"died: SIGKILL|workers are forked from died|ended by itself \(SIGKILL\)")


def survive(
    folder: Path,
    tried: Tried,
    *,
    jobs: int,
    options: Sequence[str] = (),
    workers: str = WORKERS,
    kill: Killer | None = None,
) -> tuple[ServerProcess, History]:
    """A server that is killed at random until all jobs are over, and what clients saw of it."""
    rng = random.Random(SEED)
    seeds = rng.sample(range(1000), GRAPHS)
    expected = outcomes(folder, seeds)
    options = [*OPTIONS, "--prune-interval-seconds", "0.1", *options]
    server = ServerProcess(folder, config=write_config(folder, seeds), options=options, workers=workers)
    lives = Lives(server, [])
    lives.begin()
    workload = Workload(
        address=server.address,
        database=server.database,
        folder=folder,
        outcomes=expected,
        jobs=jobs,
        watchers=24,
        rng=rng,
        actors=[Housekeeping(), TimeTravel(folder), Grace(folder)],
    )
    lives.on_failure = workload.give_up
    try:
        workload.start()
        (kill or kill_at_random)(server, lives, workload, rng, tried)
        history = workload.end()
    finally:
        workload.give_up()
        lives.end()
    history.restarts, history.absences = lives.starts - 1, lives.absences
    tried(**history.size())
    return server, history


def holds(history: History, damages: dict[str, list[str]], server: ServerProcess) -> None:
    """Everything did, through at least one kill."""
    if found := check(history) | damages:
        history.save(server.folder / "history.jsonl")
    assert not found, f"{found} in {server.folder}"
    assert history.restarts


def not_in_the_audit(history: History, audit: Path) -> Iterator[str]:
    """Changes that clients have answers of, and no line tells."""

    def damaged(_: Path, number: int) -> None:
        raise AssertionError(f"line {number} of the audit is no whole line")

    records = [record for record in read_records([audit], Wanted(), damaged) if record["event"] == "request"]
    told = Counter((record["method"], record.get("job_id", "")) for record in records)
    answered = Counter((c.method, c.job_id) for c in history.calls if c.method in METHODS and c.code == "OK")
    assert answered
    for (method, job_id), count in (answered - told).items():
        yield f"{count} of {method} of job {job_id}"


def kill_at_random(_server: ServerProcess, lives: Lives, workload: Workload, rng: random.Random, tried: Tried) -> None:
    """As long as there are jobs to lose."""
    for _ in range(KILLS):
        if workload.finished.wait(rng.uniform(0.05, 1.0)):
            return
        tried(kills_from_outside=1, jobs_in_flight_at_kills=workload.in_flight)
        lives.end_with(signal.SIGKILL)


def kill_processes_at_random(
    server: ServerProcess, lives: Lives, workload: Workload, rng: random.Random, tried: Tried
) -> None:
    """Mostly workers; sometimes the process that they are forked from, or the server."""
    for _ in range(3 * KILLS):
        if workload.finished.wait(rng.uniform(0.05, 0.6)):
            return
        fork_servers = children(server.pid)
        workers = [worker for fork_server in fork_servers for worker in children(fork_server)]
        victim = rng.choice(["worker", "worker", "fork server", "server"])
        if victim == "server":
            lives.end_with(signal.SIGKILL)
        elif found := workers if victim == "worker" else fork_servers:
            workload.history.losses.append(time.monotonic_ns())
            with suppress(ProcessLookupError):
                os.kill(rng.choice(found), signal.SIGKILL)
        tried(**{f"kills_of_a_{victim}".replace(" ", "_"): 1, "jobs_in_flight_at_kills": workload.in_flight})
