"""Listeners that let some hosts in only: the others are cut off before they get a byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from server_client import DEADLINE, Wire, api_result, trusting, xml_call
from server_process import ServerProcess

from xenapi_core.server.gate import Gate, PatternError

LOGIN = xml_call("session.login_with_password", "root", "xencim")


def admitted(patterns: str, address: str) -> bool:
    return asyncio.run(Gate(patterns.split()).admits(address))


@pytest.mark.parametrize(
    ("patterns", "address", "expected"),
    [
        (r"127\.0\.0\.1", "127.0.0.1", True),
        (r"^127\.0\.0\.1$", "127.0.0.1", True),
        (r"127\.0\.0\.1", "127.0.0.10", False),
        (r"192\.0\.2\..* 127\..*", "127.0.0.9", True),
        (r"::1", "::1", True),
        (r"127\.0\.0\.1", "::ffff:127.0.0.1", True),
        (r"192\.0\.2\..*", "127.0.0.1", False),
        (r"localhost", "192.0.2.77", False),
    ],
)
def test_patterns_fit_an_address_as_a_whole(patterns: str, address: str, expected: bool) -> None:
    assert admitted(patterns, address) is expected


def test_patterns_fit_a_name_that_has_the_address() -> None:
    name = socket.getnameinfo(("127.0.0.1", 0), 0)[0]
    addresses = {entry[4][0] for entry in socket.getaddrinfo(name, None)}
    assert admitted(f"no-such-name {name}", "127.0.0.1") is ("127.0.0.1" in addresses)
    assert admitted(f"x{name}", "127.0.0.1") is False


def test_what_is_no_pattern_is_told_of() -> None:
    with pytest.raises(PatternError, match="no regular expression"):
        Gate(["("])


def client_hello() -> bytes:
    """What a TLS client sends first."""
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting().wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()


def bytes_from(server: ServerProcess, door: str, source: str, request: bytes) -> bytes:
    """All bytes of the answer to `request`, sent from the address `source`."""
    target = urlsplit(server.ready[door])
    with contextlib.closing(
        socket.create_connection((target.hostname, target.port), DEADLINE, source_address=(source, 0))
    ) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        received = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
                if len(received) > 5:
                    break
        return received


def test_only_allowed_hosts_are_answered(serve: Callable[..., ServerProcess]) -> None:
    server = serve("--vms", "0", "--allow-hosts", r"127\.0\.0\.1", "--allow-hosts", r"wbem=127\.0\.0\.2")
    hello = client_hello()
    for door, request in (("xenapi", LOGIN), ("xenapi_tls", hello), ("wbem", LOGIN), ("wbem_tls", hello)):
        assert bytes_from(server, door, "127.0.0.3", request) == b"", door
        assert bytes_from(server, door, "127.0.0.1", request) != b"", door
    assert bytes_from(server, "wbem", "127.0.0.2", LOGIN) != b""
    assert bytes_from(server, "xenapi", "127.0.0.2", LOGIN) == b""
    for door in ("xenapi", "xenapi_tls", "socket"):
        with Wire(server, door) as wire:
            assert api_result(wire.ask(LOGIN))[0] == "Success"
    assert "127.0.0.3 was refused" in server.output
    assert server.stop() == 0


def test_a_client_that_stays_silent_at_the_gate_keeps_nobody_out(serve: Callable[..., ServerProcess]) -> None:
    server = serve("--vms", "0", "--allow-hosts", r"127\..*")
    target = urlsplit(server.ready["xenapi_tls"])
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(contextlib.closing(socket.create_connection((target.hostname, target.port), DEADLINE)))
        with Wire(server, "xenapi_tls", trusting()) as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            assert api_result(wire.ask(LOGIN))[0] == "Success"
        assert server.stop() == 0


@pytest.mark.parametrize(("option", "code"), [("nobody=127.0.0.1", 2), ("(", 1)])  # 2: wrong usage
def test_a_setting_that_means_nothing_keeps_the_server_from_starting(option: str, code: int) -> None:
    command = [sys.executable, "-m", "xenapi_core.cli.main", "serve", "--demo", "--allow-hosts", option]
    ports = [f"--{name}-port=0" for name in ("xenapi", "xenapi-tls", "wbem", "wbem-tls")]
    done = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr
