"""The trace that a call belongs to: read from its metadata, and told to the tracer."""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio
from structlog.contextvars import bind_contextvars

from autopilot_server.api.interception import Continuation, Handler
from autopilot_server.jobs.errors import ServiceError
from autopilot_server.jobs.traces import TraceContext
from autopilot_server.tracer import CallSpan, Tracer

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "/autopilot."

_trace: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current_trace() -> TraceContext | None:
    """The span of the call that is being served."""
    return _trace.get()


class TraceInterceptor(grpc.aio.ServerInterceptor):
    """Makes each unary call of the service a span. A watch is none: it lasts as long as a job.

    Behind the credentials: strangers must not fill what waits to be exported.
    """

    def __init__(self, tracer: Tracer) -> None:
        """Tell `tracer`."""
        self._tracer = tracer

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the method's handler."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.response_streaming or not method.startswith(SERVICE):
            return handler  # type: ignore[no-any-return]
        return grpc.unary_unary_rpc_method_handler(
            _unary(handler.unary_unary, method.removeprefix("/"), self._tracer),
            handler.request_deserializer,
            handler.response_serializer,
        )


def _unary(handle: Handler, method: str, tracer: Tracer) -> Handler:
    async def handler(request: Any, context: Context) -> Any:
        span = tracer.call_began(method, _sent(context.invocation_metadata() or ()))
        if span.context is not None:
            # A call has a task of its own, and so has its context.
            _trace.set(span.context)
            bind_contextvars(trace_id=span.context.trace_id)
        try:
            response = await handle(request, context)
        except BaseException as error:
            _tell(span, error)
            raise
        span.ended("OK")
        return response

    return handler


def _sent(metadata: Iterable[tuple[str, str | bytes]]) -> TraceContext | None:
    """The caller's span. None when the metadata names none."""
    parent, states = "", []
    for key, value in metadata:
        if key == "traceparent":
            parent = str(value)
        elif key == "tracestate":
            states.append(str(value))
    return TraceContext.read(parent, ",".join(states)) if parent else None


def _tell(span: CallSpan, error: BaseException) -> None:
    match error:
        case ServiceError():
            span.ended(error.code, error.reason)
        case asyncio.CancelledError():
            span.ended("CANCELLED")
        case _:
            span.ended("INTERNAL")
