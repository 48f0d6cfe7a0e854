"""Workflows with LangGraph's DeltaChannel store what each step adds, and go on from it, whatever happens."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from autopilot_client import JobState

from tests.history.conftest import Place


def entries(*rounds: int) -> list[str]:
    return [entry for number in rounds for entry in (str(number), f"beside-{number}")]


def test_a_job_goes_on_through_kill_9(place: Place) -> None:
    """From before the first whole value, and from between two of them."""
    for hold_at in (3, 30):
        job_id = place.submit("delta", rounds=40, hold_at=hold_at).job_id
        place.holds(job_id, "beside", rounds=hold_at)
        place.kill_and_start()
        place.let_go()
        done = place.ended(job_id)
        assert done.state is JobState.SUCCEEDED
        assert done.output["entries"] == entries(*range(1, 41))
        again = Counter(place.trace())
        assert {step for step, times in again.items() if times != 1} == {f"add-{hold_at}"}
        for name in ("trace", "holding", "go"):
            (place.folder / name).unlink()


def test_every_checkpoint_is_listed_with_its_values_and_can_be_forked_and_gone_back_to(place: Place) -> None:
    job_id = place.submit("delta", rounds=15, hold_at=15).job_id
    place.holds(job_id, "beside", rounds=15)
    place.client.cancel(job_id, grace_period=0)
    assert place.ended(job_id).state is JobState.CANCELLED
    listed = list(place.client.checkpoints(job_id, values=True))
    by_rounds = {len(c.values["entries"]): c for c in reversed(listed) if c.next_steps == ("begin",)}
    assert by_rounds.keys() == {2 * number for number in range(15)}
    place.let_go()
    at = by_rounds[2 * 12]
    fork = place.client.submit("delta", fork_from=job_id, fork_checkpoint=at.checkpoint_id).job_id
    assert place.ended(fork).output["entries"] == entries(*range(1, 16))
    place.client.resume(job_id, checkpoint_id=by_rounds[2 * 5].checkpoint_id, state_update={"entries": ["edited"]})
    done = place.ended(job_id)
    assert done.output["entries"] == [*entries(*range(1, 6)), "edited", *entries(*range(6, 16))]


@pytest.mark.parametrize("workflow", ["delta", "delta_inside"])
def test_a_prune_leaves_what_the_thread_s_next_job_needs(place: Place, workflow: str) -> None:
    outputs = []
    for number in (1, 2):
        job = place.client.submit(
            workflow, {"folder": str(place.folder), "round": 0, "rounds": 5}, thread_id="t", job_id=f"j{number}"
        )
        outputs.append(place.ended(job.job_id).output)
        assert place.client.prune(checkpoints_only=True, finished_for=0).deleted_checkpoints == 0
    if workflow == "delta":
        assert outputs[1]["entries"] == entries(*range(1, 6)) * 2
    else:
        assert outputs[1]["items"] == list(range(1, 11))


def test_one_that_nobody_sees_keeps_what_it_needs(place: Place) -> None:
    """The workflow is to keep one checkpoint only; a graph that a step makes itself reads earlier ones of its own."""
    job = place.run("delta_hidden", rounds=6)
    assert job.output["items"] == [1, 2, 3, 4, 5, 6]


def test_what_is_stored_grows_with_the_steps_and_not_with_their_square(place: Place) -> None:
    """A kilobyte a step: twice as many steps are twice as many bytes, with all checkpoints or with the last ones."""
    for workflow, most in (("long_whole", 5.0), ("long_delta", 2.6), ("long_whole_last_2", 2.6)):
        sizes = [_bytes(place, place.run(workflow, rounds=rounds, size=1000).job_id) for rounds in (20, 40)]
        growth = sizes[1] / sizes[0]
        assert (growth > 3.0) is (workflow == "long_whole"), (workflow, sizes)
        assert growth < most, (workflow, sizes)


def _bytes(place: Place, thread_id: str) -> int:
    """What a thread's checkpoints and writes take."""
    with closing(sqlite3.connect(place.server.database)) as connection:
        sums = (
            connection.execute(f"SELECT sum(length({value})) FROM {table} WHERE thread_id = ?", [thread_id]).fetchone()
            for table, value in (("checkpoints", "checkpoint"), ("writes", "value"))
        )
        return sum(found for (found,) in sums)
