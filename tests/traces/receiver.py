"""A collector for tests: takes OTLP over gRPC, and keeps the spans."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

# A span that does not come in this time never does.
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it came."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: dict[str, tuple[str, str]]
    """Trace id and span id, by what the link is for."""
    failed: bool
    seconds: float
    raw: trace_pb2.Span


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on a port of its own."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        """Not set: calls are taken, and not answered."""
        self.answers.set()
        self.requests: list[bytes] = []
        self._spans: list[Received] = []
        self._came = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        self.answers.wait()
        self.take(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def take(self, request: Any) -> None:
        """Keep what came."""
        with self._came:
            self.requests.append(request.SerializeToString())
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self._spans += map(_received, scope.spans)
            self._came.notify_all()

    @property
    def spans(self) -> list[Received]:
        with self._came:
            return list(self._spans)

    def wait(self, wanted: Callable[[Sequence[Received]], bool]) -> list[Received]:
        """Wait until the spans are as wanted."""
        with self._came:
            assert self._came.wait_for(lambda: wanted(self._spans), SECONDS), tree(self._spans)
            return list(self._spans)

    def resources(self) -> list[dict[str, Any]]:
        """What the senders say of themselves."""
        parsed = map(trace_service_pb2.ExportTraceServiceRequest.FromString, self.requests)
        return [_values(each.resource.attributes) for request in parsed for each in request.resource_spans]

    def close(self) -> None:
        self.answers.set()
        self._server.stop(None)


def _received(span: trace_pb2.Span) -> Received:
    return Received(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_values(span.attributes),
        links={
            _values(link.attributes)["autopilot.link"]: (link.trace_id.hex(), link.span_id.hex()) for link in span.links
        },
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        raw=span,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _line(span: Received) -> str:
    told = [span.attributes.get(f"autopilot.{name}") for name in ("attempt", "state", "outcome")]
    wrong = span.attributes.get("error.type")
    links = ", ".join(kind.replace("_", " ") for kind in span.links)
    parts = [span.name, f"{span.seconds:.3f} s", *told, wrong, links and f"linked to: {links}"]
    return "  ".join(str(part) for part in parts if part)


def tree(spans: Sequence[Received]) -> str:
    """The spans as people read them: each below the one that it is in."""
    ids = {span.span_id for span in spans}
    ordered = sorted(spans, key=lambda span: span.raw.start_time_unix_nano)

    def lines(parent: str, depth: int) -> list[str]:
        found = []
        for span in ordered:
            if span.parent_id == parent or (not depth and span.parent_id not in ids):
                found.append("  " * depth + _line(span))
                found += lines(span.span_id, depth + 1)
        return found

    return "\n".join(lines("", 0))
