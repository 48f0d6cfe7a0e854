"""Answers reach the question that they name, at whatever point after the Resume the server dies."""

import json
from contextlib import closing, suppress
from pathlib import Path

import pytest
from autopilot_client import AutopilotError, Client, Job, JobState

from tests.proof.conftest import Tried
from tests.proof.kills.kill_points import AFTER, BEFORE, KillPoint
from tests.proof.server import GRAPHS, ServerProcess

PATIENCE_SECONDS = 60

# More writes than the step with the questions makes.
MOST_WRITES = 30


# By workflow whose nested steps ask twice: the questions of each turn, and what comes of answers that repeat them.
WORKFLOWS = {
    "ask_twice_nested": ((["first?"], ["second?"]), ["first?", "second?", "after"]),
    "ask_twice_side_by_side": (
        (["left first?", "right first?"], ["left second?", "right second?"]),
        ["left: left first? left second?", "right: right first? right second?"],
    ),
}


class Asking:
    """A job whose nested steps ask twice, on a server that may die."""

    def __init__(self, folder: Path, workflow: str) -> None:
        folder.mkdir()
        # No other workflow: most of a start is to load them.
        config = folder / "langgraph.json"
        graph = f"{GRAPHS.parent / 'graphs.py'}:{workflow}"
        config.write_text(json.dumps({"dependencies": [str(GRAPHS.parent)], "graphs": {workflow: graph}}))
        self.server = ServerProcess(folder, config=config)
        self.server.start()
        with self.server.client() as client:
            job = client.submit(workflow, {"items": []})
            self.job_id = job.job_id
            self._rested(client)

    def close(self) -> None:
        self.server.close()

    def _rested(self, client: Client) -> Job:
        return client.get(self.job_id, wait=PATIENCE_SECONDS)

    def restart(self, sabotage: KillPoint | None) -> None:
        """Stop in order, and start as a server that dies at a point."""
        assert self.server.terminate() == 0
        self.server.sabotage = sabotage
        self.server.start()

    def answer(self) -> Job:
        """Answer each open question with its own text, and give the job as it is once it rests, whatever becomes of
        the server."""
        with self.server.client() as client:
            answers = {question.interrupt_id: question.value for question in client.get(self.job_id).interrupts}
            # The run that it starts may die with the server before the Resume is answered.
            with suppress(AutopilotError):
                client.resume(self.job_id, answers=answers)
        return self.come_to_rest()

    def come_to_rest(self) -> Job:
        """The job once nothing happens any more; a server that died is started again, and lives."""
        with self.server.client() as client:
            try:
                return self._rested(client)
            except AutopilotError:
                assert self.server.wait_for_death() == -9
        self.server.sabotage = None
        self.server.start()
        with self.server.client() as client:
            return self._rested(client)


@pytest.mark.parametrize("workflow", WORKFLOWS)
# What is stored before a write is what was stored after the one before it.
@pytest.mark.parametrize(("method", "moment"), [("run_write", AFTER), ("run_end", BEFORE), ("run_end", AFTER)])
def test_death_between_a_resume_and_the_end_of_its_step(
    workflow: str, method: str, moment: str, tmp_path: Path, tried: Tried
) -> None:
    """At each write of the run that was given the first answers, and of the one that was given the second."""
    turns, output = WORKFLOWS[workflow]
    for turn in range(len(turns)):
        for occurrence in range(1, MOST_WRITES):
            with closing(Asking(tmp_path / f"{turn}-{occurrence}", workflow)) as asking:
                for _ in range(turn):
                    asking.answer()
                asking.restart(KillPoint(method, moment, occurrence, one_by_one=True))
                job = asking.answer()
                died = asking.server.sabotage is None
                for questions in turns[turn + 1 :]:
                    assert job.state is JobState.INTERRUPTED, job
                    assert sorted(question.value for question in job.interrupts) == questions
                    job = asking.answer()
                assert job.state is JobState.SUCCEEDED, job
                assert sorted(job.output["items"], key=output.index) == output
            if not died:
                break
            tried(deaths_after_a_resume=1)
        assert occurrence > 1
