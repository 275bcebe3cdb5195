"""The HTTP layer, row by row: paths, methods, bodies, what is no request, keep-alive, sockets."""

from __future__ import annotations

import pytest
from server_client import Wire, api_result, basic, post, xml_call
from xenapi_rows import document, success

ALIVE = document("system.isAlive:X", "<value>here</value>")
HERE = success("<value>here</value>")
HOST = b"Host: x\r\n"


@pytest.mark.parametrize("path", ["/", "/RPC2", "/xmlrpc", "/foo", "/json", "/json/", "/JSONRPC", "/?a=b"])
def test_post_to_any_path_is_xml_rpc(client, path):
    reply = client.ask(post(ALIVE, path))
    assert (reply.status, reply.body) == (200, HERE)
    assert reply.headers == {
        "connection": "keep-alive",
        "cache-control": "no-cache, no-store",
        "content-type": "text/xml",
        "access-control-allow-origin": "*",
        "content-length": str(len(HERE)),
    }


def test_post_to_jsonrpc_is_json(client):
    reply = client.ask(post(b'{"method":"system.isAlive:X","params":["here"],"id":1}', "/jsonrpc"))
    assert (reply.status, reply.body) == (200, b'{"result":"here","error":null,"id":1}')
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/", "/json", "/jsonrpc"])
def test_options_echoes_the_headers_a_browser_asks_for(client, path):
    reply = client.ask(f"OPTIONS {path} HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Headers: a, b\r\n\r\n".encode())
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-allow-headers"] == "a, b, X-Requested-With"
    assert reply.headers["access-control-allow-methods"] == "PUT"


@pytest.mark.parametrize(
    ("door", "path", "status"),
    [
        ("xenapi_tls", "/no-such-page", 404),
        ("socket", "/no-such-page", 404),
        ("xenapi", "/../etc/passwd", 403),
        ("xenapi_tls", "/../etc/passwd", 403),
        ("xenapi", "/%2e%2e/etc/passwd", 403),
        ("xenapi", "/a/../../b", 403),
    ],
)
def test_get_outside_what_is_served_is_a_page(server, door, path, status):
    with Wire(server, door) as wire:
        reply = wire.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (reply.status, reply.headers["content-type"][:9]) == (status, "text/html")
    assert reply.body.startswith(b"<html>")


def test_get_on_the_plain_port_is_sent_to_the_one_with_tls(server, client):
    reply = client.ask(b"GET /no-such-page?a=b HTTP/1.1\r\nHost: xen.example\r\n\r\n")
    port = server.ready["xenapi_tls"].rpartition(":")[2]
    assert (reply.status, reply.headers["location"]) == (301, f"https://xen.example:{port}/no-such-page?a=b")


@pytest.mark.parametrize(
    ("method", "status"), [("PUT", 403), ("CONNECT", 403), ("DELETE", 501), ("PATCH", 501), ("TRACE", 501)]
)
def test_other_methods_are_refused_and_the_connection_closed(server, method, status):
    with Wire(server, "xenapi") as wire:
        reply = wire.ask(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert reply.body.startswith(b"<html>")
        assert wire.reply() is None


LENGTH = b"We require a content-length: HTTP header"


@pytest.mark.parametrize(
    ("request_bytes", "status", "sentence"),
    [
        (b"POST / HTTP/1.1\r\n" + HOST + b"\r\n", 500, LENGTH),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 500, LENGTH),
        (b"POST /jsonrpc HTTP/1.1\r\n" + HOST + b"\r\n", 500, LENGTH),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 307201\r\n\r\n", 500, b"larger than 307200 bytes"),
        (b"no request\r\n\r\n", 500, b"The HTTP headers could not be parsed."),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 500, b"The HTTP headers could not be parsed."),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431, b"headers are too large"),
    ],
    ids=["no length", "chunked", "no length for json", "300 KiB and one", "no request", "TLS", "large header"],
)
def test_what_is_no_request_gets_a_page(server, request_bytes, status, sentence):
    with Wire(server, "xenapi") as wire:
        reply = wire.ask(request_bytes)
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert reply.headers["content-type"].startswith("text/html")
        assert sentence in reply.body


def test_a_body_of_300_kib_is_read(client):
    text = "a" * (300 * 1024 - len(document("system.isAlive:X", "<value></value>")))
    body = document("system.isAlive:X", f"<value>{text}</value>")
    assert len(body) == 300 * 1024
    assert client.ask(post(body)).body == success(f"<value>{text}</value>")


def test_failures_of_the_api_are_http_200(client):
    reply = client.ask(post(document("VM.get_all", "<value>nobody</value>")))
    assert reply.status == 200
    assert api_result(reply) == ("Failure", ["SESSION_INVALID", "nobody"])


@pytest.mark.parametrize(
    ("version", "header", "connection"),
    [
        ("1.1", "", "keep-alive"),
        ("1.1", "Connection: close\r\n", "close"),
        ("1.1", "Connection: Close\r\n", "close"),
        ("1.0", "", "close"),
        ("1.0", "Connection: keep-alive\r\n", "keep-alive"),
        ("1.0", "Connection: Keep-Alive\r\n", "keep-alive"),
    ],
)
def test_keep_alive_follows_the_version(server, version, header, connection):
    request = post(ALIVE, headers=header).replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    with Wire(server, "xenapi") as wire:
        first = wire.ask(request)
        assert (first.body, first.headers["connection"]) == (HERE, connection)
        again = wire.ask(request)
        assert (again is None) == (connection == "close")


def test_requests_sent_together_are_answered_in_order(server):
    with Wire(server, "xenapi") as wire:
        wire.send(post(ALIVE) + post(b"<no-call/>") + post(ALIVE, "/json"))
        replies = [wire.reply() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 500, 200]


def test_headers_may_be_spelled_in_any_case_and_come_in_pieces(server):
    request = post(ALIVE).replace(b"Content-Length", b"CONTENT-length").replace(b"Host", b"hOST")
    with Wire(server, "xenapi") as wire:
        for start in range(0, len(request), 7):
            wire.send(request[start : start + 7])
        assert wire.reply().body == HERE


def test_content_type_is_not_looked_at(client):
    for kind in ("application/json", "nonsense", "text/xml; charset=latin-1"):
        assert client.ask(post(ALIVE, headers=f"Content-Type: {kind}\r\n")).body == HERE


@pytest.mark.parametrize("how", ["cookie", "query", "basic"])
def test_pages_take_a_session_or_basic_credentials(client, how):
    query = f"?session_id={client.session}" if how == "query" else ""
    header = {"cookie": f"Cookie: a=b; session_id={client.session}\r\n", "basic": basic("root", "xencim")}.get(how, "")
    reply = client.ask(f"GET /about{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
    assert reply.status == 200


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("", ""),
        ("?session_id=OpaqueRef:no", ""),
        ("", "Cookie: session_id=OpaqueRef:no\r\n"),
        ("", basic("root", "no")),
    ],
    ids=["nothing", "bad query", "bad cookie", "bad password"],
)
def test_pages_without_credentials_are_a_challenge(client, query, header):
    reply = client.ask(f"GET /about{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith('Basic realm="')


def test_a_cookie_comes_before_the_query(client):
    request = "GET /about?session_id={} HTTP/1.1\r\nHost: x\r\nCookie: session_id={}\r\n\r\n"
    assert client.ask(request.format("OpaqueRef:no", client.session).encode()).status == 200
    assert client.ask(request.format(client.session, "OpaqueRef:no").encode()).status == 401


def test_the_unix_socket_is_root(server):
    with Wire(server, "socket") as wire:
        status, session = api_result(wire.ask(xml_call("session.login_with_password", "anybody", "anything")))
        assert status == "Success"
        assert api_result(wire.ask(xml_call("session.get_is_local_superuser", session, session))) == ("Success", True)
        assert wire.ask(b"GET /about HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_tls_answers_alike(server):
    with Wire(server, "xenapi_tls") as wire:
        assert wire.ask(post(ALIVE, "/any")).body == HERE
