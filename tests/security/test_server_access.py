"""Who gets in at which door of a real server, and what never gets out: the log, the files and the TLS of a process."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from server_client import (
    WBEM_DOORS,
    XENAPI_DOORS,
    Reply,
    Wire,
    answers,
    api_result,
    basic,
    check_sound,
    cim_body,
    cim_call,
    cim_headers,
    complaints,
    json_call,
    login,
    namespace_path,
    post,
    trusting,
    xml_call,
)
from server_process import ServerProcess, start_server, until_done

from cim_provider.wire.parameters import OPERATIONS
from xenapi_core.model.catalog import SCHEMA

# The only messages that are sent without a session. Everything else must refuse, whatever it is given.
WITHOUT_SESSION = {
    "session.login_with_password", "session.slave_login", "session.slave_local_login",
    "session.slave_local_login_with_password",
}  # fmt: skip
TAKES_ONE = re.compile("SESSION_INVALID|MESSAGE_PARAMETER_COUNT_MISMATCH")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on which the wait after a wrong password is short."""
    yield from until_done(start_server(tmp_path_factory.mktemp("server"), "--speed", "200"))


def guarded() -> list[str]:
    return [name for name in SCHEMA.methods if name not in WITHOUT_SESSION]


def refusals(server: ServerProcess, door: str, session: str, names: list[str], params: int = -1) -> None:
    """Every one of `names` answers SESSION_INVALID [session]."""
    calls = []
    for name in names:
        count = len(SCHEMA.methods[name.removeprefix("Async.")].params) if params < 0 else params
        calls.append((name, [session, *["OpaqueRef:NULL"] * count]))
    with Wire(server, door) as wire:
        for (name, _), reply in zip(calls, answers(wire, (json_call(n, p) for n, p in calls)), strict=True):
            assert api_result(reply) == ("Failure", ["SESSION_INVALID", session]), name


def test_the_messages_without_a_session_are_the_listed_ones():
    assert {name for name, method in SCHEMA.methods.items() if not method.message.session} == WITHOUT_SESSION


@pytest.mark.parametrize("door", XENAPI_DOORS)
def test_no_message_answers_without_a_session(server, door):
    names = guarded()
    with Wire(server, door) as wire:
        for name, reply in zip(names, answers(wire, (json_call(name, []) for name in names)), strict=True):
            status, value = api_result(reply)
            assert status == "Failure", name
            assert TAKES_ONE.fullmatch(value[0]), (name, value)
    check_sound(server)


@pytest.mark.parametrize(
    "session", ["", "OpaqueRef:NULL", "OpaqueRef:00000000-0000-0000-0000-000000000000", "root", "*"]
)
def test_no_message_answers_a_session_that_never_was(server, session):
    refusals(server, "xenapi", session, guarded())


@pytest.mark.parametrize("session", [None, 0, 1, True, [], {}, ["OpaqueRef:NULL"], 1.5])
def test_no_message_answers_a_session_of_another_type(server, session):
    names = guarded()[::7]
    with Wire(server, "xenapi") as wire:
        for name, reply in zip(names, answers(wire, (json_call(n, [session, "x"]) for n in names)), strict=True):
            status, value = api_result(reply)
            assert (status, value[0]) == ("Failure", "SESSION_INVALID"), name


def test_no_message_answers_a_session_that_logged_out(server):
    session = login(server)
    with Wire(server, "xenapi_tls") as wire:
        assert api_result(wire.ask(xml_call("VM.get_all", session)))[0] == "Success"
        assert api_result(wire.ask(xml_call("session.logout", session)))[0] == "Success"
    for door in XENAPI_DOORS:  # also at the socket, where no password is asked for
        refusals(server, door, session, guarded())
    refusals(server, "xenapi", session, [f"Async.{name}" for name in guarded()])


def test_no_message_answers_an_expired_session(serve):
    """A session ends after 24 h without a call: here, within a second or two of this server's fast time."""
    server = serve("--speed", "200000")
    session, uuid = login(server), ""
    with Wire(server, "xenapi") as wire:
        while True:
            fresh = login(server)
            status, value = api_result(wire.ask(xml_call("session.get_uuid", fresh, session)))
            if status == "Failure" and value[0] == "HANDLE_INVALID":
                break
            uuid = value if status == "Success" else uuid
    assert uuid
    refusals(server, "xenapi", session, guarded()[::5])
    assert complaints(server) == []


@pytest.mark.parametrize("door", ["xenapi", "xenapi_tls"])
@pytest.mark.parametrize(
    ("user", "password"),
    [("root", ""), ("root", "XENCIM"), ("root", "xencim "), ("root", "xencim\0"), ("", ""), ("", "xencim"),
     ("ROOT", "xencim"), ("root\0", "xencim"), ("root", "x" * 5000)],
)  # fmt: skip
def test_a_wrong_password_opens_no_session(server, door, user, password):
    with Wire(server, door) as wire:
        status, value = api_result(wire.ask(json_call("session.login_with_password", [user, password])))
        assert (status, value[0]) == ("Failure", "SESSION_AUTHENTICATION_FAILED")
        assert password == "" or password not in value[1:]


@pytest.mark.parametrize("secret", ["", "xencim", "OpaqueRef:NULL", "pool_secret"])
def test_no_pool_secret_opens_a_session(server, secret):
    with Wire(server, "xenapi") as wire:
        host = api_result(wire.ask(xml_call("host.get_all", login(server))))[1][0]
        for call in (
            json_call("session.slave_login", [host, secret]),
            json_call("session.slave_local_login", [secret]),
        ):
            assert api_result(wire.ask(call))[0] == "Failure"


# WBEM


def refused(reply: Reply | None) -> None:
    assert reply is not None
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Basic ")
    assert b"<CIM" not in reply.body
    assert b"Xen_" not in reply.body


CREDENTIALS = (
    "", "Authorization: \r\n", "Authorization: Basic\r\n", "Authorization: Basic !!!!\r\n",
    "Authorization: Bearer cm9vdDp4ZW5jaW0=\r\n", "Authorization: Digest username=root\r\n",
    basic("root", ""), basic("", ""), basic("", "xencim"), basic("root", "wrong"), basic("root", "xencim\0"),
    basic("ROOT", "xencim"), "Authorization: Basic cm9vdA==\r\n", "Authorization: Basic /////w==\r\n",
)  # fmt: skip


@pytest.mark.parametrize("door", WBEM_DOORS)
def test_no_cim_operation_is_looked_at_without_credentials(server, door):
    for operation, _ in OPERATIONS.values():
        with Wire(server, door) as wire:
            refused(wire.ask(cim_call(operation, user="")))
    for credentials in CREDENTIALS:
        with Wire(server, door) as wire:
            refused(wire.ask(cim_call("EnumerateClassNames", user=credentials)))
    body = cim_body(
        f'<METHODCALL NAME="RequestStateChange"><LOCALCLASSPATH>{namespace_path("root/cimv2")}'
        '<CLASSNAME NAME="Xen_ComputerSystem"/></LOCALCLASSPATH></METHODCALL>'
    )
    with Wire(server, door) as wire:
        refused(wire.ask(post(body, "/cimom", cim_headers("RequestStateChange", "root/cimv2:Xen_ComputerSystem"))))
        refused(wire.ask(post(b"not even XML", "/anything")))
        refused(wire.ask(post(b"")))


def test_the_session_of_one_face_is_no_password_of_the_other(server):
    session = login(server)
    with Wire(server, "wbem") as wire:
        refused(wire.ask(cim_call("EnumerateClassNames", user=basic("root", session))))


@pytest.mark.parametrize("door", ["xenapi", "xenapi_tls", "socket"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH", "CONNECT", "TRACE", "OPTIONS"])
def test_other_routes_of_the_xen_api_tell_nothing_about_the_pool(server, door, method):
    secrets = (b"web-0", b"OpaqueRef:", b"host-0")
    for path in (
        "/",
        "/about",
        "/export",
        "/rrd_updates",
        "/vncconsole",
        "/blob",
        "/services/xenops",
        "/../../etc/passwd",
    ):
        with Wire(server, door) as wire:
            wire.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            wire.socket.settimeout(10)
            answer = b""
            while data := wire.socket.recv(65536):
                answer += data
        assert answer.startswith(b"HTTP/1.1 ")
        assert not [secret for secret in secrets if secret in answer], path
        assert b"root:" not in answer


# What leaves the process


def test_neither_passwords_nor_session_references_are_in_the_log(serve, tmp_path):
    """A busy mixed run at --log-level debug, with good and bad logins, failures and dropped connections."""
    users = tmp_path / "users"
    secrets = {"alice": "alice-s3cret-Pa55", "eve": "eve-s3cret-Pa55"}
    for name, role in (("alice", "pool-admin"), ("eve", "read-only")):
        subprocess.run(
            ["xencim", "user", "add", name, "--users", str(users), "--role", role, "--password-stdin"],
            executable=str(Path(sys.executable).parent / "xencim"),
            input=f"{secrets[name]}\n", text=True, check=True, timeout=60,
        )  # fmt: skip
    server = serve("--users", str(users), "--log-level", "debug", "--speed", "1000")
    used = [*secrets.values(), "wr0ng-but-a-secret", "new-s3cret-Pa55"]
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work(user: str, door: str) -> None:
        try:
            with Wire(server, door) as wire:
                status, session = api_result(
                    wire.ask(json_call("session.login_with_password", [user, secrets[user], "1.0", "a test"]))
                )
                assert status == "Success"
                with lock:
                    used.append(session)
                for method, *args in (
                    ("VM.get_all_records",), ("VM.start", session, False, False), ("secret.create", {"value": used[2]}),
                    ("session.get_record", session), ("session.change_password", "wr0ng-but-a-secret", used[3]),
                    ("session.get_all_records",),
                    ("host.call_plugin", session, session, session, {"password": used[0]}),
                    ("pool.join", "127.0.0.1", "root", used[2]), ("no.such", session),
                    ("pool.enable_external_auth", session, {"user": "u", "pass": used[2]}, "x", "AD"),
                    ("event.from", ["*"], "", 0.0), (f"VM.{session}", session), ("VM.get_by_uuid", session),
                ):  # fmt: skip
                    api_result(wire.ask(json_call(method, [session, *args])))
                    api_result(wire.ask(xml_call(f"Async.{method}", session, *args)))
                wire.send(json_call("VM.get_all_records", [session])[:-10])  # and it goes, half way
            with Wire(server, door) as wire:
                api_result(wire.ask(json_call("session.login_with_password", [user, "wr0ng-but-a-secret"])))
                wire.ask(b"GET /?session_id=" + session.encode() + b" HTTP/1.1\r\nHost: x\r\nCookie: session_id="
                         + session.encode() + b"\r\n\r\n")  # fmt: skip
                wire.ask(b"BAD " + session.encode() + b"\r\n\r\n")
            for password in (secrets[user], "wr0ng-but-a-secret"):
                with Wire(server, "wbem") as wire:
                    wire.ask(cim_call("EnumerateInstanceNames", user=basic(user, password)))
        except BaseException as error:  # told below: a thread cannot fail a test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(u, d)) for u in secrets for d in ("xenapi", "xenapi_tls")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert server.stop() == 0
    log = server.output
    for secret in used:
        assert secret not in log
        assert secret.removeprefix("OpaqueRef:") not in log
    for user, password in secrets.items():
        encoded = basic(user, password).split()[-1]
        assert encoded not in log
    assert len(used) == 4 + len(threads)
    assert complaints(server) == []


@pytest.mark.parametrize("door", ["xenapi_tls", "wbem_tls"])
def test_tls_before_1_2_is_refused(server, door):
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = trusting()
        # the client's own policy must not be what refuses
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = context.maximum_version = version
        with pytest.raises(OSError), Wire(server, door, context):
            pass
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting()
        context.minimum_version = context.maximum_version = version
        with Wire(server, door, context) as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            assert wire.socket.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]


@pytest.mark.parametrize("door", ["xenapi_tls", "wbem_tls"])
@pytest.mark.parametrize("ciphers", ["aNULL:@SECLEVEL=0", "eNULL:@SECLEVEL=0"])
def test_ciphers_without_keys_or_encryption_are_not_agreed_on(server, door, ciphers):
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with pytest.raises(OSError), Wire(server, door, context):
        pass


@pytest.mark.parametrize("door", ["xenapi_tls", "wbem_tls"])
def test_a_tls_port_speaks_nothing_but_tls(server, door):
    address = urlsplit(server.ready[door])
    for data in (
        xml_call("VM.get_all", "x"),
        b"\x16\x03\x01\xff\xff" + b"\0" * 100,
        b"\x80\x2e\x01\x00\x02",
        b"\0" * 2000,
    ):
        with socket.create_connection((address.hostname, address.port), 10) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := raw.recv(65536):
                    answer += part
            except ConnectionError:
                pass
            assert b"HTTP" not in answer
            assert b"<value>" not in answer
    check_sound(server, (door,))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_the_server_keeps_is_readable_by_its_user_alone(serve, tmp_path):
    state = tmp_path / "state"
    server = serve("--state", str(state))
    path = Path(server.ready["socket"])
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert mode(path) == 0o600
    assert mode(path.parent) & 0o022 == 0
    assert mode(state) == 0o700
    files = [file for file in state.rglob("*") if file.is_file()]
    assert {"server.key", "state.db"} <= {file.name for file in files}
    for file in files:
        assert mode(file) & 0o022 == 0, file.name
        if file.name != "server.pem":  # the certificate is public
            assert mode(file) & 0o077 == 0, file.name
    assert b"PRIVATE KEY" not in (state / "server.pem").read_bytes()
    ready = json.loads(next(path for path in tmp_path.rglob("ready.json")).read_text(encoding="utf-8"))
    assert "xencim" not in {value for value in ready.values() if isinstance(value, str)}


def test_a_socket_of_somebody_else_is_no_way_in(serve):
    """Another user cannot connect: the socket's mode is what keeps them out, before any byte is read."""
    if os.geteuid() != 0:
        pytest.fail("this test becomes somebody else and needs root for it")
    path = serve().ready["socket"]
    program = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\nsocket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "PermissionError" in done.stderr
