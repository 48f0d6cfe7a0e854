"""A client that forks jobs, sends them back, and edits their states, while a superstep is open and after its end."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.history import JobRecord
from tests.proof.histories.recording import TEXT, Recorder, ended_with
from tests.proof.histories.states import INTERRUPTED, SUCCEEDED
from tests.proof.load.journey import RUNS
from tests.proof.load.random_graphs import Outcome, start


class TimeTravel:
    """An actor of a workload. Its jobs are of the workflow `journey`."""

    def __init__(self, folder: Path) -> None:
        """The jobs' effects are left in folders in `folder`."""
        self._folder = folder
        self._outcomes: dict[str, tuple[Outcome, Sequence[str]]] = {}

    def act(self, recorder: Recorder, watch: Callable[[str], None]) -> None:
        """A source that is forked at an open superstep, sent back, edited, and forked again when it is over."""
        self._recorder, self._watch = recorder, watch
        self._submit("source", input=job_pb2.Payload(json_text=json.dumps(start(self._folder))))
        self._asks("source")
        self._fork("open-fork", "", runs=("ask", "last"))
        begin = self._checkpoint("source", "one")
        self._resume("source", "back", checkpoint_id=begin)
        self._asks("source")
        edit = job_pb2.Payload(json_text=json.dumps({"trail": ["edited"]}))
        self._resume("source", "edit", state_update=edit, state_update_step="one")
        self._asks("source")
        self._answer("source")
        self._fork("late-fork", begin, runs=RUNS)
        self._look_around()
        self._expect("source", RUNS, ("one", "left", "work", "left", "work"), edited=("edited",))

    def records(self, recorder: Recorder) -> dict[str, JobRecord]:
        """The source and its forks."""
        return {
            job_id: recorder.record(job_id, self._folder / job_id, outcome, again)
            for job_id, (outcome, again) in self._outcomes.items()
        }

    # --- parts ---

    def _submit(self, job_id: str, **fields: Any) -> None:
        (self._folder / job_id).mkdir(parents=True)
        request = job_service_pb2.SubmitJobRequest(workflow="journey", job_id=job_id, request_id=job_id, **fields)
        self._recorder.ask("SubmitJob", request)
        self._watch(job_id)

    def _fork(self, job_id: str, checkpoint_id: str, runs: Sequence[str]) -> None:
        source = job_service_pb2.CheckpointRef(job_id="source", checkpoint_id=checkpoint_id)
        self._submit(job_id, fork_from=source)
        self._asks(job_id)
        self._answer(job_id)
        self._expect(job_id, runs)

    def _expect(self, job_id: str, runs: Sequence[str], again: Sequence[str] = (), edited: Sequence[str] = ()) -> None:
        trail = ("one", *edited, "work", "ask", "ask=yes", "left", "last")
        self._outcomes[job_id] = Outcome(trail, frozenset(runs)), again

    def _asks(self, job_id: str) -> job_pb2.Job:
        job = self._recorder.settled(job_id)
        assert job.state == INTERRUPTED, job
        return job

    def _answer(self, job_id: str) -> None:
        self._resume(job_id, "answer", answer=job_pb2.Payload(json_text='"yes"'))
        job = self._recorder.settled(job_id)
        assert job.state == SUCCEEDED, job

    def _resume(self, job_id: str, request_id: str, **fields: Any) -> None:
        self._recorder.ask("Resume", job_service_pb2.ResumeRequest(job_id=job_id, request_id=request_id, **fields))

    def _checkpoint(self, job_id: str, next_step: str) -> str:
        """The checkpoint before a step."""
        request = job_service_pb2.ListCheckpointsRequest(job_id=job_id, view=job_pb2.VIEW_FULL, payload_format=TEXT)
        found = self._recorder.ask("ListCheckpoints", request).checkpoints
        return next(c.checkpoint_id for c in found if list(c.next_steps) == [next_step])

    def _look_around(self) -> None:
        """What else people ask, and a prune that takes nothing that is needed."""
        only = job_service_pb2.JobFilter(workflow="journey")
        jobs = self._recorder.ask("ListJobs", job_service_pb2.ListJobsRequest(filter=only)).jobs
        assert {job.job_id for job in jobs} == {"source", "open-fork", "late-fork"}
        assert self._recorder.ask("ListWorkflows", job_service_pb2.ListWorkflowsRequest()).workflows
        prune = job_service_pb2.PruneJobsRequest(filter=only, checkpoints_only=True)
        prune.finished_for.FromSeconds(0)
        self._recorder.ask("PruneJobs", prune)
        unknown = job_service_pb2.SubmitJobRequest(workflow="unknown", request_id="unknown")
        with pytest.raises(grpc.RpcError) as refused:
            self._recorder.ask("SubmitJob", unknown)
        assert ended_with(refused.value)[1] == "WORKFLOW_NOT_FOUND"
