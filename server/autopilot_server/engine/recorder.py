"""What a run tells the log: turns LangGraph's pushes into events, and sends them with what they report.

Everything here may be called from any thread (synchronous subgraphs run on threads of their own), so one lock guards
it. The store's operations are queued under the lock: the order of the log is the order of the calls.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, CheckpointTuple

from autopilot_server.engine import private
from autopilot_server.engine.failures import StateInvalidError, state_invalid, type_name
from autopilot_server.engine.payloads import event_payload
from autopilot_server.engine.reports import Report, ReportLimiter
from autopilot_server.jobs.errors import StaleRunError, StorageUnavailableError
from autopilot_server.jobs.events import (
    CheckpointSaved,
    Event,
    EventKind,
    InterruptRaised,
    ProgressReported,
    StepFailed,
    StepFinished,
    StepStarted,
)
from autopilot_server.jobs.job import SECOND, Interrupt, JobError, Micros, Progress, now, steady
from autopilot_server.jobs.progress import ProgressEstimate, step_names
from autopilot_server.observer import Observer
from autopilot_server.storage.store import (
    CheckpointPut,
    CheckpointRow,
    Claim,
    EncodeEvent,
    EventDraft,
    RunUpdate,
    Store,
    Write,
    WritesPut,
)
from autopilot_server.tracer import AttemptSpan, StepOutcome

# Events, and the writes of a superstep's last task, are kept back this long: they travel with the checkpoint that
# follows at once. If the process dies in between, the step was never told as finished, and runs again.
LINGER_SECONDS = 0.020


@dataclass(slots=True)
class _Task:
    step: str
    namespace: tuple[str, ...]
    started: Micros
    """By the steady clock, as everything of which a duration is told."""
    output: bool | None = None
    """Whether what it has written makes LangGraph take it for finished; None: nothing is written yet."""


@dataclass(frozen=True, slots=True)
class _Held:
    """How a task ended, to be told with its writes."""

    kind: StepFinished | StepFailed
    cancelled: bool
    """Because a sibling failed: then it has finished only if there is output among its writes, as when it was cancelled
    behind its work. LangGraph keeps that, and does not run the task again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakpoints:
    """The steps before and after which the run stops, as LangGraph takes them ("*": all)."""

    before: str | Sequence[str]
    after: str | Sequence[str]


class Recorder:
    """The log of one run. Implements the saver's CheckpointSink."""

    def __init__(
        self,
        *,
        store: Store,
        claim: Claim,
        encode: EncodeEvent,
        estimate: ProgressEstimate,
        describe_error: Callable[[BaseException, str], JobError],
        payload_bytes: int,
        keep_last: int | None,
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[Exception], None],
        observer: Observer,
        span: AttemptSpan,
    ) -> None:
        """Record the run of `claim`. `keep_last`: how many checkpoints stay, None for all. `on_failure` is called, on
        any thread, when a write fails."""
        self._store, self._claim, self._encode = store, claim, encode
        self._estimate, self._describe_error = estimate, describe_error
        self._payload_bytes, self._loop, self._on_failure = payload_bytes, loop, on_failure
        self._keep_last = keep_last
        self.keeps_history = False
        """Whether some graph of the run reads earlier checkpoints. Known of the workflow's graph beforehand, and not of
        those that its steps make themselves."""
        self._observer, self._span = observer, span
        self._loop_thread = threading.get_ident()
        self._lock = threading.RLock()
        self._closed = False
        self._claimed = steady()
        self._graph: private.Pregel[Any, Any, Any, Any]
        self._breakpoints = Breakpoints(before=(), after=())
        self._subgraphs: frozenset[str] = frozenset()
        self._checkpointed: set[str] = set()
        self._finished_before: set[str] = set()
        self._tasks: dict[str, _Task] = {}
        self._inside: dict[str, list[str]] = {}
        self._started: set[str] = set()
        self._active: dict[str, tuple[str, float]] = {}
        self._held: dict[str, _Held] = {}
        self._superstep: set[str] = set()
        self._errors: dict[int, tuple[BaseException, str]] = {}
        self._failed_at: dict[tuple[str, ...], dict[str, Micros]] = {}
        self._drafts: list[EventDraft] = []
        self._writes: list[WritesPut] = []
        self._progress: Progress | None = None
        self._next_steps: tuple[str, tuple[str, ...]] = ("", ())
        self._reports = ReportLimiter()
        self._timer_armed = False
        self._last_write: Write[None] | None = None
        self._start_point_open = claim.start_point is not None
        self.has_checkpoint = bool(claim.job.checkpoint_id)
        """Whether the thread's newest checkpoint is the job's own, and not an earlier job's."""

    # --- for the run ---

    def attach(self, graph: private.Pregel[Any, Any, Any, Any], breakpoints: Breakpoints) -> None:
        """Record what this graph does."""
        self._graph, self._breakpoints = graph, breakpoints
        self._subgraphs = private.subgraph_paths(graph)

    def rewind(self, completed_steps: int) -> None:
        """Count steps anew from a checkpoint."""
        self._estimate.completed_steps = completed_steps

    def discard_edit(self, completed_steps: int) -> None:
        """Store nothing of an edit that was refused, and count steps as before it."""
        with self._lock:
            self._writes.clear()
        self.rewind(completed_steps)

    @property
    def completed_steps(self) -> int:
        """Steps finished so far."""
        return self._estimate.completed_steps

    def failed_step(self, error: BaseException) -> str:
        """The step that raised an error; empty when it is not known."""
        return self._errors.get(id(error), (error, ""))[1]

    async def settle(self) -> None:
        """Wait until everything that was written is committed."""
        with self._lock:
            if not self._closed and (self._drafts or self._writes):
                self._send()
        await self.written()

    async def written(self) -> None:
        """Wait until what was sent is committed. Raises the error of the first write that was not."""
        if self._last_write is not None:
            await self._last_write

    def close(self) -> None:
        """Record nothing any more: what a step left behind does from now on is discarded."""
        with self._lock:
            self._closed = True

    @property
    def began(self) -> bool:
        """Whether any step began in this attempt."""
        return bool(self._started)

    def asked(self, question: Interrupt) -> bool:
        """Whether the step that asks began in this attempt."""
        return question.step_run_id in self._started

    def finish(self, *, succeeded: bool = False, questions: Sequence[Interrupt] = ()) -> RunUpdate:
        """Close, and give what remains to be told with the run's end."""
        with self._lock:
            self._closed = True
            if (report := self._reports.flush()) is not None:
                self._append_report(report)
            self._active.clear()
            for question in questions:
                self._append(InterruptRaised(question))
            self._progress = self._estimate.stopped(elapsed=self._elapsed(), succeeded=succeeded)
            return self._update()

    # --- pushed by LangGraph ---

    def on_chunk(self, chunk: private.StreamChunk) -> None:
        """A task began or ended."""
        namespace, mode, payload = chunk
        if mode != "tasks":
            return
        with self._lock:
            if self._closed:
                return
            if "result" in payload:
                self._ended(namespace, payload)
            else:
                self._began(namespace, payload)

    def on_custom(self, value: Any) -> None:
        """A node called the stream writer."""
        parts = private.split_namespace(private.current_namespace())
        step = "/".join(private.node_of(part) for part in parts)
        task_id = private.task_of(parts[-1]) if parts else ""
        report = Report.of(value, step=step, task_id=task_id)
        with self._lock:
            if self._closed:
                return
            if task_id in self._active and report.fraction is not None:
                self._active[task_id] = (self._active[task_id][0], report.fraction)
            if (ready := self._reports.offer(report, time.monotonic())) is not None:
                self._append_report(ready)
            self._arm_timer()

    def _began(self, namespace: tuple[str, ...], payload: Any) -> None:
        if not namespace:
            self._superstep.add(payload["name"])
        step = _path(namespace, payload["name"])
        if payload["id"] in self._finished_before or step in self._subgraphs:
            return
        self._span.step_began(step, payload["id"], within=self._innermost(namespace))
        self._tasks[payload["id"]] = _Task(step, namespace, steady())
        self._active[payload["id"]] = (step, 0.0)
        for around in filter(None, map(private.task_of, namespace)):
            self._inside.setdefault(around, []).append(payload["id"])
        self._append(StepStarted(step, payload["id"]))
        self._observer.step_began(self._claim.fence.job_id, self._claim.job.spec.workflow, step)
        self._arm_timer()

    def _innermost(self, namespace: tuple[str, ...]) -> str:
        """The running step that a namespace is inside of; empty when it is none's."""
        around = [task_id for task_id in map(private.task_of, namespace) if task_id in self._tasks]
        return around[-1] if around else ""

    def _ended(self, namespace: tuple[str, ...], payload: Any) -> None:
        task_id = payload["id"]
        if private.is_error_handler(payload["name"]) and task_id not in self._finished_before:
            self._began_handler(namespace, payload)
        task = self._tasks.pop(task_id, None)
        if payload["error"] is None and not payload["interrupts"]:
            self._end_inside(task_id, payload["result"], told_with_own=task is not None)
        if task is None:
            return
        self._span.step_ended(task_id, *_outcome(payload))
        self._drop_active(task_id)
        if (report := self._reports.flush(task_id)) is not None:
            self._append_report(report)
        kind = self._ending(task, task_id, payload)
        if kind is None:
            return
        if isinstance(kind, StepFailed):
            self._failed_at.setdefault(namespace, {})[payload["name"]] = steady()
        cancelled = isinstance(payload["error"], asyncio.CancelledError)
        if private.join_namespace(namespace) in self._checkpointed and task.output is None:
            # Told with the task's writes, which LangGraph is about to put.
            self._held[task_id] = _Held(kind, cancelled)
        elif task.output or not cancelled:
            self._append(kind)
            self._arm_timer()

    def _end_inside(self, task_id: str, result: Any, *, told_with_own: bool) -> None:
        """End the step that left a subgraph by a Command to a graph around it: LangGraph only tells that the node with
        the subgraph has ended, with what the Command wrote."""
        for child_id in self._inside.get(task_id, ()):
            child = self._tasks.pop(child_id, None)
            if child is None:
                continue
            self._span.step_ended(child_id, "finished")
            self._drop_active(child_id)
            update = None if told_with_own else event_payload(_returned(result), self._payload_bytes)
            kind = StepFinished(child.step, child_id, update, steady() - child.started)
            if told_with_own:
                self._append(kind)
            else:
                self._held[task_id] = _Held(kind, cancelled=False)

    def _began_handler(self, namespace: tuple[str, ...], payload: Any) -> None:
        # LangGraph tells of an error handler only when it has ended.
        failed = self._failed_at.get(namespace, {})
        names = [private.handled_node(payload["name"])] if private.handled_node(payload["name"]) else list(failed)
        name = private.handler_step(names[0]) if len(names) == 1 else private.ERROR_HANDLER
        started = max((failed[name] for name in names if name in failed), default=steady())
        task = _Task(_path(namespace, name), namespace, started)
        ago = (steady() - started) / SECOND
        self._span.step_began(task.step, payload["id"], within=self._innermost(namespace), seconds_ago=ago)
        self._tasks[payload["id"]] = task
        self._append(StepStarted(task.step, payload["id"]))

    def _ending(self, task: _Task, task_id: str, payload: Any) -> StepFinished | StepFailed | None:
        duration = steady() - task.started
        match payload["error"]:
            case None if payload["interrupts"]:
                return None
            case None | asyncio.CancelledError():
                update = event_payload(_returned(payload["result"]), self._payload_bytes)
                return StepFinished(task.step, task_id, update, duration)
            case error:
                if not isinstance(error, BaseException):
                    error = RuntimeError(str(error))
                # The innermost step is told first; the steps around it raise the same exception. It is kept as long as
                # the run: LangGraph knows errors that were handled by their place in memory, and would take another
                # one there for handled, too.
                self._errors.setdefault(id(error), (error, task.step))
                return StepFailed(task.step, task_id, self._describe_error(error, task.step), duration)

    def _drop_active(self, task_id: str) -> None:
        self._active.pop(task_id, None)
        for child_id in self._inside.pop(task_id, ()):
            self._active.pop(child_id, None)

    # --- CheckpointSink ---

    def loaded(self, found: CheckpointTuple | None, checkpoint_ns: str) -> None:
        """A graph at this namespace begins. Its finished tasks will be announced again, and are not reported again."""
        if found is not None and not checkpoint_ns:
            private.see_foreign_channels(self._graph, found.checkpoint)
        with self._lock:
            self._checkpointed.add(checkpoint_ns)
            if found is None:
                return
            self.keeps_history = self.keeps_history or private.reads_history(found.metadata)
            if found.pending_writes:
                self._finished_before |= private.finished_tasks(found.pending_writes)

    def annotations(self, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> dict[str, Any]:
        """The steps completed so far, and whether LangGraph stops here at a static breakpoint: a run that is killed
        before the stop is stored would otherwise go past it when it is taken up again."""
        with self._lock:
            ran = self._superstep if metadata.get("source") == "loop" else set[str]()
            stops = metadata.get("source") in ("loop", "input") and (
                private.breakpoint_hit(checkpoint, self._breakpoints.after, ran)
                or private.breakpoint_hit(checkpoint, self._breakpoints.before, self._steps_after(checkpoint))
            )
            return {"completed_steps": self._estimate.completed_steps, "breakpoint": stops}

    def put_checkpoint(self, row: CheckpointRow, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> Write[None]:
        """Store a checkpoint, and tell of it when it is the job's own graph's."""
        superstep = metadata.get("step", -1)
        with self._lock:
            self._refuse_when_closed()
            steps = () if row.checkpoint_ns else step_names(self._steps_after(checkpoint))
            self._close_cached(row.checkpoint_ns)
            self.keeps_history = self.keeps_history or private.reads_history(metadata)
            if not row.checkpoint_ns:
                self._superstep = set()
                self.has_checkpoint = True
                self._let_go_of_frames()
                self._append(CheckpointSaved(row.checkpoint_id, superstep, steps))
            put = CheckpointPut(
                row=row,
                superstep=superstep,
                source=metadata.get("source", "loop"),
                next_steps=steps,
                create_time=now(),
                keep=None if self.keeps_history else self._keep_last,
                ends_start_point=self._start_point_open and not row.checkpoint_ns,
            )
            self._start_point_open = self._start_point_open and bool(row.checkpoint_ns)
            return self._send(put)

    def put_writes(self, put: WritesPut, task_id: str) -> None:
        """Store a task's writes, and tell of the task's end with them."""
        with self._lock:
            self._refuse_when_closed()
            output = private.has_output(row.channel for row in put.rows)
            if (held := self._held.pop(task_id, None)) is not None:
                if output or not held.cancelled:
                    self._append(held.kind)
            elif (task := self._tasks.get(task_id)) is not None:
                task.output = output
            self._writes.append(put)
            if self._start_point_open:
                # An edit's. LangGraph keeps them where the edit is made, in the name of the step that it is attributed
                # to: stored before the edit's checkpoint, or without it, they would pass for that step's own.
                return
            if self._active or any(write.channel == private.ERROR for write in put.rows):
                # Others of the superstep, or an error handler, go on, for hours maybe, and may block the loop: this
                # one is kept now.
                self._send()
            else:
                self._arm_timer()

    def refuse_writes(self, task_id: str, error: Exception) -> None:
        """A task wrote what cannot be stored: it failed, and so does the run."""
        with self._lock:
            held = self._held.pop(task_id, None)
            step = held.kind.step if held is not None else ""
            if held is not None:
                job_error = state_invalid(StateInvalidError(step, error))
                self._append(StepFailed(step, held.kind.step_run_id, job_error, held.kind.duration))
        self._on_failure(StateInvalidError(step, error))

    def refuse_checkpoint(self, error: Exception) -> None:
        """The state that the steps made together cannot be stored."""
        self._on_failure(StateInvalidError("", error))

    def unreadable(self, error: StorageUnavailableError) -> None:
        """The database is away. What the steps around make of it is not theirs: none of them has failed."""
        self.close()
        self._on_failure(error)

    def _let_go_of_frames(self) -> None:
        # The superstep is over: its errors were handled, and what their steps held in memory is needed no more.
        for error, _ in reversed(self._errors.values()):
            if error.__traceback__ is None:
                break
            error.__traceback__ = None

    def _close_cached(self, checkpoint_ns: str) -> None:
        # LangGraph announces a task whose result comes from its node cache, but not its end.
        for task_id, task in list(self._tasks.items()):
            if task.output is not None and private.join_namespace(task.namespace) == checkpoint_ns:
                del self._tasks[task_id]
                self._span.step_ended(task_id, "finished")
                self._drop_active(task_id)
                self._append(StepFinished(task.step, task_id, None, steady() - task.started))

    # --- the log ---

    def _append(self, kind: EventKind) -> None:
        match kind:
            case StepStarted():
                self._started.add(kind.step_run_id)
            case StepFinished():
                self._estimate.completed_steps += 1
                self._observe_end(kind)
            case StepFailed():
                self._observe_end(kind)
            case _:
                pass
        self._progress = self._estimate.snapshot(active=self._active, elapsed=self._elapsed())
        event = Event(
            job_id=self._claim.fence.job_id,
            event_time=now(),
            attempt=self._claim.job.attempt,
            progress=self._progress,
            kind=kind,
        )
        self._drafts.append(self._encode(event))

    def _observe_end(self, kind: StepFinished | StepFailed) -> None:
        workflow, failed = self._claim.job.spec.workflow, isinstance(kind, StepFailed)
        self._observer.step_ended(workflow, kind.step, kind.duration / SECOND, failed=failed)

    def _append_report(self, report: Report) -> None:
        if report.message:
            self._estimate.message = report.message
        data = None if report.data is None else event_payload(report.data, self._payload_bytes)
        self._append(
            ProgressReported(report.step, report.message, report.fraction, data, report.dropped),
        )

    def _elapsed(self) -> Micros:
        return self._claim.job.progress.elapsed + steady() - self._claimed

    def _steps_after(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        if self._next_steps[0] != checkpoint["id"]:
            self._next_steps = checkpoint["id"], private.next_steps(self._graph, checkpoint)
        return self._next_steps[1]

    def _update(self, checkpoint: CheckpointPut | None = None) -> RunUpdate:
        """Everything that waits to be stored."""
        update = RunUpdate(
            events=self._drafts,
            writes=self._writes,
            progress=self._progress,
            checkpoint=checkpoint,
            after=self._last_write,
        )
        self._drafts, self._writes, self._progress = [], [], None
        return update

    def _send(self, checkpoint: CheckpointPut | None = None) -> Write[None]:
        """Store everything that waits."""
        write = self._store.run_write(self._claim.fence, self._update(checkpoint))
        write.on_failure(self._on_failure)
        self._last_write = write
        return write

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StaleRunError(f"the run of job {self._claim.fence.job_id} is over")

    def _arm_timer(self) -> None:
        if self._timer_armed:
            return
        self._timer_armed = True
        if threading.get_ident() == self._loop_thread:
            self._loop.call_later(LINGER_SECONDS, self._flush)
        else:
            self._loop.call_soon_threadsafe(self._loop.call_later, LINGER_SECONDS, self._flush)

    def _flush(self) -> None:
        with self._lock:
            self._timer_armed = False
            if self._closed:
                return
            if (report := self._reports.due(time.monotonic())) is not None:
                self._append_report(report)
            if self._drafts or self._writes:
                self._send()
            if self._reports.waiting:
                self._arm_timer()


def _path(namespace: Sequence[str], name: str) -> str:
    return "/".join([*(private.node_of(part) for part in namespace if not part.isdigit()), name])


def _outcome(payload: Any) -> tuple[StepOutcome, str]:
    """How a task ended, and with which type of exception."""
    match payload["error"]:
        case None:
            return ("interrupted" if payload["interrupts"] else "finished"), ""
        case asyncio.CancelledError():
            return "cancelled", ""
        case error:
            return "failed", type_name(type(error))


def _returned(result: Any) -> Any:
    """What the step returned: its writes by channel, or the bare value where the graph has just one."""
    if isinstance(result, dict):
        # An entrypoint may also write what the thread's next run is given.
        for bare in (private.RETURN, "__end__", "__root__"):
            if bare in result:
                return result[bare]
    return result
