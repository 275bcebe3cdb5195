"""Every valid request means the same to our HTTP layer as to h11, an independent implementation."""

from __future__ import annotations

import asyncio

import h11
from http_client import Probe, connected
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xenapi_core.server.listener import listen_tcp
from xenapi_core.server.routes import App, Request, Response, Route

TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
names = st.text(TOKEN, min_size=1, max_size=12).map(lambda name: "X-" + name)
inner = st.text([chr(c) for c in range(0x21, 0x7F)] + [" ", "\t", "\xe4"], max_size=30)
values = inner.map(str.strip)
targets = st.text("abcXYZ019-._~%2F/:@!$&'()*+,;=?", max_size=30).map(lambda rest: "/" + rest)
bodies = st.binary(max_size=200)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]))
    version = draw(st.sampled_from(["1.0", "1.1"]))
    fields = [("Host", "test"), *draw(st.lists(st.tuples(names, values), max_size=5))]
    body = draw(bodies) if method in ("POST", "PUT") else b""
    if body and version == "1.1" and draw(st.booleans()):
        fields.append(("Transfer-Encoding", "chunked"))
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif method in ("POST", "PUT"):
        fields.append(("Content-Length", str(len(body))))
    blank = draw(st.sampled_from([" ", "", "  ", "\t"]))
    # A tab behind the value of a framing header is valid, but refused by our parser: the safe side.
    after = {"Transfer-Encoding": "", "Content-Length": ""}
    lines = [f"{name}:{blank}{value}{after.get(name, blank)}" for name, value in fields]
    lines.insert(0, f"{method} {draw(targets)} HTTP/{version}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def as_h11_reads(data: bytes) -> tuple[str, str, str, dict[str, str], bytes]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return (
        request.method.decode(), request.target.decode("latin-1"), request.http_version.decode(), headers, body
    )  # fmt: skip


def test_valid_requests_read_as_h11_reads_them():
    seen: list[Request] = []

    def record(request: Request) -> Response:
        seen.append(request)
        return Response(200, (), b"ok", close=True)

    with asyncio.Runner() as runner:

        async def start():
            return await listen_tcp(App("t", (Route("POST", "/nowhere", Probe().echo),), record), "127.0.0.1", 0)

        async def ask(data: bytes, cut: int) -> int:
            async with asyncio.timeout(5), connected(listener) as client:
                await client.send(data[:cut], data[cut:])
                return (await client.reply()).status

        listener = runner.run(start())

        @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(requests(), st.integers(0, 300))
        def compare(data: bytes, cut: int) -> None:
            seen.clear()
            expected = as_h11_reads(data)
            assert runner.run(ask(data, cut)) == 200
            request = seen[0]
            assert (request.method, request.target, request.version, dict(request.headers), request.body) == expected

        try:
            compare()
        finally:
            runner.run(listener.close())
