"""Who calls: found out before anything of the request is read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from autopilot_server.access.authenticators import Authenticators, PeerCertificate, Presented
from autopilot_server.access.identity import Identity, Right
from autopilot_server.jobs.errors import CredentialsInvalidError, FieldInvalidError, Violation

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Any], Any]

# Load balancers ask without credentials.
HEALTH = "/grpc.health."
REFLECTION = "/grpc.reflection."

# How long a request may take to arrive once its call is open.
ARRIVAL_SECONDS = 30.0

# How long a watch may stay open on credentials that were not looked at again.
RECHECK_SECONDS = 1.0


class Caller:
    """Who makes a call, and with what."""

    __slots__ = ("_authenticators", "_looked", "identity", "presented")

    def __init__(self, authenticators: Authenticators, presented: Presented) -> None:
        """Authenticate. CredentialsInvalidError."""
        self.identity: Identity = authenticators.authenticate(presented)
        self.presented = presented
        self._authenticators = authenticators
        self._looked = asyncio.get_running_loop().time()

    @property
    def tenant(self) -> str:
        """Shorthand for `identity.tenant`."""
        return self.identity.tenant

    def check_reader(self, workflow: str) -> None:
        """Whether a call that stays open may go on: the credentials still give the right to read, for the same tenant.

        CredentialsInvalidError. Looks at most once a second.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked < RECHECK_SECONDS:
            return
        self._looked = now
        identity = self._authenticators.authenticate(self.presented)
        if identity != self.identity:
            if identity.tenant != self.tenant or not identity.may(Right.READ, workflow):
                raise CredentialsInvalidError("The credentials do not give the right to go on with this call any more.")
            self.identity = identity


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Who makes the call that is being served. Every method of the service has one."""
    return _caller.get()


class CredentialsInterceptor(grpc.aio.ServerInterceptor):
    """Authenticates the caller of every method but health, and only then receives the request.

    grpc.aio receives a unary request before it calls the handler, up to 16 MiB of it, from anybody. So all methods are
    served as if they took a stream, whose one message is read when the caller is known. Of a call that nobody may make
    nothing is received.
    """

    def __init__(self, authenticators: Authenticators, *, open_reflection: bool = False) -> None:
        """`open_reflection`: reflection is for everybody."""
        self._authenticators = authenticators
        self._open = (HEALTH, REFLECTION) if open_reflection else (HEALTH,)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the method's handler."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        name, decoder = method.rpartition("/")[2], _decoder(handler.request_deserializer)
        if method.startswith(HEALTH):
            return _health(handler, decoder)
        if handler.request_streaming:
            conversation = self._conversation(handler.stream_stream, is_open=method.startswith(self._open))
            return grpc.stream_stream_rpc_method_handler(conversation, decoder, handler.response_serializer)
        if handler.response_streaming:
            # Watches give bytes: stored events are put together, not parsed and serialized again.
            return grpc.stream_stream_rpc_method_handler(self._streaming(handler.unary_stream, name), decoder, None)
        return grpc.stream_unary_rpc_method_handler(
            self._unary(handler.unary_unary, name), decoder, handler.response_serializer
        )

    def _unary(self, handle: Handler, method: str) -> Handler:
        async def handler(requests: AsyncIterator[Any], context: Context) -> Any:
            self._admit(context).identity.check_method(method)
            return await handle(await _received(requests), context)

        return handler

    def _streaming(self, handle: Handler, method: str) -> Handler:
        async def handler(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            self._admit(context).identity.check_method(method)
            async for response in handle(await _received(requests), context):
                yield response

        return handler

    def _conversation(self, handle: Handler, *, is_open: bool) -> Handler:
        """Of reflection, which any identity may use, and anybody where it is open."""

        async def handler(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            if not is_open:
                self._admit(context)
            async for response in handle(_each_decoded(requests), context):
                yield response

        return handler

    def _admit(self, context: Context) -> Caller:
        caller = Caller(self._authenticators, _presented(context))
        # A call has a task of its own, and so has its context.
        _caller.set(caller)
        return caller


def _presented(context: Context) -> Presented:
    return Presented(bearer=_bearer(context), certificate=_certificate(context), address=context.peer())


def _bearer(context: Context) -> str:
    found = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not found:
        return ""
    scheme, _, token = str(found[0]).partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise CredentialsInvalidError("Give one 'authorization', of the form 'Bearer TOKEN'.")
    return token.strip()


def _certificate(context: Context) -> PeerCertificate | None:
    """What the transport has verified. None for a client without a certificate."""
    facts = {name: [*values] for name, values in context.auth_context().items()}
    if "x509_pem_cert" not in facts:
        return None
    return PeerCertificate(
        common_name=_text(facts.get("x509_common_name", [b""])[0]),
        alternative_names=tuple(_text(name) for name in facts.get("x509_subject_alternative_name", [])),
        pem=facts["x509_pem_cert"][0],
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


# --- the request, once its caller is known ---


_NO_MESSAGE = "the request's bytes are no message of the method's type"
_VIOLATION = Violation("", _NO_MESSAGE)


class _Undecodable:
    """Stands for a request whose bytes are no message."""


def _decoder(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decode_or_refuse(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            return _Undecodable()

    return decode_or_refuse


async def _received(requests: AsyncIterator[Any]) -> Any:
    """The request. FieldInvalidError when it does not come, or is no message."""
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            request = await anext(requests, None)
    except TimeoutError:
        raise _malformed(f"the request did not arrive within {ARRIVAL_SECONDS:g} s of the call") from None
    if request is None:
        raise _malformed("the call ended without a request")
    return _decoded(request)


def _decoded(request: Any) -> Any:
    if isinstance(request, _Undecodable):
        raise FieldInvalidError(f"{_NO_MESSAGE}: generate the client from the contract.", violations=[_VIOLATION])
    return request


async def _each_decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _decoded(request)


def _health(handler: Any, decoder: Callable[[bytes], Any]) -> "grpc.RpcMethodHandler[Any, Any]":
    """Health's own handler, which gives its own statuses; but for bytes that are no message."""
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _refusing(handler.unary_stream), decoder, handler.response_serializer
        )
    return grpc.unary_unary_rpc_method_handler(_refusing(handler.unary_unary), decoder, handler.response_serializer)


def _refusing(handle: Handler) -> Handler:
    async def handler(request: Any, context: Context) -> Any:
        if isinstance(request, _Undecodable):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NO_MESSAGE)
        return await handle(request, context)

    return handler


def _malformed(text: str) -> FieldInvalidError:
    return FieldInvalidError(f"{text}.", violations=[Violation("", text)])
