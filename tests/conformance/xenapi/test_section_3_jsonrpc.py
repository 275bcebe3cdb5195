"""JSON-RPC at /jsonrpc, row by row: both versions, what is no request, types."""

from __future__ import annotations

import json

import pytest
from server_client import post


def ask(client, text: str | bytes):
    return client.ask(post(text if isinstance(text, bytes) else text.encode(), "/jsonrpc"))


def body(client, method: str, params: str, more: str = "", number: str = "1") -> bytes:
    """The exact reply to a call, which must be HTTP 200; $ in `params` is the session."""
    reply = ask(client, f'{{{more}"method":"{method}","params":{params.replace("$", client.session)},"id":{number}}}')
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return reply.body


V2 = '"jsonrpc":"2.0",'


@pytest.mark.parametrize("number", ["1", "0", "-7", '"text"', '""', '"\\"\\u00e9"'])
def test_success_in_both_versions(client, number):
    told = json.dumps(json.loads(number), ensure_ascii=False)
    expected = f'{{"result":"a","error":null,"id":{told}}}'.encode()
    assert body(client, "system.isAlive:X", '["a"]', "", number) == expected
    expected = f'{{"jsonrpc":"2.0","result":"a","id":{told}}}'.encode()
    assert body(client, "system.isAlive:X", '["a"]', V2, number) == expected


def test_failure_in_both_versions(client):
    assert body(client, "VM.get_all", '["no"]') == b'{"result":null,"error":["SESSION_INVALID","no"],"id":1}'
    assert (
        body(client, "VM.get_all", '["no"]', V2)
        == b'{"jsonrpc":"2.0","error":{"code":1,"message":"SESSION_INVALID","data":["no"]},"id":1}'
    )
    assert (
        body(client, "no.such", "[]", V2)
        == b'{"jsonrpc":"2.0","error":{"code":1,"message":"MESSAGE_METHOD_UNKNOWN","data":["no.such"]},"id":1}'
    )


@pytest.mark.parametrize("params", ["", ',"params":null', ',"params":[]'])
def test_params_may_be_absent_in_version_2(client, params):
    reply = ask(client, f'{{"jsonrpc":"2.0","method":"no.such"{params},"id":3}}')
    assert (
        reply.body
        == b'{"jsonrpc":"2.0","error":{"code":1,"message":"MESSAGE_METHOD_UNKNOWN","data":["no.such"]},"id":3}'
    )


def test_one_object_is_one_parameter_in_version_2(client):
    reply = ask(client, '{"jsonrpc":"2.0","method":"session.login_with_password","params":{"uname":"root"},"id":3}')
    assert json.loads(reply.body)["error"] == {
        "code": 1, "message": "MESSAGE_PARAMETER_COUNT_MISMATCH", "data": ["session.login_with_password", "2", "1"],
    }  # fmt: skip


NO_REQUESTS = {
    "cut off": b"{",
    "empty": b"",
    "text": b'"VM.get_all"',
    "batch": b'[{"jsonrpc":"2.0","method":"a","id":1}]',
    "no params in 1.0": b'{"method":"a","id":1}',
    "null params in 1.0": b'{"method":"a","params":null,"id":1}',
    "object params in 1.0": b'{"method":"a","params":{},"id":1}',
    "text params": b'{"jsonrpc":"2.0","method":"a","params":"b","id":1}',
    "no method": b'{"params":[],"id":1}',
    "number as method": b'{"method":1,"params":[],"id":1}',
    "no id in 1.0": b'{"method":"a","params":[]}',
    "notification": b'{"jsonrpc":"2.0","method":"a","params":[]}',
    "null id": b'{"jsonrpc":"2.0","method":"a","params":[],"id":null}',
    "float id": b'{"jsonrpc":"2.0","method":"a","params":[],"id":1.5}',
    "bool id": b'{"jsonrpc":"2.0","method":"a","params":[],"id":true}',
    "version 3": b'{"jsonrpc":"3.0","method":"a","params":[],"id":1}',
    "NaN": b'{"method":"a","params":[NaN],"id":1}',
    "rest": b'{"method":"a","params":[],"id":1} x',
    "bad UTF-8 in the name": b'{"method":"a\xff","params":[],"id":1}',
    "too deep": b'{"method":"a","params":' + b"[" * 300 + b"]" * 300 + b',"id":1}',
    "XML": b"<methodCall/>",
}


@pytest.mark.parametrize("case", NO_REQUESTS)
def test_what_is_no_request_is_a_500_page(client, case):
    reply = ask(client, NO_REQUESTS[case])
    assert reply.status == 500
    assert reply.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("more", [b"", b'"jsonrpc":"2.0",'])
def test_bad_utf8_is_answered_before_dispatch_with_id_0(client, more):
    reply = ask(client, b"{" + more + b'"method":"a","params":["b\xff"],"id":7}')
    expected = '{"jsonrpc":"2.0","error":["INVALID_VALUE","Invalid UTF-8 string in parameter","b\ufffd"],"id":0}'
    assert (reply.status, reply.body.decode()) == (200, expected)


def test_types_as_json_has_them(client, vm):
    def get(field: str) -> str:
        reply = body(client, f"VM.get_{field}", f'["$","{vm}"]')
        assert reply.startswith(b'{"result":')
        return reply.decode().removeprefix('{"result":').removesuffix(',"error":null,"id":1}')

    client.call("VM.set_tags", vm, ["a", "\u00e9"])
    client.call("VM.set_other_config", vm, {"k": 'q"'})
    client.call("VM.set_user_version", vm, "12345678901234")
    assert get("user_version") == "12345678901234"
    assert get("is_a_template") == "false"
    assert get("snapshot_time") == '"19700101T00:00:00Z"'
    assert get("tags") == '["a","\u00e9"]'
    assert get("other_config") == '{"k":"q\\""}'
    assert get("resident_on") == '"OpaqueRef:NULL"'
    assert body(client, "VM.set_tags", f'["$","{vm}",[]]') == b'{"result":"","error":null,"id":1}'
    client.call("VM.set_user_version", vm, 1)


def test_numbers_booleans_and_floats_are_taken(client, vm):
    for value, type_ in (("5", "user_version"), ("false", "is_default_template")):
        assert body(client, f"VM.set_{type_}", f'["$","{vm}",{value}]') == b'{"result":"","error":null,"id":1}'
    task = client.call("task.create", "json", "")
    for value in ("0.5", "1", "0"):
        assert body(client, "task.set_progress", f'["$","{task}",{value}]') == b'{"result":"","error":null,"id":1}'
        assert json.loads(body(client, "task.get_progress", f'["$","{task}"]'))["result"] == float(value)
    client.call("task.destroy", task)


def test_sessions_are_shared_with_xml(client):
    session = json.loads(body(client, "session.login_with_password", '["root","xencim"]'))["result"]
    assert client.send("session.get_uuid", session, session)[0] == "Success"
    assert body(client, "session.logout", f'["{session}"]') == b'{"result":"","error":null,"id":1}'
    assert client.send("VM.get_all", session) == ("Failure", ["SESSION_INVALID", session])
