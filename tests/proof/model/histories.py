"""Random histories: whatever one client may do and may not, chosen by Hypothesis."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from autopilot.v1 import job_pb2, job_service_pb2
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.proof.histories.recording import TEXT
from tests.proof.histories.states import FINISHED, INTERRUPTED, OWNED
from tests.proof.model.compare import DAY_SECONDS
from tests.proof.model.jobs import Job, top
from tests.proof.model.model import FAR_FUTURE, LONG_SECONDS
from tests.proof.model.spoilt import SPOILT, payload
from tests.proof.model.talk import Talk
from tests.proof.model.workflows import PLANS
from tests.proof.server import ServerProcess

JOB_IDS = ["j0", "j1", "j2", "j3", "j4", "t0"]
GATES = ["g0", "g1"]

Draw = Callable[[Any], Any]

_seldom = st.sampled_from([False] * 9 + [True])


class Histories(RuleBasedStateMachine):
    """One client that does whatever the contract lets it do, and whatever it does not."""

    server: ClassVar[ServerProcess]
    folder: ClassVar[Path]
    counts: ClassVar[Counter[str]]
    numbers: ClassVar[Iterator[int]]

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, Any]] = []
        self.tokens: list[tuple[str, Any, str]] = []
        self.restarted = False
        self.begin()

    def begin(self) -> None:
        """Begin to talk to the server."""
        gates = self.folder / f"history-{next(self.numbers)}"
        gates.mkdir()
        self.talk = Talk(self.server, gates, self.counts, note)

    def teardown(self) -> None:
        self.talk.close()
        self.counts["histories"] += 1

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """Do one thing. One rule for all: Hypothesis leaves some rules out of a history, and nothing goes on then."""
        self._act(data)

    def _act(self, data: st.DataObject) -> None:
        jobs = self.talk.model.jobs
        actions = {
            self.submit: 10 if len(jobs) < 3 else 3,
            self.resume: 6 if jobs else 0,
            self.cancel: 3 if jobs else 0,
            self.repeat: 2 if self.sent else 0,
            self.open: 1 if jobs else 0,
            self.kill: 1 if self._may_kill() else 0,
        }
        for rare in (self.delete, self.prune, self.get, self.watch, self.list_jobs, self.list_checkpoints):
            actions[rare] = 1
        actions[self.list_workflows] = 1 if not jobs else 0
        action = data.draw(st.sampled_from([action for action, weight in actions.items() for _ in range(weight)]))
        action(data.draw)

    def _may_kill(self) -> bool:
        return not self.restarted and any(job.state in OWNED for job in self.talk.model.jobs.values())

    # --- what changes something ---

    def submit(self, draw: Draw) -> None:
        free = [job_id for job_id in JOB_IDS if job_id not in self.talk.model.jobs]
        request = job_service_pb2.SubmitJobRequest(
            workflow=draw(st.sampled_from([*PLANS, "nowhere"])),
            job_id=draw(st.sampled_from([*free, *free, *free, *JOB_IDS, ""])),
            request_id=self._request_id(draw),
            labels=draw(st.sampled_from([{}, {"k": "a"}, {"k": "b"}])),
            priority=draw(st.sampled_from([0, 5])),
        )
        self._where(draw, request)
        self._how(draw, request)
        self._send("SubmitJob", request, draw)

    def _where(self, draw: Draw, request: Any) -> None:
        """What the job starts from."""
        if draw(st.sampled_from([False, False, True])) and self.talk.model.jobs:
            source = self._some_job(draw)
            request.fork_from.job_id = source.job_id
            request.fork_from.checkpoint_id = self._checkpoint(draw, source)
            if draw(st.booleans()):
                request.workflow = source.workflow
            return
        request.thread_id = draw(st.sampled_from(["", "t0", "t0", "t1"]))
        if not draw(_seldom):
            gate = str(self.talk.gate(draw(st.sampled_from(GATES))))
            request.input.CopyFrom(payload({"gate": gate, "trail": [f"in{len(self.sent)}"]}))

    def _how(self, draw: Draw, request: Any) -> None:
        """How it is to run."""
        for field in ("interrupt_before", "interrupt_after"):
            if draw(_seldom) and request.workflow in PLANS:
                names = [top(s) for superstep in PLANS[request.workflow].supersteps for s in superstep]
                getattr(request, field).append(draw(st.sampled_from([*names, "*"])))
        if draw(_seldom):
            request.scheduled_time.FromSeconds(draw(st.sampled_from([1, FAR_FUTURE])))
        if draw(_seldom):
            request.retention.FromSeconds(DAY_SECONDS)
        plan = PLANS.get(request.workflow)
        if plan is not None and plan.per_key is not None:
            request.concurrency_key = draw(st.sampled_from(["", "k", "k", "l"]))
        elif draw(_seldom):
            request.concurrency_key = "k"
        policy = request.retry_policy
        policy.max_attempts = draw(st.sampled_from([1, 2, 3]))
        # Where jobs wait for each other, nobody can say which is first: one that waits for a millisecond, or another.
        limited = plan is not None and (plan.jobs or plan.per_key)
        backoff = LONG_SECONDS * 1000
        policy.initial_backoff.FromMilliseconds(backoff if limited else draw(st.sampled_from([1, backoff])))

    def cancel(self, draw: Draw) -> None:
        request = job_service_pb2.CancelRequest(
            job_id=self._job_id(draw),
            reason=draw(st.sampled_from(["", "enough"])),
            etag=self._etag(draw),
        )
        grace = draw(st.sampled_from([None, 0, 20, LONG_SECONDS * 1000]))
        if grace is not None:
            request.grace_period.FromMilliseconds(grace)
        self._send("Cancel", request, draw)

    def resume(self, draw: Draw) -> None:
        job = self._some_job(draw)
        request = job_service_pb2.ResumeRequest(
            job_id=job.job_id, etag=self._etag(draw), request_id=self._request_id(draw)
        )
        questions = job.open_questions
        if questions and draw(st.sampled_from([True, True, False])):
            self._answer(draw, request, job)
        elif draw(st.booleans()):
            self._elsewhere(draw, request, job)
        self._send("Resume", request, draw)

    def _answer(self, draw: Draw, request: Any, job: Job) -> None:
        answer = st.sampled_from([{"number": 2}, {"number": 2}, {"number": 3}, "yes", {}])
        if draw(st.booleans()):
            request.answer.CopyFrom(payload(draw(answer)))
            return
        for question in job.open_questions:
            if draw(st.sampled_from([True, True, False])):
                request.answers[question.interrupt_id].CopyFrom(payload(draw(answer)))
        if draw(_seldom):
            request.answers["no such question"].CopyFrom(payload(1))

    def _elsewhere(self, draw: Draw, request: Any, job: Job) -> None:
        """Go back, or edit the state, or both."""
        point = job.point
        if draw(st.booleans()):
            request.checkpoint_id = self._checkpoint(draw, job)
            point = next((p for p in job.points if p.checkpoint_id == request.checkpoint_id), point)
        # What LangGraph makes of the rest is its own: edits of half a superstep, or of what another workflow left.
        plain = all(len(superstep) == 1 for superstep in job.plan.supersteps)
        beside = point is not None and (point.finished or (point.ran < 0 and point.parent is not None))
        if draw(st.booleans()) and not beside:
            update = {"trail": ["edited"], "gate": str(self.talk.gate(draw(st.sampled_from(GATES))))}
            # The list is refused before it is taken in, a trail that is none by its reducer, while it is taken in.
            request.state_update.CopyFrom(payload(draw(st.sampled_from([update, update, [1], {"trail": 1}]))))
            steps = [top(superstep[0]) for superstep in job.plan.supersteps] if plain else []
            request.state_update_step = draw(st.sampled_from(["", *steps, "nowhere"]))

    def delete(self, draw: Draw) -> None:
        request = job_service_pb2.DeleteJobRequest(
            job_id=self._job_id(draw), etag=self._etag(draw), allow_missing=draw(st.booleans())
        )
        self._send("DeleteJob", request, draw)

    def prune(self, draw: Draw) -> None:
        request = job_service_pb2.PruneJobsRequest(
            filter=self._filter(draw),
            checkpoints_only=draw(st.booleans()),
            dry_run=draw(st.booleans()),
        )
        request.finished_for.FromSeconds(draw(st.sampled_from([0, 0, DAY_SECONDS])))
        self._send("PruneJobs", request, draw)

    def repeat(self, draw: Draw) -> None:
        """A request that was sent before, or almost the same."""
        method, request = draw(st.sampled_from(self.sent))
        again = type(request)()
        again.CopyFrom(request)
        if draw(st.booleans()):
            _changed(again)
        self._send(method, again, draw, keeps=False)

    def open(self, draw: Draw) -> None:
        """Let through whoever waits at a gate."""
        self.talk.open(draw(st.sampled_from(GATES)))

    def kill(self, draw: Draw) -> None:
        """kill -9, and a new server; once in a history, and not in each."""
        self.restarted = True
        self.talk.restart()

    # --- what only reads ---

    def get(self, draw: Draw) -> None:
        request = job_service_pb2.GetStatusRequest(
            job_id=self._job_id(draw), view=self._view(draw), payload_format=self._format(draw)
        )
        if draw(st.booleans()):
            request.wait_timeout.FromMilliseconds(1)
        self._send("GetStatus", request, draw)

    def watch(self, draw: Draw) -> None:
        job_id = self._job_id(draw)
        job = self.talk.model.jobs.get(job_id)
        latest = 0 if job is None else self.talk.latest(job)
        request = job_service_pb2.WatchProgressRequest(
            job_id=job_id,
            after_sequence=draw(st.sampled_from([0, latest // 2, latest, latest + 1])),
            stop_when_caught_up=draw(st.booleans()),
            payload_format=self._format(draw),
        )
        self._send("WatchProgress", request, draw)

    def list_jobs(self, draw: Draw) -> None:
        request = job_service_pb2.ListJobsRequest(
            page_size=self._page_size(draw),
            filter=self._filter(draw),
            view=self._view(draw),
            payload_format=self._format(draw),
        )
        self._send("ListJobs", request, draw)

    def list_checkpoints(self, draw: Draw) -> None:
        request = job_service_pb2.ListCheckpointsRequest(
            job_id=self._job_id(draw),
            page_size=self._page_size(draw),
            view=self._view(draw),
            payload_format=self._format(draw),
        )
        self._send("ListCheckpoints", request, draw)

    def list_workflows(self, draw: Draw) -> None:
        self._send("ListWorkflows", job_service_pb2.ListWorkflowsRequest(page_size=self._page_size(draw)), draw)

    # --- parts ---

    def _send(self, method: str, request: Any, draw: Draw, *, keeps: bool = True) -> None:
        if draw(_seldom):
            for spoil in draw(st.lists(st.sampled_from(SPOILT[method]), min_size=1, max_size=3)):
                spoil(request)
        if keeps and getattr(request, "request_id", ""):
            self.sent.append((method, request))
        talk = getattr(self.talk, _TALK[method])
        if "page_token" in request.DESCRIPTOR.fields_by_name:
            self._send_for_pages(method, request, draw, talk)
        else:
            talk(request)

    def _send_for_pages(self, method: str, request: Any, draw: Draw, talk: Any) -> None:
        fits = True
        if draw(st.sampled_from([False, False, True])):
            of, query, token = draw(st.sampled_from([*self.tokens, ("", None, "nonsense")]))
            request.page_token = token
            fits = of == method and _query(request) == query
        if fits and request.page_token:
            # Where it goes on is not the model's: a token that fits is tried by reading all pages.
            request.page_token = ""
        if token := talk(request, token_fits=fits):
            self.tokens.append((method, _query(request), token))

    def _job_id(self, draw: Draw) -> str:
        return str(draw(st.sampled_from([*self.talk.model.jobs, *self.talk.model.jobs, *JOB_IDS])))

    def _some_job(self, draw: Draw) -> Job:
        return self.talk.model.jobs[draw(st.sampled_from(list(self.talk.model.jobs)))]

    def _request_id(self, draw: Draw) -> str:
        """None, a new one, or one that was used before."""
        return str(draw(st.sampled_from(["", "", f"r{len(self.sent)}", f"r{len(self.sent)}", "r0"])))

    def _etag(self, draw: Draw) -> str:
        etags = [etag for job in self.talk.model.jobs.values() for etag in (job.etags[-1], job.etags[-1], job.etags[0])]
        return str(draw(st.sampled_from(["", *[""] * len(etags), *etags])))

    def _checkpoint(self, draw: Draw, job: Job) -> str:
        return str(draw(st.sampled_from(["", *(point.checkpoint_id for point in job.points), "no such checkpoint"])))

    def _filter(self, draw: Draw) -> job_service_pb2.JobFilter:
        if draw(st.booleans()):
            return job_service_pb2.JobFilter()
        job_filter = job_service_pb2.JobFilter(
            states=draw(st.sampled_from([[], [], list(FINISHED), [INTERRUPTED]])),
            workflow=draw(st.sampled_from(["", "", *PLANS])),
            thread_id=draw(st.sampled_from(["", "", "t0", "j1"])),
            labels=draw(st.sampled_from([{}, {}, {"k": "a"}])),
        )
        if self.talk.model.jobs and draw(_seldom):
            field = draw(st.sampled_from(["created_after", "created_before"]))
            getattr(job_filter, field).FromNanoseconds(self._some_job(draw).created)
        return job_filter

    def _view(self, draw: Draw) -> Any:
        return draw(st.sampled_from([job_pb2.VIEW_UNSPECIFIED, job_pb2.VIEW_BASIC, job_pb2.VIEW_FULL]))

    def _format(self, draw: Draw) -> Any:
        return draw(st.sampled_from([TEXT, job_pb2.PAYLOAD_FORMAT_JSON]))

    def _page_size(self, draw: Draw) -> int:
        return int(draw(st.sampled_from([0, 1, 2, 1000])))


_TALK = {
    "SubmitJob": "submit",
    "Cancel": "cancel",
    "Resume": "resume",
    "DeleteJob": "delete",
    "PruneJobs": "prune",
    "GetStatus": "get",
    "WatchProgress": "watch",
    "ListJobs": "list_jobs",
    "ListCheckpoints": "list_checkpoints",
    "ListWorkflows": "list_workflows",
}


def _changed(request: Any) -> None:
    """Make a request another one, in a field that is easily overlooked."""
    if isinstance(request, job_service_pb2.ResumeRequest):
        request.etag = request.etag + "x"
    elif request.HasField("retry_policy"):
        request.ClearField("retry_policy")
    else:
        request.priority = 9 - request.priority


def _query(request: Any) -> Any:
    """What a page token belongs to."""
    query = type(request)()
    query.CopyFrom(request)
    for field in ("page_token", "page_size", "view", "payload_format"):
        if field in query.DESCRIPTOR.fields_by_name:
            query.ClearField(field)
    return query
