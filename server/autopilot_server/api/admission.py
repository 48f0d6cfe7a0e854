"""How many RPCs may be open at once: beyond that each is told when to come again."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from autopilot_server.api.credentials import HEALTH
from autopilot_server.api.interception import Continuation, Handler
from autopilot_server.jobs.errors import LimitExceededError

# Calls end in no time, and what stays open is limited by itself: there is room again in a moment.
RETRY_SECONDS = 1.0


class AdmissionInterceptor(grpc.aio.ServerInterceptor):
    """Counts the RPCs of all servers of a process, and refuses what is too many. Health has limits of its own."""

    def __init__(self, limit: int) -> None:
        """`limit`: RPCs at once."""
        self._limit = limit
        self._open = 0

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the method's handler."""
        # Any: the types know handlers whose requests come one by one, in synchronous code.
        handler: Any = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH):
            return handler  # type: ignore[no-any-return]  # as it came
        # All requests are streams here, see credentials.py.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(handler.stream_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._unary(handler.stream_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, handle: Handler) -> Handler:
        async def handler(requests: Any, context: Any) -> Any:
            self._enter()
            try:
                return await handle(requests, context)
            finally:
                self._open -= 1

        return handler

    def _streaming(self, handle: Handler) -> Handler:
        async def handler(requests: Any, context: Any) -> AsyncIterator[Any]:
            self._enter()
            try:
                async for response in handle(requests, context):
                    yield response
            finally:
                self._open -= 1

        return handler

    def _enter(self) -> None:
        if self._open >= self._limit:
            raise LimitExceededError(
                f"{self._limit} calls are open, and the server takes no more.",
                retry_delay=RETRY_SECONDS,
                limit=self._limit,
                name="concurrent_rpcs",
            )
        self._open += 1
