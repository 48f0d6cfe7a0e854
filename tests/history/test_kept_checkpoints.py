"""Workflows that keep only some of their jobs' checkpoints go on from them as those that keep all."""

from collections import Counter

import pytest
from autopilot_client import CheckpointNotFound, CheckpointSaved, JobState

from tests.history.conftest import Place

ROUNDS, ASK_AT, HOLD_AT = 6, 2, 4
SIBLINGS = ("quick", "inner", "remember")

# Which checkpoints are left in the end: those of the root, of subgraphs of steps, and of the one that keeps its state.
KEEPS = {
    "rounds": {"root": 20, "inside": 5 * ROUNDS, "memory": 3 * ROUNDS},
    "rounds_last_1": {"root": 1, "inside": 0, "memory": 1},
    "rounds_last_3": {"root": 3, "inside": 3, "memory": 4},
    "rounds_newest": {"root": 1, "inside": 0, "memory": 1},
}


def items_of(number: int) -> list[str]:
    asked = ["answer-7"] if number == ASK_AT else []
    inner = [f"one-{number}", f"two-{number}", *asked]
    return [*inner, f"quick-{number}", f"calls-{2 * number}", f"slow-{number}", f"end-{number}"]


@pytest.mark.parametrize("workflow", KEEPS)
def test_a_job_goes_on_through_a_question_and_kill_9(place: Place, workflow: str) -> None:
    """Its output is the same, no step that was told as finished runs again, and what is left is what was asked for."""
    job_id = place.submit(workflow, rounds=ROUNDS, ask_at=ASK_AT, hold_at=HOLD_AT).job_id
    assert place.ended(job_id).state is JobState.INTERRUPTED
    place.kill_and_start()
    place.client.resume(job_id, answer=7)
    place.holds(job_id, *SIBLINGS, rounds=HOLD_AT)
    place.kill_and_start()
    place.let_go()
    done = place.ended(job_id)
    assert done.state is JobState.SUCCEEDED
    assert done.output["items"] == [item for number in range(1, ROUNDS + 1) for item in items_of(number)]
    again = Counter(place.trace())
    assert {step for step, times in again.items() if times != 1} == {f"slow-{HOLD_AT}"}
    assert place.stored(job_id) == KEEPS[workflow]
    listed = place.checkpoints(job_id)
    assert len(listed) == KEEPS[workflow]["root"]
    # The log tells of all of them, whether they are still there or not.
    told = [event.kind.checkpoint_id for event in place.client.watch(job_id) if isinstance(event.kind, CheckpointSaved)]
    assert list(reversed(told))[: len(listed)] == listed
    assert len(told) == KEEPS["rounds"]["root"]


def test_what_is_gone_is_not_found_and_what_is_kept_can_be_gone_back_to(place: Place) -> None:
    job_id = place.submit("fails_last_2").job_id
    assert place.ended(job_id).state is JobState.FAILED
    told = [event.kind.checkpoint_id for event in place.client.watch(job_id) if isinstance(event.kind, CheckpointSaved)]
    assert place.checkpoints(job_id) == list(reversed(told))[:2]
    kept, gone = told[-2], told[-3]
    with pytest.raises(CheckpointNotFound):
        place.client.resume(job_id, checkpoint_id=gone)
    with pytest.raises(CheckpointNotFound):
        place.client.submit("fails_last_2", fork_from=job_id, fork_checkpoint=gone)
    fork = place.client.submit("fails_last_2", fork_from=job_id, fork_checkpoint=kept).job_id
    assert place.ended(fork).state is JobState.FAILED
    (place.folder / "mended").touch()
    # The checkpoint that it goes back to goes itself, with the one that is made of it.
    place.client.resume(job_id, checkpoint_id=kept)
    done = place.ended(job_id)
    assert (done.state, done.output["items"]) == (JobState.SUCCEEDED, ["first-1", "second-1"])
    assert len(place.checkpoints(job_id)) == 2
    place.client.resume(fork, state_update={"items": ["edited"]}, state_update_step="second")
    done = place.ended(fork)
    assert (done.state, done.output["items"]) == (JobState.SUCCEEDED, ["first-1", "second-1", "edited"])
    assert place.trace() == ["first-1", "second-1", "second-1", "second-1"]
    place.kill_and_start()


def test_all_are_kept_until_a_job_succeeds(place: Place) -> None:
    job_id = place.submit("fails_newest").job_id
    assert place.ended(job_id).state is JobState.FAILED
    all_of_them = place.checkpoints(job_id)
    assert len(all_of_them) == 5
    (place.folder / "mended").touch()
    place.client.resume(job_id, checkpoint_id=all_of_them[1])
    done = place.ended(job_id)
    assert done.state is JobState.SUCCEEDED
    assert place.checkpoints(job_id) == [done.checkpoint_id]
    fork = place.client.submit("fails_newest", fork_from=job_id).job_id
    assert place.ended(fork).output == done.output


def test_a_thread_s_next_job_goes_on_from_what_is_left(place: Place) -> None:
    for number in (1, 2, 3):
        job = place.client.submit(
            "rounds_last_1", {"folder": str(place.folder), "round": 0, "rounds": 1}, thread_id="t", job_id=f"j{number}"
        )
        done = place.ended(job.job_id)
        assert done.state is JobState.SUCCEEDED
        assert done.output["items"][-3] == f"calls-{2 * number}"
        # One of each job, and what each job has left of the subgraph's state.
        assert place.stored("t") == {"root": number, "inside": 0, "memory": number}
