"""One attempt of one job, from its claim to the job's next state."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.store.base import BaseStore
from langgraph.types import Command

from autopilot_server.config import Settings
from autopilot_server.doorbell import Doorbell
from autopilot_server.engine import private
from autopilot_server.engine.checkpoints import METADATA_KEY, RunSaver
from autopilot_server.engine.failures import describe
from autopilot_server.engine.outcome import (
    AnswerRefused,
    Completed,
    Failed,
    GivenBack,
    Interrupted,
    Outcome,
    UpdateRefused,
    failure,
    given_back,
    run_end,
)
from autopilot_server.engine.questions import Stop, answers_to_send, read_stop
from autopilot_server.engine.recorder import Breakpoints, Recorder
from autopilot_server.engine.start_point import UpdateRefusedError, apply_start_point
from autopilot_server.engine.step_entries import StepEntries
from autopilot_server.engine.tenant_memory import TenantMemory
from autopilot_server.engine.tokens import RunCallbacks
from autopilot_server.engine.values import NotJsonError, to_json
from autopilot_server.engine.workflows import LoadedWorkflow
from autopilot_server.jobs.errors import SealBrokenError, StaleRunError, StorageUnavailableError
from autopilot_server.jobs.events import TokenChunk
from autopilot_server.jobs.job import JobError, JobErrorReason, now
from autopilot_server.jobs.progress import ProgressEstimate
from autopilot_server.jobs.states import JobState
from autopilot_server.jobs.tenants import public, tenant_of
from autopilot_server.observer import Observer
from autopilot_server.storage.damaged import damaged
from autopilot_server.storage.store import Claim, EncodeEvent, Fence, RunEnd, RunUpdate, Store
from autopilot_server.tracer import AttemptSpan, Tracer

log = logging.getLogger(__name__)

# How long a run that was told to stop may take to do so before it is left behind.
STOP_SECONDS = 1.0

# Entries of `configurable` that a job's context may not set.
RESERVED = frozenset({"thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map", "job_id", "tenant", "attempt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunServices:
    """What every run needs."""

    store: Store
    doorbell: Doorbell
    encode_event: EncodeEvent
    settings: Settings
    serde: SerializerProtocol
    memory: BaseStore | None
    """LangGraph's store, for `runtime.store`."""
    observer: Observer
    tracer: Tracer


class Fenced(Exception):  # noqa: N818 - not an error, an end
    """The run is not the job's any more: somebody else decided what becomes of the job."""


class Released(Exception):  # noqa: N818 - not an error, an end
    """The process stops: the job goes on elsewhere, or later."""


class Run:
    """One attempt of one job. Used from the engine's loop only, but for `fail`."""

    def __init__(self, *, claim: Claim, workflow: LoadedWorkflow, services: RunServices, span: AttemptSpan) -> None:
        """Prepare the run of a claimed job."""
        self.claim = claim
        self.fence = claim.fence
        self._workflow, self._services, self._span = workflow, services, span
        self._loop = asyncio.get_running_loop()
        self._control = RunControl()
        self._stopping: asyncio.Future[Exception] = self._loop.create_future()
        self._callbacks = RunCallbacks(send=self._send_tokens, loop=self._loop)
        self._recorder = self._make_recorder()
        self._saver = RunSaver(services.store, services.serde, self._recorder)
        self._config = self._make_config()
        self._sent: list[str] = []

    # --- told from outside ---

    def drain(self) -> None:
        """Stop at the next checkpoint."""
        self._control.request_drain("the job is cancelled, or the server stops")

    def abandon(self) -> None:
        """Stop at once: the job is no longer this run's."""
        self._stop(Fenced())

    def release(self) -> None:
        """Stop at once, and give the job back as PENDING."""
        self._stop(Released())

    def fail(self, error: Exception) -> None:
        """A write failed. From any thread."""
        # The loop is closed once the process gives up what does not stop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop, error)

    def _stop(self, why: Exception) -> None:
        if isinstance(why, Fenced | StaleRunError):
            # At once, and not when the steps have stopped, which may take a while.
            self._callbacks.discard()
        if not self._stopping.done():
            self._stopping.set_result(why)

    # --- the story ---

    async def execute(self) -> bool:
        """Run the attempt and store its end. False when something of it was left behind running."""
        attempt = self._loop.create_task(self._attempt(), name=f"job {self.fence.job_id}")
        ended = await self._until_over(attempt)
        # Before the end is told: a watch shows no tokens after it.
        self._callbacks.close()
        outcome = self._outcome(attempt)
        if outcome is not None:
            await self._give_back(outcome)
        self._recorder.close()
        return ended

    async def _until_over(self, attempt: asyncio.Task[Outcome]) -> bool:
        either: set[asyncio.Future[Any]] = {attempt, self._stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not attempt.done():
            attempt.cancel()
            await asyncio.wait({attempt}, timeout=STOP_SECONDS)
        if not attempt.done():
            # A node that swallows its cancellation. What it still does is discarded; nobody waits for it.
            attempt.add_done_callback(_retrieve)
            return False
        return True

    def _outcome(self, attempt: asyncio.Task[Outcome]) -> Outcome | None:
        """How the attempt ended; None when that is not this run's to say any more."""
        error: BaseException | None = self._stopping.result() if self._stopping.done() else None
        if attempt.done() and error is None:
            error = asyncio.CancelledError() if attempt.cancelled() else attempt.exception()
            if error is None:
                return attempt.result()
        elif attempt.done():
            _retrieve(attempt)
        match error:
            case Fenced() | StaleRunError():
                return None
            case Released():
                return GivenBack()
            case StorageUnavailableError():
                return GivenBack(wait_seconds=error.retry_delay or 1.0)
            case None:
                raise AssertionError("an attempt ends with a result or an error")
            case _:
                return self._failed(error)

    async def _attempt(self) -> Outcome:
        async with self._workflow.open(self._config) as graph:
            self._recorder.attach(graph, self._breakpoints(graph))
            try:
                outcome = await self._drive(graph)
            except (StaleRunError, StorageUnavailableError, SealBrokenError):
                raise
            except UpdateRefusedError as error:
                assert self.claim.start_point is not None  # noqa: S101 - only a start point is refused
                return UpdateRefused(str(error), self.claim.start_point)
            except GraphDrained:
                outcome = GivenBack()
            except Exception as error:
                # Whatever the workflow's own code raises.
                outcome = self._failed(error)
            await self._recorder.settle()
            return outcome if isinstance(outcome, Completed) else await self._with_stop(graph, outcome)

    async def _drive(self, graph: private.Pregel[Any, Any, Any, Any]) -> Outcome:
        if self._control.drain_requested:
            return GivenBack()
        if self.claim.start_point is not None:
            await apply_start_point(graph, self._config, self.claim.start_point, self._recorder)
            return await self._stream(graph, None)
        if not self.claim.job.checkpoint_id:
            return await self._stream(graph, self._workflow.parse_input(self.claim.job.spec.input))
        if self._stands_at_breakpoint():
            return Interrupted(_NOWHERE)
        return await self._stream(graph, await self._answers(graph))

    async def _stream(self, graph: private.Pregel[Any, Any, Any, Any], graph_input: Any) -> Outcome:
        spec = self.claim.job.spec
        last: Any = None
        async for part in graph.astream(
            graph_input,
            self._config,
            context=None if spec.context is None else json.loads(spec.context),
            stream_mode=["values"],
            output_keys=graph.output_channels,
            interrupt_before=_steps(spec.interrupt_before),
            interrupt_after=_steps(spec.interrupt_after),
            durability="sync",
            control=self._control,
            version="v2",
        ):
            last = part["data"]
        if self._callbacks.interrupted is not None:
            return Interrupted(_NOWHERE)
        return self._completed(last)

    def _completed(self, output: Any) -> Outcome:
        limit = self._services.settings.payload_bytes
        try:
            text = to_json(output)
        except NotJsonError as error:
            return _output_invalid(f"The workflow's output cannot be written as JSON: {error}.")
        if (size := len(text.encode())) > limit:
            return _output_invalid(
                f"The workflow's output takes {size} bytes as JSON, and the limit is {limit}. "
                "Narrow the workflow's output schema, or raise the server's --payload-bytes."
            )
        return Completed(text)

    async def _answers(self, graph: private.Pregel[Any, Any, Any, Any]) -> Command[Any] | None:
        if not self.claim.answers:
            return None
        self._sent = await answers_to_send(graph, self._config, self.claim.answers)
        if not self._sent:
            return None
        # By id, never as a bare value, which LangGraph would give to whatever question comes first.
        return Command(
            resume={interrupt_id: json.loads(self.claim.answers[interrupt_id]) for interrupt_id in self._sent}
        )

    async def _with_stop(self, graph: private.Pregel[Any, Any, Any, Any], outcome: Outcome) -> Outcome:
        """Add what is open in the state to an outcome."""
        stop = _NOWHERE
        if self._recorder.has_checkpoint:
            stop = await read_stop(graph, self._config, payload_bytes=self._services.settings.payload_bytes)
        match outcome:
            case AnswerRefused():
                still_open = {question.interrupt_id for question in stop.questions}
                refused = [sent for sent in self._sent if sent in still_open]
                if not refused:
                    return Failed(outcome.error, retryable=True, stop=stop)
                return replace(outcome, answers=refused, stop=stop)
            case Interrupted() | GivenBack() | Failed():
                return replace(outcome, stop=stop)
            case _:
                return outcome

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, SealBrokenError):
            return Failed(damaged(error, self.fence.job_id), retryable=False)
        step = self._recorder.failed_step(error)
        traced = self._services.settings.return_tracebacks
        if self._sent and private.is_invalid_resume(error):
            refused = describe(error, step, reason=JobErrorReason.ANSWER_REFUSED, with_traceback=traced)
            return AnswerRefused(refused, (), _NOWHERE)
        log.info(
            "attempt failed",
            extra={"job_id": self.fence.job_id, "attempt": self.claim.job.attempt, "step": step},
            exc_info=error,
        )
        failed = failure(error, step, isolation=self._workflow.descriptor.isolation, with_traceback=traced)
        # Before any step: the state or the input itself is refused, and will be again.
        return replace(failed, retryable=failed.retryable and (bool(step) or self._recorder.began))

    async def _give_back(self, outcome: Outcome) -> None:
        end = run_end(outcome, self.claim.job, completed_steps=self._recorder.completed_steps)
        known = {question.interrupt_id: question.create_time for question in self.claim.job.interrupts}
        questions = [replace(q, create_time=known.get(q.interrupt_id, q.create_time)) for q in end.interrupts or ()]
        only_newest = self._workflow.kept_checkpoints.newest_when_succeeded and not self._recorder.keeps_history
        end = replace(end, keeps_newest=only_newest)
        update = self._recorder.finish(
            succeeded=end.to_state is JobState.SUCCEEDED,
            questions=[q for q in questions if end.to_state is JobState.INTERRUPTED or self._recorder.asked(q)],
        )
        try:
            # The end stands behind all that the run has told.
            await self._recorder.written()
        except StaleRunError:
            return
        except StorageUnavailableError as error:
            # Something of it is missing: the job goes on from what there is.
            end, update = given_back(wait_seconds=error.retry_delay or 1.0), RunUpdate()
        state = await store_end(self._services.store, self.fence, end, update)
        if state is not None:
            self._services.observer.run_ended(self._workflow.descriptor.name, state.name)
            tell_end(self._span, state, end.error)

    # --- parts ---

    def _make_recorder(self) -> Recorder:
        descriptor, services, job = self._workflow.descriptor, self._services, self.claim.job
        statistics = services.store.workflow_statistics(
            descriptor.name, descriptor.revision, tenant=tenant_of(job.job_id)
        )
        return Recorder(
            store=services.store,
            claim=self.claim,
            encode=services.encode_event,
            estimate=ProgressEstimate(start=job.progress, statistics=statistics, longest_path=descriptor.longest_path),
            describe_error=self._describe,
            payload_bytes=services.settings.payload_bytes,
            keep_last=self._workflow.kept_checkpoints.last,
            loop=self._loop,
            on_failure=self.fail,
            observer=services.observer,
            span=self._span,
        )

    def _describe(self, error: BaseException, step: str) -> JobError:
        return describe(error, step, with_traceback=self._services.settings.return_tracebacks)

    def _make_config(self) -> RunnableConfig:
        job = self.claim.job
        configurable = {
            **_context_entries(job.spec.context),
            "thread_id": job.spec.thread_id,
            # For steps that make their effects idempotent: a job's id is unique within its tenant.
            "job_id": public(job.job_id),
            "tenant": tenant_of(job.job_id),
            "attempt": job.attempt,
            **private.run_keys(
                saver=self._saver,
                on_chunk=self._recorder.on_chunk,
                on_custom=self._recorder.on_custom,
                memory=self._memory(),
            ),
        }
        config = RunnableConfig(
            configurable=configurable,
            callbacks=[self._callbacks, *([StepEntries(self._span.step_entered)] if self._span.records_steps else [])],
            run_id=self._callbacks.run_id,
            run_name=self._workflow.descriptor.name,
        )
        if job.spec.step_limit is not None:
            config["recursion_limit"] = job.spec.step_limit
        return config

    def _memory(self) -> BaseStore | None:
        memory = self._services.memory
        return None if memory is None else TenantMemory(memory, tenant_of(self.claim.job.job_id))

    def _breakpoints(self, graph: private.Pregel[Any, Any, Any, Any]) -> Breakpoints:
        spec = self.claim.job.spec
        return Breakpoints(
            before=_steps(spec.interrupt_before) or graph.interrupt_before_nodes,
            after=_steps(spec.interrupt_after) or graph.interrupt_after_nodes,
        )

    def _stands_at_breakpoint(self) -> bool:
        """Whether a run died between a breakpoint's checkpoint and telling that it stopped there."""
        checkpoint_id = self.claim.job.checkpoint_id
        if checkpoint_id == self.claim.passed_breakpoint:
            return False
        row = self._services.store.checkpoint_get(self.claim.job.spec.thread_id, "", checkpoint_id)
        return row is not None and bool(json.loads(row.metadata).get(METADATA_KEY, {}).get("breakpoint"))

    def _send_tokens(self, step: str, message_id: str, text: str) -> None:
        chunk = TokenChunk(self.fence.job_id, now(), self.claim.job.attempt, step, message_id, text)
        self._services.doorbell.send_tokens(chunk)


_NOWHERE = Stop((), ())


async def store_end(store: Store, fence: Fence, end: RunEnd, update: RunUpdate) -> JobState | None:
    """Store how a run ended, however long the database is away: nobody else can say it.

    What became of the job; None when somebody else has said it.
    """
    while True:
        try:
            return await store.run_end(fence, end, update)
        except StaleRunError:
            return None
        except StorageUnavailableError as error:
            await asyncio.sleep(error.retry_delay or 1.0)


def tell_end(span: AttemptSpan, state: JobState, error: JobError | None) -> None:
    """End an attempt's span."""
    if error is None or state is JobState.CANCELLED:
        span.ended(state.name)
    else:
        span.ended(state.name, error.reason, error.exception_type)


def _steps(names: tuple[str, ...]) -> Any:
    return "*" if "*" in names else list(names)


def _context_entries(context: str | None) -> Mapping[str, Any]:
    values = None if context is None else json.loads(context)
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if key not in RESERVED and not key.startswith("__")}


def _output_invalid(message: str) -> Failed:
    return Failed(JobError(JobErrorReason.OUTPUT_INVALID, message), retryable=False)


def _retrieve(attempt: asyncio.Task[Outcome]) -> None:
    if not attempt.cancelled():
        attempt.exception()
