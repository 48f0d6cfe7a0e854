"""Errors on their way to a client: one interceptor turns them into google.rpc.Status."""

import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from autopilot_server.api.interception import Continuation, Handler
from autopilot_server.jobs.errors import InternalError, ServiceError
from autopilot_server.observer import Observer

log = logging.getLogger(__name__)
access_log = logging.getLogger("autopilot_server.rpc")

DOMAIN = "autopilot"

# By number, which is how grpc.aio gives them back.
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

# In bytes of UTF-8. Clients take 8 KiB of trailers, and what is more turns into RESOURCE_EXHAUSTED: the message, in
# which each byte that is not ASCII takes three, and the details, the message once more among them, in base64.
MAX_MESSAGE = 600
MAX_VIOLATIONS_SIZE = 3400
MAX_FIELD = 120
MAX_TEXT = 240


def status_of(error: ServiceError) -> status_pb2.Status:
    """The rich status of an error."""
    details = [
        _packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_short(error.metadata)))
    ]
    if error.violations:
        details.append(_packed(_bad_request(error)))
    if error.retry_delay is not None:
        # Upwards: whoever waits exactly as long as told must not be too early.
        seconds, millis = divmod(math.ceil(error.retry_delay * 1000), 1000)
        delay = Duration(seconds=seconds, nanos=millis * 1_000_000)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    code = code_pb2.Code.Value(error.code)
    return status_pb2.Status(code=code, message=_cut(error.message, MAX_MESSAGE), details=details)


def _bad_request(error: ServiceError) -> error_details_pb2.BadRequest:
    """The violations, as many as a status may hold."""
    bad = error_details_pb2.BadRequest()
    for shown, violation in enumerate(error.violations):
        bad.field_violations.add(
            field=_cut(violation.field, MAX_FIELD), description=_cut(violation.description, MAX_TEXT)
        )
        if bad.ByteSize() > MAX_VIOLATIONS_SIZE:
            del bad.field_violations[-1]
            bad.field_violations.add(field="", description=f"and {len(error.violations) - shown} more")
            break
    return bad


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _short(metadata: dict[str, str]) -> dict[str, str]:
    return {key: _cut(value, MAX_TEXT) for key, value in metadata.items()}


def _cut(text: str, size: int) -> str:
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= size else data[: size - 3].decode("utf-8", "ignore") + "…"


def _public(error: BaseException, method: str) -> ServiceError:
    """What the client is told: of a fault of the program only where to find it in the log."""
    if isinstance(error, ServiceError):
        return error
    error_id = uuid.uuid4().hex
    log.error("internal error %s in %s", error_id, method, exc_info=error, extra={"error_id": error_id})
    return InternalError(f"The server failed; its log says why, under error id {error_id}.", error_id=error_id)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Gives every RPC its rich errors, and its line in the access log."""

    def __init__(self, observer: Observer) -> None:
        """Tell `observer` of each RPC."""
        self._observer = observer

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the method's handler."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        # All requests are streams here, see credentials.py.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                _streaming(handler.stream_stream, method, self._observer),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.stream_unary_rpc_method_handler(
            _unary(handler.stream_unary, method, self._observer),
            handler.request_deserializer,
            handler.response_serializer,
        )


def _unary(handle: Handler, method: str, observer: Observer) -> Handler:
    async def handler(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        ended = _Ended(method, observer.call_ended)
        try:
            response = await handle(requests, context)
        except grpc.aio.AbortError:
            # Health answers so of services that it does not know.
            ended(_code_of(context))
            raise
        except Exception as error:
            # Also faults of the program: they must reach the client as a status, and the log once.
            status = _refusal(error, method, ended)
        else:
            ended("OK")
            return response
        # Behind the except: gRPC holds what an abort raises in a cycle, with whatever was raised before. A request of
        # 16 MB, which is in those frames, would stay until the garbage collector comes.
        return await context.abort_with_status(status)

    return handler


def _streaming(handle: Handler, method: str, observer: Observer) -> Handler:
    async def handler(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        ended = _Ended(method, lambda name, code, _: observer.stream_ended(name, code))
        try:
            async for response in handle(requests, context):
                yield response
        except grpc.aio.AbortError:
            ended(_code_of(context))
            raise
        except Exception as error:
            # As in _unary.
            status = _refusal(error, method, ended)
        else:
            ended("OK")
            return
        # As in _unary.
        await context.abort_with_status(status)

    return handler


def _refusal(error: Exception, method: str, ended: "_Ended") -> Any:
    """The status for an error, which is told."""
    public = _public(error, method)
    ended(public.code, public.reason)
    return rpc_status.to_status(status_of(public))


def _code_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Name of the status code that a handler has aborted with."""
    code: Any = context.code()
    return _NAMES.get(code, "UNKNOWN")


class _Ended:
    """Tells how an RPC ended."""

    def __init__(self, method: str, observe: Callable[[str, str, float], None]) -> None:
        self._method, self._observe = method.rpartition("/")[2], observe
        self._started = time.monotonic()

    def __call__(self, code: str, reason: str = "") -> None:
        seconds = time.monotonic() - self._started
        self._observe(self._method, code, seconds)
        if access_log.isEnabledFor(logging.DEBUG):
            fields: dict[str, Any] = {"method": self._method, "code": code}
            if reason:
                fields["reason"] = reason
            access_log.debug("rpc", extra=fields | {"seconds": round(seconds, 4)})
