"""Requests read: their form checked, their contents as the job model has them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2

from autopilot_server.access.identity import Identity, Right
from autopilot_server.api.checks import MAX_ANSWERS, MAX_STATES, MICROS, Checks
from autopilot_server.api.schema_check import SchemaChecks
from autopilot_server.api.watch import WatchSpec
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import Violation
from autopilot_server.jobs.job import (
    CheckpointRef,
    Interrupt,
    Job,
    JobFilter,
    JobSpec,
    Json,
    Micros,
    RetryPolicy,
    Workflow,
)
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.store import Resumption, Submission

MOST_ATTEMPTS = 1000
MOST_SUPERSTEPS = 1_000_000
MOST_STEP_TEXT = 500
DEFAULT_HEARTBEAT_SECONDS = 30.0


class RequestReader:
    """Reads requests of callers: ids as their tenants', filters for what they may see.

    Every method raises FieldInvalidError with everything that is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        """With the limits of the settings."""
        self._settings = settings
        self._schemas = SchemaChecks()

    def _checks(self, caller: Identity) -> Checks:
        return Checks(caller.tenant, payload_bytes=self._settings.payload_bytes)

    # --- submit ---

    def submission(
        self, caller: Identity, request: job_service_pb2.SubmitJobRequest, workflow: Workflow | None
    ) -> Submission:
        """A SubmitJob. Without the workflow, its form only."""
        checks = self._checks(caller)
        spec = self._spec(checks, request, workflow)
        request_id = checks.id(request.request_id, "request_id")
        checks.refuse()
        given = replace(spec, retry_policy=RetryPolicy())
        # Not told by the spec's text.
        key = f" key {spec.concurrency_key!r} ".encode() if spec.concurrency_key else b""
        # An empty policy asks for the contract's defaults, none for the workflow's.
        policy = b"given" + request.retry_policy.SerializeToString(deterministic=True)
        return Submission(
            spec=spec,
            request_id=request_id,
            request_digest=_digest(given, key + (policy if request.HasField("retry_policy") else b"")),
            unfinished_limit=self._settings.unfinished_jobs,
            tenant_unfinished_limit=self._settings.tenant_unfinished_jobs or None,
            # Of a job that is forked from no more is asked than that it may be seen.
            admit=partial(caller.check_job, "GetStatus"),
        )

    def _spec(self, checks: Checks, request: job_service_pb2.SubmitJobRequest, workflow: Workflow | None) -> JobSpec:
        steps = None if workflow is None else workflow.steps
        return JobSpec(
            job_id=checks.job_id(request.job_id, required=False),
            workflow=checks.name(request.workflow, "workflow"),
            thread_id=checks.id(request.thread_id, "thread_id"),
            input=self._input(checks, request, workflow),
            context=self._context(checks, request, workflow),
            labels=checks.labels(request.labels, "labels"),
            priority=checks.number(request.priority, "priority", 0, 9),
            scheduled_time=_optional_time(checks, request, "scheduled_time"),
            execution_timeout=_optional_span(checks, request, "execution_timeout", least=0.001),
            retry_policy=_retry_policy(checks, request, workflow),
            fork_from=_fork_from(checks, request),
            retention=_optional_span(checks, request, "retention"),
            interrupt_before=checks.steps(request.interrupt_before, "interrupt_before", steps),
            interrupt_after=checks.steps(request.interrupt_after, "interrupt_after", steps),
            step_limit=checks.number(request.step_limit, "step_limit", 0, MOST_SUPERSTEPS) or None,
            concurrency_key=_concurrency_key(checks, request, workflow),
        )

    def _input(
        self, checks: Checks, request: job_service_pb2.SubmitJobRequest, workflow: Workflow | None
    ) -> Json | None:
        if request.HasField("fork_from"):
            if request.HasField("input"):
                checks.add("input", "must not be given together with fork_from")
            return None
        schema = None if workflow is None else workflow.input_schema
        if not request.HasField("input"):
            # As an empty state, for workflows that take one.
            text: Json | None = "{}" if schema is None or json.loads(schema).get("type") == "object" else "null"
        else:
            text = checks.json(request.input, "input")
        if text is not None and schema is not None:
            # A thread may have what the input leaves out.
            found = self._schemas.violations(text, schema, "input", partial=bool(request.thread_id))
            _add_all(checks, found)
        return text

    def _context(
        self, checks: Checks, request: job_service_pb2.SubmitJobRequest, workflow: Workflow | None
    ) -> Json | None:
        if not request.HasField("context"):
            return None
        text = checks.json(request.context, "context")
        if text is not None and not text.startswith("{"):
            checks.add("context", "must be an object")
        elif text is not None and workflow is not None and workflow.context_schema is not None:
            _add_all(checks, self._schemas.violations(text, workflow.context_schema, "context"))
        return text

    # --- resume ---

    def resumption(self, caller: Identity, request: job_service_pb2.ResumeRequest) -> Resumption:
        """A Resume. Its form only: what the questions' schemas say of its answers is told by `with_answers_checked`."""
        checks = self._checks(caller)
        resumption = Resumption(
            job_id=checks.job_id(request.job_id),
            answers=_answers(checks, request),
            sole_answer=checks.json(request.answer, "answer") if request.HasField("answer") else None,
            checkpoint_id=checks.text(request.checkpoint_id, "checkpoint_id"),
            state_update=(
                checks.json(request.state_update, "state_update") if request.HasField("state_update") else None
            ),
            state_update_step=checks.text(request.state_update_step, "state_update_step", longest=MOST_STEP_TEXT),
            request_id=checks.text(request.request_id, "request_id"),
            etag=request.etag,
        )
        _check_combination(checks, request)
        checks.refuse()
        return replace(
            resumption,
            request_digest=_digest(replace(resumption, request_id=""), b""),
            unfinished_limit=self._settings.unfinished_jobs,
            tenant_unfinished_limit=self._settings.tenant_unfinished_jobs or None,
        )

    def with_answers_checked(self, resumption: Resumption, job: Job | None) -> Resumption:
        """A Resume with what is wrong with its answers, question by question, of the job as it was just read."""
        questions = () if job is None else job.interrupts
        return replace(resumption, wrong_answers={q.interrupt_id: self._wrong(resumption, q) for q in questions})

    def _wrong(self, resumption: Resumption, question: Interrupt) -> Sequence[Violation]:
        """What is wrong with the answer to a question, if there is one."""
        field, answer = f'answers["{question.interrupt_id}"]', resumption.answers.get(question.interrupt_id)
        if resumption.sole_answer is not None:
            field, answer = "answer", resumption.sole_answer
        if answer is None or question.response_schema is None:
            return ()
        return self._schemas.violations(answer, question.response_schema, field)

    # --- the others ---

    def job_id(self, caller: Identity, value: str) -> str:
        """A request that has a job_id, and nothing else that may be wrong."""
        checks = self._checks(caller)
        job_id = checks.job_id(value)
        checks.refuse()
        return job_id

    def status(self, caller: Identity, request: job_service_pb2.GetStatusRequest) -> tuple[str, bool, Micros]:
        """A GetStatus: of which job, whether payloads are wanted, and how long to wait."""
        checks = self._checks(caller)
        job_id = checks.job_id(request.job_id)
        full = _view(checks, request, job_pb2.VIEW_FULL)
        wait = _optional_span(checks, request, "wait_timeout") or 0
        checks.refuse()
        return job_id, full, wait

    def cancel(self, caller: Identity, request: job_service_pb2.CancelRequest) -> tuple[str, str, Micros]:
        """A Cancel: its job, its reason and its grace period."""
        checks = self._checks(caller)
        job_id = checks.job_id(request.job_id)
        reason = checks.reason(request.reason)
        grace = _optional_span(checks, request, "grace_period")
        checks.refuse()
        default = round(self._settings.default_grace_seconds * MICROS)
        return job_id, reason, default if grace is None else grace

    def watch(self, caller: Identity, request: job_service_pb2.WatchProgressRequest) -> WatchSpec:
        """A WatchProgress."""
        checks = self._checks(caller)
        job_id = checks.job_id(request.job_id)
        after = checks.sequence(request.after_sequence, "after_sequence")
        as_json = _as_json(checks, request)
        heartbeat = round(DEFAULT_HEARTBEAT_SECONDS * MICROS)
        if request.HasField("heartbeat_interval"):
            heartbeat = checks.duration(request.heartbeat_interval, "heartbeat_interval", least=5, most=300)
        checks.refuse()
        return WatchSpec(
            job_id=job_id,
            after_sequence=after,
            stop_when_caught_up=request.stop_when_caught_up,
            include_tokens=request.include_tokens,
            as_json=as_json,
            heartbeat_seconds=heartbeat / MICROS,
        )

    def job_list(self, caller: Identity, request: job_service_pb2.ListJobsRequest) -> tuple[JobFilter, int, bool]:
        """A ListJobs: its filter, its page size, and whether payloads are wanted."""
        checks = self._checks(caller)
        size = checks.page_size(request.page_size)
        job_filter = _filter(checks, request.filter, caller, Right.READ)
        full = _view(checks, request, job_pb2.VIEW_BASIC)
        checks.refuse()
        return job_filter, size, full

    def checkpoint_list(
        self, caller: Identity, request: job_service_pb2.ListCheckpointsRequest
    ) -> tuple[str, int, bool]:
        """A ListCheckpoints: its job, its page size, and whether values are wanted."""
        checks = self._checks(caller)
        job_id = checks.job_id(request.job_id)
        size = checks.page_size(request.page_size)
        full = _view(checks, request, job_pb2.VIEW_BASIC)
        checks.refuse()
        return job_id, size, full

    def workflow_list(self, caller: Identity, request: job_service_pb2.ListWorkflowsRequest) -> int:
        """A ListWorkflows: its page size."""
        checks = self._checks(caller)
        size = checks.page_size(request.page_size)
        checks.refuse()
        return size

    def prune(self, caller: Identity, request: job_service_pb2.PruneJobsRequest) -> tuple[JobFilter, Micros]:
        """A PruneJobs: its filter, and for how long jobs must have been finished."""
        checks = self._checks(caller)
        job_filter = _filter(checks, request.filter, caller, Right.ADMIN)
        finished_for = _optional_span(checks, request, "finished_for")
        if finished_for is None:
            checks.add("finished_for", "is required")
        checks.refuse()
        return job_filter, finished_for or 0


# --- parts of requests ---


def _add_all(checks: Checks, violations: Iterable[Any]) -> None:
    for violation in violations:
        checks.add(violation.field, violation.description)


def _optional_time(checks: Checks, request: Any, field: str) -> Micros | None:
    return checks.timestamp(getattr(request, field), field) if request.HasField(field) else None


def _optional_span(checks: Checks, request: Any, field: str, *, least: float = 0) -> Micros | None:
    return checks.duration(getattr(request, field), field, least=least) if request.HasField(field) else None


def _view(checks: Checks, request: Any, default: int) -> bool:
    """Whether payloads are wanted; checks their form too."""
    view = checks.enum(request.view, "view", job_pb2.View, default)
    _as_json(checks, request)
    return view == job_pb2.VIEW_FULL


def _as_json(checks: Checks, request: Any) -> bool:
    kind = checks.enum(request.payload_format, "payload_format", job_pb2.PayloadFormat, job_pb2.PAYLOAD_FORMAT_JSON)
    return kind == job_pb2.PAYLOAD_FORMAT_JSON


def _retry_policy(checks: Checks, request: job_service_pb2.SubmitJobRequest, workflow: Workflow | None) -> RetryPolicy:
    default = RetryPolicy()
    if not request.HasField("retry_policy"):
        return default if workflow is None else workflow.retry_policy
    given, field = request.retry_policy, "retry_policy"
    attempts = checks.number(given.max_attempts, f"{field}.max_attempts", 0, MOST_ATTEMPTS)
    multiplier = given.backoff_multiplier
    # Also refuses NaN, which compares with nothing.
    if multiplier != 0 and not 1 <= multiplier <= 1000:
        checks.add(f"{field}.backoff_multiplier", "must be from 1 to 1000")
    spans = {
        name: checks.duration(getattr(given, name), f"{field}.{name}")
        for name in ("initial_backoff", "max_backoff")
        if given.HasField(name)
    }
    return RetryPolicy(
        max_attempts=attempts or default.max_attempts,
        initial_backoff=spans.get("initial_backoff", default.initial_backoff),
        max_backoff=spans.get("max_backoff", default.max_backoff),
        backoff_multiplier=multiplier or default.backoff_multiplier,
    )


def _concurrency_key(checks: Checks, request: job_service_pb2.SubmitJobRequest, workflow: Workflow | None) -> str:
    key = checks.id(request.concurrency_key, "concurrency_key")
    if key and workflow is not None and workflow.concurrency.per_key is None:
        checks.add("concurrency_key", "the workflow has no limit of running jobs per key")
    return key


def _fork_from(checks: Checks, request: job_service_pb2.SubmitJobRequest) -> CheckpointRef | None:
    if not request.HasField("fork_from"):
        return None
    if request.thread_id:
        checks.add("thread_id", "must not be given together with fork_from")
    fork = request.fork_from
    return CheckpointRef(
        checks.job_id(fork.job_id, "fork_from.job_id"),
        checks.text(fork.checkpoint_id, "fork_from.checkpoint_id"),
    )


def _answers(checks: Checks, request: job_service_pb2.ResumeRequest) -> dict[str, Json]:
    answers: dict[str, Json] = {}
    if checks.too_many(len(request.answers), MAX_ANSWERS, "answers", "answers"):
        return answers
    for interrupt_id, answer in sorted(request.answers.items()):
        field = f'answers["{interrupt_id[:64]}"]'
        if not interrupt_id:
            checks.add(field, "names no question")
        text = checks.json(answer, field)
        if text is not None:
            answers[interrupt_id] = text
    return answers


def _check_combination(checks: Checks, request: job_service_pb2.ResumeRequest) -> None:
    answered = request.HasField("answer") or bool(request.answers)
    if request.HasField("answer") and request.answers:
        checks.add("answer", "must not be given together with answers")
    if answered and request.checkpoint_id:
        checks.add("checkpoint_id", "must not be given together with answers: the job asks again")
    if answered and request.HasField("state_update"):
        checks.add("state_update", "must not be given together with answers: the job asks again")
    if request.state_update_step and not request.HasField("state_update"):
        checks.add("state_update_step", "needs a state_update")


def _filter(checks: Checks, value: job_service_pb2.JobFilter, caller: Identity, right: Right) -> JobFilter:
    """A filter for the jobs that the caller has a right for."""
    return JobFilter(
        tenant=caller.tenant,
        patterns=caller.patterns(right),
        states=_states(checks, value.states),
        workflow=checks.name(value.workflow, "filter.workflow", required=False),
        thread_id=checks.id(value.thread_id, "filter.thread_id"),
        labels=checks.labels(value.labels, "filter.labels"),
        created_after=(
            checks.timestamp(value.created_after, "filter.created_after") if value.HasField("created_after") else None
        ),
        created_before=(
            checks.timestamp(value.created_before, "filter.created_before")
            if value.HasField("created_before")
            else None
        ),
    )


def _states(checks: Checks, values: Sequence[int]) -> frozenset[JobState]:
    if checks.too_many(len(values), MAX_STATES, "filter.states", "states"):
        return frozenset()
    known = JobState._value2member_map_
    for index, state in enumerate(values):
        if state not in known:
            checks.add(f"filter.states[{index}]", f"{state} is not a state")
    return frozenset(JobState(state) for state in values if state in known)


def _digest(contents: JobSpec | Resumption, more: bytes) -> bytes:
    """A digest of what is asked for: the same for the same JSON value in another form."""

    def canonical(value: Any) -> Any:
        return json.dumps(json.loads(value), sort_keys=True) if isinstance(value, str) else value

    match contents:
        case JobSpec():
            contents = replace(contents, input=canonical(contents.input), context=canonical(contents.context))
        case Resumption():
            contents = replace(
                contents,
                answers={key: canonical(answer) for key, answer in contents.answers.items()},
                sole_answer=canonical(contents.sole_answer),
                state_update=canonical(contents.state_update),
            )
    return hashlib.sha256(repr(contents).encode("utf-8", "replace") + more).digest()
