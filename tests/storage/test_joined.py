"""Several processes of one server write to its database: here each is a store of its own."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from autopilot_server.jobs.job import SECOND
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.store import RunEnd, RunUpdate, Share, Store

from tests.storage.conftest import Box

WORKFLOWS = {"w": "r1"}


@pytest.fixture
def worker(box: Box) -> Iterator[Store]:
    store = box.join()
    yield store
    store.close()


def test_what_one_commits_the_other_reads_and_goes_on_from(box: Box, worker: Store) -> None:
    box.submit()
    (claim,) = worker.job_claim(WORKFLOWS, worker_id="w1", limit=1).result()
    assert box.job().state is JobState.RUNNING
    box.store.job_cancel("j", reason="enough", etag="", grace_period=SECOND).result()
    assert worker.run_state(claim.fence) is JobState.CANCELLING
    assert worker.run_end(claim.fence, RunEnd(to_state=JobState.SUCCEEDED), RunUpdate()).result() is JobState.CANCELLED
    assert len(box.log()) == box.job().latest_sequence == 4


def test_no_job_is_claimed_by_two_at_once(box: Box, worker: Store) -> None:
    jobs = {f"j{number}" for number in range(200)}
    for job_id in jobs:
        box.submit(job_id)

    def claim_all(store: Store, worker_id: str) -> list[str]:
        claimed: list[str] = []
        while claims := store.job_claim(WORKFLOWS, worker_id=worker_id, limit=3).result():
            claimed += [claim.job.job_id for claim in claims]
        return claimed

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(claim_all, (box.store, worker), ("a", "b"))
    assert len(first) + len(second) == len(jobs)
    assert {*first, *second} == jobs


@pytest.mark.parametrize("step", [-3600, 3600])
@pytest.mark.parametrize("finds_it", ["server", "worker"])
def test_a_step_of_the_clock_is_made_up_for_once(box: Box, worker: Store, step: int, finds_it: str) -> None:
    box.submit()
    (claim,) = worker.job_claim(WORKFLOWS, worker_id="w1", limit=1).result()
    box.store.job_cancel("j", reason="", etag="", grace_period=10 * SECOND).result()
    box.clock.step(step)
    first, second = (box.store, worker) if finds_it == "server" else (worker, box.store)
    first.probe().result()
    for store in (first, second):
        assert store.next_deadline() == box.clock() + 10 * SECOND
    second.probe().result()
    for store in (first, second):
        assert store.next_deadline() == box.clock() + 10 * SECOND
    worker.run_write(claim.fence, RunUpdate()).result()
    assert box.job().update_time == box.clock()


def test_a_dead_worker_is_recovered_alone(box: Box, worker: Store) -> None:
    for job_id, owner in (("dead", "w1"), ("alive", "w2")):
        box.submit(job_id)
        worker.job_claim(WORKFLOWS, worker_id=owner, limit=1).result()
    recovered = box.store.jobs_recover(max_losses=10, worker_id="w1").result()
    assert recovered.requeued == ["dead"]
    assert [run.job_id for run in recovered.lost] == ["dead"]
    assert box.job("alive").state is JobState.RUNNING


def test_each_has_a_newest_batch_of_its_own(box: Box, worker: Store) -> None:
    """One whose COMMIT has failed looks for its own batch, whatever others have committed since."""
    box.store.probe().result()
    worker.probe().result()
    writers = Statement.common("SELECT writer, batch FROM writers")
    batches = box.store._readers.rows(writers, {})  # type: ignore[attr-defined]
    assert len({each["writer"] for each in batches}) == len({each["batch"] for each in batches}) == 2


def test_batches_of_processes_that_are_gone_are_forgotten(sqlite_box: Box) -> None:
    sqlite_box.store.probe().result()
    sqlite_box.reopen()
    with sqlite3.connect(Path(sqlite_box.url.removeprefix("sqlite:///"))) as connection:
        assert not connection.execute("SELECT * FROM writers").fetchall()


def test_shares_part_the_jobs_and_suspects_run_apart(box: Box) -> None:
    shared, apart = (Share(apart=each, isolated=frozenset({"alone"})) for each in (False, True))
    workflows = {"w": "r1", "alone": "r1"}

    def claim(share: Share, worker_id: str = "w1") -> list[str]:
        found = box.store.next_runnable_time(workflows, share=share) is not None
        claims = box.store.job_claim(workflows, worker_id=worker_id, limit=10, share=share).result()
        assert found == bool(claims)
        return sorted(claim.job.job_id for claim in claims)

    box.submit("isolated", workflow="alone")
    box.submit("innocent")
    assert claim(shared) == ["innocent"]
    assert claim(apart) == ["isolated"]
    box.store.jobs_recover(max_losses=10).result()
    assert claim(shared) == ["innocent"]
    box.store.jobs_recover(max_losses=10, worker_id="w1").result()
    assert claim(shared) == []
    assert claim(apart, "w2") == ["innocent", "isolated"]
