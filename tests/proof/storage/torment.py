"""A server, clients that work with it, and witnesses of what happens to its database."""

import random
import sqlite3
from pathlib import Path

import grpc

from tests.proof.histories.checkers import check
from tests.proof.histories.history import History
from tests.proof.histories.recording import Recorder
from tests.proof.load.random_graphs import Outcome
from tests.proof.load.workload import OPTIONS, Workload, outcomes, write_config
from tests.proof.seed import LONG, SEED
from tests.proof.storage.faults import Fault, TormentedServer
from tests.proof.storage.witness import NOT_SERVING, SERVING, Health, Witness
from tests.waiting import wait_until

JOBS = 40

# Those that come after a fault see nothing of it.
JOBS_OF_ONE_FAULT = JOBS if LONG else 20

# Calls that write which must have been refused before a fault ends, and over how long. Who waits for another's lock is
# refused after two seconds: the batch under way waits for one, and the call's own for another.
REFUSALS, REFUSED_SECONDS = (15, 30) if LONG else (5, 0)

# Clients repeat their calls for as long as a fault may last.
PATIENCE_SECONDS = 240


class Torment:
    """A server, clients that work with it, and witnesses of what happens to it."""

    def __init__(self, folder: Path) -> None:
        """In an empty folder."""
        self.folder, self.rng = folder, random.Random(SEED)
        seeds = self.rng.sample(range(1000), 15)
        self._expected: dict[int, Outcome] = outcomes(folder, seeds)
        self.config = write_config(folder, seeds)

    def server(self, **options: object) -> TormentedServer:
        return TormentedServer(self.folder, config=self.config, options=OPTIONS, **options)  # type: ignore[arg-type]

    def second_server(self, name: str) -> TormentedServer:
        """A server that knows the same workflows, in a folder of its own."""
        folder = self.folder / name
        folder.mkdir()
        return TormentedServer(folder, config=self.config, options=OPTIONS)

    def workload(self, server: TormentedServer, *, jobs: int = JOBS, looks_into_the_database: bool = True) -> Workload:
        return Workload(
            address=server.address,
            database=server.database if looks_into_the_database else None,
            folder=self.folder,
            outcomes=self._expected,
            jobs=jobs,
            watchers=8,
            rng=self.rng,
            patience_seconds=PATIENCE_SECONDS,
        )

    def run(self, server: TormentedServer, fault: Fault, *, payload_bytes: int = 2000) -> str:
        """The whole story of one fault. The server's log."""
        work = self.workload(server, jobs=JOBS_OF_ONE_FAULT)
        with grpc.insecure_channel(server.address) as channel:
            health, witness = Health(channel), Witness(channel, payload_bytes=payload_bytes)
            health.wait_for(SERVING)
            work.start()
            witness.wait_for_answers(5)
            fault.begin()
            health.wait_for(NOT_SERVING)
            witness.wait_for_refusals(REFUSALS, over_seconds=REFUSED_SECONDS)
            fault.end()
            health.wait_for(SERVING)
            witness.wait_for_answers(5)
            assert work.finished.wait(240), "jobs do not come to their end"
            history = work.end()
            witness.end()
            health.close()
            self.judge(history)
            assert not witness.strange
            assert not witness.lost(channel)
        assert server.is_alive()
        assert server.terminate() == 0
        return quiet(server)

    def run_killed(self, server: TormentedServer, fault: Fault) -> None:
        """The story of a fault in which the server is killed: what it wrote last may be there or not."""
        work = self.workload(server, jobs=JOBS_OF_ONE_FAULT)
        with grpc.insecure_channel(server.address) as channel:
            health, witness = Health(channel), Witness(channel, payload_bytes=2000)
            work.start()
            witness.wait_for_answers(5)
            fault.begin()
            health.wait_for(NOT_SERVING)
            witness.wait_for_refusals(REFUSALS, over_seconds=REFUSED_SECONDS)
            witness.end()
            health.close()
            with work.history.server_away():
                server.kill()
                fault.end()
                server.start()
            assert work.finished.wait(240), "jobs do not come to their end"
            self.judge(work.end())
            assert not witness.strange
            assert not witness.lost(channel)

    def judge(self, history: History) -> None:
        """What must hold of every history."""
        if found := check(history):
            history.save(self.folder / "history.jsonl")
        assert not found, f"{found} in {self.folder}"


def quiet(server: TormentedServer) -> str:
    """The log, in which nothing is that an outage does not explain. (Workflows may raise, which is told as info.)"""
    assert server.errors == []
    log = server.log.read_text()
    assert "Exception in thread" not in log
    return log


def under_way(server: TormentedServer) -> None:
    """Wait until some jobs have got somewhere."""
    with sqlite3.connect(server.database, timeout=60) as connection:
        wait_until(lambda: connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0] >= 40)
    connection.close()


def interrupted_work(torment: Torment, server: TormentedServer) -> None:
    """Jobs that were killed with their server."""
    submit = Recorder(server.address, History(), patience_seconds=PATIENCE_SECONDS)
    for request in torment.workload(server).requests:
        submit.ask("SubmitJob", request)
    submit.close()
    under_way(server)
    server.kill()
