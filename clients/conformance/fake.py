"""A server that does what the real one does not. The `job_id` of a request says what; the rest is the scenario's own.

error-REASON      the error of this reason, as the contract has it; of an unknown reason INTERNAL
bare-CODE-…       a status without details
foreign           an ErrorInfo of another domain than "autopilot"
unavailable-…     UNAVAILABLE twice, without details, then an answer (each method and job_id counts for itself)
silent            never answers
unknown-state     a state, fields and a reason of the future
omitted           an output that was too large
as-value          an output as google.protobuf.Value instead of as text
unknown-event     WatchProgress: an event of the future between two known ones
overlaps-…        WatchProgress: three streams that break, and overlap; see `_overlapping`
breaks-CODE-…     WatchProgress: ends with CODE after event 1, and goes on when it is asked again
asks-SECONDS-…    WatchProgress: RESOURCE_EXHAUSTED with a RetryInfo after event 1, and goes on when it is asked again
ticks-COUNT-…     WatchProgress: an event each tenth of a second, from where it is asked to go on
endless-…         WatchProgress: event 1, and nothing more
slow-…            answers after a second
cut-…             the first call ends all connections, without an answer: of a server behind a relay
anything else     a PENDING job; of a watch one event and the end
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from autopilot.v1 import job_pb2, job_service_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

METHODS = {method.name: method for method in job_service_pb2.DESCRIPTOR.services_by_name["JobService"].methods}

_CODES = {
    "INVALID_ARGUMENT": ("FIELD_INVALID", "PAYLOAD_TOO_LARGE", "REQUEST_ID_REUSED", "PAGE_TOKEN_INVALID"),
    "NOT_FOUND": ("JOB_NOT_FOUND", "WORKFLOW_NOT_FOUND", "CHECKPOINT_NOT_FOUND"),
    "ALREADY_EXISTS": ("JOB_ALREADY_EXISTS",),
    "FAILED_PRECONDITION": ("JOB_STATE_CONFLICT", "INTERRUPT_NOT_PENDING", "THREAD_BUSY", "THREAD_ADVANCED"),
    "ABORTED": ("ETAG_MISMATCH",),
    "OUT_OF_RANGE": ("SEQUENCE_OUT_OF_RANGE",),
    "RESOURCE_EXHAUSTED": ("LIMIT_EXCEEDED",),
    "UNAVAILABLE": ("SERVER_DRAINING", "STORAGE_UNAVAILABLE"),
    "UNAUTHENTICATED": ("CREDENTIALS_INVALID",),
    "PERMISSION_DENIED": ("METHOD_FORBIDDEN",),
}
_CODE_OF = {reason: code for code, reasons in _CODES.items() for reason in reasons}

# Fields that no version has yet: a state 99 (field 4), and field 500, of a text.
FUTURE_STATE = b"\x20\x63"
FUTURE_FIELD = b"\xa2\x1f\x03new"
# Field 30 of ProgressEvent, in the place of a kind.
FUTURE_KIND = b"\xf2\x01\x05later"

Answers = Iterator[bytes]


class FakeServer:
    """Serves on a free port of this machine, and keeps what it was asked."""

    def __init__(self, *options: tuple[str, int]) -> None:
        """Serve, with gRPC's `options`."""
        # Somebody else's way to end all connections.
        self.cut: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._seen: list[tuple[str, dict[str, Any]]] = []
        self._counts: Counter[str] = Counter()
        self._asked_at: dict[str, float] = {}
        self._gone: set[str] = set()
        self._server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0), *options])
        handlers = {name: self._handler(name) for name in METHODS}
        service = grpc.method_handlers_generic_handler("autopilot.v1.JobService", handlers)
        self._server.add_generic_rpc_handlers((service,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(0)

    def seen(self, method: str, job_id: str) -> list[dict[str, Any]]:
        """The requests of a method for a job."""
        with self._changed:
            return [request for name, request in self._seen if name == method and request.get("job_id", "") == job_id]

    def wait_until_asked(self, method: str, job_id: str) -> None:
        """Wait for the first call of a method for a job."""
        with self._changed:
            self._changed.wait_for(lambda: self._counts[f"{method} {job_id}"] > 0)

    def wait_until_gone(self, job_id: str, timeout: float) -> bool:
        """Wait until whoever watched an endless job has ended the call."""
        with self._changed:
            return self._changed.wait_for(lambda: job_id in self._gone, timeout)

    def _handler(self, name: str) -> Any:
        request_class = getattr(job_service_pb2, METHODS[name].input_type.name)

        def called(request: Message, context: grpc.ServicerContext) -> Answers:
            yield from self._answers(name, request, context)

        def called_once(request: Message, context: grpc.ServicerContext) -> bytes:
            return next(self._answers(name, request, context))

        if METHODS[name].server_streaming:
            return grpc.unary_stream_rpc_method_handler(called, request_class.FromString)
        return grpc.unary_unary_rpc_method_handler(called_once, request_class.FromString)

    def _answers(self, method: str, request: Any, context: grpc.ServicerContext) -> Answers:
        job_id = getattr(request, "job_id", "")
        call = self._note(method, request, context)
        kind, rest, *_ = [*job_id.split("-"), ""]
        match kind:
            case "error":
                _refuse(context, _error(rest))
            case "bare":
                context.abort(grpc.StatusCode[rest], "bare")
            case "foreign":
                _refuse(context, _status("NOT_FOUND", "JOB_NOT_FOUND", domain="example.com"))
            case "unavailable" if call <= 2:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            case "silent":
                _rest(context, 60)
            case "slow":
                _rest(context, 1)
            case "cut" if call == 1:
                self.cut()
                _rest(context, 60)
        if kind == "endless":
            yield from self._endless(job_id, context)
        elif method == "WatchProgress":
            yield from _watch(request, call, context)
        else:
            yield _answer(method, job_id)

    def _endless(self, job_id: str, context: grpc.ServicerContext) -> Answers:
        yield _batch(_event(1))
        if _rest(context, 60):
            with self._changed:
                self._gone.add(job_id)
                self._changed.notify_all()

    def _note(self, method: str, request: Message, context: grpc.ServicerContext) -> int:
        """Keep what was asked: how often it was, for this job."""
        noted = MessageToDict(request, preserving_proto_field_name=True)
        metadata = dict(context.invocation_metadata())
        remaining = context.time_remaining()
        noted["$seconds"] = remaining if remaining is not None and remaining < 1e9 else None
        noted["$authorization"] = metadata.get("authorization", "")
        key = f"{method} {noted.get('job_id', '')}"
        now = time.monotonic()
        with self._changed:
            noted["$after"] = now - self._asked_at.get(key, now)
            self._asked_at[key] = now
            self._seen.append((method, noted))
            self._counts[key] += 1
            self._changed.notify_all()
            return self._counts[key]


# --- answers ---


def _answer(method: str, job_id: str) -> bytes:
    """A response with a job, in parts of which some are of the future."""
    job = job_pb2.Job(job_id=job_id, workflow="w", state=job_pb2.JOB_STATE_PENDING)
    future = b""
    match job_id:
        case "unknown-state":
            job.error.reason = "FROM_THE_FUTURE"
            future = FUTURE_STATE + FUTURE_FIELD
        case "omitted":
            job.output.omitted.size_bytes = 5_000_000
        case "as-value":
            job.output.json.struct_value.update({"n": 3, "x": 0.5, "list": [1, None, True], "text": "ä"})
    body = job.SerializeToString() + future
    response = getattr(job_service_pb2, METHODS[method].output_type.name)
    if "job" not in response.DESCRIPTOR.fields_by_name:
        return response().SerializeToString()
    assert response.DESCRIPTOR.fields_by_name["job"].number == 1
    return b"\x0a" + _varint(len(body)) + body + FUTURE_FIELD


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


# --- watches ---


def _watch(request: Any, call: int, context: grpc.ServicerContext) -> Answers:
    job_id = request.job_id
    kind, said, *_ = [*job_id.split("-"), ""]
    if kind == "breaks":
        yield _batch(_event(call))
        if call == 1:
            context.abort(grpc.StatusCode[said], "broken")
    elif kind == "asks":
        yield _batch(_event(call))
        if call == 1:
            _refuse(context, _asking(float(said)))
    elif kind == "ticks":
        for sequence in range(request.after_sequence + 1, int(said) + 1):
            _rest(context, 0.1)
            yield _batch(_event(sequence))
    elif kind == "overlaps":
        yield from _overlapping(call, context)
    elif job_id == "unknown-event":
        later = job_pb2.ProgressEvent(job_id=job_id, sequence=2).SerializeToString() + FUTURE_KIND
        yield _batch(_event(1)) + b"\x0a" + _varint(len(later)) + later + _batch(_event(3)) + FUTURE_FIELD
    else:
        yield _batch(_event(1))


def _overlapping(call: int, context: grpc.ServicerContext) -> Answers:
    """1 2 3, broken; 2 3 4 again and a heartbeat that is at 6, broken; 7 and the end."""
    match call:
        case 1:
            yield _batch(_event(1), _event(2))
            yield _batch(_event(3))
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        case 2:
            yield _batch(_event(2), _event(3), _event(4))
            yield job_service_pb2.WatchProgressResponse(through_sequence=6).SerializeToString()
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        case _:
            yield _batch(_event(7))


def _event(sequence: int) -> job_pb2.ProgressEvent:
    started = job_pb2.StepStarted(step="s", step_run_id=str(sequence))
    return job_pb2.ProgressEvent(sequence=sequence, attempt=1, step_started=started)


def _batch(*events: job_pb2.ProgressEvent) -> bytes:
    last = events[-1].sequence
    return job_service_pb2.WatchProgressResponse(events=events, through_sequence=last).SerializeToString()


# --- errors ---


def _error(reason: str) -> status_pb2.Status:
    status = _status(_CODE_OF.get(reason, "INTERNAL"), reason)
    if reason == "FIELD_INVALID":
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field="one", description="is wrong")
        bad.field_violations.add(field="other", description="is wrong as well")
        status.details.add().Pack(bad)
    if reason in ("LIMIT_EXCEEDED", "STORAGE_UNAVAILABLE"):
        _ask_to_wait(status, 1.5)
    return status


def _asking(seconds: float) -> status_pb2.Status:
    status = _status("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    _ask_to_wait(status, seconds)
    return status


def _ask_to_wait(status: status_pb2.Status, seconds: float) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(int(seconds * 1000))
    status.details.add().Pack(retry)


def _status(code: str, reason: str, domain: str = "autopilot") -> status_pb2.Status:
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message=f"because of {reason}")
    # A detail that nobody knows comes first.
    status.details.add(type_url="type.googleapis.com/example.Unknown", value=b"\x08\x01")
    info = error_details_pb2.ErrorInfo(domain=domain, reason=reason, metadata={"job_id": "j", "other": "значение"})
    status.details.add().Pack(info)
    return status


def _refuse(context: grpc.ServicerContext, status: status_pb2.Status) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort raises")


def _rest(context: grpc.ServicerContext, seconds: float) -> bool:
    """Do nothing for a while; True when the caller is gone."""
    gone = threading.Event()
    return not context.add_callback(gone.set) or gone.wait(timeout=seconds)
