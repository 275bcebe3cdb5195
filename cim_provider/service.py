"""The WBEM service: HTTP requests to operations and back.

Theory of operation
1. A request passes the same gates in the same order: credentials, media types, CIM headers, form of the body, headers
   against body, namespace, parameters, operation. Nothing is looked at before the credentials are good.
2. What the gates up to "headers against body" refuse is an HTTP error with CIMError. What is wrong from there on is an
   ERROR element in a reply with HTTP status 200 (DSP0200 clause 7.3).
3. A request whose credentials are known and whose operation does not wait is answered without awaiting anything.
4. An exception nobody planned for is CIM_ERR_FAILED with an id; the traceback is in the log under the same id. Neither
   tells parameters, which may hold passwords.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Mapping
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
from cim_provider.schema.objects import FAILED, NOT_SUPPORTED, CimError
from cim_provider.wire import decode, headers, text
from cim_provider.wire.decode import Message
from cim_provider.wire.encode import encoder_of
from cim_provider.wire.headers import RefusedError
from xenapi_core.bridge.source import Principal
from xenapi_core.clock import Later
from xenapi_core.errors import ApiError
from xenapi_core.server.routes import App, Request, Response, Route

log = logging.getLogger("xencim.wbem")


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
    route = Route("POST", "/", service.handle, max_body=decode.LIMITS.max_body)
    return App("wbem", (route,), wrong_method)


def wrong_method(request: Request) -> Response:
    """M-POST is 501, which tells clients to come again with POST (DSP0200 clause 7.2); everything else is 405."""
    if request.method == "M-POST":
        return RefusedError("", "M-POST is not supported; use POST", 501).response()
    return RefusedError("", "use POST", 405, (("Allow", "POST"),)).response()


class Service:
    """Answers requests for one provider."""

    def __init__(self, provider: Provider, operations: Mapping[str, OperationHandler], invoke: MethodHandler) -> None:
        self.provider = provider
        self.operations = operations
        self.invoke = invoke

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """The reply to a POST; awaitable if the credentials are new or the operation waits."""
        try:
            user, password = headers.credentials(request)
            principal = self.provider.source.known(user, password)
            if principal is None:
                return Later(self._authenticate(request, user, password))
            return self._answer(request, principal)
        except RefusedError as error:
            return error.response()

    async def _authenticate(self, request: Request, user: str, password: str) -> Response:
        try:
            principal = await self.provider.source.authenticate(user, password, "wbem")
            if principal is None:
                raise headers.unauthorized("user or password is wrong")
            reply = self._answer(request, principal)
        except RefusedError as error:
            return error.response()
        return await reply if isawaitable(reply) else reply

    def _answer(self, request: Request, principal: Principal) -> Response | Awaitable[Response]:
        headers.check_media(request)
        found = headers.cim_headers(request.headers)
        headers.check_operation(found)
        message = decode.read(request.body)
        headers.check_match(found, message.name, message.namespace, message.target_class)
        try:
            answer = self._start(message, principal)
        except Exception as error:
            return self._failure(message, error)
        if isawaitable(answer):
            later: Later[Reply | MethodReply] = Later(answer)
            return Later(self._finish(message, later))
        return self._success(message, answer)

    def _start(
        self, message: Message, principal: Principal
    ) -> Reply | MethodReply | Awaitable[Reply] | Awaitable[MethodReply]:
        graph = self.provider.graph(message.namespace)
        if message.target is not None:
            path, method, given = decode.extrinsic(message, graph)
            return self.invoke(MethodCall(message.namespace, path, method, given, principal, self.provider))
        name, params = decode.intrinsic(message, graph)
        handler = self.operations.get(name)
        if handler is None:
            raise CimError(NOT_SUPPORTED, f"{name} is not supported")
        return handler(Operation(name, message.namespace, params, principal, self.provider))

    async def _finish(self, message: Message, answer: Awaitable[Reply | MethodReply]) -> Response:
        try:
            return self._success(message, await answer)
        except Exception as error:
            return self._failure(message, error)

    def _success(self, message: Message, answer: Reply | MethodReply) -> Response:
        if isinstance(answer, MethodReply):
            encoder = encoder_of(self.provider.graph(message.namespace))
            value = encoder.return_value(answer.return_type, answer.return_value)
            body = text.method_response(message.id, message.name, value, answer.out)
        else:
            body = text.intrinsic_response(message.id, message.name, answer.values, answer.out)
        return Response(200, headers.REPLY_HEADERS, body)

    def _failure(self, message: Message, error: Exception) -> Response:
        if isinstance(error, ApiError):
            error = CimError.from_api(error)
        if not isinstance(error, CimError):
            incident = secrets.token_hex(4)
            log.error("internal error %s in %s", incident, message.name, exc_info=error)
            error = CimError(FAILED, f"internal error, see {incident} in the server's log")
        body = text.error_response(message.id, message.name, error.status, error.text, message.target is not None)
        return Response(200, headers.REPLY_HEADERS, body)
