"""A server with jobs whose steps come back late, and the means to see whether they change anything."""

import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from autopilot.v1 import job_service_pb2
from autopilot_client import Client, Job, JobState, StepFinished, StepStarted, TokenChunk

from tests.proof.histories.checkers import logs, transitions
from tests.proof.histories.history import History, JobRecord
from tests.proof.histories.recording import TEXT, Recorder
from tests.proof.histories.seen import Seen
from tests.proof.server import ServerProcess
from tests.proof.zombies import graphs as zombie_graphs
from tests.proof.zombies.dumps import MEMORY, Dump, differences, dump
from tests.waiting import wait_until

PATIENCE_SECONDS = int(os.environ.get("AUTOPILOT_PROOF_PATIENCE", "60"))

WORKFLOWS = ("sync", "stubborn", "sync_beside", "stubborn_beside", "ticker")

# What a log must be, whatever happened to the job.
LOG_CHECKERS = (
    transitions.transitions_follow_the_diagram,
    logs.logs_are_gapless,
    logs.events_belong_to_their_attempt,
    logs.steps_are_closed,
    logs.progress_never_falls,
)


def write_config(folder: Path) -> Path:
    """A langgraph.json with the workflows."""
    source = Path(zombie_graphs.__file__)
    path = folder / "langgraph.json"
    path.write_text(json.dumps({"graphs": {name: f"{source}:{name}" for name in WORKFLOWS}}))
    return path


def appears(path: Path) -> None:
    """Wait until a step has made a file."""
    wait_until(path.exists, lambda: path)


class Ticker:
    """A job of the same engine that tells, without a write, that everything before it has had its turn."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client, self._folder, self._ticks = client, folder, 0
        folder.mkdir()
        self._job_id = client.submit("ticker", {"trail": []}, context={"folder": str(folder)}).job_id
        self._events = client.watch(self._job_id, tokens=True)
        self._until(lambda event: isinstance(event.kind, StepStarted))

    def settle(self) -> None:
        """Return when whatever the engine had to send, and to write, when this was called is sent and written.

        Tokens are sent in the order in which they were said, and the store writes in the order in which it was asked.
        """
        text = f"tick-{self._ticks}"
        self._ticks += 1
        (self._folder / text).touch()
        self._until(lambda event: isinstance(event.kind, TokenChunk) and text in event.kind.text)
        (self._folder / text).unlink()
        self._client.delete("nobody", allow_missing=True)

    def stop(self) -> None:
        (self._folder / "stop").touch()
        self._until(lambda event: getattr(event.kind, "to_state", None) is JobState.SUCCEEDED)

    def _until(self, condition: Callable[[Any], bool]) -> None:
        assert any(condition(event) for event in self._events)


class Graveyard:
    """One server, and jobs on it."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.client = server.client()
        self.recorder = Recorder(server.address, History())
        self._folders = 0

    @cached_property
    def ticker(self) -> Ticker:
        return Ticker(self.client, self.folder / "ticker")

    def close(self) -> None:
        self.client.close()
        self.recorder.close()

    # --- jobs ---

    def new_folder(self, *wishes: str) -> Path:
        """A folder for the files of a job, in whose first attempt steps do as wished."""
        self._folders += 1
        folder = self.folder / f"job-{self._folders}"
        folder.mkdir()
        for wish in wishes:
            (folder / f"{wish}-1").touch()
        return folder

    def submit(self, workflow: str, folder: Path, **options: Any) -> str:
        given = () if "fork_from" in options else ({"trail": []},)
        return self.client.submit(workflow, *given, context={"folder": str(folder)}, **options).job_id

    def state(self, job_id: str) -> JobState:
        return self.client.get(job_id).state

    def stands(self, job_id: str, folder: Path, attempt: int, step: str = "hold") -> None:
        """Wait until a run stands in a step, and everything that it had to store until then is stored."""
        appears(folder / f"{step}-holding-{attempt}")
        wait_until(lambda: self._has_begun(job_id, step, attempt), lambda: f"the start of {step}")

    def _has_begun(self, job_id: str, step: str, attempt: int) -> bool:
        events = list(self.client.watch(job_id, stop_when_caught_up=True))
        began = any(isinstance(e.kind, StepStarted) and (e.kind.step, e.attempt) == (step, attempt) for e in events)
        # The sibling, where there is one.
        kinds = [type(event.kind) for event in events if getattr(event.kind, "step", "") == "quick"]
        return began and kinds.count(StepStarted) == kinds.count(StepFinished)

    def release(self, job_id: str, folder: Path, attempt: int) -> Job:
        """Let a run go on to its end."""
        for step in ("hold", "rest"):
            (folder / f"{step}-back-{attempt}").touch()
        job = self.client.get(job_id, wait=PATIENCE_SECONDS)
        assert job.state is JobState.SUCCEEDED, job
        return job

    # --- what is in the database ---

    def dump(self) -> Dump:
        return dump(self.server.database, without=MEMORY)

    def unchanged_by(self, zombie: Callable[[], None]) -> None:
        """Nothing that anybody may read changes by what a zombie does."""
        ticker, before = self.ticker, self.dump()
        zombie()
        ticker.settle()
        assert differences(before, self.dump()) == []

    def check_log(self, job_id: str) -> None:
        """The log is whole, and tells nothing of the dead."""
        request = job_service_pb2.WatchProgressRequest(job_id=job_id, payload_format=TEXT, stop_when_caught_up=True)
        log = [event for message in self.recorder.stub.WatchProgress(request) for event in message.events]
        job = self.recorder.stub.GetStatus(job_service_pb2.GetStatusRequest(job_id=job_id, payload_format=TEXT)).job
        record = JobRecord(job=job.SerializeToString(), log=tuple(event.SerializeToString() for event in log))
        seen = Seen(History(jobs={job_id: record}))
        assert [found for checker in LOG_CHECKERS for found in checker(seen)] == []
        assert not [event for event in log if zombie_graphs.VOICE in str(event)]
