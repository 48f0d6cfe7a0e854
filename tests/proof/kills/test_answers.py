"""Answers reach the question that they name, at whatever point after the Resume the server dies."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from autopilot_client import AutopilotError, Client, Job, JobState

from tests.proof.conftest import Tried
from tests.proof.kills.kill_points import AFTER, BEFORE, KillPoint, Tally
from tests.proof.server import GRAPHS, Sabotage, ServerProcess

PATIENCE_SECONDS = 60

# Jobs for writes that a run makes beyond those that were counted.
SPARE = 3


@dataclass(frozen=True, slots=True)
class Talk:
    """What a workflow whose nested steps ask twice asks in each turn, and what comes of answers that repeat it."""

    turns: Sequence[Sequence[str]]
    output: Sequence[str]


WORKFLOWS = {
    "ask_twice_nested": Talk((["first?"], ["second?"]), ["first?", "second?", "after"]),
    "ask_twice_side_by_side": Talk(
        (["left first?", "right first?"], ["left second?", "right second?"]),
        ["left: left first? left second?", "right: right first? right second?"],
    ),
}


class Asking:
    """Jobs of such a workflow, on a server that may die."""

    def __init__(self, folder: Path, workflow: str) -> None:
        # No other workflow: most of a start is to load them.
        config = folder / "langgraph.json"
        graph = f"{GRAPHS.parent / 'graphs.py'}:{workflow}"
        config.write_text(json.dumps({"dependencies": [str(GRAPHS.parent)], "graphs": {workflow: graph}}))
        self.server, self._workflow = ServerProcess(folder, config=config), workflow

    def close(self) -> None:
        self.server.close()

    def start(self, sabotage: Sabotage | None) -> None:
        """Begin a life."""
        self.server.sabotage = sabotage
        self.server.start()

    def end(self) -> None:
        """Stop in order."""
        assert self.server.terminate() == 0

    def ask(self, *, answered: int) -> str:
        """A new job, which was answered so many times, and asks again."""
        with self.server.client() as client:
            job_id = client.submit(self._workflow, {"items": []}).job_id
            client.get(job_id, wait=PATIENCE_SECONDS)
        for _ in range(answered):
            self.answer(job_id)
        return job_id

    def answer(self, job_id: str) -> None:
        """Answer each open question with its own text, and wait until nothing happens any more."""
        with self.server.client() as client:
            _answer(client, job_id)
            client.get(job_id, wait=PATIENCE_SECONDS)

    def dies_of_an_answer(self, job_id: str) -> bool:
        """As `answer`, and whether the server died."""
        # A channel that repeats no calls: nobody is there who could answer.
        with grpc.insecure_channel(self.server.address) as channel, Client(channel=channel) as client:
            try:
                # The run that it starts may die with the server before the Resume is answered.
                with suppress(AutopilotError):
                    _answer(client, job_id)
                client.get(job_id, wait=PATIENCE_SECONDS)
            except AutopilotError:
                assert self.server.wait_for_death() == -9
                return True
        return False

    def is_at(self, job_id: str, talk: Talk, turn: int) -> None:
        """Once nothing happens any more, a job asks what it asks in this turn, or has succeeded after the last."""
        with self.server.client() as client:
            job = client.get(job_id, wait=PATIENCE_SECONDS)
        if turn == len(talk.turns):
            assert job.state is JobState.SUCCEEDED, job
            assert sorted(job.output["items"], key=talk.output.index) == talk.output
        else:
            assert job.state is JobState.INTERRUPTED, job
            assert sorted(question.value for question in job.interrupts) == talk.turns[turn]


def _answer(client: Client, job_id: str) -> Job:
    questions = client.get(job_id).interrupts
    return client.resume(job_id, answers={question.interrupt_id: question.value for question in questions})


@pytest.mark.parametrize("workflow", WORKFLOWS)
# What is stored before a write is what was stored after the one before it.
@pytest.mark.parametrize(("method", "moment"), [("run_write", AFTER), ("run_end", BEFORE), ("run_end", AFTER)])
def test_death_between_a_resume_and_the_end_of_its_step(
    workflow: str, method: str, moment: str, tmp_path: Path, tried: Tried
) -> None:
    """At each write of the run that was given the first answers, and of the one that was given the second."""
    talk = WORKFLOWS[workflow]
    with closing(Asking(tmp_path, workflow)) as asking:
        asked = list(jobs_for_each_turn(asking, method, len(talk.turns)))
        answered = []
        for turn, jobs in enumerate(asked):
            died_for = die_at_each_write(asking, jobs, KillPoint(method, moment, 0, "answer", True), talk, turn + 1)
            answered.append(died_for)
            tried(deaths_after_a_resume=len(died_for))
        asking.start(None)
        for turn, jobs in enumerate(answered, 1):
            for job_id in jobs:
                come_to_the_end(asking, job_id, talk, turn)


def jobs_for_each_turn(asking: Asking, method: str, turns: int) -> Iterator[Sequence[str]]:
    """Jobs for each call of a method that the runs make after the answers of each turn."""
    tally = Tally(asking.server.folder / "calls")
    asking.start(tally)
    counted = asking.ask(answered=0)
    for turn in range(turns):
        before = tally.counts()[method]
        asking.answer(counted)
        writes = tally.counts()[method] - before
        yield [asking.ask(answered=turn) for _ in range(writes + SPARE)]
    asking.end()


def die_at_each_write(asking: Asking, jobs: Sequence[str], point: KillPoint, talk: Talk, turn: int) -> Sequence[str]:
    """Answer one job in each life, which ends at the first call, the second, and so on, until there is no such call.
    The jobs whose servers died."""
    for number, job_id in enumerate(jobs):
        asking.start(replace(point, occurrence=number + 1))
        for died_for in jobs[:number][-1:]:
            asking.is_at(died_for, talk, turn)
        if not asking.dies_of_an_answer(job_id):
            asking.is_at(job_id, talk, turn)
            asking.end()
            assert number
            return jobs[:number]
    raise AssertionError("runs make many more writes than were counted")


def come_to_the_end(asking: Asking, job_id: str, talk: Talk, turn: int) -> None:
    """Answer what is still asked; nothing else is."""
    for later in range(turn + 1, len(talk.turns) + 1):
        asking.answer(job_id)
        asking.is_at(job_id, talk, later)
