"""GET on the plain port of the Xen-API: what is served there, and what is sent on to the port with TLS."""

from __future__ import annotations

import pytest
from http_client import connected, get, run, serving

from xenapi_core.server.routes import Response, Route
from xenapi_core.server.xenapi_app import xenapi_app


def asked(request: bytes, tls_port: int | None = 9367):
    """The reply to one GET on the plain port of an endpoint with one more route, /about."""

    async def body():
        extra = (Route("GET", "/about", lambda _: Response(200, (), b"about")),)
        app = xenapi_app(None, extra=extra, tls_port=lambda: tls_port)
        async with serving(app) as listener, connected(listener) as client:
            return await client.ask(request)

    return run(body())


def plain(path: str, host: str | None = "xen.example:9363") -> bytes:
    line = "" if host is None else f"Host: {host}\r\n"
    return f"GET {path} HTTP/1.1\r\n{line}\r\n".encode()


@pytest.mark.parametrize(
    ("path", "host", "location"),
    [
        ("/export?ref=a&b=%20", "xen.example:9363", "https://xen.example:9367/export?ref=a&b=%20"),
        ("/console", "192.0.2.1", "https://192.0.2.1:9367/console"),
        ("/a/b", "[2001:db8::1]:80", "https://[2001:db8::1]:9367/a/b"),
    ],
)
def test_a_page_that_is_not_served_in_plain_is_sent_to_the_port_with_tls(path, host, location):
    reply = asked(plain(path, host))
    assert (reply.status, reply.headers["location"]) == (301, location)
    assert reply.headers["content-type"].startswith("text/html")


def test_the_usual_port_of_tls_is_left_out():
    assert asked(plain("/x"), tls_port=443).headers["location"] == "https://xen.example/x"


@pytest.mark.parametrize("path", ["/", "/?a", "/about"])
def test_what_is_served_in_plain_is_not_sent_away(path):
    assert asked(plain(path)).status == 200


@pytest.mark.parametrize("host", ["evil/path", "a b", "user@host", "<script>", ""])
def test_what_is_no_host_is_not_repeated_in_a_reply(host):
    reply = asked(plain("/x", host))
    assert reply.status == 404
    assert "location" not in reply.headers


def test_without_a_host_header_or_a_port_with_tls_a_page_is_missing():
    assert asked(plain("/x", None)).status == 404
    assert asked(plain("/x"), tls_port=None).status == 404


def test_a_path_outside_the_pages_stays_forbidden():
    assert asked(plain("/../etc/passwd")).status == 403
    assert asked(get("/x", method="DELETE")).status == 501


@pytest.mark.parametrize("tls_port", [9367, None])
def test_a_port_that_is_closed_for_plain_http_refuses_calls_and_ends_the_connection(tls_port):
    async def body():
        seen = []
        app = xenapi_app(None, tls_port=lambda: tls_port, plain_refused=lambda: True, seen=seen.append)
        async with serving(app) as listener, connected(listener) as client:
            call = b"POST / HTTP/1.1\r\nHost: x\r\nUser-Agent: c/1\r\nContent-Length: 1\r\n\r\nx"
            reply = await client.ask(call)
            assert await client.reader.read() == b""
            return reply.status, seen

    assert run(body()) == (403, ["c/1"])
