"""A mixed load, disturbed for as long as one likes, and what has come of it."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from autopilot.v1 import job_service_pb2

from tests.proof.histories.history import History
from tests.proof.histories.recording import Recorder
from tests.proof.histories.states import UNFINISHED
from tests.proof.load.workload import OPTIONS, outcomes, outcomes_of_followers, write_config
from tests.proof.server import ServerProcess
from tests.proof.soak.browsing import list_all
from tests.proof.soak.clearing import clear_all
from tests.proof.soak.database import free_pages, left_behind, unsound
from tests.proof.soak.faults import Faults
from tests.proof.soak.lanes import Lane, Place
from tests.proof.soak.samples import Sample, Sampler
from tests.proof.soak.tally import Tally

LANES = 2
WORKFLOWS = 40

# What is not deleted by a call expires while the soak lasts, and long after it was checked.
RETENTION_SECONDS = 300
SERVER_OPTIONS = (
    *OPTIONS,
    *("--retention-seconds", str(RETENTION_SECONDS)),
    *("--prune-interval-seconds", "1"),
    *("--log-level", "warning"),
)

_TOLD_EACH_SECONDS = 30
_SPACE_SECONDS = 60


@dataclass(slots=True, kw_only=True)
class Result:
    """What has come of it."""

    seed: int
    began: datetime
    seconds: float = 0.0
    tally: Tally
    faults: Faults
    samples: list[Sample] = field(default_factory=list)
    last_database_bytes: int = 0
    """After everything was deleted."""


class Soak:
    """One server, and what is done to it."""

    def __init__(self, *, seconds: float, folder: Path, seed: int, tell: Callable[[str], None] = print) -> None:
        """`folder`: for the database, and for histories in which something does not hold. `tell`: called each now and
        then with a line for people."""
        self._seconds, self._tell = seconds, tell
        self._rng = random.Random(seed)
        seeds = self._rng.sample(range(1000), WORKFLOWS)
        self._server = ServerProcess(folder, config=write_config(folder, seeds), options=SERVER_OPTIONS)
        self._tally = Tally(folder, tell)
        self._faults = Faults(self._server, random.Random(self._rng.random()), self._tally.complain)
        self._sampler = Sampler(self._server.database, lambda: self._faults.pid)
        self._expected = outcomes(folder, seeds), outcomes_of_followers(folder, seeds)
        self._time_is_up, self._over = threading.Event(), threading.Event()
        self.result = Result(seed=seed, began=datetime.now(UTC), tally=self._tally, faults=self._faults)

    def run(self) -> Result:
        """Start the server, disturb it, and look at what is left."""
        began = time.monotonic()
        try:
            self._faults.start()
            self._disturb()
            self._finish()
        except Exception as error:
            # Such as a server that does not start again: there is a report of what came before.
            self._tally.complain("soak_comes_to_its_end", f"{type(error).__name__}: {error}")
        finally:
            self._server.close()
        self.result.samples = self._sampler.samples
        self.result.seconds = time.monotonic() - began
        return self.result

    # --- while it lasts ---

    def _disturb(self) -> None:
        lanes = [self._lane(number) for number in range(LANES)]
        cycle_seconds = min(max(60.0, self._seconds / 4), 900.0)
        with ThreadPoolExecutor(LANES + 2) as pool:
            work = [pool.submit(lane.run, self._time_is_up) for lane in lanes]
            behind = [
                pool.submit(self._faults.run, self._over, cycle_seconds),
                pool.submit(self._sampler.run, self._over),
            ]
            self._wait(work, behind)
            self._over.set()
        for part in (*work, *behind):
            part.result()

    def _lane(self, number: int) -> Lane:
        place = Place(
            address=self._server.address,
            database=self._server.database,
            folder=self._server.folder,
            outcomes=self._expected[0],
            followers=self._expected[1],
            faults=self._faults,
            tally=self._tally,
        )
        return Lane(f"lane{number + 1}", place, random.Random(self._rng.random()), with_actors=number == 0)

    def _wait(self, work: list[Future[None]], behind: list[Future[None]]) -> None:
        """Until the time is up, each kind of fault was there, and the lanes have finished; or something that should
        not end has ended."""
        end = time.monotonic() + self._seconds
        while (left := end - time.monotonic()) > 0 or not self._faults.all_kinds:
            patience = min(max(left, 5), _TOLD_EACH_SECONDS)
            if wait([*work, *behind], timeout=patience, return_when=FIRST_COMPLETED).done:
                break
            self._tell(self._news())
        self._time_is_up.set()
        wait(work)

    def _news(self) -> str:
        sample = self._sampler.samples[-1] if self._sampler.samples else None
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self._faults.counts.items()))
        text = f"{sum(self._tally.jobs.values())} jobs, {faults}, {self._tally.violations.total()} violations"
        if sample is not None:
            text += f", {sample.resident_bytes >> 20} MiB of memory, {sample.database_bytes >> 20} MiB of database"
        return text

    # --- in the end ---

    def _finish(self) -> None:
        """Nothing is unfinished; delete all, stop, and see what is left."""
        recorder = Recorder(self._server.address, History())
        for job in list_all(recorder, job_service_pb2.JobFilter(states=UNFINISHED)):
            self._tally.complain("jobs_end_in_time", f"job {job.job_id} is {job.state} in the end")
        clear_all(recorder, self._tally.complain)
        recorder.close()
        self._wait_for_space()
        self._faults.terminate()
        for what in self._server.errors:
            self._tally.complain("log_tells_of_no_error", what)
        for what in left_behind(self._server.database):
            self._tally.complain("nothing_is_left_behind", what)
        for what in unsound(self._server.database):
            self._tally.complain("database_is_sound", what)
        self.result.last_database_bytes = self._server.database.stat().st_size

    def _wait_for_space(self) -> None:
        """The pages of what was deleted are given back soon."""
        give_up = time.monotonic() + _SPACE_SECONDS
        while (free := free_pages(self._server.database)) and time.monotonic() < give_up:
            time.sleep(0.1)
        if free:
            self._tally.complain("space_is_given_back", f"{free} pages are still free after {_SPACE_SECONDS} s")
