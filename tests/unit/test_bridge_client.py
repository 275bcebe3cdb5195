"""The client of another server: addresses, values, failures, and what is no answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from http_client import raw_server, run, serving

from xenapi_core.api.membership import place_of
from xenapi_core.bridge.client import RemoteXenApi
from xenapi_core.errors import ApiError, E
from xenapi_core.model.types import STRING_MAP
from xenapi_core.server.routes import Request, Response, Route
from xenapi_core.server.xenapi_app import xenapi_app
from xenapi_core.wire.xmlrpc import XmlRpc, encode_call


class Answers:
    """A server that echoes strings, and fails what is called `fail`."""

    def handle(self, call: Any, codec: Any, peer: Any) -> bytes:
        if call.method == "fail":
            return codec.failure(call, E.HOST_IS_SLAVE("192.0.2.1").description)
        if call.method == "fail_newly":
            return codec.failure(call, ["A_CODE_OF_TOMORROW", "x"])
        if call.method == "bare":
            return codec.bare(call, codec.value(STRING_MAP, {"a": "b"}))
        return codec.success(call, codec.value(STRING_MAP, {str(n): str(p) for n, p in enumerate(call.params)}))


def asked(method: str, *params: Any, extra: tuple[Route, ...] = ()) -> Any:
    """What the client makes of one call."""

    async def body() -> Any:
        async with serving(xenapi_app(Answers(), extra=extra)) as listener:
            remote = RemoteXenApi(f"http://127.0.0.1:{listener.port}", 1)
            return await (
                remote.post(method, params[0], "a=b") if method.startswith("/") else remote.call(method, *params)
            )

    return run(body())


def test_values_and_failures_come_as_they_were_sent() -> None:
    assert asked("echo", "a<b", "ü", True, 7) == {"0": "a<b", "1": "ü", "2": "True", "3": "7"}
    assert asked("bare") == {"a": "b"}
    with pytest.raises(ApiError) as failure:
        asked("fail")
    assert failure.value.description == ["HOST_IS_SLAVE", "192.0.2.1"]
    with pytest.raises(ApiError) as failure:
        asked("fail_newly")
    assert failure.value.description == ["A_CODE_OF_TOMORROW", "x"]


@pytest.mark.parametrize(
    "reply",
    [
        Response(404, (), b"none"),
        Response(200, (), b"no XML"),
        Response(200, (), b"<methodResponse/>"),
        Response(200, (), b"<methodResponse><params><param><value>a</value></param></params></methodResponse>x"),
        Response(200, (), b"<methodResponse><params><param><value><struct><member><name>Status</name>"
                          b"<value>Failure</value></member></struct></value></param></params></methodResponse>"),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_a_connection_that_failed(reply: Response) -> None:
    with pytest.raises(OSError, match=r"."):
        asked("/odd", b"", extra=(Route("POST", "/odd", lambda _: reply),))


def test_a_cookie_goes_with_a_request_to_a_handler() -> None:
    def told(request: Request) -> Response:
        codec = XmlRpc()
        given = {"cookie": request.headers["cookie"], "body": request.body.decode()}
        return Response(200, (), codec.success(codec.decode(encode_call("x", ())), codec.value(STRING_MAP, given)))

    assert asked("/told", b"data", extra=(Route("POST", "/told", told),)) == {"cookie": "a=b", "body": "data"}


async def test_a_server_that_hangs_up_or_is_not_there_is_an_os_error() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async with raw_server(hang_up) as port:
        for url in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
            with pytest.raises(OSError, match=r"."):
                await RemoteXenApi(url, 1).call("VM.get_all")
    with pytest.raises(OSError, match=r"."):
        await RemoteXenApi(f"127.0.0.1:{port}", 1).call("VM.get_all")


@pytest.mark.parametrize("address", ["\ufffe", "é" * 100, "a" * 300, "no-such-host.invalid"])
def test_a_name_that_nobody_can_have_is_an_os_error(address: str) -> None:
    with pytest.raises(OSError, match=r"."):
        run(RemoteXenApi(address, 1).call("VM.get_all"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("xen.example", ("", "xen.example", None)),
        ("192.0.2.1:8443", ("", "192.0.2.1", 8443)),
        ("2001:db8::1", ("", "2001:db8::1", None)),
        ("[2001:db8::1]:443", ("", "2001:db8::1", 443)),
        ("https://xen.example/", ("https", "xen.example", None)),
        ("http://192.0.2.1:80", ("http", "192.0.2.1", 80)),
    ],
)
def test_an_address_is_a_host_with_or_without_port_and_scheme(address: str, expected: object) -> None:
    assert place_of(address) == expected


@pytest.mark.parametrize("address", ["", "ftp://x", "a/b", "host:port", "http://", "[::1", "x:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        place_of(address)
