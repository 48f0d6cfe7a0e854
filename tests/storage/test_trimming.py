"""What stays of a job's checkpoints when its workflow does not keep them all."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from autopilot_server.jobs.errors import CheckpointNotFoundError, StaleRunError
from autopilot_server.jobs.job import CheckpointRef, JobError, JobErrorReason, StartPoint
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.store import Claim, Fence, Resumption, RunUpdate, WriteRow, WritesPut
from autopilot_server.storage.trimming import MOST_AT_A_PUT

from tests.storage.conftest import Box, put, row

BROKEN = JobError(JobErrorReason.STEP_RAISED, "broken", "a", "E")
VALUE = WriteRow(task_id="t", task_path="", idx=0, channel="x", type="msgpack", value=b"v")


def save(box: Box, claim: Claim, *names: str, ns: str = "", keep: int | None, **fields: Any) -> None:
    """Store checkpoints, and a pending write of each, as runs do: the writes come before the next checkpoint."""
    for name in names:
        item = row(claim.job.spec.thread_id, name, ns)
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(item, keep=keep, **fields))).result()
        place = {"thread_id": item.thread_id, "checkpoint_ns": ns, "checkpoint_id": name}
        writes = WritesPut(rows=[VALUE], replace=False, **place)  # type: ignore[arg-type]
        box.store.run_write(claim.fence, RunUpdate(writes=[writes])).result()


def kept(box: Box, thread_id: str = "j") -> list[tuple[str, str]]:
    """What there is; each with its write, and no write of anything else."""
    found = box.store.checkpoint_history(thread_id, None, before=None, limit=None)
    places = sorted((c.checkpoint_ns, c.checkpoint_id) for c in found)
    assert all(box.store.writes_get(thread_id, *place) for place in places)
    assert box.violations() == []
    return places


def roots(*names: str) -> list[tuple[str, str]]:
    return [("", name) for name in names]


@pytest.mark.parametrize(("keep", "left"), [(1, ["c5"]), (3, ["c3", "c4", "c5"]), (9, ["c1", "c2", "c3", "c4", "c5"])])
def test_the_last_ones_stay(box: Box, keep: int, left: Sequence[str]) -> None:
    claim = box.running()
    save(box, claim, "c1", "c2", "c3", "c4", "c5", keep=keep)
    assert kept(box) == roots(*left)
    assert [c.checkpoint_id for c in box.store.checkpoints_list("j", limit=9, before=None)] == list(reversed(left))
    assert box.job().checkpoint_id == "c5"


def test_a_stale_run_deletes_nothing(box: Box) -> None:
    claim = box.running()
    save(box, claim, "c1", "c2", keep=None)
    with pytest.raises(StaleRunError):
        box.store.run_write(Fence("j", "another"), RunUpdate(checkpoint=put(row("j", "c3"), keep=1))).result()
    assert kept(box) == roots("c1", "c2")


def test_a_job_deletes_only_its_own(box: Box) -> None:
    first = box.running("a", thread_id="t")
    save(box, first, "a1", "a2", keep=None)
    save(box, first, "a2-m", ns="memory", keep=None)
    box.end(first, JobState.SUCCEEDED, output="1")
    second = box.running("b", thread_id="t")
    save(box, second, "b1", "b2", "b3", keep=1)
    assert kept(box, "t") == [*roots("a1", "a2", "b3"), ("memory", "a2-m")]
    box.end(second, JobState.SUCCEEDED, output="1", keeps_newest=True)
    assert kept(box, "t") == [*roots("a1", "a2", "b3"), ("memory", "a2-m")]


def test_what_steps_of_earlier_supersteps_saved_goes_with_these(box: Box) -> None:
    claim = box.running()
    for number in range(1, 5):
        save(box, claim, f"c{number}", keep=2)
        save(box, claim, f"c{number}-1", f"c{number}-2", ns=f"child:{number}", keep=2)
        save(box, claim, f"c{number}-3", ns=f"child:{number}|inner:{number}", keep=2)
    assert kept(box) == [
        *roots("c3", "c4"),
        *(("child:3", name) for name in ("c3-1", "c3-2")),
        ("child:3|inner:3", "c3-3"),
        *(("child:4", name) for name in ("c4-1", "c4-2")),
        ("child:4|inner:4", "c4-3"),
    ]


def test_a_subgraph_keeps_as_many_while_its_superstep_goes_on(box: Box) -> None:
    """Also one beside another, whose namespace begins alike; and what is inside it goes with its own steps."""
    claim = box.running()
    save(box, claim, "c1", keep=2)
    save(box, claim, "c1-00", "c1-01", ns="child:11", keep=2)
    for number in range(1, 5):
        save(box, claim, f"c1-{number}", ns="child:1", keep=2)
        save(box, claim, f"c1-{number}-1", ns=f"child:1|inner:{number}", keep=2)
        save(box, claim, f"c1-{number}-2", ns="child:1|memory", keep=2)
    assert kept(box) == [
        ("", "c1"),
        *(("child:1", name) for name in ("c1-3", "c1-4")),
        *(("child:11", name) for name in ("c1-00", "c1-01")),
        ("child:1|inner:3", "c1-3-1"),
        ("child:1|inner:4", "c1-4-1"),
        *(("child:1|memory", name) for name in ("c1-3-2", "c1-4-2")),
    ]
    save(box, claim, "c1-5", "c1-6", "c1-7", ns="child:1", keep=2)
    assert kept(box)[1:3] + kept(box)[5:] == [("child:1", "c1-6"), ("child:1", "c1-7"), ("child:1|memory", "c1-4-2")]


def test_a_subgraph_s_memory_stays_as_it_was_for_each_checkpoint_that_stays(box: Box) -> None:
    claim = box.running()
    for number in (1, 2, 3, 4):
        save(box, claim, f"c{number}", keep=2)
        save(box, claim, *(f"c{number}-{inner}" for inner in (1, 2, 3)), ns="memory", keep=2)
    # c3 was made with c2-3, and c4 with c3-3.
    assert kept(box) == [*roots("c3", "c4"), *(("memory", name) for name in ("c2-3", "c3-2", "c3-3", "c4-2", "c4-3"))]
    save(box, claim, "c5", "c6", "c7", keep=2)
    assert kept(box) == [*roots("c6", "c7"), ("memory", "c4-3")]


def test_a_clock_that_was_set_back_costs_no_checkpoint(box: Box) -> None:
    claim = box.running()
    save(box, claim, "c7", "c8", keep=2)
    save(box, claim, "c1", "c2", keep=2)
    assert ("", "c2") in kept(box)
    assert box.job().checkpoint_id == "c2"


def test_what_has_come_together_goes_bit_by_bit(box: Box) -> None:
    claim = box.running()
    many = [f"c{number:04}" for number in range(MOST_AT_A_PUT * 2)]
    save(box, claim, *many, keep=None)
    counts = []
    for name in ("d1", "d2", "d3", "d4"):
        save(box, claim, name, keep=1)
        counts.append(len(kept(box)))
    assert counts == [MOST_AT_A_PUT + 1, 2, 1, 1]
    assert kept(box) == roots("d4")


def test_only_the_newest_of_a_job_that_has_succeeded(box: Box) -> None:
    claim = box.running()
    for number in (1, 2, 3):
        save(box, claim, f"c{number}", keep=None)
        save(box, claim, f"c{number}-1", ns=f"child:{number}", keep=None)
        save(box, claim, f"c{number}-2", f"c{number}-3", ns="memory", keep=None)
    save(box, claim, "c4", keep=None)
    box.end(claim, JobState.SUCCEEDED, output="1", keeps_newest=True)
    assert kept(box) == [("", "c4"), ("memory", "c3-3")]


def test_a_job_that_did_not_succeed_keeps_all(box: Box) -> None:
    claim = box.running()
    save(box, claim, "c1", "c2", keep=None)
    box.end(claim, JobState.FAILED, error=BROKEN, keeps_newest=True)
    assert kept(box) == roots("c1", "c2")
    box.store.job_resume(Resumption(job_id="j", checkpoint_id="c1")).result()
    again = box.claim()
    box.store.job_cancel("j", reason="", etag="", grace_period=10**9).result()
    assert box.end(again, JobState.SUCCEEDED, output="1", keeps_newest=True).state is JobState.CANCELLED
    assert kept(box) == roots("c1", "c2")


def test_a_job_without_a_checkpoint_can_succeed(box: Box) -> None:
    assert box.end(box.running(), JobState.SUCCEEDED, output="1", keeps_newest=True).checkpoint_id == ""


def test_nobody_goes_back_to_what_is_gone(box: Box) -> None:
    claim = box.running()
    save(box, claim, "c1", "c2", keep=1)
    box.end(claim, JobState.FAILED, error=BROKEN)
    for gone in (
        lambda: box.store.job_resume(Resumption(job_id="j", checkpoint_id="c1")).result(),
        lambda: box.submit("fork", fork_from=CheckpointRef("j", "c1")),
    ):
        with pytest.raises(CheckpointNotFoundError):
            gone()
    assert box.submit("fork", fork_from=CheckpointRef("j", "c2")).job.checkpoint_id == "c2"
    assert box.store.job_resume(Resumption(job_id="j", checkpoint_id="c2")).result().job.state is JobState.PENDING


def test_a_start_point_stays_until_it_is_carried_out(box: Box) -> None:
    claim = box.running()
    save(box, claim, "c1", "c2", keep=2)
    box.end(claim, JobState.FAILED, error=BROKEN)
    box.store.job_resume(Resumption(job_id="j", checkpoint_id="c1")).result()
    again = box.claim()
    assert again.start_point == StartPoint(JobState.FAILED, "c1")
    assert box.store.checkpoint_get("j", "", "c1") is not None
    save(box, again, "c3", keep=2, ends_start_point=True)
    assert kept(box) == roots("c2", "c3")
    assert box.end(again, JobState.PENDING).checkpoint_id == "c3"
    assert box.claim().start_point is None


def test_what_a_fork_was_given_of_subgraphs_is_its_own(box: Box) -> None:
    claim = box.running()
    save(box, claim, "c1", keep=None)
    for name in ("c1-1", "c1-2"):
        item = row("j", name, "child:1", parents={"": "c1"})
        box.store.run_write(claim.fence, RunUpdate(checkpoint=put(item))).result()
    box.end(claim, JobState.FAILED, error=BROKEN)
    box.submit("fork", fork_from=CheckpointRef("j"))
    assert len(box.store.checkpoint_history("fork", "child:1", before=None, limit=None)) == 2
    save(box, box.claim(), "c2", keep=1)
    assert kept(box, "fork") == roots("c2")


def test_everything_is_found_by_an_index(sqlite_box: Box) -> None:
    with sqlite3.connect(sqlite_box.url.removeprefix("sqlite:///")) as connection:
        nobody = dict.fromkeys(("job_id", "checkpoint_ns", "last_inside", "inside", "oldest_kept", "newer_than"), "")
        for statement in (SQL.checkpoint_list_superseded, SQL.checkpoint_get_oldest_of_last):
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN {statement.sqlite}", nobody | {"most": 1, "newer": 0}
            ).fetchall()
            reads = [step[3] for step in plan if step[3].startswith(("SCAN", "SEARCH"))]
            assert reads
            assert all(
                "USING COVERING INDEX checkpoints_by_job (job_id=? AND checkpoint_ns" in read for read in reads
            ), plan
