"""Who calls: found out before anything of the request is read."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from autopilot_server.access.authenticators import Authenticators, Presented
from autopilot_server.access.identity import Identity, Right
from autopilot_server.api.interception import Continuation, Handler
from autopilot_server.api.limits import RETRY_SECONDS
from autopilot_server.jobs.errors import CredentialsInvalidError, FieldInvalidError, LimitExceededError, Violation

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "/autopilot."
# Load balancers ask without credentials.
HEALTH = "/grpc.health."
REFLECTION = "/grpc.reflection."

# Streams of health and reflection, at once: enough for load balancers, and far fewer than RPCs.
MOST_STREAMS = 500

# How long a request may take to arrive once its call is open.
ARRIVAL_SECONDS = 30.0

# Calls whose request has not come after a second, at once. Whoever holds theirs back must not take all the RPCs.
PROMPT_SECONDS = 1.0
MOST_LATE = 200

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

    async def check_reader(self, workflow: str) -> None:
        """Whether a call that stays open may go on: the credentials still give the right to read, for the same tenant.

        CredentialsInvalidError. Looks at most once a second.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked < RECHECK_SECONDS:
            return
        self._looked = now
        await self._authenticators.up_to_date()
        identity = self._authenticators.authenticate(self.presented)
        if identity != self.identity:
            if identity.tenant != self.tenant or not identity.may(Right.READ, workflow):
                raise CredentialsInvalidError("The credentials do not give the right to go on with this call any more.")
            self.identity = identity


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Who makes the call that is being served. Every method of the service has one."""
    return _caller.get()


def known_caller() -> Caller | None:
    """Who makes the call that is being served; None as long as its credentials were not found good."""
    return _caller.get(None)


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
        self._streams = _OpenCalls(MOST_STREAMS, "streams of health and reflection")
        # Apart: strangers must not keep a caller's large request from coming.
        self._late, self._late_strangers = (_OpenCalls(MOST_LATE, "calls without their request") for _ in range(2))

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the method's handler."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        decoder = _decoder(handler.request_deserializer)
        is_open = method.startswith(self._open)
        enter = _stranger if is_open else partial(self._caller, method)
        late = self._late_strangers if is_open else self._late
        if handler.request_streaming:
            conversation = _conversation(handler.stream_stream, self._streaming(enter))
            return grpc.stream_stream_rpc_method_handler(conversation, decoder, handler.response_serializer)
        if handler.response_streaming:
            of_service = method.startswith(SERVICE)
            # Watches give bytes: stored events are put together, not parsed and serialized again.
            serializer = None if of_service else handler.response_serializer
            streaming = _streaming(handler.unary_stream, enter if of_service else self._streaming(enter), late)
            return grpc.stream_stream_rpc_method_handler(streaming, decoder, serializer)
        return grpc.stream_unary_rpc_method_handler(
            _unary(handler.unary_unary, enter, late), decoder, handler.response_serializer
        )

    @asynccontextmanager
    async def _caller(self, method: str, context: Context) -> AsyncIterator[None]:
        """A caller that has credentials, and the right to the method. Reflection is for all that have any."""
        await self._authenticators.up_to_date()
        caller = Caller(self._authenticators, _presented(context))
        # A call has a task of its own, and so has its context.
        _caller.set(caller)
        if not method.startswith(REFLECTION):
            caller.identity.check_method(method.rpartition("/")[2])
        yield

    def _streaming(self, enter: "Enter") -> "Enter":
        """For a stream that takes no place among the watches: they must not take all the RPCs either."""

        @asynccontextmanager
        async def entered(context: Context) -> AsyncIterator[None]:
            async with enter(context):
                with self._streams.one_more():
                    yield

        return entered


Enter = Callable[[Context], AbstractAsyncContextManager[None]]


def _stranger(_context: Context) -> AbstractAsyncContextManager[None]:
    """A caller who needs no credentials."""
    return nullcontext()


class _OpenCalls:
    """Counts calls that stay open, and bounds them."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what = limit, what
        self._open = 0

    @property
    def full(self) -> bool:
        return self._open >= self._limit

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """One of them, for as long as the context lasts. LimitExceededError when there are too many."""
        if self.full:
            raise self.exceeded()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def exceeded(self) -> LimitExceededError:
        return LimitExceededError(
            f"{self._limit} {self._what} are open, and the server takes no more.",
            retry_delay=RETRY_SECONDS,
            limit=self._limit,
            name="open_calls",
        )


def _unary(handle: Handler, enter: Enter, late: _OpenCalls) -> Handler:
    async def handler(requests: AsyncIterator[Any], context: Context) -> Any:
        async with enter(context):
            return await handle(await _received(requests, late), context)

    return handler


def _streaming(handle: Handler, enter: Enter, late: _OpenCalls) -> Handler:
    async def handler(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async with enter(context):
            responses = handle(await _received(requests, late), context)
            if inspect.isawaitable(responses):
                # Health writes to the context itself.
                await responses
                return
            async for response in responses:
                yield response

    return handler


def _conversation(handle: Handler, enter: Enter) -> Handler:
    async def handler(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async with enter(context):
            async for response in handle(_each_decoded(requests), context):
                yield response

    return handler


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


def _certificate(context: Context) -> bytes:
    """What the transport has verified, as PEM. Empty for a client without a certificate."""
    found = [*context.auth_context().get("x509_pem_cert", ())]
    return found[0] if found else b""


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


async def _received(requests: AsyncIterator[Any], late: _OpenCalls) -> Any:
    """The request. FieldInvalidError when it does not come, or is no message; LimitExceededError when it is late, as
    too many others are."""
    messages: Any = aiter(requests)
    try:
        request = await _arrival(messages, late)
    finally:
        # gRPC's generator holds its last message in a cycle: 16 MB would stay until the garbage collector comes.
        await messages.aclose()
    if request is None:
        raise _malformed("the call ended without a request")
    return _decoded(request)


async def _arrival(messages: Any, late: _OpenCalls) -> Any:
    """The first message; None when there is none."""
    loop = asyncio.get_running_loop()
    refused = False
    with ExitStack() as place:

        def is_late() -> None:
            nonlocal refused
            if late.full:
                refused = True
                time.reschedule(loop.time())
            else:
                place.enter_context(late.one_more())

        timer = loop.call_later(PROMPT_SECONDS, is_late)
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS) as time:
                return await anext(messages, None)
        except TimeoutError:
            if refused:
                raise late.exceeded() from None
            raise _malformed(f"the request did not arrive within {ARRIVAL_SECONDS:g} s of the call") from None
        finally:
            timer.cancel()


def _decoded(request: Any) -> Any:
    if isinstance(request, _Undecodable):
        raise FieldInvalidError(f"{_NO_MESSAGE}: generate the client from the contract.", violations=[_VIOLATION])
    return request


async def _each_decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _decoded(request)


def _malformed(text: str) -> FieldInvalidError:
    return FieldInvalidError(f"{text}.", violations=[Violation("", text)])
