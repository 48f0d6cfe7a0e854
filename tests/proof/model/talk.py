"""Asks a server and the model the same, and holds the one to the other."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from autopilot.v1 import job_pb2, job_service_pb2
from google.protobuf import text_format

from tests.proof.histories.history import History
from tests.proof.histories.recording import PATIENCE_SECONDS, TEXT, Recorder, ended_with
from tests.proof.histories.states import FINISHED, INTERRUPTED, SUCCEEDED
from tests.proof.model.compare import expected_of, move, outcome, refusal_of, still, told_of, value
from tests.proof.model.jobs import Job, Point, top
from tests.proof.model.model import Accepted, Model
from tests.proof.model.refusals import Refusal, Refused
from tests.proof.server import ServerProcess

# Limits that one client reaches.
UNFINISHED_LIMIT = 4
WATCHES = 3

# The contract's, where none is asked for.
DEFAULT_PAGE_SIZE = 50

# What the pages of a list hold.
_ENTRIES = {"ListJobs": "jobs", "ListCheckpoints": "checkpoints", "ListWorkflows": "workflows"}

Note = Callable[[str], None]


class Talk:
    """One history: what is asked goes to the server and to the model, and what they say must agree."""

    def __init__(
        self, server: ServerProcess, gates: Path, counts: Counter[str], note: Note, *, token: str = ""
    ) -> None:
        """The server must have no jobs. `gates`: a folder for the gates' files. `counts`: what was called and
        told. `note`: given what happens, for people. `token`: of a tenant, whose limit is the server's then."""
        self.server, self._gates, self._counts, self._note, self._token = server, gates, counts, note, token
        self.model = Model(
            unfinished_limit=UNFINISHED_LIMIT,
            is_open=lambda gate: Path(gate).exists(),
            limit_name="tenant_unfinished_jobs" if token else "unfinished_jobs",
            alone=not token,
        )
        self._seen: dict[Job, tuple[int, Any]] = {}
        self._etags: Counter[tuple[str, str]] = Counter()
        self._pause = threading.Event()
        self._connect()

    def _connect(self) -> None:
        self._recorder = Recorder(self.server.address, History(), token=self._token)
        self.stub = self._recorder.stub

    def close(self) -> None:
        """Leave the server without jobs, whatever was seen."""
        prune = job_service_pb2.PruneJobsRequest()
        prune.finished_for.FromSeconds(0)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while jobs := self._listed():
            assert time.monotonic() < give_up, f"these cannot be cancelled and pruned: {jobs}"
            for job in jobs:
                request = job_service_pb2.CancelRequest(job_id=job.job_id)
                request.grace_period.FromSeconds(0)
                self._cancel_if_unfinished(request)
            self.stub.PruneJobs(prune, timeout=PATIENCE_SECONDS, wait_for_ready=True)
        self._recorder.close()

    def _cancel_if_unfinished(self, request: Any) -> None:
        try:
            self.stub.Cancel(request, timeout=PATIENCE_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            if ended_with(error)[1] not in ("JOB_STATE_CONFLICT", "JOB_NOT_FOUND"):
                raise

    def _listed(self) -> list[Any]:
        request = job_service_pb2.ListJobsRequest(page_size=500, view=job_pb2.VIEW_FULL, payload_format=TEXT)
        return list(self.stub.ListJobs(request, timeout=PATIENCE_SECONDS, wait_for_ready=True).jobs)

    # --- what changes something ---

    def submit(self, request: Any) -> None:
        """SubmitJob."""
        accepted, response = self._both("SubmitJob", request, lambda: self.model.submit(request))
        if accepted is not None:
            assert response.deduplicated == accepted.deduplicated
            if not accepted.deduplicated:
                self.model.learn_ids(accepted.job, response.job.job_id, response.job.thread_id)
            self._check_answer(accepted, response.job)
        self.agree()

    def cancel(self, request: Any) -> None:
        """Cancel."""
        accepted, response = self._both("Cancel", request, lambda: self.model.cancel(request))
        if accepted is not None:
            self._check_answer(accepted, response.job)
        self.agree()

    def resume(self, request: Any) -> None:
        """Resume."""
        accepted, response = self._both("Resume", request, lambda: self.model.resume(request))
        if accepted is not None:
            assert response.deduplicated == accepted.deduplicated
            self._check_answer(accepted, response.job)
        self.agree()

    def delete(self, request: Any) -> None:
        """DeleteJob."""
        self._both("DeleteJob", request, lambda: self.model.delete(request))
        self.agree()

    def prune(self, request: Any) -> None:
        """PruneJobs."""
        nested = any(
            "/" in s for job in self.model.jobs.values() for superstep in job.plan.supersteps for s in superstep
        )
        counts, response = self._both("PruneJobs", request, lambda: self.model.prune(request))
        if counts is not None:
            assert response.deleted_jobs == counts[0]
            # Those of subgraphs come on top.
            assert response.deleted_checkpoints == counts[1] or (nested and response.deleted_checkpoints > counts[1])
        self.agree()

    def open(self, gate: str) -> None:
        """Let through whoever waits at a gate."""
        self._note(f"gate {gate} is opened")
        self.gate(gate).touch()
        self.agree()

    def gate(self, name: str) -> Path:
        """A gate's file."""
        return self._gates / name

    def restart(self) -> None:
        """kill -9, and a new server."""
        self._note("kill -9")
        self.server.kill()
        self.server.start()
        self._counts["restarts"] += 1
        self.restarted()

    def restarted(self) -> None:
        """The server was killed, and a new one is there."""
        self.model.restart()
        self._recorder.close()
        self._connect()
        self.agree()

    # --- what only reads ---

    def get(self, request: Any) -> None:
        """GetStatus."""
        job, response = self._both("GetStatus", request, lambda: self.model.get(request))
        if job is not None:
            self._check_job(job, response.job, full=request.view != job_pb2.VIEW_BASIC)

    def watch(self, request: Any) -> None:
        """WatchProgress, to its end; of an unfinished job until the stored events are sent."""
        job = self.model.jobs.get(request.job_id)
        request.stop_when_caught_up |= job is not None and job.state not in FINISHED
        model = lambda: self.model.watch(request, latest_sequence=self.latest)  # noqa: E731
        job, responses = self._both("WatchProgress", request, model, read=list)
        if job is not None:
            events = [event for response in responses for event in response.events]
            assert responses[-1].through_sequence == self.latest(job)
            sequences = [event.sequence for event in events]
            assert sequences == list(range(request.after_sequence + 1, self.latest(job) + 1))
            told = [move(event.state_changed) for event in events if event.WhichOneof("kind") == "state_changed"]
            assert told == job.moves[len(job.moves) - len(told) :]
            assert request.after_sequence or len(told) == len(job.moves)

    def list_jobs(self, request: Any, *, token_fits: bool = True) -> str:
        """ListJobs, all pages. Gives the first page's token."""
        model = lambda: self.model.list_jobs(request, token_fits=token_fits)  # noqa: E731
        jobs, pages = self._pages("ListJobs", request, model)
        if jobs is not None:
            listed = [job for page in pages for job in page.jobs]
            assert [job.job_id for job in listed] == [job.job_id for job in jobs]
            for job, message in zip(jobs, listed, strict=True):
                self._check_job(job, message, full=request.view == job_pb2.VIEW_FULL)
        return pages[0].next_page_token if pages else ""

    def list_checkpoints(self, request: Any, *, token_fits: bool = True) -> str:
        """ListCheckpoints, all pages. Gives the first page's token."""
        model = lambda: self.model.list_checkpoints(request, token_fits=token_fits)  # noqa: E731
        points, pages = self._pages("ListCheckpoints", request, model)
        if points is not None:
            job = self.model.jobs[request.job_id]
            listed = [checkpoint for page in pages for checkpoint in page.checkpoints]
            assert len(listed) == len(points), (listed, points)
            for message, point in zip(listed, points, strict=True):
                self._check_point(job, point, message, full=request.view == job_pb2.VIEW_FULL)
        return pages[0].next_page_token if pages else ""

    def list_workflows(self, request: Any, *, token_fits: bool = True) -> str:
        """ListWorkflows, all pages. Gives the first page's token."""
        model = lambda: self.model.list_workflows(request, token_fits=token_fits)  # noqa: E731
        names, pages = self._pages("ListWorkflows", request, model)
        if names is not None:
            assert [workflow.name for page in pages for workflow in page.workflows] == names
        return pages[0].next_page_token if pages else ""

    # --- calls ---

    def _both(
        self, method: str, request: Any, model: Callable[[], Any], *, read: Callable[[Any], Any] | None = None
    ) -> Any:
        """The model's answer and the server's; two times None when both refuse it, in the same way."""
        told = self.ask(method, request, read)
        try:
            expected = model()
        except Refused as refused:
            expected = refused.refusal
        self._note(f"{method} {text_format.MessageToString(request, as_one_line=True)}: {outcome(told)}")
        if isinstance(expected, Refusal) or isinstance(told, Refusal):
            assert told == expected, f"{method}: the server says {outcome(told)}, the contract {outcome(expected)}"
            return None, None
        return expected, told

    def ask(self, method: str, request: Any, read: Callable[[Any], Any] | None = None) -> Any:
        """The server's answer alone: a Refusal, or what `read` makes of the response."""
        call = getattr(self.stub, method)
        try:
            response = call(request, timeout=PATIENCE_SECONDS, wait_for_ready=True)
            told = response if read is None else read(response)
        except grpc.RpcError as error:
            told = refusal_of(error)
        key = f"refused_{told.reason}" if isinstance(told, Refusal) else f"answered_{method}"
        self._counts[key] += 1
        return told

    def _pages(self, method: str, request: Any, model: Callable[[], Any]) -> tuple[Any, list[Any]]:
        expected, page = self._both(method, request, model)
        pages = [] if page is None else [page]
        following = type(request)()
        following.CopyFrom(request)
        while page is not None and page.next_page_token:
            following.page_token = page.next_page_token
            page = getattr(self.stub, method)(following, timeout=PATIENCE_SECONDS, wait_for_ready=True)
            pages.append(page)
        for page in pages:
            assert len(getattr(page, _ENTRIES[method])) <= (request.page_size or DEFAULT_PAGE_SIZE)
        return expected, pages

    # --- comparing ---

    def agree(self) -> None:
        """Wait until the server's jobs are where the model's are, and compare everything."""
        self.model.settle()
        self._counts["held_back"] += len(self.model.held_back())
        moved = [job for job in self.model.jobs.values() if self._seen.get(job, (0,))[0] != len(job.moves)]
        for job in moved:
            self._wait_for(job)
        listed = self._listed()
        expected = self.model.listed(job_service_pb2.JobFilter())
        assert [job.job_id for job in listed] == [job.job_id for job in expected]
        for job, message in zip(expected, listed, strict=True):
            self._learn(job, message, moved=job in moved)
        for job in moved:
            self._learn_points(job)
        for job, message in zip(expected, listed, strict=True):
            self._check_job(job, message, full=True)

    def _wait_for(self, job: Job) -> None:
        request = job_service_pb2.GetStatusRequest(job_id=job.job_id)
        if job.state in FINISHED | {INTERRUPTED}:
            request.wait_timeout.FromSeconds(PATIENCE_SECONDS - 5)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self._is_there(job, message := self._status(request)):
            if message.state in FINISHED | {INTERRUPTED} or time.monotonic() > give_up:
                # Somewhere else, for good: the comparison tells.
                return
            self._pause.wait(0.003)

    def _status(self, request: Any) -> Any:
        return self.stub.GetStatus(request, timeout=PATIENCE_SECONDS, wait_for_ready=True).job

    def _is_there(self, job: Job, message: Any) -> bool:
        waits_at = self.model.runner.waits_at(job)
        return (message.state, message.attempt) == (job.state, job.attempt) and list(message.progress.active_steps) == (
            [waits_at] if waits_at else []
        )

    def _learn(self, job: Job, message: Any, *, moved: bool) -> None:
        """Learn what the server chose; whatever did not move must be as it was."""
        as_is = still(message)
        if not moved:
            assert as_is == self._seen[job][1], f"{as_is} was {self._seen[job][1]}"
        else:
            # Not even of another job that had the id before.
            assert not self._etags[job.job_id, message.etag], "an etag that was there before"
            self._etags[job.job_id, message.etag] += 1
            job.etags.append(message.etag)
            job.created = message.create_time.ToNanoseconds()
            assert [q.step for q in job.open_questions] == [told.step for told in message.interrupts], (job, message)
            for question, told in zip(job.open_questions, message.interrupts, strict=True):
                if not question.interrupt_id:
                    assert told.interrupt_id not in job.interrupt_ids, "another question under an old id"
                    job.interrupt_ids.add(told.interrupt_id)
                    question.interrupt_id = told.interrupt_id
        self._seen[job] = (len(job.moves), as_is)

    def _learn_points(self, job: Job) -> None:
        request = job_service_pb2.ListCheckpointsRequest(job_id=job.job_id, view=job_pb2.VIEW_FULL, payload_format=TEXT)
        listed = self.stub.ListCheckpoints(request, timeout=PATIENCE_SECONDS, wait_for_ready=True).checkpoints
        assert len(listed) == len(job.points), (listed, job.points)
        for point, message in zip(job.points, reversed(listed), strict=True):
            point.checkpoint_id = point.checkpoint_id or message.checkpoint_id
            self._check_point(job, point, message, full=True)

    def latest(self, job: Job) -> int:
        return int(self._seen[job][1].latest_sequence)

    def _check_answer(self, accepted: Accepted, message: Any) -> None:
        """A job as the answer to a change has it."""
        assert (message.job_id, message.state) == (accepted.job.job_id, accepted.state)
        assert not message.HasField("input")
        assert not message.HasField("output")

    def _check_job(self, job: Job, message: Any, *, full: bool) -> None:
        told, expected = told_of(message), expected_of(job)
        assert told == expected, "\n".join(
            f"{k}: {told[k]!r}, the contract says {expected[k]!r}" for k in told if told[k] != expected[k]
        )
        for question, asked in zip(job.open_questions, message.interrupts, strict=True):
            assert (asked.interrupt_id, asked.step) == (question.interrupt_id, question.step)
            assert asked.HasField("value") == full
            assert not full or value(asked.value) == {"question": question.step.rpartition("/")[2]}
        assert message.HasField("input") == (full and not job.request.HasField("fork_from"))
        assert not message.HasField("input") or value(message.input) == job.graph_input
        assert message.HasField("output") == (full and job.state == SUCCEEDED)
        assert not message.HasField("output") or value(message.output) == job.points[-1].values

    def _check_point(self, job: Job, point: Point, message: Any, *, full: bool) -> None:
        parent = "" if point.parent is None else point.parent.checkpoint_id
        told = message.checkpoint_id, message.parent_checkpoint_id, message.source, message.superstep
        assert told == (point.checkpoint_id, parent, point.source, point.number)
        assert list(message.next_steps) == [top(step) for step in job.superstep(point)]
        assert message.HasField("values") == full
        assert not full or value(message.values) == point.values
