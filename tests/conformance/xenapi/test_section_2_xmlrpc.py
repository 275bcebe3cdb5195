"""XML-RPC, row by row: how each type leaves and what is taken for it, envelopes, what is no call, names."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from server_client import post
from xenapi_rows import HEAD, TAIL, document, failure, success

VOID = success("<value></value>")


def text(words: str) -> str:
    return f"<value>{words}</value>"


def array(*items: str) -> str:
    return f"<value><array><data>{''.join(map(text, items))}</data></array></value>"


def struct(**members: str) -> str:
    inside = "".join(f"<member><name>{k}</name><value>{v}</value></member>" for k, v in members.items())
    return f"<value><struct>{inside}</struct></value>"


def expected(kind: str, got: str) -> bytes:
    return failure("INTERNAL_ERROR", f"Failure(&quot;Expected {kind}, got '{got}'&quot;)")


# Setter, what is sent, the reply, and what the getter answers (None: the setter refused).
TYPES = [
    ("name_description", text("plain"), VOID, text("plain")),
    ("name_description", "<value><string>typed</string></value>", VOID, text("typed")),
    ("name_description", "<value/>", VOID, text("")),
    ("name_description", text("&lt;&amp;&gt;&quot;'\u00e9"), VOID, text("&lt;&amp;&gt;&quot;'\u00e9")),
    ("name_description", text("<![CDATA[<&>]]>"), VOID, text("&lt;&amp;&gt;")),
    ("name_description", text(" \n\tkept "), VOID, text(" \n\tkept ")),
    ("name_description", text("a&#13;b"), VOID, text("a&#13;b")),
    ("name_description", "<value><int>1</int></value>", expected("string", "I(1)"), None),
    ("user_version", text("7"), VOID, text("7")),
    ("user_version", "<value><int>8</int></value>", VOID, text("8")),
    ("user_version", "<value><i4>-9</i4></value>", VOID, text("-9")),
    ("user_version", "<value><i8>9223372036854775807</i8></value>", VOID, text("9223372036854775807")),
    ("user_version", "<value><string>4</string></value>", VOID, text("4")),
    ("user_version", text("x"), expected("int", "S(x)"), None),
    ("user_version", text("0x10"), expected("int", "S(0x10)"), None),
    ("user_version", text("9223372036854775808"), expected("int", "I(9223372036854775808)"), None),
    ("is_default_template", "<value><boolean>1</boolean></value>", VOID, "<value><boolean>1</boolean></value>"),
    ("is_default_template", "<value><boolean>0</boolean></value>", VOID, "<value><boolean>0</boolean></value>"),
    ("is_default_template", text("true"), expected("bool", "S(true)"), None),
    ("is_default_template", "<value><double>1</double></value>", expected("bool", "D(1.0)"), None),
    ("tags", array("a", "b"), VOID, array("a", "b")),
    ("tags", "<value><array><value>a</value></array></value>", VOID, array("a")),
    ("tags", "<value><array><data><param><value>p</value></param></data></array></value>", VOID, array("p")),
    ("tags", "<value><array/></value>", VOID, array()),
    ("tags", text("a"), expected("string set", "S(a)"), None),
    ("blocked_operations", struct(start="no"), VOID, struct(start="no")),
    ("blocked_operations", struct(), VOID, struct()),
    ("blocked_operations", text(""), expected("(enum vm_operations -&gt; string) map", "S()"), None),
    ("actions_after_crash", text("preserve"), VOID, text("preserve")),
    ("actions_after_crash", text("never"), expected("enum on_crash_behaviour", "S(never)"), None),
]


@pytest.mark.parametrize(("field", "sent", "reply", "read"), TYPES, ids=[f"{f} {s}" for f, s, _, _ in TYPES])
def test_each_type_is_taken_and_sent_as_declared(client, vm, field, sent, reply, read):
    assert client.raw(f"VM.set_{field}", text(vm), sent) == reply
    if read is not None:
        assert client.raw(f"VM.get_{field}", text(vm)) == success(read)


FLOATS = [
    ("<value><double>0.25</double></value>", "0.25"),
    ("<value><int>1</int></value>", "1"),
    ("<value>1e-3</value>", "0.001"),
    ("<value><double>0.1</double></value>", "0.1"),
]


@pytest.mark.parametrize(("sent", "read"), FLOATS)
def test_floats_are_doubles_of_sixteen_digits(client, sent, read):
    task = client.call("task.create", "float", "")
    assert client.raw("task.set_progress", text(task), sent) == VOID
    assert client.raw("task.get_progress", text(task)) == success(f"<value><double>{read}</double></value>")
    client.call("task.destroy", task)


TIMES = [
    "20260102T03:04:05Z",
    "2026-01-02T03:04:05Z",
    "20260102T03:04:05",
    "20260102T05:04:05+02:00",
    "20260102T02:34:05-00:30",
]


@pytest.mark.parametrize("moment", TIMES)
@pytest.mark.parametrize("kind", ["<value>{}</value>", "<value><dateTime.iso8601>{}</dateTime.iso8601></value>"])
def test_datetimes_are_taken_in_every_spelling(client, moment, kind):
    uuid = client.call("pool.get_record", client.call("pool.get_all")[0])["uuid"]
    about = client.call("message.create", "ROW", 5, "Pool", uuid, "body")
    when = client.raw("message.get_since", kind.format("99990101T00:00:00Z"))
    assert when == success("<value><struct></struct></value>")
    since = client.raw("message.get_since", kind.format(moment))
    assert about.encode() in since
    client.call("message.destroy", about)


@pytest.mark.parametrize(("zone", "minutes"), [("", 0), ("Z", 0), ("+02:00", 120), ("-00:30", -30), ("+1400", 840)])
def test_the_zone_of_a_datetime_counts(client, zone, minutes):
    uuid = client.call("pool.get_uuid", client.call("pool.get_all")[0])
    about = client.call("message.create", "ROW", 5, "Pool", uuid, "body")
    written = datetime.strptime(str(client.call("message.get_record", about)["timestamp"]), "%Y%m%dT%H:%M:%SZ")

    def since(seconds: int) -> bytes:
        local = written + timedelta(minutes=minutes, seconds=seconds)
        return client.raw("message.get_since", text(f"{local:%Y-%m-%dT%H:%M:%S}{zone}"))

    assert about.encode() in since(-1)
    assert about.encode() not in since(1)
    client.call("message.destroy", about)


def test_datetimes_are_sent_without_dashes_and_with_a_zone(client, vm):
    reply = client.raw("VM.get_snapshot_time", text(vm))
    assert reply == success("<value><dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601></value>")


def test_null_references_and_references(client, vm):
    assert client.raw("VM.get_resident_on", text(vm)) == success(text("OpaqueRef:NULL"))
    assert client.raw("VM.get_by_name_label", text("rows")) == success(array(vm))


def test_control_characters_are_dropped(client, vm):
    body = f'{{"method":"VM.set_name_description","params":["{client.session}","{vm}","a\\u0001b"],"id":1}}'
    assert client.ask(post(body.encode(), "/jsonrpc")).body == b'{"result":"","error":null,"id":1}'
    assert client.raw("VM.get_name_description", text(vm)) == success(text("ab"))


def test_counts_of_events_are_i4(client):
    reply = client.raw("event.from", array("pool"), text(""), text("0"))
    hosts = len(client.call("host.get_all"))
    assert f"<member><name>host</name><value><i4>{hosts}</i4></value></member>".encode() in reply


def test_an_unset_option_is_absent_from_a_record(client, vm):
    reply = client.raw("VM.get_record", text(vm))
    assert b"<nil/>" not in reply
    assert reply.startswith(
        success("<value>@</value>").partition(b"<value>@")[0] + b"<value><struct><member><name>uuid</name>"
    )


def test_records_ignore_unknown_keys_and_fill_in_defaults(client):
    assert client.refusal("VBD.create", {"nonsense": "x"})[0] == "INTERNAL_ERROR"
    network = client.call("network.create", {"name_label": "row", "other_config": {}, "nonsense": {"a": ["b"]}})
    record = client.call("network.get_record", network)
    assert (record["name_label"], record["MTU"], record["managed"]) == ("row", "1500", True)
    client.call("network.destroy", network)


def test_a_mandatory_field_is_asked_for(client):
    refusal = client.refusal("VM.create", {})
    assert refusal[0] == "INTERNAL_ERROR"
    assert refusal[1].startswith('Server_helpers.Dispatcher_FieldNotFound("')


def test_invalid_utf8_is_a_value_that_is_refused(client, vm):
    body = document("VM.set_name_description", text(client.session), text(vm), text("@"))
    reply = client.ask(post(body.replace(b"@", b"a\xff")))
    assert (reply.status, reply.body) == (200, failure("INVALID_VALUE", "Invalid UTF-8 string in parameter", "a\ufffd"))


CALL = b"<methodCall><methodName>VM.get_all</methodName>%s</methodCall>"
DEEP = b"<value><array><data>" * 200 + b"</data></array></value>" * 200
NO_CALLS = {
    "empty": b"",
    "spaces": b"  ",
    "text": b"hello",
    "cut off": b"<methodCall><methodName>VM.get_all</methodName><params>",
    "another root": b"<methodResponse><params/></methodResponse>",
    "no params": CALL % b"",
    "params twice": CALL % b"<params/><params/>",
    "no name": b"<methodCall><params/></methodCall>",
    "unknown type": CALL % b"<params><param><value><float>1</float></value></param></params>",
    "extension type": CALL % b'<params><param><value><x:i8 xmlns:x="y">1</x:i8></value></param></params>',
    "boolean in words": CALL % b"<params><param><value><boolean>true</boolean></value></param></params>",
    "int in words": CALL % b"<params><param><value><int>one</int></value></param></params>",
    "value missing": CALL % b"<params><param></param></params>",
    "two values": CALL % b"<params><param><value>a</value><value>b</value></param></params>",
    "two types": CALL % b"<params><param><value><int>1</int><int>2</int></value></param></params>",
    "member turned round": CALL
    % b"<params><param><value><struct><member><value/><name>a</name></member></struct></value></param></params>",
    "document type": b"<!DOCTYPE x><methodCall><methodName>VM.get_all</methodName><params/></methodCall>",
    "entities": b'<!DOCTYPE x [<!ENTITY a "b">]><methodCall><methodName>&a;</methodName><params/></methodCall>',
    "too deep": CALL % (b"<params><param>%b</param></params>" % DEEP),
    "JSON": b'{"method":"VM.get_all","params":[],"id":1}',
}  # fmt: skip


@pytest.mark.parametrize("case", NO_CALLS)
def test_what_is_no_call_is_a_500_page(client, case):
    reply = client.ask(post(NO_CALLS[case]))
    assert reply.status == 500
    assert reply.headers["content-type"].startswith("text/html")
    assert b"fault" not in reply.body


def test_list_methods_is_a_bare_array(client):
    reply = client.ask(post(document("system.listMethods"))).body
    assert reply.startswith(HEAD + b"<value><array><data><value>session.")
    assert reply.endswith(b"</value></data></array></value>" + TAIL)
    assert b"<value>VM.start</value>" in reply
    assert b"Status" not in reply


def test_is_alive_says_what_it_was_told(client):
    for name in ("system.isAlive:X", "system.isAlive:", "system.isAlive"):
        assert client.ask(post(document(name, text("a&amp;b")))).body == success(text("a&amp;b"))


NAMES = [
    ("VM.get_uuid", True), ("VM_get_uuid", True), ("event_get_current_id", True), ("session_get_this_host", True),
    ("VM__get_uuid", False), ("Async_VM_start", False), ("Async.VM_start", False), ("vm.get_uuid", False),
    ("unknown-message-x", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "known"), NAMES)
def test_both_spellings_of_a_name(client, name, known):
    reply = client.raw(name, text("OpaqueRef:no")) if "event" not in name else client.raw(name)
    assert (reply == failure("MESSAGE_METHOD_UNKNOWN", name)) != known


@pytest.mark.parametrize("name", ["Async.VM.snapshot", "InternalAsync.VM.snapshot"])
def test_both_spellings_of_async(client, vm, name):
    task = client.call(name, vm, "row")
    record = client.ended(task)
    assert (record["status"], record["name_label"]) == ("success", "Async.VM.snapshot")
    client.call("VM.destroy", record["result"].removeprefix("<value>").removesuffix("</value>"))


def test_spaces_comments_and_an_encoding_change_nothing(client):
    body = (
        b"<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\r\n<!-- hello -->\n<methodCall>\n <methodName> "
        b"system.isAlive:X </methodName>\n <params>\n  <param>\n <value>\n<string>x</string>\n</value>\n </param>\n"
        b" </params>\n</methodCall>\n"
    )
    assert client.ask(post(body)).body == success(text("x"))
