"""Many clients and slow ones, on a real server: each gets what is its own, and nobody is held up by another."""

from __future__ import annotations

import json
import selectors
import socket
import xmlrpc.client
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from server_client import DEADLINE, Wire, answers, api_result, check_sound, json_call, login, xml_call
from server_process import ServerProcess, start_server, until_done

from xenapi_core.api.sessions import LIMIT, LIMIT_ANONYMOUS

IDLE = 500
WAITING = 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Enough VMs that all their records are a reply of more than ten megabytes (with long descriptions)."""
    yield from until_done(start_server(tmp_path_factory.mktemp("server"), "--vms", "1500", "--speed", "10"))


def records(wire: Wire, session: str) -> dict[str, dict]:
    status, value = api_result(wire.ask(json_call("VM.get_all_records", [session])))
    assert status == "Success"
    return value


def test_idle_connections_cost_others_nothing(server):
    session = login(server)
    with ExitStack() as stack:
        idle = [stack.enter_context(Wire(server, "xenapi")) for _ in range(IDLE)]
        for wire in idle:  # each has made a call, and keeps its connection
            wire.send(xml_call("VM.get_all", session))
        for wire in idle:
            assert api_result(wire.reply())[0] == "Success"
        check_sound(server)
        for wire in idle[::50]:  # and each may make another one
            assert api_result(wire.ask(xml_call("host.get_all", session)))[0] == "Success"


def test_idle_tls_connections_cost_others_nothing(server):
    session = login(server)
    with ExitStack() as stack:
        idle = [stack.enter_context(Wire(server, "xenapi_tls")) for _ in range(50)]
        check_sound(server)
        for wire in idle:
            assert api_result(wire.ask(xml_call("host.get_all", session)))[0] == "Success"


def test_everyone_who_waits_hears_of_one_change(server):
    session = login(server)
    with ExitStack() as stack:
        caller = stack.enter_context(Wire(server, "xenapi"))
        (vm,) = api_result(caller.ask(xml_call("VM.get_by_name_label", session, "web-1")))[1]
        first = api_result(caller.ask(json_call("event.from", [session, [f"VM/{vm}"], "", 0.0])))[1]
        waiting = [stack.enter_context(Wire(server, "xenapi")) for _ in range(WAITING)]
        for wire in waiting:
            wire.send(json_call("event.from", [session, [f"vm/{vm}"], first["token"], 3600.0]))
        # they wait: none has an answer, while others are served
        assert api_result(caller.ask(xml_call("VM.get_name_label", session, vm))) == ("Success", "web-1")
        with selectors.DefaultSelector() as selector:
            for wire in waiting:
                selector.register(wire.socket, selectors.EVENT_READ)
            assert selector.select(0) == []
        status, _ = api_result(caller.ask(xml_call("VM.set_name_description", session, vm, "heard by all")))
        assert status == "Success"
        for wire in waiting:
            status, batch = api_result(wire.reply())
            assert status == "Success"
            (event,) = batch["events"]
            assert (event["ref"], event["operation"]) == (vm, "mod")
            assert event["snapshot"]["name_description"] == "heard by all"
            assert batch["token"] > first["token"]
    check_sound(server)


def test_logging_out_wakes_everyone_who_waits_in_the_session(server):
    session, other = login(server), login(server)
    with ExitStack() as stack:
        caller = stack.enter_context(Wire(server, "xenapi"))
        token = api_result(caller.ask(json_call("event.from", [session, ["pool"], "", 0.0])))[1]["token"]
        waiting = [stack.enter_context(Wire(server, "xenapi")) for _ in range(50)]
        for wire in waiting:
            wire.send(json_call("event.from", [session, ["pool"], token, 3600.0]))
        assert api_result(caller.ask(xml_call("pool.get_all", session)))[0] == "Success"
        assert api_result(caller.ask(xml_call("session.logout", session)))[0] == "Success"
        for wire in waiting:
            assert api_result(wire.reply()) == ("Failure", ["SESSION_INVALID", session])
        assert api_result(caller.ask(xml_call("pool.get_all", other)))[0] == "Success"
    check_sound(server)


def test_waiting_clients_that_vanish_leave_nothing_behind(server):
    session = login(server)
    with Wire(server, "xenapi") as caller:
        token = api_result(caller.ask(json_call("event.from", [session, ["pool"], "", 0.0])))[1]["token"]
        for _ in range(WAITING):
            with Wire(server, "xenapi") as wire:
                wire.send(json_call("event.from", [session, ["pool"], token, 3600.0]))
        (pool,) = api_result(caller.ask(xml_call("pool.get_all", session)))[1]
        assert api_result(caller.ask(xml_call("pool.set_name_description", session, pool, "x")))[0] == "Success"
    check_sound(server)


def unread(server: ServerProcess, request: bytes) -> socket.socket:
    """A client with a small window that sends a request and never reads the reply."""
    address = urlsplit(server.ready["xenapi"])
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(DEADLINE)
    client.connect((address.hostname, address.port))
    client.sendall(request)
    return client


def test_clients_that_never_read_a_large_reply_stop_nobody(server):
    session = login(server)
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(server, "xenapi"))
        found = records(wire, session)
        guests = [ref for ref, vm in found.items() if not vm["is_control_domain"]]
        text = "d" * 6000
        calls = [json_call("VM.set_name_description", [session, ref, text]) for ref in guests]
        assert {api_result(reply)[0] for reply in answers(wire, calls)} == {"Success"}
        whole = wire.ask(xml_call("VM.get_all_records", session))
        assert whole is not None
        assert len(whole.body) > 10_000_000
        for _ in range(5):
            stack.enter_context(unread(server, xml_call("VM.get_all_records", session)))
        # others are answered, the same large reply included
        assert api_result(wire.ask(xml_call("host.get_all", session)))[0] == "Success"
        assert wire.ask(xml_call("VM.get_all_records", session)) is not None
        with Wire(server, "socket") as other:
            assert api_result(other.ask(xml_call("VM.get_by_name_label", session, "web-1")))[0] == "Success"
        check_sound(server)
    check_sound(server)


def test_a_client_that_reads_slowly_gets_the_whole_reply(server):
    session = login(server)
    with unread(server, xml_call("VM.get_all_records", session)) as client:
        with Wire(server, "xenapi") as wire:
            expected = {ref: vm["uuid"] for ref, vm in records(wire, session).items()}
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += client.recv(100)
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        (length,) = (
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        parts = [body]
        size = len(body)
        while size < length:
            parts.append(client.recv(1 << 16))
            assert parts[-1], "cut off"
            size += len(parts[-1])
        ((answer,), _) = xmlrpc.client.loads(b"".join(parts))
        assert {ref: vm["uuid"] for ref, vm in answer["Value"].items()} == expected


def logins(server: ServerProcess, wire: Wire, count: int, originator: str) -> list[str]:
    call = json_call("session.login_with_password", [server.user, server.password, "1.0", originator])
    found = [api_result(reply) for reply in answers(wire, [call] * count)]
    assert {status for status, _ in found} == {"Success"}
    return [session for _, session in found]


@pytest.mark.parametrize(("originator", "limit"), [("leaky", LIMIT), ("", LIMIT_ANONYMOUS)])
def test_sessions_that_are_never_ended_push_out_the_oldest(server, originator, limit):
    with Wire(server, "socket") as wire:
        leaked = logins(server, wire, limit + 100, originator)
        alive = [api_result(r)[0] for r in answers(wire, [json_call("pool.get_all", [s]) for s in leaked])]
        assert alive.count("Success") <= limit
        assert alive[-1] == "Success"  # the newest ones work
        assert alive[0] == "Failure"
        status, value = api_result(wire.ask(json_call("session.get_all_records", [leaked[-1]])))
        assert status == "Success"
        assert len(value) <= LIMIT
        calls = [json_call("session.logout", [session]) for session in leaked]
        ended = [json.loads(reply.body) for reply in answers(wire, calls) if reply is not None]
        assert len(ended) == len(leaked)
    check_sound(server)
