"""The store's promises about how many jobs of a workflow, and of a key, run at once, and whose turn it is then."""

import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from autopilot_server.jobs.job import SECOND, CheckpointRef, Concurrency
from autopilot_server.jobs.states import OWNED, JobState
from autopilot_server.jobs.tenants import scoped
from autopilot_server.storage.store import Claim, Resumption, RunEnd, RunUpdate, Store

from tests.storage.conftest import Box, put, row, workflow

WAYS_OUT = {
    "succeeded": lambda box, claim: box.end(claim, JobState.SUCCEEDED, output="1"),
    "failed": lambda box, claim: box.end(claim, JobState.FAILED),
    "interrupted": lambda box, claim: box.end(claim, JobState.INTERRUPTED, interrupts=()),
    "backoff": lambda box, claim: box.end(claim, JobState.PENDING, backoff=1000 * SECOND),
    "cancelled at once": lambda box, claim: cancel(box, claim.job.job_id, grace_seconds=0),
    "its grace is over": lambda box, claim: grace_is_over(box, claim),
    "timed out": lambda box, claim: expire(box, 100),
    "lost with its worker": lambda box, claim: box.store.jobs_recover(max_losses=1).result(),
}


def cancel(box: Box, job_id: str, grace_seconds: float) -> None:
    box.store.job_cancel(job_id, reason="", etag="", grace_period=round(grace_seconds * SECOND)).result()


def expire(box: Box, seconds: float) -> None:
    box.clock.advance(seconds)
    box.store.jobs_expire().result()


def grace_is_over(box: Box, claim: Claim) -> None:
    cancel(box, claim.job.job_id, 10)
    assert box.claims() == [], "a job that is CANCELLING still has its place"
    expire(box, 10)


def submit(box: Box, *job_ids: str, **fields: Any) -> None:
    for job_id in job_ids:
        box.submit(job_id, **fields)
        box.clock.advance(1)


def claimed(box: Box, limit: int = 100, *workflows: str) -> list[str]:
    return [claim.job.job_id for claim in box.claims(limit, *workflows)]


def rung(box: Box) -> set[str]:
    """The jobs that were rung for as PENDING since the last time."""
    news = {item.job_id for item in box.news if item.state is JobState.PENDING}
    box.news.clear()
    return news


def test_as_many_with_a_key_run_as_may_and_nobody_waits_for_them(box: Box) -> None:
    box.publish(workflow(per_key=2))
    submit(box, "a1", "a2", "a3", concurrency_key="a")
    submit(box, "b1", concurrency_key="b")
    submit(box, "free1", "free2")
    assert claimed(box) == ["a1", "a2", "b1", "free1", "free2"]
    assert claimed(box) == []
    assert box.job("a3").spec.concurrency_key == "a"


def test_a_key_is_a_workflow_s_and_a_tenant_s(box: Box) -> None:
    box.publish(workflow("w", per_key=1), workflow("x", per_key=1))
    for tenant in ("", "t", "u"):
        for name in ("w", "x"):
            submit(box, scoped(tenant, f"{name}1"), concurrency_key=scoped(tenant, "k"), workflow=name)
    assert len(claimed(box, 100, "w", "x")) == 6


def test_as_many_of_a_workflow_run_as_may_whoever_they_are_of(box: Box) -> None:
    box.publish(workflow("w", jobs=2), workflow("x"))
    submit(box, "w1", "w2", "w3")
    submit(box, scoped("t", "w4"), "w5", priority=5)
    submit(box, "x1", workflow="x")
    assert claimed(box, 100, "w", "x") == [scoped("t", "w4"), "w5", "x1"]
    assert claimed(box, 100, "w", "x") == []


def test_both_limits_hold(box: Box) -> None:
    box.publish(workflow(jobs=3, per_key=2))
    submit(box, "a1", "a2", "a3", concurrency_key="a")
    submit(box, "b1", "b2", concurrency_key="b")
    assert claimed(box) == ["a1", "a2", "b1"]
    box.store.job_cancel("b1", reason="", etag="", grace_period=0).result()
    assert claimed(box) == ["b2"]


@pytest.mark.parametrize("limits", [{"per_key": 1}, {"jobs": 1}, {"jobs": 1, "per_key": 1}], ids=str)
@pytest.mark.parametrize("leave", WAYS_OUT.values(), ids=WAYS_OUT.keys())
def test_every_way_out_gives_the_place_to_the_next_and_rings_for_it(box: Box, limits: Any, leave: Any) -> None:
    box.publish(workflow(**limits))
    key = {"concurrency_key": "k"} if "per_key" in limits else {}
    claim = box.running("first", execution_timeout=100 * SECOND, **key)
    box.clock.advance(1)
    submit(box, "second", "third", **key)
    assert box.claims() == []
    assert box.store.next_runnable_time({"w": "r"}) is None
    assert box.store.oldest_ready_time() is None
    rung(box)
    leave(box, claim)
    assert "second" in rung(box)
    assert box.store.next_runnable_time({"w": "r"}) == box.job("second").create_time
    assert claimed(box) == ["second"]


def test_what_gives_nobody_a_place_rings_for_nobody(box: Box) -> None:
    box.publish(workflow(per_key=1))
    claim = box.running("first", concurrency_key="k")
    submit(box, "second", "third", concurrency_key="k")
    rung(box)
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("first", "c")))).result()
    cancel(box, "first", 10)
    cancel(box, "third", 0)
    assert rung(box) == set()


def test_the_oldest_of_the_greatest_priority_goes_first_and_no_other_is_passed_over(box: Box) -> None:
    box.publish(workflow(per_key=1))
    box.running("holder", concurrency_key="k")
    submit(box, "low1", "low2", concurrency_key="k")
    submit(box, "high1", "high2", concurrency_key="k", priority=5)
    submit(box, "free", priority=1)
    assert claimed(box) == ["free"]
    order = []
    running = "holder"
    for _ in range(4):
        cancel(box, running, 0)
        (running,) = claimed(box)
        order.append(running)
    assert order == ["high1", "high2", "low1", "low2"]


def test_a_key_s_job_that_is_not_runnable_yet_keeps_no_other_waiting(box: Box) -> None:
    box.publish(workflow(per_key=1))
    when = box.clock() + 50 * SECOND
    submit(box, "later", concurrency_key="k", priority=9, scheduled_time=when)
    submit(box, "sooner", concurrency_key="k", priority=9, scheduled_time=when - 10 * SECOND)
    submit(box, "now", concurrency_key="k")
    assert claimed(box) == ["now"]
    cancel(box, "now", 0)
    assert box.store.next_runnable_time({"w": "r"}) == when - 10 * SECOND
    box.clock.advance(100)
    assert claimed(box) == ["sooner"]


def test_a_resumed_job_and_a_retry_take_their_turn_behind_those_that_wait(box: Box) -> None:
    box.publish(workflow(per_key=1))
    claim = box.running("first", concurrency_key="k")
    box.clock.advance(1)
    submit(box, "second", "third", concurrency_key="k")
    box.end(claim, JobState.INTERRUPTED, interrupts=())
    box.store.job_resume(Resumption(job_id="first")).result()
    claim = box.claim()
    assert claim.job.job_id == "second"
    box.end(claim, JobState.PENDING, backoff=SECOND)
    box.clock.advance(5)
    assert claimed(box) == ["third"]
    cancel(box, "third", 0)
    assert claimed(box) == ["first"]
    cancel(box, "first", 0)
    assert claimed(box) == ["second"]
    assert box.job("first").spec.concurrency_key == "k"


LOSSES = {
    "drained": lambda box, claim: box.end(claim, JobState.PENDING),
    "lost with its worker": lambda box, claim: box.store.jobs_recover(max_losses=9, worker_id="test").result(),
    "left by a dead server": lambda box, claim: restarted(box),
}


def restarted(box: Box) -> None:
    box.reopen()
    box.store.jobs_recover(max_losses=9).result()


@pytest.mark.parametrize("fields", [{"concurrency_key": "k"}, {}], ids=["by key", "without"])
@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES.keys())
def test_a_job_whose_process_ends_keeps_its_turn(box: Box, lose: Any, fields: Any) -> None:
    """However often, and whatever came behind it."""
    box.publish(workflow(per_key=1, jobs=1))
    submit(box, "first", "second", "third", **fields)
    for attempt in range(1, 4):
        claim = box.claim()
        assert (claim.job.job_id, claim.job.attempt) == ("first", attempt)
        box.clock.advance(10)
        rung(box)
        lose(box, claim)
        assert "first" in rung(box)
    box.end(box.claim(), JobState.SUCCEEDED, output="1")
    assert claimed(box) == ["second"]


def test_jobs_that_are_lost_together_keep_their_order(box: Box) -> None:
    """In which they stood in the queue, whatever their names are."""
    box.publish(workflow(per_key=2))
    names = [f"{letter}{number}" for number, letter in enumerate("dcbaef")]
    submit(box, *names, concurrency_key="k")
    for _ in range(3):
        assert claimed(box) == names[:2]
        restarted(box)
    order = []
    while found := box.claims(1):
        order.append(found[0].job.job_id)
        box.end(found[0], JobState.SUCCEEDED, output="1")
    assert order == names


def test_a_fork_has_the_key_of_its_source_unless_it_has_its_own(box: Box) -> None:
    box.publish(workflow(per_key=1))
    claim = box.running("source", concurrency_key="k")
    box.store.run_write(claim.fence, RunUpdate(checkpoint=put(row("source", "c")))).result()
    submit(box, "same", "other", input=None, fork_from=CheckpointRef("source"))
    submit(box, "own", input=None, fork_from=CheckpointRef("source"), concurrency_key="l")
    assert [box.job(name).spec.concurrency_key for name in ("same", "other", "own")] == ["k", "k", "l"]
    assert claimed(box) == ["own"]
    box.end(claim, JobState.SUCCEEDED, output="1")
    assert claimed(box) == ["same"]


def test_other_limits_hold_from_when_they_are_published(box: Box) -> None:
    box.publish(workflow(per_key=1, jobs=3))
    submit(box, "a1", "a2", "a3", "a4", concurrency_key="a")
    submit(box, "b1", "b2", concurrency_key="b")
    submit(box, "free")
    assert claimed(box) == ["a1", "b1", "free"]
    box.reopen()
    box.publish(workflow(per_key=2, jobs=4))
    assert claimed(box) == ["a2"]
    box.publish(workflow(per_key=1, jobs=6))
    assert claimed(box) == []
    cancel(box, "a1", 0)
    assert claimed(box) == [], "two ran, one may"
    cancel(box, "a2", 0)
    assert claimed(box) == ["a3"]
    box.publish(workflow())
    assert claimed(box) == ["a4", "b2"]
    box.publish(workflow(jobs=1))
    submit(box, "late")
    assert claimed(box) == []


def test_a_clock_that_is_stepped_changes_nobody_s_turn(box: Box) -> None:
    box.publish(workflow(per_key=1))
    claim = box.running("retried", concurrency_key="k")
    box.end(claim, JobState.PENDING, backoff=50 * SECOND)
    submit(box, "at", concurrency_key="k", scheduled_time=box.clock() + 30 * SECOND)
    box.clock.step(-3600)
    # A backoff keeps its length, a time that was asked for stays what it is.
    box.clock.advance(51)
    assert claimed(box) == ["retried"]
    cancel(box, "retried", 0)
    assert claimed(box) == []
    box.clock.step(3600)
    assert claimed(box) == ["at"]


def test_processes_that_claim_at_once_keep_the_limits(box: Box) -> None:
    workers = [box.store, box.join()]
    box.publish(workflow("w", per_key=2), workflow("x", jobs=3))
    for number in range(40):
        box.submit(f"w{number}", concurrency_key=f"k{number % 4}")
        box.submit(f"x{number}", workflow="x")
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    ended: list[str] = []
    lock = threading.Lock()

    def count(claims: list[Claim], by: int) -> None:
        with lock:
            for claim in claims:
                place = claim.job.spec.concurrency_key or "x"
                running[place] += by
                most[place] = max(most[place], running[place])

    def work(store: Store) -> None:
        held: list[Claim] = []
        while len(ended) < 80:
            claims = list(store.job_claim({"w": "r", "x": "r"}, worker_id="test", limit=2).result())
            count(claims, 1)
            # Before the store hears of it: never more are counted than there are.
            count(held, -1)
            for claim in held:
                store.run_end(claim.fence, RunEnd(to_state=JobState.SUCCEEDED, output="1"), RunUpdate()).result()
                ended.append(claim.job.job_id)
            held = claims

    threads = [threading.Thread(target=work, args=[workers[number % 2]]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    workers[1].close()
    assert len(set(ended)) == 80
    assert most <= Counter({"x": 3, **{f"k{number}": 2 for number in range(4)}})


@dataclass(slots=True)
class Waiting:
    """A job as the oracle knows it."""

    workflow: str
    key: str
    priority: int
    ready: int
    state: JobState = JobState.PENDING


LIMITS = {
    "w": Concurrency(jobs=4, per_key=2),
    "x": Concurrency(per_key=1),
    "y": Concurrency(jobs=2),
    "z": Concurrency(),
}


class Oracle:
    """Says who is claimed next, by looking at all jobs."""

    def __init__(self) -> None:
        self.jobs: dict[str, Waiting] = {}
        self.limits = dict(LIMITS)

    def of(self, *states: JobState) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.state in states]

    def _has_room(self, job: Waiting) -> bool:
        limits = self.limits[job.workflow]
        running = [other for other in self.jobs.values() if other.state in OWNED and other.workflow == job.workflow]
        alike = [other for other in running if other.key == job.key]
        if limits.jobs is not None and len(running) >= limits.jobs:
            return False
        return not job.key or limits.per_key is None or len(alike) < limits.per_key

    def claim(self, now: int, limit: int) -> list[str]:
        taken: list[str] = []
        while len(taken) < limit:
            ready = [job_id for job_id in self.of(JobState.PENDING) if self.jobs[job_id].ready <= now]
            may = [job_id for job_id in ready if self._has_room(self.jobs[job_id])]
            if not may:
                break
            first = min(may, key=lambda name: (-self.jobs[name].priority, self.jobs[name].ready, name))
            self.jobs[first].state = JobState.RUNNING
            taken.append(first)
        return taken

    def next_ready(self) -> int | None:
        waiting = [self.jobs[job_id] for job_id in self.of(JobState.PENDING)]
        return min((job.ready for job in waiting if self._has_room(job)), default=None)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_the_right_ones_are_claimed(box: Box, seed: int) -> None:
    """Random histories beside an oracle: the same jobs in the same order, and nobody held whose turn it is."""
    history = History(box, random.Random(seed))  # noqa: S311 - histories, no secrets
    for _ in range(15):
        for _ in range(10):
            history.act()
        assert box.violations() == []
    assert history.most_held > 3


class History:
    """Random things that happen to jobs."""

    def __init__(self, box: Box, rng: random.Random) -> None:
        self.box, self.rng, self.oracle = box, rng, Oracle()
        self.claims: dict[str, Claim] = {}
        self.most_held = 0
        self._publish()

    def act(self) -> None:
        actions = [self.submit] * 6 + [self.claim] * 4 + [self.end] * 4
        actions += [self.cancel, self.resume, self.change, self.lose]
        self.rng.choice(actions)()
        self.box.clock.advance(self.rng.choice([0, 0.5, 3]))
        assert self.box.store.next_runnable_time(dict.fromkeys(LIMITS, "r")) == self.oracle.next_ready()

    def submit(self) -> None:
        job_id = f"j{len(self.oracle.jobs):03}"
        name = self.rng.choice("wxyz")
        key = self.rng.choice(["", "a", "a", "b"]) if LIMITS[name].per_key is not None else ""
        later = self.rng.choice([None, None, self.box.clock() + 5 * SECOND])
        job = Waiting(name, key, self.rng.choice([0, 0, 5, 9]), later or self.box.clock())
        fields = {"workflow": name, "concurrency_key": key, "priority": job.priority, "scheduled_time": later}
        self.box.submit(job_id, **fields)
        self.oracle.jobs[job_id] = job

    def claim(self) -> None:
        limit = self.rng.choice([1, 2, 16])
        expected = self.oracle.claim(self.box.clock(), limit)
        claims = self.box.claims(limit, *LIMITS)
        assert [claim.job.job_id for claim in claims] == expected
        self.claims |= {claim.job.job_id: claim for claim in claims}
        left = [self.oracle.jobs[job_id] for job_id in self.oracle.of(JobState.PENDING)]
        self.most_held = max(self.most_held, sum(job.ready <= self.box.clock() for job in left))

    def end(self) -> None:
        if not (owned := self.oracle.of(*OWNED)):
            return
        job_id = self.rng.choice(owned)
        state = self.rng.choice([JobState.SUCCEEDED, JobState.FAILED, JobState.INTERRUPTED, JobState.PENDING])
        failed, backoff = self.rng.choice([False, True]), self.rng.choice([0, 4 * SECOND])
        job = self.box.end(
            self.claims.pop(job_id), state, output="1", interrupts=(), backoff=backoff, attempt_failed=failed
        )
        self.oracle.jobs[job_id].state = job.state
        if job.state is JobState.PENDING and (backoff or failed):
            self.oracle.jobs[job_id].ready = self.box.clock() + backoff

    def lose(self) -> None:
        """All workers die."""
        self.box.store.jobs_recover(max_losses=1000).result()
        for job_id in self.oracle.of(*OWNED):
            self.oracle.jobs[job_id].state = self.box.job(job_id).state
        self.claims.clear()

    def cancel(self) -> None:
        unfinished = self.oracle.of(JobState.PENDING, JobState.RUNNING, JobState.INTERRUPTED, JobState.CANCELLING)
        if unfinished:
            job_id = self.rng.choice(unfinished)
            cancel(self.box, job_id, self.rng.choice([0, 1000]))
            self.oracle.jobs[job_id].state = self.box.job(job_id).state

    def resume(self) -> None:
        over = self.oracle.of(JobState.INTERRUPTED, JobState.FAILED, JobState.CANCELLED)
        if over:
            job_id = self.rng.choice(over)
            self.box.store.job_resume(Resumption(job_id=job_id)).result()
            job = self.oracle.jobs[job_id]
            job.state, job.ready = (
                JobState.PENDING,
                max(self.box.clock(), self.box.job(job_id).spec.scheduled_time or 0),
            )

    def change(self) -> None:
        """Other limits, as after a restart."""
        self.oracle.limits["w"] = Concurrency(jobs=self.rng.choice([1, 4, None]), per_key=self.rng.choice([1, 2, None]))
        self._publish()

    def _publish(self) -> None:
        limits = {name: {"jobs": each.jobs, "per_key": each.per_key} for name, each in self.oracle.limits.items()}
        self.box.publish(*(workflow(name, **each) for name, each in limits.items()))
