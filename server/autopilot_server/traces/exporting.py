"""The way of spans out of the process: never in the way of what makes them, and counted when they are lost."""

import logging
import os
import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from autopilot_server.jobs.errors import StartupError

log = logging.getLogger(__name__)

# How long the process's end may wait for the last spans.
FLUSH_SECONDS = 5.0

# OpenTelemetry's own default of OTEL_BSP_MAX_QUEUE_SIZE.
_DEFAULT_QUEUE = "2048"


class Exporting(SpanProcessor):
    """Exports spans in batches, on a thread of OpenTelemetry's. What finds the queue full is dropped."""

    def __init__(self) -> None:
        """As OpenTelemetry's environment variables say. StartupError when they ask for what cannot be."""
        self._lock = threading.Lock()
        self._waiting = self._dropped = 0
        self._closed = False
        # It tells of each retry; what is lost is told here.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        try:
            self._room = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", _DEFAULT_QUEUE))
            self._batches = BatchSpanProcessor(_Counted(_exporter(), self), max_queue_size=self._room)
        except StartupError:
            raise
        except Exception as error:
            # Whatever its classes raise for the environment's values.
            raise StartupError(f"--traces: OpenTelemetry refuses its environment variables: {error}") from error

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span. The queue's own way of dropping spans does not say how many."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            if self._waiting >= self._room:
                self._dropped += 1
                return
            self._waiting += 1
        self._batches.on_end(span)

    def exported(self, spans: int, *, taken: bool) -> None:
        """The collector has taken spans, or has not."""
        with self._lock:
            self._waiting -= spans
            lost = self._dropped + (0 if taken else spans)
            self._dropped = 0
            told = self._closed
        if lost and not told:
            log.warning("%d spans were dropped: the collector does not take them", lost)

    def close(self) -> None:
        """Export what waits, in the time that there is."""
        # A thread of its own: the SDK waits for 30 s, whatever it is told.
        ending = threading.Thread(target=self._batches.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)
        with self._lock:
            lost = self._waiting + self._dropped
            self._closed = True
        if lost:
            log.warning("%d spans were dropped: the collector did not take them before the end", lost)


class _Counted(SpanExporter):
    """Tells what became of each batch."""

    def __init__(self, exporter: SpanExporter, exporting: Exporting) -> None:
        self._exporter, self._exporting = exporter, exporting

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._exporting.exported(len(spans), taken=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _exporter() -> SpanExporter:
    """For the protocol that is asked for, which no class of the SDK's chooses."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    match protocol or "grpc":
        case "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            return OTLPSpanExporter()
        case "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

            return OverHttp()
        case _:
            raise StartupError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: give grpc or http/protobuf")
