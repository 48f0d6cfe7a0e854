"""A lane runs batch after batch: jobs are submitted, disturbed, checked and deleted, so that what the soak itself holds
stays bounded."""

import random
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.proof.histories.checkers import check
from tests.proof.histories.history import History
from tests.proof.histories.recording import Recorder
from tests.proof.load.grace import Grace
from tests.proof.load.housekeeping import Housekeeping
from tests.proof.load.random_graphs import Outcome
from tests.proof.load.time_travel import TimeTravel
from tests.proof.load.workload import Workload
from tests.proof.soak.browsing import browse
from tests.proof.soak.clearing import clear, delete
from tests.proof.soak.database import left_behind
from tests.proof.soak.faults import Faults
from tests.proof.soak.tally import Tally

JOBS, WATCHERS = 50, 12

# A batch takes some ten seconds; one that takes so much longer will never end.
BATCH_SECONDS = 180

# One batch of so many is not deleted by a call.
EXPIRES_ONE_IN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the batches run, and what they come to undisturbed."""

    address: str
    database: Path
    folder: Path
    outcomes: Mapping[int, Outcome]
    followers: Mapping[int, Outcome]
    faults: Faults
    tally: Tally


class Lane:
    """One of the lanes."""

    def __init__(self, name: str, place: Place, rng: random.Random, *, with_actors: bool) -> None:
        """`name` begins the ids of its jobs. `with_actors`: beside its jobs are those of the actors, whose ids are the
        same in each batch."""
        self._name, self._place, self._rng, self._with_actors = name, place, rng, with_actors

    def run(self, over: threading.Event) -> None:
        """Batch after batch, until it is `over`. The last one is finished."""
        number = 0
        while not over.is_set():
            number += 1
            self._batch(f"{self._name}-{number}", expires=number % EXPIRES_ONE_IN == 0)

    def _batch(self, batch: str, *, expires: bool) -> None:
        folder = self._place.folder / batch
        workload = self._workload(batch, folder)
        try:
            history = self._disturbed(batch, workload)
            history.absences = list(self._place.faults.absences)
            self._judge(batch, history)
            self._clear(batch, list(history.jobs), expires=expires)
        except Exception as error:
            # Whatever a client meets that it does not expect: the soak goes on, and fails in the end.
            workload.give_up()
            self._place.tally.complain("clients_are_answered", f"batch {batch}: {error!r}")
            self._place.tally.keep(batch, workload.history)
        shutil.rmtree(folder, ignore_errors=True)

    def _workload(self, batch: str, folder: Path) -> Workload:
        return Workload(
            address=self._place.address,
            database=self._place.database,
            folder=folder,
            outcomes=dict(self._place.outcomes),
            jobs=JOBS,
            watchers=WATCHERS,
            rng=self._rng,
            name=batch,
            actors=[Housekeeping(), TimeTravel(folder), Grace(folder)] if self._with_actors else [],
            scheduled=0.1,
            followers=self._place.followers,
            followed=0.1,
            labels={"batch": batch},
        )

    def _disturbed(self, batch: str, workload: Workload) -> History:
        """Run a batch, with somebody who lists jobs meanwhile."""
        recorder = Recorder(self._place.address, workload.history)
        rng = random.Random(self._rng.random())
        tally = self._place.tally
        with ThreadPoolExecutor(1) as pool:
            browsing = pool.submit(browse, recorder, rng, batch, workload.finished, tally.complain)
            workload.start()
            if not workload.finished.wait(BATCH_SECONDS):
                tally.complain("jobs_end_in_time", f"batch {batch}: {workload.unfinished} jobs are not at their end")
                workload.give_up()
            history = workload.end()
            browsing.result()
        recorder.close()
        return history

    def _judge(self, batch: str, history: History) -> None:
        tally = self._place.tally
        tally.add(batch, history, check(history))
        for what in left_behind(self._place.database):
            tally.complain("nothing_is_left_behind", what)

    def _clear(self, batch: str, job_ids: Sequence[str], *, expires: bool) -> None:
        recorder = Recorder(self._place.address, History())
        # The actors' jobs have the same ids in each batch: they go at once.
        own = [job_id for job_id in job_ids if job_id.startswith(batch)]
        delete(recorder, set(job_ids) - set(own))
        if not expires:
            clear(recorder, self._rng, batch, own, self._place.tally.complain)
        recorder.close()
