"""Traces by OpenTelemetry. Needs the extra `otel`; nothing else of the server imports opentelemetry."""

from autopilot_server.traces.spans import OpenTelemetryTracer

__all__ = ["OpenTelemetryTracer"]
