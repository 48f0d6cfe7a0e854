"""A run that was superseded changes nothing: steps that come back when their job was cancelled, timed out, resumed,
deleted or submitted again, and then do all that a step can do."""

import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from autopilot_client import JobState, TokenChunk

from tests.promises.conftest import Watcher
from tests.proof.conftest import Tried
from tests.proof.seed import SEED
from tests.proof.server import ServerProcess
from tests.proof.zombies.graphs import VOICE, deeds_of
from tests.proof.zombies.zombies import Graveyard, appears, write_config
from tests.waiting import wait_until

KINDS = ("sync", "stubborn", "sync_beside", "stubborn_beside")
ENDINGS = ("returns", "raises", "asks at its end", "jumps")


@pytest.fixture(scope="module")
def graveyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graveyard]:
    folder = tmp_path_factory.mktemp("graveyard")
    server = ServerProcess(folder, config=write_config(folder), options=["--threads", "4"])
    server.start()
    graveyard = Graveyard(server, folder)
    yield graveyard
    graveyard.ticker.stop()
    graveyard.close()
    # Threads that were left behind have come back, and nothing else keeps the server.
    assert server.terminate() == 0
    assert server.errors == []


@dataclass(frozen=True, slots=True)
class Stand:
    """A run that stands in its step, and which of its job's attempts it is."""

    job_id: str
    folder: Path
    attempt: int


# --- how a run loses its job: each gives the run that has it now, if any ----------------------------------------------


def _cancelled(yard: Graveyard, run: Stand) -> Stand | None:
    assert yard.client.cancel(run.job_id, grace_period=0).state is JobState.CANCELLED
    return None


def _cancelled_after_its_grace(yard: Graveyard, run: Stand) -> Stand | None:
    yard.client.cancel(run.job_id, grace_period=0.05)
    assert yard.client.get(run.job_id, wait=60).state is JobState.CANCELLED
    return None


def _timed_out(yard: Graveyard, run: Stand) -> Stand | None:
    job = yard.client.get(run.job_id, wait=60)
    assert job.error is not None
    assert job.error.reason == "EXECUTION_TIMED_OUT"
    return None


def _standing(yard: Graveyard, job_id: str, folder: Path, attempt: int) -> Stand:
    yard.stands(job_id, folder, attempt)
    return Stand(job_id, folder, attempt)


def _resumed(yard: Graveyard, run: Stand) -> Stand | None:
    _cancelled(yard, run)
    yard.client.resume(run.job_id)
    return _standing(yard, run.job_id, run.folder, run.attempt + 1)


def _resumed_elsewhere(yard: Graveyard, run: Stand) -> Stand | None:
    """Back to the state before the step, with an edit."""
    _cancelled(yard, run)
    (before,) = [c.checkpoint_id for c in yard.client.checkpoints(run.job_id) if "hold" in c.next_steps]
    edit = {"trail": ["edited"]}
    yard.client.resume(run.job_id, checkpoint_id=before, state_update=edit, state_update_step="before")
    return _standing(yard, run.job_id, run.folder, run.attempt + 1)


def _deleted(yard: Graveyard, run: Stand) -> Stand | None:
    _cancelled(yard, run)
    yard.client.delete(run.job_id)
    return None


def _submitted_again(yard: Graveyard, run: Stand) -> Stand | None:
    """The same id, thread and attempt."""
    job = yard.client.get(run.job_id)
    _deleted(yard, run)
    folder = yard.new_folder()
    yard.submit(job.workflow, folder, job_id=run.job_id, thread_id=job.thread_id)
    return _standing(yard, run.job_id, folder, 1)


def _submitted_again_as_a_fork(yard: Graveyard, run: Stand) -> Stand | None:
    workflow = yard.client.get(run.job_id).workflow
    origin = yard.new_folder()
    source = yard.submit(workflow, origin)
    yard.stands(source, origin, 1)
    yard.release(source, origin, 1)
    (before,) = [c.checkpoint_id for c in yard.client.checkpoints(source) if "hold" in c.next_steps]
    _deleted(yard, run)
    folder = yard.new_folder()
    yard.submit(workflow, folder, job_id=run.job_id, fork_from=source, fork_checkpoint=before)
    return _standing(yard, run.job_id, folder, 1)


def _followed_on_its_thread(yard: Graveyard, run: Stand) -> Stand | None:
    job = yard.client.get(run.job_id)
    _cancelled(yard, run)
    folder = yard.new_folder()
    return _standing(yard, yard.submit(job.workflow, folder, thread_id=job.thread_id), folder, 1)


Way = Callable[[Graveyard, Stand], Stand | None]

WAYS: Mapping[str, Way] = {
    way.__name__.strip("_"): way
    for way in (
        _cancelled,
        _cancelled_after_its_grace,
        _timed_out,
        _resumed,
        _resumed_elsewhere,
        _deleted,
        _submitted_again,
        _submitted_again_as_a_fork,
        _followed_on_its_thread,
    )
}


def _begin(yard: Graveyard, workflow: str, *wishes: str) -> Stand:
    folder = yard.new_folder(*wishes)
    job_id = yard.submit(workflow, folder, thread_id=f"thread-{folder.name}")
    return _standing(yard, job_id, folder, 1)


def _begin_with_little_time(yard: Graveyard, workflow: str, *wishes: str) -> Stand:
    """A job that comes to its step, and is timed out there: with more time when the machine was too slow for it."""
    for seconds in (0.5, 2.0, 8.0, 30.0):
        folder = yard.new_folder(*wishes)
        job_id = yard.submit(workflow, folder, execution_timeout=seconds)
        holding = folder / "hold-holding-1"
        wait_until(lambda place=holding, job=job_id: place.exists() or yard.state(job) is JobState.FAILED)
        if holding.exists():
            return Stand(job_id, folder, 1)
    raise AssertionError("no step began within 30 seconds")


def _come_back(yard: Graveyard, run: Stand, *, stubborn: bool) -> dict[str, str]:
    """The run goes on with what it does, up to its end. What became of its deeds."""
    (run.folder / f"hold-back-{run.attempt}").touch()
    appears(run.folder / f"hold-deeds-{run.attempt}")
    if stubborn:
        appears(run.folder / f"over-{run.attempt}")
    return deeds_of(run.folder / f"hold-deeds-{run.attempt}")


def _is_over(yard: Graveyard, run: Stand, *, stubborn: bool) -> None:
    """The server has given up what the run left behind."""
    if not stubborn:
        appears(run.folder / f"over-{run.attempt}")
        return

    def told() -> bool:
        lines = yard.server.log.read_text().splitlines()
        return any("left behind" in line and run.job_id in line for line in lines)

    wait_until(told, lambda: "the server's word that a step is left behind")


def _goes_on(yard: Graveyard, run: Stand, watcher: Watcher) -> list[str]:
    """The run that has the job now comes to its own end. What its steps gave."""
    job = yard.release(run.job_id, run.folder, run.attempt)
    events = watcher.finish()
    assert not [event for event in events if isinstance(event.kind, TokenChunk)]
    assert events == list(yard.client.watch(run.job_id))
    yard.check_log(run.job_id)
    trail: list[str] = job.output["trail"]
    assert [entry for entry in trail if "-" in entry] == [f"hold-{run.attempt}", f"rest-{run.attempt}"]
    assert VOICE not in trail
    return trail


@pytest.mark.parametrize("late", [False, True], ids=["at once", "left behind"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_comes_back_changes_nothing(
    graveyard: Graveyard, way: str, kind: str, late: bool, tried: Tried
) -> None:
    """Whatever it does then, and however it ends; its effects outside are its own."""
    ending = ENDINGS[(KINDS.index(kind) + list(WAYS).index(way) + late) % len(ENDINGS)]
    stubborn = kind.startswith("stubborn")
    begin = _begin_with_little_time if way == "timed_out" else _begin
    old = begin(graveyard, kind, "acts", ending)
    new = WAYS[way](graveyard, old)
    if late:
        _is_over(graveyard, old, stubborn=stubborn)
    watcher = None if new is None else Watcher(graveyard.client, new.job_id, tokens=True)
    if watcher is not None:
        wait_until(lambda: watcher.events, lambda: "the first event")
    deeds: dict[str, str] = {}
    graveyard.unchanged_by(lambda: deeds.update(_come_back(graveyard, old, stubborn=stubborn)))
    assert deeds["memory"] == deeds["report"] == deeds["tokens"] == "done"
    assert {deeds[deed] for deed in ("subgraph", "update_state", "checkpoint")} == {"StaleRunError"}
    assert not (old.folder / f"rest-holding-{old.attempt}").exists()
    assert not (old.folder / f"after-ran-{old.attempt}").exists()
    if new is not None and watcher is not None:
        trail = _goes_on(graveyard, new, watcher)
        assert ("edited" in trail) == (way == "resumed_elsewhere")
    tried(zombies=1, deeds_of_zombies=len(deeds) + 1)


ROUNDS = 6


@pytest.mark.parametrize("kind", KINDS)
def test_many_old_runs_come_back_in_any_order(graveyard: Graveyard, kind: str, tried: Tried) -> None:
    """A job that is cancelled and resumed at once, again and again, while its old runs come back."""
    rng = random.Random(f"{SEED}-{kind}")
    stubborn = kind.startswith("stubborn")
    run = _begin(graveyard, kind, "acts", rng.choice(ENDINGS))
    old: list[Stand] = []
    for round_number in range(2, ROUNDS + 2):
        if round_number <= ROUNDS:
            for wish in ("acts", rng.choice(ENDINGS)):
                (run.folder / f"{wish}-{round_number}").touch()
        old.append(run)
        resumed = _resumed(graveyard, run)
        assert resumed is not None
        run = resumed
        back = rng.sample(old, rng.randint(0, len(old) // 2))
        old = [zombie for zombie in old if zombie not in back]
        graveyard.unchanged_by(lambda back=back: _all_come_back(graveyard, back, stubborn=stubborn))
    watcher = Watcher(graveyard.client, run.job_id, tokens=True)
    wait_until(lambda: watcher.events, lambda: "the first event")
    rng.shuffle(old)
    graveyard.unchanged_by(lambda: _all_come_back(graveyard, old, stubborn=stubborn))
    _goes_on(graveyard, run, watcher)
    tried(zombies=ROUNDS)


def _all_come_back(yard: Graveyard, zombies: list[Stand], *, stubborn: bool) -> None:
    for zombie in zombies:
        (zombie.folder / f"hold-back-{zombie.attempt}").touch()
    for zombie in zombies:
        _come_back(yard, zombie, stubborn=stubborn)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_waits_for_the_run_that_is_given_it_next(graveyard: Graveyard, kind: str, tried: Tried) -> None:
    """The run that was given an answer is cancelled in the step that asked, and comes back: the answer is neither used
    up nor mixed up."""
    folder = graveyard.new_folder("asks", "asks")
    for name in ("asks-2", "acts-2", "jumps-2", "asks-3"):
        (folder / name).touch()
    job_id = graveyard.submit(kind, folder)
    (question,) = graveyard.client.get(job_id, wait=60).interrupts
    graveyard.client.resume(job_id, answers={question.interrupt_id: "yes"})
    old = _standing(graveyard, job_id, folder, 2)
    _cancelled(graveyard, old)
    graveyard.unchanged_by(lambda: _all_come_back(graveyard, [old], stubborn=kind.startswith("stubborn")))
    new = _resumed_once_more(graveyard, old)
    watcher = Watcher(graveyard.client, job_id)
    _goes_on(graveyard, new, watcher)
    tried(zombies=1)


def _resumed_once_more(yard: Graveyard, run: Stand) -> Stand:
    yard.client.resume(run.job_id)
    return _standing(yard, run.job_id, run.folder, run.attempt + 1)


def test_a_success_counts_once(graveyard: Graveyard) -> None:
    """The statistics of a workflow know nothing of runs that were superseded."""
    before = _succeeded(graveyard, "sync")
    old = _begin(graveyard, "sync")
    new = _resumed(graveyard, old)
    assert new is not None
    for step in ("hold", "rest"):
        (old.folder / f"{step}-back-{old.attempt}").touch()
    graveyard.release(new.job_id, new.folder, new.attempt)
    graveyard.ticker.settle()
    assert _succeeded(graveyard, "sync") == before + 1


def _succeeded(yard: Graveyard, workflow: str) -> int:
    with sqlite3.connect(f"file:{yard.server.database}?mode=ro", uri=True) as database:
        row = database.execute("SELECT jobs FROM workflow_statistics WHERE name = ?", [workflow]).fetchone()
    return 0 if row is None else int(row[0])
