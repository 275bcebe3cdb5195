"""HTTP/1.1 over any asyncio transport: one small protocol class for TCP, TLS and Unix sockets.

Theory of operation
1. Requests of a connection are answered in order, one at a time. While one is being answered, or while the client does
   not read, further complete requests wait in `_queue` and the transport is not read: a client cannot make us hold more
   than one read of its bytes plus one reply.
2. A handler that returns a Response is answered at once, without a task. An awaitable becomes the connection's `_task`;
   it is cancelled when the client is gone, unless it reads a body: then the body breaks. A client that closes its
   sending side counts as gone, as with most servers.
3. What never becomes a request is answered by `app.error` after everything that came before it, and the connection
   ends: after a framing error nothing that follows can be trusted (request smuggling). The rest is read and thrown away
   for a moment, because closing with unread bytes would make the kernel discard the reply.
4. Timeouts are counted in ticks of the listener's sweep (see service.py), which calls `check`.
5. A streamed route is answered while its body arrives (upload.py); a reply before the end of the body ends the
   connection. Its body is timed by progress, not as a whole.
6. Small replies are written together at the end of the loop's turn, for all connections of the listener: sending wakes
   the client, which costs more than answering. Every other way out of a connection goes through `flush` first.
7. A Response with a `tunnel` ends HTTP: the transport gets another protocol (tunnel.py), and the talk is `_task`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from enum import Enum, auto
from functools import partial
from typing import Any, Final, cast

import httptools

from xenapi_core.logs import incident
from xenapi_core.server import framing
from xenapi_core.server.peers import peer_of
from xenapi_core.server.routes import Handler, Peer, Request, Response, give_up
from xenapi_core.server.service import Service
from xenapi_core.server.tunnel import Tunnel
from xenapi_core.server.upload import Upload

log = logging.getLogger(__name__)

_JOIN_BELOW: Final = 64 * 1024  # bodies up to this size are copied behind their head: one write, one packet
_HOLD_BELOW: Final = 16 * 1024  # replies are held back for the end of the turn up to this size in total
_LONGEST_METHOD: Final = 64


class _Phase(Enum):
    """The part of a request that the client's next bytes belong to."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    DEAF = auto()  # after an error or the last request: what comes is thrown away


_IDLE, _HEAD, _BODY, _DEAF = _Phase


class _RefusedError(Exception):
    """Raised inside a parser callback to stop parsing; `_refusal` says why."""


class HttpProtocol(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_body", "_body_size", "_buffered", "_closing", "_discarded", "_first", "_handler", "_headers", "_held",
        "_line", "_lost", "_max_body", "_messages", "_parser", "_peer", "_phase", "_queue", "_raw", "_reading",
        "_refusal", "_request", "_room", "_service", "_since", "_size", "_stalled", "_task", "_transport", "_tunnel",
        "_upload", "_url", "_wants_continue", "_write_since",
    )  # fmt: skip

    _transport: asyncio.Transport
    _peer: Peer

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._phase = _IDLE
        self._since = service.now
        self._queue: deque[tuple[Request, Handler, bool]] = deque()
        self._task: asyncio.Future[Any] | None = None
        self._room: asyncio.Future[None] | None = None  # a stream waiting for the client to read
        self._refusal: tuple[int, str] | None = None
        self._lost = self._closing = self._stalled = self._wants_continue = self._tunnel = False
        self._first = self._reading = True
        self._raw = self._size = self._messages = self._discarded = self._buffered = 0
        self._body_size = self._max_body = self._write_since = 0
        self._held = b""
        self._line = b""  # the beginning of a request line that was not complete in one read
        self._headers: dict[str, str] = {}
        self._url = b""
        self._body: list[bytes] = []
        self._request: Request | None = None
        self._upload: Upload | None = None  # a body that is still arriving, and read by its handler
        self._handler: Handler = service.app.fallback

    # -- the connection ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's are no subclasses of asyncio's
        self._transport = stream
        service = self._service
        full = len(service.connections) >= service.limits.max_connections
        service.connections.add(self)
        self._peer = peer_of(stream, service.transport)
        if service.draining:
            stream.close()
        elif full:
            self._refuse(503, "Too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._phase = _DEAF
        heard = self._upload is not None and not self._queue and self._room is None  # the handler notices by the body
        self._queue.clear()
        if self._upload is not None:
            self._upload.fail("The client is gone.")
        if self._task is not None and not heard:
            self._task.cancel()
        self._service.left(self)

    def eof_received(self) -> None:
        """The client sends no more: whatever was still unanswered is given up (theory 2); None closes the transport."""

    def pause_writing(self) -> None:
        self._stalled = True
        self._write_since = self._service.now
        self._buffered = self._transport.get_write_buffer_size()
        self._control_reading()

    def resume_writing(self) -> None:
        self._stalled = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._advance()

    def _control_reading(self) -> None:
        """Read while there is nothing to hold back (theory 1); always after an error, to find the end."""
        if self._lost or self._transport.is_closing():
            return
        full = self._upload is not None and self._upload.full
        wanted = self._phase is _DEAF or not (self._stalled or self._queue or full)
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._since = self._service.now  # the client could not be fast while it was not read
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def is_closed(self) -> bool:
        return self._lost

    @property
    def busy(self) -> bool:
        return self._task is not None or bool(self._queue)

    def abort(self) -> None:
        """Drop the connection; its handler is cancelled."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def close_if_idle(self) -> None:
        """Draining: end a connection that is between two requests. Others end with their reply."""
        if self._phase is _IDLE and not self.busy:
            self._close()
        elif self._tunnel and self._task is not None:
            self._task.cancel()

    def check(self, now: int) -> None:
        """The sweep: end what takes too long (theory 4)."""
        service = self._service
        waited = now - self._since
        if self._stalled or self._closing:
            self._check_progress(now)
        if self._lost or self._closing:
            return
        if self._phase is _DEAF:
            if waited > service.linger_ticks and not self.busy:
                self._close()
        elif not self._reading:
            return
        elif self._phase is _HEAD:
            if waited > service.header_ticks:
                self._refuse(408, "The request headers did not arrive in time.")
        elif self._phase is _BODY:
            if waited > service.body_ticks:
                self._refuse(408, "The request body did not arrive in time.")
        elif waited > (service.header_ticks if self._first else service.idle_ticks) and not self.busy:
            self._close()

    def _check_progress(self, now: int) -> None:
        """A client that does not take a byte of its reply for as long as the service has patience is cut off."""
        left = self._transport.get_write_buffer_size()
        self._service.unread += left
        if left != self._buffered:
            self._buffered, self._write_since = left, now
        elif now - self._write_since > self._service.patience:
            self.abort()

    def _close(self) -> None:
        self._closing = True
        self._write_since = self._service.now
        self._queue.clear()
        self.flush()
        self._transport.close()

    # -- bytes in ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        messages = self._messages
        while data:
            if self._phase is _DEAF:
                self._discard(len(data))
                return
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # We switch to no other protocol, so what follows belongs to HTTP (RFC 9110, 7.8).
                data = data[upgrade.args[0] :]
                self._after_offer()
            except httptools.HttpParserError as error:
                if self._phase is not _DEAF:
                    begun = self._messages - messages  # of several in one read, where the last begins is not known
                    line = b"" if begun > 1 else data if begun else self._line + data
                    self._refuse(*self._status_and_reason(error, line))
                return
        if self._phase is _HEAD and not self._url:
            self._line = ((self._line if self._messages == messages else b"") + data)[-_LONGEST_METHOD:]
        if self._messages == messages and self._phase in (_HEAD, _BODY):
            self._count_raw(len(data))

    def _count_raw(self, size: int) -> None:
        """Bound what the parser may hold back (an unfinished header or trailer) and what chunking may add to a body.

        The read in which a request began is not counted: it may hold earlier requests.
        """
        self._raw += size
        allowed = self._service.limits.max_header + 1024
        if self._phase is _BODY and self._upload is None:
            allowed += 8 * self._max_body
        if self._raw > allowed:
            self._refuse(431, "The request headers are too large.")

    def _after_offer(self) -> None:
        """Go on after a request that offered another protocol.

        The parser ends such a request with its headers. If it has a body, a fresh parser is told of it by a head that
        says the same; taking the body for the next request would let one request hide another.
        """
        request, keep, wants = self._request, self._parser.should_keep_alive(), self._wants_continue
        self._parser = httptools.HttpRequestParser(self)
        if request is not None:
            length = request.headers.get("content-length")
            fields = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
            fields += "" if keep else "\r\nConnection: close"
            self._parser.feed_data(f"{request.method} {request.target} HTTP/1.1\r\n{fields}\r\n\r\n".encode("latin-1"))
            self._request, self._wants_continue = request, wants

    def _status_and_reason(self, error: Exception, line: bytes) -> tuple[int, str]:
        """The status and reason for bytes the parser gave up on; `line` begins with the request line, if known."""
        refusal = self._refusal
        if refusal is not None:
            return refusal
        if isinstance(error, httptools.HttpParserInvalidMethodError) and framing.REQUEST_LINE.match(line):
            return 501, "The request method is not supported."
        if isinstance(error, httptools.HttpParserCallbackError):
            log.error("an HTTP parser callback failed", exc_info=error.__context__ or error)
            return 500, "Internal error."
        return 400, "The HTTP headers could not be parsed."

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self._service.limits.max_discarded:
            self._transport.abort()

    def _stop(self, status: int, reason: str) -> _RefusedError:
        self._refusal = (status, reason)
        return _RefusedError(reason)

    def on_message_begin(self) -> None:
        self._phase = _HEAD
        self._since = self._service.now
        self._first = False
        self._messages += 1
        self._raw = self._size = self._body_size = 0
        self._headers = {}
        self._url = b""
        self._body = []
        self._wants_continue = False

    def on_url(self, url: bytes) -> None:
        self._size += len(url)
        if self._size > self._service.limits.max_header:
            raise self._stop(431, "The request target is too long.")
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        if self._size > self._service.limits.max_header:
            raise self._stop(431, "The request headers are too large.")
        if self._phase is _BODY:
            return  # a trailer: counted, not used
        key = framing.NAMES.get(name) or name.decode("latin-1").lower()
        headers = self._headers
        text = value.rstrip(b" \t").decode("latin-1")  # the parser strips the front only (RFC 9110, 5.5)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        headers = self._headers
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise self._stop(505, "Only HTTP/1.0 and HTTP/1.1 are spoken.")
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None:
            if version == "1.0" or length is not None:
                raise self._stop(400, "The length of the body is ambiguous.")
            if coding.strip().lower() != "chunked":
                raise self._stop(501, "Only the transfer coding 'chunked' is supported.")
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, self._url.decode("latin-1"), headers, b"", self._peer, version, self.is_closed)
        route = self._service.router.find(method, request.path)
        if route is None:
            self._handler, self._max_body = self._service.app.fallback, self._service.limits.max_fallback_body
        else:
            self._handler, self._max_body = route.handler, route.max_body
        if route is not None and route.streamed:
            if "upgrade" in headers and framing.body_is_next(request):
                raise self._stop(501, "This path speaks no other protocol.")
        elif length is not None and int(length) > self._max_body:
            raise self._stop(413, f"The request body is larger than {self._max_body} bytes.")
        self._request = request
        self._phase = _BODY
        self._since = self._service.now
        if "expect" in headers and version == "1.1" and headers["expect"].lower() == "100-continue":
            self._wants_continue = coding is not None or (length is not None and int(length) > 0)
            if route is None or not route.streamed:
                self._offer_to_continue()
        if route is not None and route.streamed:
            self._begin_upload(request, int(length) if length is not None else None if coding else 0)

    def _offer_to_continue(self) -> None:
        """Send 100 Continue once everything before this request is answered."""
        if self._wants_continue and not self.busy and not self._lost:
            self._wants_continue = False
            self.flush()
            self._transport.write(framing.CONTINUE)

    def _begin_upload(self, request: Request, size: int | None) -> None:
        """Let the handler of a streamed route have the body while it arrives (theory 5)."""
        self._upload = request.upload = Upload(size, self._continue_upload)
        keep = self._parser.should_keep_alive()
        if self.busy or self._stalled:
            self._wait_turn(request, self._handler, keep)
        else:
            self._answer(request, self._handler, keep)

    def _continue_upload(self) -> None:
        """The handler of a streamed route asks for more."""
        if self._wants_continue and not self._lost:
            self._wants_continue = False
            self.flush()
            self._transport.write(framing.CONTINUE)
        self._control_reading()

    def on_body(self, data: bytes) -> None:
        if self._upload is not None:
            self._upload.feed(data)
            self._since = self._service.now
            self._raw = min(self._raw, 0) - 8 * len(data)  # what is not body counts, read by read (see _count_raw)
            self._control_reading()
            return
        if self._phase is _DEAF:
            raise _RefusedError("the reply was sent before the end of the body")
        self._body_size += len(data)
        if self._body_size > self._max_body:
            raise self._stop(413, f"The request body is larger than {self._max_body} bytes.")
        self._body.append(data)

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None
        if self._upload is not None:
            self._upload.finish()
            self._upload = self._request = None
            self._phase = _IDLE if self._parser.should_keep_alive() else _DEAF
            self._since = self._service.now
            return
        if "upgrade" in request.headers and self._parser.should_upgrade() and framing.body_is_next(request):
            return  # see _after_offer
        body = self._body
        request.body = body[0] if len(body) == 1 else b"".join(body)
        self._body = []
        self._request = None
        self._wants_continue = False
        keep = self._parser.should_keep_alive() and request.method != "CONNECT"
        self._phase = _IDLE if keep else _DEAF
        self._since = self._service.now
        if self._task is None and not self._queue and not self._stalled:
            self._answer(request, self._handler, keep)
        else:
            self._wait_turn(request, self._handler, keep)

    def _wait_turn(self, request: Request, handler: Handler, keep: bool) -> None:
        if len(self._queue) >= self._service.limits.max_pipelined:
            raise self._stop(503, "Too many requests at once on one connection.")
        self._queue.append((request, handler, keep))
        self._control_reading()

    # -- replies out ------------------------------------------------------------------------------------------------

    def _refuse(self, status: int, reason: str) -> None:
        """Answer bytes that are no request (theory 3): after all earlier replies, and then the connection ends."""
        self._phase = _DEAF
        self._since = self._service.now
        self._body = []
        if self._upload is not None:
            self._upload.fail(reason)
            self._upload = None
        page = self._service.app.error(status, reason)
        page.close = True
        request = Request("", "", {}, b"", self._peer)
        if self.busy or self._stalled:
            self._queue.append((request, lambda _: page, False))
        else:
            self._send(request, page, False)
        self._control_reading()

    def _failed(self, request: Request, error: BaseException | None) -> Response:
        """Our bug: details and an id to the log, the id to the client."""
        number = incident(log, f"{request.method} {request.path} failed", error)
        return self._service.app.error(500, f"Internal error {number}.")

    def _answer(self, request: Request, handler: Handler, keep: bool) -> None:
        try:
            result = handler(request)
        except Exception as error:
            result = self._failed(request, error)
        if isinstance(result, Response):
            self._reply(request, result, keep)
        else:
            self._run(request, result, keep)

    def _run(self, request: Request, awaitable: Awaitable[Any], keep: bool) -> None:
        """Let `awaitable` make the reply while the connection waits (theory 2)."""
        self._task = task = asyncio.ensure_future(awaitable)
        self._service.own(task)
        task.add_done_callback(lambda done: self._answered(request, done, keep))

    def _answered(self, request: Request, task: asyncio.Future[Response], keep: bool) -> None:
        self._task = None
        if self._lost or self._transport.is_closing() or self._tunnel:
            if not task.cancelled() and task.exception() is not None:
                self._failed(request, task.exception())
            elif not (task.cancelled() or self._tunnel or task.result().stream is None):
                self._reply(request, task.result(), False)  # nobody hears it, but who makes it must learn that
            self._close()
            return
        if task.cancelled():  # not by us: what the handler waited for was
            response = self._failed(request, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            response = self._failed(request, error)
        else:
            response = task.result()
        if request.upload is None or request.upload.broken is None or response.reads_on:
            self._reply(request, response, keep)
        self._advance()

    def _reply(self, request: Request, response: Response, keep: bool) -> None:
        if self._upload is not None and self._upload is request.upload and not response.reads_on:
            keep, self._upload = False, None  # the rest of the body is thrown away
            self._phase = _DEAF
        if response.tunnel is not None:
            self._switch(request, response)
            return
        if response.stream is None:
            self._send(request, response, keep)
            return
        self._task = task = asyncio.ensure_future(self._stream(request, response, keep))
        self._service.own(task)
        task.add_done_callback(partial(self._streamed, response.stream))

    def _switch(self, request: Request, response: Response) -> None:
        """Leave HTTP (theory 7)."""
        assert response.tunnel is not None
        self._phase, self._tunnel = _DEAF, True
        self._queue.clear()
        self._control_reading()
        self.flush()
        self._transport.write(framing.switch_head(response))
        self._run(request, response.tunnel(Tunnel(self._transport, self.connection_lost)), False)

    def _send(self, request: Request, response: Response, keep: bool) -> None:
        """Write a complete reply."""
        transport = self._transport
        if self._lost or transport.is_closing():
            return
        keep = keep and not response.close and not self._service.draining
        try:
            head = framing.head(response, keep)
        except ValueError as error:
            response = self._failed(request, error)
            head = framing.head(response, keep)
        body = response.body
        if request.method == "HEAD" or not body:
            self._hold(head)
        elif isinstance(body, list):
            self.flush()
            transport.writelines([head, *body])
        elif len(body) < _JOIN_BELOW:
            self._hold(head + body)
        else:
            self.flush()
            transport.writelines((head, body))
        self._after(request, keep)

    def _hold(self, data: bytes) -> None:
        """Write at the end of the loop's turn (theory 6)."""
        if self._held:
            data = self._held + data
        elif len(data) < _HOLD_BELOW:
            self._service.flush_later(self)
        self._held = data
        if len(data) >= _HOLD_BELOW:
            self.flush()

    def flush(self) -> None:
        """Write what was held back."""
        data, self._held = self._held, b""
        if data and not self._lost and not self._transport.is_closing():
            self._transport.write(data)

    async def _stream(self, request: Request, response: Response, keep: bool) -> None:
        """Write a streamed reply as fast as the client reads it."""
        stream = response.stream
        assert stream is not None
        chunked = request.version != "1.0" and response.length is None
        keep = keep and (chunked or response.length is not None) and not response.close and not self._service.draining
        self.flush()
        if not self._lost:
            self._transport.write(framing.stream_head(response, keep, chunked))
        sent = 0
        try:
            if request.method != "HEAD" and (response.reads_on or not self._lost):
                async for data in stream:
                    if data:
                        sent += len(data)
                        self._transport.writelines(framing.chunk(data) if chunked else [data])
                    if self._stalled and not self._lost:
                        self._room = asyncio.get_running_loop().create_future()
                        await self._room
                if chunked and not self._lost:
                    self._transport.write(framing.LAST_CHUNK)
                elif response.length not in (None, sent) and not self._lost:
                    raise RuntimeError(f"a stream of {response.length} bytes ended after {sent}")
        finally:
            self._room = None
        if not self._lost:
            self._after(request, keep)

    def _streamed(self, stream: AsyncIterator[bytes], task: asyncio.Future[None]) -> None:
        self._task = None
        self._service.own(asyncio.ensure_future(give_up(stream)))  # not in the task: it may never have begun
        if task.cancelled() or task.exception() is not None:
            if not task.cancelled():
                # Half a reply is out: only cutting the connection tells the client that it is not whole.
                incident(log, "a streamed reply failed", task.exception())
            self._transport.abort()
            return
        self._advance()

    def _after(self, request: Request, keep: bool) -> None:
        """A reply is written: wait for the next request, or end the connection."""
        if self._upload is not None and self._upload is request.upload:
            self._upload, self._phase = None, _DEAF
        if self._phase in (_IDLE, _DEAF):
            self._since = self._service.now
        if keep:
            return
        self._queue.clear()
        if request.method and not (request.upload is not None and not request.upload.complete):
            self._close()
            return
        self._phase = _DEAF  # the reply to an error, or to half a body: see theory 3
        self.flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _advance(self) -> None:
        """Answer waiting requests until one has to wait again."""
        while self._queue and self._task is None and not self._stalled and not self._closing and not self._lost:
            self._answer(*self._queue.popleft())
        self._offer_to_continue()
        self._control_reading()
