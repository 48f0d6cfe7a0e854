"""Answers reach the question that they name, at whatever point after the Resume the server dies."""

from contextlib import suppress
from pathlib import Path

import pytest
from autopilot_client import AutopilotError, Client, Job, JobState

from tests.proof.conftest import Tried
from tests.proof.kills.kill_points import AFTER, BEFORE, KillPoint
from tests.proof.server import ServerProcess

PATIENCE_SECONDS = 60

# More writes than the step with the questions makes.
MOST_WRITES = 30


class Asking:
    """A job of a nested step that asks twice, on a server that may die."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        # The step need not wait at its end.
        (folder / "go").touch()
        self.server = ServerProcess(folder)
        self.server.start()
        with self.server.client() as client:
            job = client.submit("ask_twice_nested", {"items": [], "folder": str(folder)})
            self.job_id = job.job_id
            self._rested(client)

    def _rested(self, client: Client) -> Job:
        return client.get(self.job_id, wait=PATIENCE_SECONDS)

    def restart(self, sabotage: KillPoint | None) -> None:
        """Stop in order, and start as a server that dies at a point."""
        assert self.server.terminate() == 0
        self.server.sabotage = sabotage
        self.server.start()

    def answer(self, text: str) -> Job:
        """Answer the open question, and give the job as it is once it rests, whatever becomes of the server."""
        with self.server.client() as client:
            (question,) = client.get(self.job_id).interrupts
            # The run that it starts may die with the server before the Resume is answered.
            with suppress(AutopilotError):
                client.resume(self.job_id, answers={question.interrupt_id: text})
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


@pytest.mark.parametrize("method", ["run_write", "run_end"])
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_death_between_a_resume_and_the_end_of_its_step(method: str, moment: str, tmp_path: Path, tried: Tried) -> None:
    """At each write of the run that was given the first answer, and of the one that was given the second."""
    for text in ("one", "two"):
        for occurrence in range(1, MOST_WRITES):
            asking = Asking(tmp_path / f"{text}-{occurrence}")
            if text == "two":
                asking.answer("one")
            asking.restart(KillPoint(method, moment, occurrence))
            job = asking.answer(text)
            died = asking.server.sabotage is None
            if text == "one":
                assert job.state is JobState.INTERRUPTED, job
                assert [question.value for question in job.interrupts] == ["second?"]
                job = asking.answer("two")
            assert job.state is JobState.SUCCEEDED, job
            assert job.output["items"] == ["one", "two", "after"]
            asking.server.close()
            if not died:
                break
            tried(deaths_after_a_resume=1)
        assert occurrence > 1
