"""The Xen-API endpoint over HTTP: paths, methods, headers, and which failures are HTTP failures."""

from __future__ import annotations

import asyncio
import json
import xmlrpc.client

import pytest
from http_client import connected, get, post, run, serving

from xenapi_core.model.types import STRING
from xenapi_core.server.routes import Response, Route
from xenapi_core.server.xenapi_app import xenapi_app


class Parrot:
    """Answers every call with its method, codec, transport and params; `later.` methods after a turn of the loop."""

    def handle(self, call, codec, peer):
        reply = codec.success(call, codec.value(STRING, f"{call.method} {codec.name} {peer.transport} {call.params}"))

        async def later():
            await asyncio.sleep(0)
            return reply

        return later() if call.method.startswith("later.") else reply


def asked(*requests, app=None):
    """The replies to requests, each on a connection of its own."""

    async def body():
        found = []
        async with serving(app or xenapi_app(Parrot())) as listener:
            for request in requests:
                async with connected(listener) as client:
                    await client.send(request)
                    reply = await client.reply(head_only=request.startswith(b"HEAD"))
                    if reply.headers["connection"] == "close":
                        assert await client.ended()
                    found.append(reply)
        return found

    return run(body())


def xml(method, *params):
    return xmlrpc.client.dumps(params, method).encode()


@pytest.mark.parametrize("path", ["/", "/RPC2", "/xmlrpc", "/foo/bar", "/json", "/jso", "/?x=1", "http://other/RPC2"])
def test_xml_rpc_is_on_every_path_nobody_else_wants(path):
    (reply,) = asked(post(xml("VM.start", "ref"), path))
    assert reply.status == 200
    assert xmlrpc.client.loads(reply.body)[0][0] == {"Status": "Success", "Value": "VM.start xmlrpc tcp ['ref']"}
    assert reply.headers == {
        "cache-control": "no-cache, no-store",
        "content-type": "text/xml",
        "access-control-allow-origin": "*",
        "connection": "keep-alive",
        "content-length": str(len(reply.body)),
    }


def test_json_rpc_is_on_jsonrpc():
    (reply,) = asked(post(b'{"jsonrpc":"2.0","method":"VM.start","params":["a"],"id":7}', "/jsonrpc"))
    assert json.loads(reply.body) == {"jsonrpc": "2.0", "result": "VM.start json tcp ['a']", "id": 7}
    assert reply.headers["content-type"] == "application/json"


def test_calls_that_wait_are_answered_alike():
    (reply,) = asked(post(xml("later.call")))
    assert xmlrpc.client.loads(reply.body)[0][0]["Value"] == "later.call xmlrpc tcp []"


@pytest.mark.parametrize("path", ["/", "/json", "/jsonrpc"])
def test_options_answers_browsers_from_anywhere(path):
    asked_for = "Access-Control-Request-Headers: content-type\r\n"
    with_headers, without = asked(get(path, method="OPTIONS", headers=asked_for), get(path, method="OPTIONS"))
    assert with_headers.status == 200
    assert with_headers.headers["access-control-allow-origin"] == "*"
    assert with_headers.headers["access-control-allow-headers"] == "content-type, X-Requested-With"
    assert with_headers.headers["access-control-allow-methods"] == "PUT"
    assert without.headers["access-control-allow-headers"] == "X-Requested-With"


def test_the_start_page_names_the_endpoints():
    (reply,) = asked(get("/"))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert b"xencim" in reply.body
    assert b"/jsonrpc" in reply.body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/no-such-file", 404),
        ("/a/../b", 404),
        ("/../etc/passwd", 403),
        ("/%2e%2e/etc/passwd", 403),
        ("/a/../../b", 403),
    ],
)
def test_other_pages_are_missing_or_forbidden(path, status):
    (reply,) = asked(get(path))
    assert reply.status == status
    assert reply.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("method", "status"),
    [("PUT", 403), ("CONNECT", 403), ("DELETE", 501), ("HEAD", 501), ("PATCH", 501), ("M-POST", 501)],
)
def test_methods_without_a_handler_end_the_connection(method, status):
    (reply,) = asked(get("/", method=method))
    assert (reply.status, reply.headers["connection"]) == (status, "close")


@pytest.mark.parametrize(
    ("request_bytes", "sentence"),
    [
        (get("/", method="POST"), "We require a content-length: HTTP header"),
        (
            get("/", method="POST", headers="Transfer-Encoding: chunked\r\n") + b"1\r\na\r\n0\r\n\r\n",
            "We require a content-length: HTTP header",
        ),
        (get("/jsonrpc", method="POST"), "We require a content-length: HTTP header"),
        (b"not HTTP at all\r\n\r\n", "The HTTP headers could not be parsed."),
        (get("/", method="POST", headers=f"Content-Length: {300 * 1024 + 1}\r\n"), "larger than 307200 bytes"),
        (post(b"<methodCall><methodName>a</methodName>"), "not well-formed XML"),
        (post(b"<methodCall><methodName>a</methodName></methodCall>"), "&lt;params&gt;"),
        (post(b'<!DOCTYPE x [<!ENTITY a "b">]><methodCall/>'), "document type declaration"),
        (post(b"<a>" * 70 + b"</a>" * 70), "nested deeper"),
        (post(b"{", "/jsonrpc"), "not JSON"),
        (post(b"[" * 100 + b"]" * 100, "/jsonrpc"), "nested deeper"),
    ],
)
def test_what_is_no_call_is_a_500_page(request_bytes, sentence):
    (reply,) = asked(request_bytes)
    assert reply.status == 500
    assert reply.headers["content-type"].startswith("text/html")
    assert sentence in reply.body.decode()


def test_too_large_headers_keep_their_own_status():
    (reply,) = asked(get("/", headers="X: " + "a" * 40_000 + "\r\n"))
    assert reply.status == 431


def test_bytes_that_are_no_utf8_are_a_failure_of_the_api():
    in_xml = b"<methodCall><methodName>a</methodName><params><param><value>\xff</value></param></params></methodCall>"
    in_json = b'{"method":"a","params":["\xff"],"id":3}'
    first, second = asked(post(in_xml), post(in_json, "/jsonrpc"))
    assert first.status == second.status == 200
    expected = ["INVALID_VALUE", "Invalid UTF-8 string in parameter", "\ufffd"]
    assert xmlrpc.client.loads(first.body)[0][0] == {"Status": "Failure", "ErrorDescription": expected}
    assert json.loads(second.body) == {"jsonrpc": "2.0", "error": expected, "id": 0}


def test_extra_routes_win_by_their_longer_prefix():
    about = Route("GET", "/about", lambda request: Response(200, (), b"about"))
    (reply,) = asked(get("/about"), app=xenapi_app(Parrot(), extra=(about,)))
    assert reply.body == b"about"
