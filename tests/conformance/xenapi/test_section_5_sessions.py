"""Sessions and references, row by row: logging in and out, what a session is, and what a reference looks like."""

from __future__ import annotations

import re
import threading

import pytest
from server_client import Wire, api_result, xml_call
from xenapi_rows import Client

REF = re.compile(r"OpaqueRef:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
LOGIN = "session.login_with_password"


@pytest.mark.parametrize("more", [[], ["1.0"], ["1.0", "row"], ["1.0", "row", "extra"], ["", "", "", "x", "y"]])
def test_login_takes_two_arguments_and_more(client, more):
    status, session = client.send(LOGIN, "root", "xencim", *more)
    assert status == "Success"
    assert REF.match(session)
    assert client.call("session.get_originator", session) == (more[1] if len(more) > 1 else "")
    assert client.send("session.logout", session) == ("Success", "")


@pytest.mark.parametrize("params", [[], ["root"]])
def test_login_takes_no_fewer(client, params):
    words = ["MESSAGE_PARAMETER_COUNT_MISMATCH", LOGIN, "2", str(len(params))]
    assert client.send(LOGIN, *params) == ("Failure", words)


@pytest.mark.parametrize(
    ("user", "password"), [("root", "wrong"), ("nobody", "xencim"), ("root", ""), ("", ""), ("Root", "xencim")]
)
def test_wrong_credentials_name_the_user(client, user, password):
    status, words = client.send(LOGIN, user, password)
    assert (status, words[:2], len(words)) == ("Failure", ["SESSION_AUTHENTICATION_FAILED", user], 3)
    assert password == "" or password not in words[2]


def test_others_are_answered_while_one_waits_for_a_refusal(server, client):
    with Wire(server, "xenapi") as wire:
        wire.send(xml_call(LOGIN, "root", "wrong"))
        assert client.call("VM.get_all")
        assert api_result(wire.reply())[0] == "Failure"


def test_a_session_without_a_record_ends_with_local_logout(client):
    status, session = client.send("session.slave_local_login_with_password", "root", "xencim")
    assert status == "Success"
    assert client.send("VM.get_all", session)[0] == "Success"
    assert client.refusal("session.get_record", session) == ["HANDLE_INVALID", "session", session]
    assert client.send("session.local_logout", session) == ("Success", "")
    assert client.send("VM.get_all", session) == ("Failure", ["SESSION_INVALID", session])


def test_logout_ends_the_session_and_wakes_who_waits_in_its_name(server, client):
    other = Client(server)
    other.call("event.register", ["pool"])
    token = other.call("event.from", ["pool"], "", 0.0)["token"]
    answers = []

    def wait(method, *params):
        with Wire(server, "xenapi") as wire:
            answers.append(api_result(wire.ask(xml_call(method, other.session, *params))))

    waiting = [
        threading.Thread(target=wait, args=("event.from", ["no such class"], token, 600.0)),
        threading.Thread(target=wait, args=("event.next",)),
    ]
    for thread in waiting:
        thread.start()
    assert client.send("session.logout", other.session) == ("Success", "")
    for thread in waiting:
        thread.join(30)
    assert answers == [("Failure", ["SESSION_INVALID", other.session])] * 2
    assert client.send("session.logout", other.session) == ("Failure", ["SESSION_INVALID", other.session])
    other.wire.close()


def test_what_a_session_says_of_itself(client):
    record = client.call("session.get_record", client.session)
    assert record["this_host"] == client.call("pool.get_master", client.call("pool.get_all")[0])
    assert (record["this_user"], record["auth_user_name"], record["pool"]) == ("OpaqueRef:NULL", "root", False)
    assert client.session not in str(record)
    assert record["last_active"] == record["last_active"]
    assert client.call("session.get_uuid", client.session) == record["uuid"]
    assert client.session != f"OpaqueRef:{record['uuid']}"


def test_the_uuid_of_a_session_does_not_stand_for_it(client):
    uuid = client.call("session.get_uuid", client.session)
    for guess in (uuid, f"OpaqueRef:{uuid}"):
        assert client.send("VM.get_all", guess) == ("Failure", ["SESSION_INVALID", guess])


@pytest.mark.parametrize(
    "spelling", [str.upper, str.lower, lambda ref: ref + " ", lambda ref: ref[len("OpaqueRef:") :]]
)
def test_a_session_is_spelled_exactly(client, spelling):
    guess = spelling(client.session)
    assert client.send("VM.get_all", guess) == ("Failure", ["SESSION_INVALID", guess])


def test_references_have_one_form_and_null_another(client):
    for cls in ("VM", "host", "VDI", "VBD", "VIF", "SR", "network", "PIF", "PBD", "console", "pool"):
        for ref, record in client.call(f"{cls}.get_all_records").items():
            assert REF.match(ref)
            assert record["uuid"]
            assert client.call(f"{cls}.get_by_uuid", record["uuid"]) == ref
    assert client.call("VM.get_affinity", client.call("VM.get_all")[0])[:10] == "OpaqueRef:"


def test_a_uuid_is_taken_for_a_reference_of_its_class(client):
    """What clients of API 1.0 send, whose references are uuids (section 13)."""
    ref, record = next(iter(client.call("VM.get_all_records").items()))
    assert client.call("VM.get_uuid", record["uuid"]) == record["uuid"]
    assert client.refusal("host.get_uuid", record["uuid"]) == ["HANDLE_INVALID", "host", record["uuid"]]
    assert client.call("VM.get_by_uuid", record["uuid"]) == ref
