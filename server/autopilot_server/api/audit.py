"""Tells the audit of each call that changes jobs: what is asked, before it is carried out, and what was answered."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
import uuid_utils

from autopilot_server.access.identity import Identity, Right
from autopilot_server.api.audited import ANSWERED, ASKED
from autopilot_server.api.credentials import Caller, current_caller, known_caller
from autopilot_server.api.interception import Continuation, Handler
from autopilot_server.audit.journal import Journal, Line
from autopilot_server.jobs.errors import CredentialsInvalidError, InternalError, ServiceError, StorageUnavailableError

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "/autopilot.v1.JobService/"

# Calls without good credentials get one line in this time: anybody can make as many of them as the network carries.
STRANGERS_SECONDS = 10.0

# Calls of an identity that may change nothing are told one by one up to so many in this time, and then counted.
MOST_REFUSALS = 10
REFUSALS_SECONDS = 10.0

_CHANGING = (Right.SUBMIT, Right.CONTROL, Right.ADMIN)


class _Call:
    """A call of an audited method."""

    __slots__ = ("asked", "call_id", "method", "peer", "started")

    def __init__(self, method: str, peer: str) -> None:
        self.method, self.peer = method, unquote(peer)
        self.call_id = str(uuid_utils.uuid7())
        self.started = time.monotonic()
        self.asked = False
        """Whether the audit was told what it asks for."""

    def line(self, event: str, caller: Caller) -> dict[str, Any]:
        """What every line about the call has."""
        identity = caller.identity
        line = {"event": event, "call": self.call_id, "method": self.method}
        return line | {"identity": identity.name, "tenant": identity.tenant}

    def origin(self, caller: Caller) -> dict[str, Any]:
        """By what the caller is known, and where it is."""
        return {"credential": caller.identity.credential, "peer": self.peer}


_call: ContextVar[_Call] = ContextVar("audited_call")


class Auditor:
    """Tells a journal of calls. One for all servers of a process."""

    def __init__(self, journal: Journal) -> None:
        """Tell `journal`."""
        self._journal = journal
        self._strangers = _Strangers(journal)
        self._refusals: dict[Identity, _Refusals] = {}

    async def asked(self, request: Any) -> None:
        """A known caller asks for something. On disk on return; StorageUnavailableError: it must not be done."""
        call, caller = _call.get(), current_caller()
        line = call.line("request", caller) | call.origin(caller) | ASKED[call.method](request)
        written = self._journal.write(line)
        call.asked = True
        await written

    def answered(self, call: _Call, response: Any) -> None:
        """What was asked was carried out."""
        self._tell_answer(call, {"code": "OK"} | ANSWERED[call.method](response))

    async def failed(self, call: _Call, error: BaseException) -> None:
        """The call ends with an error. StorageUnavailableError instead, when it cannot be told of its refusal."""
        outcome, caller = _outcome(error), known_caller()
        if call.asked:
            self._tell_answer(call, outcome)
        elif caller is None:
            if isinstance(error, CredentialsInvalidError):
                self._strangers.add(call)
        elif not isinstance(error, asyncio.CancelledError | StorageUnavailableError):
            # Refused for what it is, before anything of it was read.
            await self._refused(call, caller, outcome)

    async def _refused(self, call: _Call, caller: Caller, outcome: Line) -> None:
        line = call.line("refused", caller) | call.origin(caller) | dict(outcome)
        if any(map(caller.identity.holds, _CHANGING)) or not self._refusals_of(caller.identity).left_out(line):
            await self._journal.write(line)

    def _refusals_of(self, identity: Identity) -> "_Refusals":
        if identity not in self._refusals:
            self._refusals[identity] = _Refusals(self._journal, lambda: self._refusals.pop(identity))
        return self._refusals[identity]

    def close(self) -> None:
        """Tell what is left to be told."""
        self._strangers.close()
        for refusals in [*self._refusals.values()]:
            refusals.close()

    def _tell_answer(self, call: _Call, outcome: Line) -> None:
        seconds = round(time.monotonic() - call.started, 6)
        self._journal.tell({**call.line("answer", current_caller()), **outcome, "seconds": seconds})


def _outcome(error: BaseException) -> dict[str, str]:
    match error:
        case ServiceError():
            return {"code": error.code, "reason": error.reason}
        case asyncio.CancelledError():
            # The client went away, or its deadline came. What it asked for may have been carried out.
            return {"code": "CANCELLED"}
        case _:
            return {"code": InternalError.code, "reason": InternalError.reason}


class _Strangers:
    """Counts the calls without good credentials, and tells of them now and then."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._count = 0
        self._last: _Call | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: _Call) -> None:
        self._count += 1
        self._last = call
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STRANGERS_SECONDS, self._tell)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        if self._last is not None:
            line = {"event": "strangers", "reason": CredentialsInvalidError.reason, "count": self._count}
            self._journal.tell(line | {"last_method": self._last.method, "last_peer": self._last.peer})
        self._count, self._last = 0, None


class _Refusals:
    """Counts the refused calls of an identity for a while, and tells at its end of those that were not told."""

    def __init__(self, journal: Journal, forget: Callable[[], object]) -> None:
        self._journal, self._forget = journal, forget
        self._count = 0
        self._last: Line = {}
        self._timer = asyncio.get_running_loop().call_later(REFUSALS_SECONDS, self.close)

    def left_out(self, line: Line) -> bool:
        """Whether one more is only counted."""
        self._count += 1
        self._last = line
        return self._count > MOST_REFUSALS

    def close(self) -> None:
        self._timer.cancel()
        self._forget()
        if self._count > MOST_REFUSALS:
            who = {name: self._last[name] for name in ("identity", "tenant", "credential", "code", "reason")}
            last = {"last_method": self._last["method"], "last_peer": self._last["peer"]}
            self._journal.tell({"event": "refusals", "count": self._count - MOST_REFUSALS, **who, **last})


# --- interceptors ---


class AnswerInterceptor(grpc.aio.ServerInterceptor):
    """Before the credentials are looked at: tells how each call ended, also one that they end."""

    def __init__(self, auditor: Auditor) -> None:
        """Tell `auditor`."""
        self._auditor = auditor

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap an audited method's handler."""
        # Any: the types know handlers whose requests come one by one, in synchronous code.
        handler: Any = await continuation(handler_call_details)
        method = _audited(handler_call_details.method)
        if handler is None or method is None:
            return handler  # type: ignore[no-any-return]  # as it came
        # All requests are streams here, see credentials.py.
        return grpc.stream_unary_rpc_method_handler(
            self._wrapped(handler.stream_unary, method), handler.request_deserializer, handler.response_serializer
        )

    def _wrapped(self, handle: Handler, method: str) -> Handler:
        async def handler(requests: Any, context: Context) -> Any:
            call = _Call(method, context.peer())
            _call.set(call)
            try:
                response = await handle(requests, context)
            except (Exception, asyncio.CancelledError) as error:
                await self._auditor.failed(call, error)
                raise
            self._auditor.answered(call, response)
            return response

        return handler


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Behind the credentials: tells of a request before it is carried out."""

    def __init__(self, auditor: Auditor) -> None:
        """Tell `auditor`."""
        self._auditor = auditor

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap an audited method's handler."""
        # Any: the types know handlers whose requests come one by one, in synchronous code.
        handler: Any = await continuation(handler_call_details)
        if handler is None or _audited(handler_call_details.method) is None:
            return handler  # type: ignore[no-any-return]  # as it came
        return grpc.unary_unary_rpc_method_handler(
            self._wrapped(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _wrapped(self, handle: Handler) -> Handler:
        async def handler(request: Any, context: Context) -> Any:
            await self._auditor.asked(request)
            return await handle(request, context)

        return handler


def _audited(path: str) -> str | None:
    method = path.removeprefix(SERVICE)
    return method if path.startswith(SERVICE) and method in ASKED else None
