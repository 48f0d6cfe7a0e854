"""Traces by OpenTelemetry: calls, attempts and steps as spans, exported over OTLP.

Where to, how much and under which name is told by OpenTelemetry's own environment variables, which its SDK reads. Needs
the extra `otel`. docs/traces.md says what the spans are.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from autopilot_server.jobs.job import Micros
from autopilot_server.jobs.tenants import public, tenant_of
from autopilot_server.jobs.traces import JobTrace, TraceContext
from autopilot_server.storage.store import Claim, LostRun
from autopilot_server.tracer import AttemptSpan, CallSpan, StepOutcome, Tracer
from autopilot_server.traces.exporting import Exporting

# Codes that are the server's fault, as OpenTelemetry's conventions for RPCs have it.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

# A span's id that stands already: see JobTrace.span_id.
_span_id: ContextVar[int] = ContextVar("span_id", default=0)


class OpenTelemetryTracer(Tracer):
    """Makes spans, and exports them."""

    def __init__(self, version: str) -> None:
        """Become the process's tracer provider too, so that spans of workflows' own go the same way.

        StartupError when the environment asks for what cannot be.
        """
        self._exporting = Exporting()
        provider = TracerProvider(resource=_resource(version), id_generator=_SpanIds(), shutdown_on_exit=False)
        provider.add_span_processor(self._exporting)
        trace.set_tracer_provider(provider)
        self._tracer = provider.get_tracer("autopilot", version)

    def call_began(self, method: str, caller: TraceContext | None) -> CallSpan:
        """See Tracer."""
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        span = self._tracer.start_span(method, _around(caller), SpanKind.SERVER, attributes)
        return _Call(span, caller)

    def attempt_began(self, claim: Claim) -> AttemptSpan:
        """See Tracer."""
        span = self._start_attempt(claim.job.job_id, claim.job.spec.workflow, claim.job.attempt, claim.trace)
        return _Attempt(self._tracer, span)

    def attempt_lost(self, run: LostRun) -> None:
        """See Tracer."""
        span = self._start_attempt(run.job_id, run.workflow, run.attempt, run.trace, began=run.claim_time)
        _fail(span, "WORKER_LOST")
        span.end(run.last_write_time * 1000)

    def _start_attempt(
        self, job_id: str, workflow: str, attempt: int, job_trace: JobTrace, began: Micros | None = None
    ) -> Span:
        attributes: dict[str, str | int] = {
            "autopilot.job_id": public(job_id),
            "autopilot.tenant": tenant_of(job_id),
            "autopilot.workflow": workflow,
            "autopilot.attempt": attempt,
        }
        token = _span_id.set(int(job_trace.span_id, 16))
        try:
            return self._tracer.start_span(
                f"attempt {workflow}",
                _around(job_trace.parent),
                SpanKind.CONSUMER,
                attributes,
                _links(job_trace),
                start_time=None if began is None else began * 1000,
            )
        finally:
            _span_id.reset(token)

    def close(self) -> None:
        """See Tracer."""
        self._exporting.close()


class _Call(CallSpan):
    """A span of kind SERVER."""

    def __init__(self, span: Span, caller: TraceContext | None) -> None:
        # Where OpenTelemetry is told to be disabled, spans are nothing.
        super().__init__(_context_of(span) if span.get_span_context().is_valid else caller)
        self._span = span

    def ended(self, code: str, reason: str = "") -> None:
        self._span.set_attribute("rpc.response.status_code", code)
        if code != "OK":
            self._span.set_attribute("error.type", reason or code)
        if code in _FAULTS:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _Attempt(AttemptSpan):
    """A span of kind CONSUMER, and those of its steps."""

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer, self._span = tracer, span
        self.records_steps = span.is_recording()
        self._context = trace.set_span_in_context(span)
        self._lock = threading.Lock()
        self._steps: dict[str, Span] = {}
        self._entered: set[str] = set()

    @contextmanager
    def current(self) -> Iterator[None]:
        token = current.attach(self._context)
        try:
            yield
        finally:
            current.detach(token)

    def step_began(self, step: str, step_run_id: str, *, within: str = "", seconds_ago: float = 0) -> None:
        if not self.records_steps:
            return
        with self._lock:
            around = trace.set_span_in_context(self._steps.get(within, self._span), current.Context())
            self._steps[step_run_id] = self._tracer.start_span(
                f"step {step}",
                around,
                attributes={"autopilot.step": step, "autopilot.step_run_id": step_run_id},
                start_time=time.time_ns() - round(seconds_ago * 1e9),
            )

    def step_entered(self, step_run_id: str) -> None:
        with self._lock:
            span = self._steps.get(step_run_id)
            if span is None or step_run_id in self._entered:
                # What the step's own code calls must not hide the spans that it has made.
                return
            self._entered.add(step_run_id)
        current.attach(trace.set_span_in_context(span))

    def step_ended(self, step_run_id: str, outcome: StepOutcome, exception_type: str = "") -> None:
        with self._lock:
            span = self._steps.pop(step_run_id, None)
            self._entered.discard(step_run_id)
        if span is None:
            return
        span.set_attribute("autopilot.outcome", outcome)
        if outcome == "failed":
            _fail(span, exception_type)
        span.end()

    def ended(self, state: str, reason: str = "", exception_type: str = "") -> None:
        if not self._span.is_recording():
            return
        for step_run_id in list(self._steps):
            self.step_ended(step_run_id, "cancelled")
        if state:
            self._span.set_attribute("autopilot.state", state)
        if reason:
            self._span.set_attribute("autopilot.reason", reason)
            _fail(self._span, exception_type or reason)
        self._span.end()


class _SpanIds(RandomIdGenerator):
    """Random ids, but for the span whose id stands already."""

    def generate_span_id(self) -> int:
        return _span_id.get() or super().generate_span_id()


def _resource(version: str) -> Resource:
    # What the environment says goes before.
    ours: Mapping[str, str] = {SERVICE_NAME: "autopilot", SERVICE_VERSION: version}
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


def _fail(span: Span, kind: str) -> None:
    """Mark a span as failed. Never with the error's message: it may hold what a job holds."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)


def _links(job_trace: JobTrace) -> list[Link]:
    """To the attempt before and to the last Resume: to that from each attempt since, because one that is killed is
    exported by the next process at best."""
    links = []
    if job_trace.parent is not None and job_trace.previous_span_id:
        previous = TraceContext.of(job_trace.trace_id, job_trace.previous_span_id, sampled=job_trace.parent.sampled)
        links.append(Link(_span_context(previous), {"autopilot.link": "previous_attempt"}))
    if job_trace.resumed is not None:
        links.append(Link(_span_context(job_trace.resumed), {"autopilot.link": "resume"}))
    return links


def _around(context: TraceContext | None) -> current.Context:
    """For a span inside another one, or the first of a trace of its own."""
    empty = current.Context()
    return empty if context is None else trace.set_span_in_context(NonRecordingSpan(_span_context(context)), empty)


def _span_context(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([context.tracestate]) if context.tracestate else None,
    )


def _context_of(span: Span) -> TraceContext:
    found = span.get_span_context()
    return TraceContext.of(
        trace.format_trace_id(found.trace_id),
        trace.format_span_id(found.span_id),
        sampled=found.trace_flags.sampled,
        tracestate=found.trace_state.to_header(),
    )
