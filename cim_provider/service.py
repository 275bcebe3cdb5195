"""The WBEM service: maps HTTP requests to operations, and their results to responses.

Theory of operation
1. A request passes the same gates in the same order: credentials, media types, CIM headers, form of the body, headers
   against body, namespace, parameters, operation. Nothing is looked at before the credentials are good.
2. What the gates up to "headers against body" refuse is an HTTP error with CIMError. What is wrong from there on is an
   ERROR element in a reply with HTTP status 200 (DSP0200 clause 7.3).
3. A request whose credentials are known and whose operation does not wait is answered without awaiting anything.
4. A long answer is on its way before its last instance is written, and no faster than the client reads it. If it cannot
   be completed, or the client is gone, the connection is cut: after its beginning no status can be sent.
5. A user who has MAX_WAITING requests waiting gets SERVER_LIMITS_EXCEEDED for any other: waiting requests hold memory.
6. An exception nobody planned for is CIM_ERR_FAILED with an id; the traceback is in the log under the same id. Neither
   tells parameters, which may hold passwords.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable

from cim_provider.operations.api import (
    OPERATIONS,
    MethodCall,
    MethodHandler,
    MethodReply,
    Operation,
    OperationHandler,
    Provider,
    Reply,
)
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import FAILED, INTEROP, NOT_SUPPORTED, SERVER_LIMITS_EXCEEDED, CimError
from cim_provider.wire import decode, headers, text
from cim_provider.wire.decode import Message
from cim_provider.wire.encode import encoder_of
from cim_provider.wire.failure import error_instance
from cim_provider.wire.headers import RefusedError
from xenapi_core.bridge.source import Principal
from xenapi_core.clock import Later
from xenapi_core.errors import ApiError
from xenapi_core.logs import incident
from xenapi_core.server.routes import App, Request, Response, Route

log = logging.getLogger("xencim.wbem")

MAX_WAITING = 256  # requests of one user that wait for something at a time
LARGE = 1024 * 1024  # a reply of at least so many bytes is sent as the client takes it
PIECE = 256 * 1024


def wbem_app(
    provider: Provider,
    operations: Mapping[str, OperationHandler] | None = None,
    invoke: MethodHandler | None = None,
) -> App:
    """The endpoint "wbem": POST on any path, as clients disagree about it (/cimom is the usual one).

    `operations` and `invoke` answer intrinsic operations and method calls; by default they are those of
    `cim_provider.operations`.
    """
    if operations is None or invoke is None:
        # Importing the modules is what registers their operations.
        from cim_provider.operations import associators, extrinsic, intrinsic, pull, schema_ops  # noqa: F401 - registers them

        operations = OPERATIONS if operations is None else operations
        invoke = extrinsic.invoke if invoke is None else invoke
    service = Service(provider, operations, invoke)
    routes = (
        Route("POST", "/", service.handle, max_body=decode.LIMITS.max_body),
        Route("OPTIONS", "/", service.options, max_body=0),
        Route("OPTIONS", "*", service.options, max_body=0),  # the server as a whole (RFC 9110 9.3.7)
    )
    return App("wbem", routes, wrong_method)


def wrong_method(request: Request) -> Response:
    """M-POST is 501, which tells clients to come again with POST (DSP0200 clause 7.2); everything else is 405."""
    if request.method == "M-POST":
        return RefusedError("", "M-POST is not supported; use POST", 501).response()
    return RefusedError(
        "", "this is a WBEM server: clients POST CIM-XML to it", 405, (("Allow", "POST, OPTIONS"),)
    ).response()


Answer = Callable[[Request, Principal], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A message, and how its reply must look: the HTTP headers, and whether an error may bring a CIM_Error."""

    message: Message
    headers: tuple[tuple[str, str], ...]
    error_instances: bool
    early: bool  # whether a reply may begin before its length is known


async def _cut(body: list[bytes]) -> AsyncIterator[bytes]:
    """A large body in pieces: only what the client has not taken yet is held for it alone."""
    for part in body:
        for start in range(0, len(part), PIECE):
            yield part if len(part) <= PIECE else part[start : start + PIECE]


async def _framed(message: Message, answer: Reply) -> AsyncIterator[bytes]:
    """A growing answer in its envelope."""
    before, after = text.intrinsic_frame(message.id, message.name, answer.out)
    yield b"".join((before, *(answer.values or ())))
    if answer.growing is not None:
        async with contextlib.aclosing(answer.growing) as growing:
            async for part in growing:
                yield part
    yield after


class Service:
    """Answers requests for one provider."""

    def __init__(self, provider: Provider, operations: Mapping[str, OperationHandler], invoke: MethodHandler) -> None:
        self.provider = provider
        self.operations = operations
        self.invoke = invoke
        self._waiting: Counter[str] = Counter()  # by user

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """The reply to a POST; awaitable if the credentials are new or the operation waits."""
        return self._admitted(request, self._answer)

    def options(self, request: Request) -> Response | Awaitable[Response]:
        """The reply to OPTIONS: what this server does."""
        return self._admitted(request, lambda request, principal: headers.capabilities(self.operations))

    def _admitted(self, request: Request, answer: Answer) -> Response | Awaitable[Response]:
        """`answer` for the user that the request's credentials prove: user and password, or a client certificate."""
        try:
            certificate = request.peer.certificate
            if certificate is not None and "authorization" not in request.headers:
                proof = Later(self.provider.source.certified(certificate, "wbem"))
                return Later(self._authenticate(request, proof, answer))
            user, password = headers.credentials(request)
            principal = self.provider.source.known(user, password)
            if principal is None:
                proof = Later(self.provider.source.authenticate(user, password, "wbem", request.peer.address))
                return Later(self._authenticate(request, proof, answer))
            return answer(request, principal)
        except RefusedError as error:
            return error.response()

    async def _authenticate(self, request: Request, proof: Awaitable[Principal | None], answer: Answer) -> Response:
        try:
            principal = await proof
            if principal is None:
                raise headers.unauthorized("user or password is wrong, or nobody has this certificate")
            reply = answer(request, principal)
        except RefusedError as error:
            return error.response()
        return await reply if isawaitable(reply) else reply

    def _answer(self, request: Request, principal: Principal) -> Response | Awaitable[Response]:
        headers.check_media(request)
        found = headers.cim_headers(request.headers)
        headers.check_operation(found)
        message = decode.read(request.body)
        headers.check_match(found, message.name, message.namespace, message.target_class)
        asked = Asked(
            message,
            headers.REPLY_HEADERS + headers.language(request),
            headers.reads_error_instances(found),
            request.version != "1.0",
        )
        try:
            if self._waiting[principal.user] >= MAX_WAITING:
                raise CimError(
                    SERVER_LIMITS_EXCEEDED, f"{MAX_WAITING} requests of this user are being answered already"
                )
            answer = self._start(message, principal)
        except Exception as error:
            return self._failure(asked, error)
        if isawaitable(answer):
            later: Later[Reply | MethodReply] = Later(answer)
            return Later(self._wait(principal.user, asked, later))
        return self._success(asked, answer)

    def _start(
        self, message: Message, principal: Principal
    ) -> Reply | MethodReply | Awaitable[Reply] | Awaitable[MethodReply]:
        graph = self.provider.graph(message.namespace)
        if message.target is not None:
            path, method, given = decode.extrinsic(message, graph, self._classes_of)
            return self.invoke(MethodCall(message.namespace, path, method, given, principal, self.provider))
        name, params = decode.intrinsic(message, graph, self._classes_of)
        handler = self.operations.get(name)
        if handler is None:
            raise CimError(NOT_SUPPORTED, f"{name} is not supported")
        return handler(Operation(name, message.namespace, params, principal, self.provider))

    def _classes_of(self, namespace: str) -> ClassGraph | None:
        try:
            return self.provider.graph(namespace)
        except CimError:
            return None

    async def _wait(self, user: str, asked: Asked, answer: Awaitable[Reply | MethodReply]) -> Response:
        """Count `user` as waiting until there is an answer (rule 5)."""
        self._waiting[user] += 1
        try:
            return await self._finish(asked, answer)
        finally:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                del self._waiting[user]

    async def _finish(self, asked: Asked, answer: Awaitable[Reply | MethodReply]) -> Response:
        try:
            found = self._success(asked, await answer)
            return await found if isawaitable(found) else found
        except Exception as error:
            return self._failure(asked, error)

    def _success(self, asked: Asked, answer: Reply | MethodReply) -> Response | Awaitable[Response]:
        message = asked.message
        if isinstance(answer, MethodReply):
            encoder = encoder_of(self.provider.graph(message.namespace))
            value = encoder.return_value(answer.return_type, answer.return_value)
            body = text.method_response(message.id, message.name, value, answer.out)
        else:
            if answer.growing is not None:
                return self._growing(asked, answer)
            body = text.intrinsic_response(message.id, message.name, answer.values, answer.out)
        length = sum(map(len, body))
        if length < LARGE:
            return Response(200, asked.headers, body)
        return Response(200, asked.headers, stream=_cut(body), length=length)

    def _growing(self, asked: Asked, answer: Reply) -> Response | Awaitable[Response]:
        """A reply that begins before its end is made: chunked, or made whole for a client that knows no chunks."""
        if asked.early:
            return Response(200, asked.headers, stream=_framed(asked.message, answer))
        return Later(self._finish(asked, Later(answer.whole())))

    def _failure(self, asked: Asked, error: Exception) -> Response:
        message = asked.message
        cause = error if isinstance(error, ApiError) else error.__cause__
        if isinstance(error, ApiError):
            error = CimError.from_api(error)
        if not isinstance(error, CimError):
            number = incident(log, f"{message.name} failed", error)
            error = CimError(FAILED, f"internal error, see incident {number} in the server's log")
            cause = None
        instance = b""
        if asked.error_instances:
            details = error_instance(error, cause if isinstance(cause, ApiError) else None)
            instance = encoder_of(self.provider.graph(INTEROP)).bare_instance(details)
        body = text.error_response(
            message.id, message.name, error.status, error.text, message.target is not None, instance
        )
        return Response(200, asked.headers, body)
