"""Bytes to and from every listener of a real server process, and what a test may ask of the process itself."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import ssl
import xmlrpc.client
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server_process import ServerProcess

XENAPI_DOORS = ("xenapi", "xenapi_tls", "socket")
WBEM_DOORS = ("wbem", "wbem_tls")
DEADLINE = 30.0  # seconds without a byte until a test fails; no test depends on how long anything takes
# Bytes of resident memory: a server with the demo pool needs about 100 MB, and must not need a multiple of it.
MEMORY_BOUND = 400 * 1024 * 1024


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection to a listener ("door": a name of the ready file). Every byte is in the test's hand."""

    def __init__(self, server: ServerProcess, door: str, context: ssl.SSLContext | None = None) -> None:
        self.door = door
        target = server.ready[door]
        if door == "socket":
            self.socket: socket.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(DEADLINE)
            self.socket.connect(target)
        else:
            address = urlsplit(target)
            self.socket = socket.create_connection((address.hostname, address.port), DEADLINE)
            if door.endswith("_tls"):
                plain = self.socket
                try:
                    self.socket = (context or trusting()).wrap_socket(plain)
                except OSError:
                    plain.close()
                    raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send; a server that has answered already and takes no more is no error."""
        with suppress(ConnectionError, ssl.SSLError):
            self.socket.sendall(data)

    def reply(self) -> Reply | None:
        """The next reply; None if the server ended the connection without one."""
        try:
            line = self._file.readline()
        except (ConnectionError, ssl.SSLError):
            return None
        if not line:
            return None
        version, status, _ = line.decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1", line
        headers: dict[str, str] = {}
        while (text := self._file.readline().decode("latin-1").strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if status in ("100", "204"):
            return Reply(int(status), headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(int(status), headers, b"".join(self._chunks()))
        length = headers.get("content-length")
        body = self._file.read() if length is None else self._file.read(int(length))
        assert length is None or len(body) == int(length), "the reply was cut off"
        return Reply(int(status), headers, body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            assert self._file.readline() == b"\r\n", "the reply was cut off"
        assert self._file.readline() == b"\r\n", "the reply was cut off"

    def ask(self, data: bytes) -> Reply | None:
        self.send(data)
        return self.reply()


def trusting() -> ssl.SSLContext:
    """A client side that takes the server's self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# Requests


def post(body: bytes, path: str = "/", headers: str = "", *, length: int | None = None) -> bytes:
    """A POST; `length` lies about the body."""
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{headers}\r\n".encode("latin-1") + body


def xml_call(method: str, *params: Any) -> bytes:
    return post(xmlrpc.client.dumps(params, method, allow_none=True).encode())


def json_call(method: str, params: Any, number: int = 1) -> bytes:
    """A JSON-RPC 2.0 call; what is no JSON text (lone surrogates, NUL) goes as escapes."""
    text = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": number})
    return post(text.encode(), "/jsonrpc")


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() + "\r\n"


def cim_headers(method: str, target: str = "root/cimv2") -> str:
    return (
        f'Content-Type: application/xml; charset="utf-8"\r\nCIMOperation: MethodCall\r\n'
        f"CIMMethod: {method}\r\nCIMObject: {target}\r\n"
    )


def cim_body(content: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ>{content}</SIMPLEREQ></MESSAGE></CIM>'
    ).encode()


def namespace_path(namespace: str) -> str:
    parts = "".join(f'<NAMESPACE NAME="{part}"/>' for part in namespace.split("/"))
    return f"<LOCALNAMESPACEPATH>{parts}</LOCALNAMESPACEPATH>"


DEMO_USER = basic("root", "xencim")


def cim_call(operation: str, params: str = "", namespace: str = "root/cimv2", user: str = DEMO_USER) -> bytes:
    """An intrinsic operation; `params` are IPARAMVALUE elements."""
    body = cim_body(f'<IMETHODCALL NAME="{operation}">{namespace_path(namespace)}{params}</IMETHODCALL>')
    return post(body, "/cimom", user + cim_headers(operation, namespace))


# Replies


def api_result(reply: Reply | None) -> tuple[str, Any]:
    """("Success", value) or ("Failure", [code, ...]) of an XML-RPC or JSON-RPC reply; anything else fails the test."""
    assert reply is not None, "the connection was dropped"
    assert reply.status == 200, (reply.status, reply.body)
    if reply.headers["content-type"] == "application/json":
        answer = json.loads(reply.body)
        if "error" in answer and answer["error"] is not None:
            error = answer["error"]
            return "Failure", error if isinstance(error, list) else [error["message"], *(error["data"] or ())]
        return "Success", answer["result"]
    ((answer,), _) = xmlrpc.client.loads(reply.body)
    return ("Success", answer["Value"]) if answer["Status"] == "Success" else ("Failure", answer["ErrorDescription"])


def login(server: ServerProcess, door: str = "xenapi") -> str:
    with Wire(server, door) as wire:
        status, session = api_result(wire.ask(xml_call("session.login_with_password", server.user, server.password)))
    assert status == "Success", session
    return session


def answers(wire: Wire, requests: Iterable[bytes], ahead: int = 100) -> Iterator[Reply | None]:
    """The replies to many requests on one connection, at most `ahead` of them on their way."""
    waiting = 0
    iterator = iter(requests)
    while batch := list(itertools.islice(iterator, ahead)):
        wire.send(b"".join(batch))
        for waiting in range(len(batch), 0, -1):
            reply = wire.reply()
            assert reply is not None, f"the connection ended {waiting} replies early"
            yield reply


# The process


def resident(server: ServerProcess) -> int:
    """Bytes of memory the process holds."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the server is gone")


def complaints(server: ServerProcess) -> list[str]:
    """Lines of the log that tell of a bug of ours."""
    words = ("Traceback", " ERROR ", " CRITICAL ", "Warning:", "never retrieved", "never awaited")
    return [line[:2000] for line in server.output.splitlines() if any(word in line for word in words)]


def check_sound(server: ServerProcess, doors: Sequence[str] = XENAPI_DOORS + WBEM_DOORS) -> None:
    """The server answers a normal call at every door, has logged no bug, and holds no more memory than it may."""
    for door in doors:
        if door in WBEM_DOORS:
            with Wire(server, door) as wire:
                reply = wire.ask(cim_call("EnumerateClassNames"))
            assert reply is not None
            assert reply.status == 200
            assert b"Xen_" in reply.body or b"CIM_" in reply.body
            continue
        with Wire(server, door) as wire:
            login_call = xml_call("session.login_with_password", server.user, server.password)
            status, session = api_result(wire.ask(login_call))
            assert status == "Success", session
            status, vms = api_result(wire.ask(xml_call("VM.get_all", session)))
            assert status == "Success"
            assert vms
            api_result(wire.ask(xml_call("session.logout", session)))
    assert complaints(server) == []
    assert resident(server) < MEMORY_BOUND
