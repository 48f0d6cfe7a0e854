"""What gRPC gives its interceptors: the next one, and in the end the method's handler."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]]
Handler = Callable[[Any, Any], Any]
"""A method's code: a request, or an iterator of them, and the context."""
