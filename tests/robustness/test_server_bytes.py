"""Bytes that are no request, at every listener of a real server: each is refused, and the next client is served."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from server_client import (
    DEMO_USER,
    WBEM_DOORS,
    XENAPI_DOORS,
    Reply,
    Wire,
    answers,
    check_sound,
    cim_body,
    cim_call,
    cim_headers,
    json_call,
    login,
    namespace_path,
    post,
    resident,
    xml_call,
)

from cim_provider.wire import decode
from cim_provider.wire.parameters import OPERATIONS
from xenapi_core.wire.limits import DEFAULT

DOORS = XENAPI_DOORS + WBEM_DOORS
DEEP = 10_000


@pytest.fixture(autouse=True)
def _sound(server) -> Iterator[None]:
    """After each group of bad bytes the same server still does its work."""
    yield
    check_sound(server)


def refused(reply: Reply | None, *statuses: int) -> None:
    assert reply is not None, "dropped without a word"
    assert reply.status in statuses, (reply.status, reply.body[:300])


def ended(wire: Wire) -> bool:
    """Whether the server ended the connection. Over TLS it waits a while for the client to do so (no half close)."""
    return wire.door.endswith("_tls") or wire.reply() is None


# XML, for both faces: what goes where a document should be

BOMB = (
    '<!DOCTYPE m [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]>"
)
QUADRATIC = f'<!DOCTYPE m [<!ENTITY a "{"x" * 50_000}">]>'
EXTERNAL = '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE m [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>'
DTD = '<!DOCTYPE m SYSTEM "file:///etc/passwd">'


def documents(good: str, text: str) -> list[bytes]:
    """Broken variants of a good document; `text` is a piece of character data in it."""
    raw = good.encode()
    half = len(raw) // 2
    root = good[good.index("<", good.index("?>") if "?>" in good else 0) :]
    return [
        b"", b" ", b"\0", b"\0" * 1000, b"\xff\xfe" + root.encode("utf-16-le"), root.encode("utf-16"),
        root.encode("utf-32"), raw[:half], raw[:-1], raw[half:], raw + b"<more/>", raw + raw, b"junk" + raw,
        root.replace(text, "\ud800", 1).encode("utf-8", "surrogatepass"), root.replace(text, "&#0;").encode(),
        root.encode().replace(text.encode(), b"\xff\xfe\xfd", 1), root.encode().replace(text.encode(), b"\xc0\x80", 1),
        root.encode().replace(text.encode(), b"a\0b", 1), root.replace(text, "&undefined;", 1).encode(),
        b'<?xml version="1.0" encoding="utf-7"?>' + root.encode(),
        b'<?xml version="1.0" encoding="x"?>' + root.encode(),
        b'<?xml version="9.9"?><x>', b"<!-- " * 50, b"<![CDATA[", b"<?xml", b"<a" + b" b='c'" * 20_000 + b"/>",
        b"<a b='1' b='2'/>", b"{}", b"<html><body>hello</body></html>", f"<other>{root}</other>".encode(),
        *(
            (dtd + root.replace(text, f"&{entity};", 1)).encode()
            for dtd, entity in ((BOMB, "j"), (QUADRATIC, "a"), (EXTERNAL, "a"), (PARAMETER, "a"), (DTD, "a"))
        ),
        ("<!-- c -->\n<?pi?>" + BOMB + root).encode(), b"\xef\xbb\xbf" + (EXTERNAL + root).encode(),
        b"<a>" * DEEP + b"</a>" * DEEP, b"<a>" * DEEP, b"<a/>" * DEEP, b"<a>" + b"<b/>" * 60_000 + b"</a>",
    ]  # fmt: skip


GOOD_CALL = (
    "<?xml version='1.0'?><methodCall><methodName>VM.get_all</methodName><params><param><value>text</value></param>"
    "</params></methodCall>"
)


@pytest.mark.parametrize("door", XENAPI_DOORS)
def test_documents_that_are_no_call_get_a_page(server, door):
    with Wire(server, door) as wire:
        assert b"SESSION_INVALID" in wire.ask(post(GOOD_CALL.encode())).body
    for body in documents(GOOD_CALL, "text"):
        with Wire(server, door) as wire:
            reply = wire.ask(post(body))
            refused(reply, 500, 200)
            if reply.status == 200:  # read as text, where that is what the bytes are
                assert b"<value>Failure</value>" in reply.body, body[:100]
            assert b"root:" not in reply.body
            assert b"hahaha" not in reply.body


VALUES = (
    "<array><data>" * DEEP + "</data></array>" * DEEP,
    "<array><data>" * 63 + "</data></array>" * 63,
    "<struct><member><name>a</name><value>" * 500 + "</value></member></struct>" * 500,
    "<int>1e3</int>", "<int></int>", "<int>" + "9" * 5000 + "</int>", "<i8>0x10</i8>", "<boolean>2</boolean>",
    "<boolean>true</boolean>", "<double>nan</double>", "<double>" + "9" * 5000 + "</double>",
    "<double>1e99999</double>",
    "<dateTime.iso8601>99999999T99:99:99</dateTime.iso8601>", "<base64>!!!!</base64>", "<nil/>", "<unknown>x</unknown>",
    "<array/>", "<array><data/><data/></array>", "<struct><member/></struct>", "<struct><name>a</name></struct>",
    "<struct><member><name>a</name></member></struct>", "<string>a</string><string>b</string>", "<value>x</value>",
    "x<string>y</string>z", "<array><data>" + "<value>x</value>" * 15_000 + "</data></array>",
    "<struct>" + "<member><name>a</name><value>b</value></member>" * 5000 + "</struct>",
)  # fmt: skip


def test_values_that_are_none_get_a_page_or_a_failure(server):
    session = login(server)
    for value in VALUES:
        body = (
            "<methodCall><methodName>VM.get_by_uuid</methodName><params>"
            f"<param><value>{session}</value></param><param><value>{value}</value></param></params></methodCall>"
        )
        with Wire(server, "xenapi") as wire:
            reply = wire.ask(post(body.encode()))
            refused(reply, 500, 200)
            assert reply.status == 500 or b"<value>Failure</value>" in reply.body, value[:100]
            assert b"log id" not in reply.body


@pytest.mark.parametrize("door", ["xenapi", "socket"])
def test_texts_that_are_no_json_call_get_a_page(server, door):
    deep = "[" * DEEP + "]" * DEEP
    good = {"jsonrpc": "2.0", "method": "VM.get_all", "params": ["x"], "id": 1}
    texts = [
        "", "{", "[]", "null", "1", '"x"', "[{}]", "{}", "NaN", "{]", json.dumps(good)[:-1], json.dumps(good) * 2,
        json.dumps([good, good]), deep, '{"a":' * DEEP, json.dumps({**good, "params": [deep]}).replace('"[[', "[["),
        f'{{"jsonrpc":"2.0","method":"VM.get_all","params":{deep},"id":1}}', json.dumps({**good, "method": None}),
        json.dumps({**good, "method": ["VM.get_all"]}), json.dumps({**good, "params": "x"}),
        json.dumps({**good, "params": 7}), json.dumps({**good, "id": {}}), json.dumps({**good, "jsonrpc": 2}),
        json.dumps({"method": "VM.get_all", "params": {}, "id": 1}), json.dumps({"method": "VM.get_all"}),
        '{"jsonrpc":"2.0","method":"VM.get_all","params":["\\ud800"],"id":1}', "\ufeff" + json.dumps(good), "<xml/>",
        '{"jsonrpc":"2.0","method":"VM.get_all","params":[1e999],"id":1}',
        json.dumps({**good, "params": [["x"]] * 300}),
    ]  # fmt: skip
    for body in [
        *(text.encode() for text in texts),
        b"\xff\xfe",
        b"\0" * 100,
        b'{"method":"\xc3\x28","params":[],"id":1}',
    ]:
        with Wire(server, door) as wire:
            reply = wire.ask(post(body, "/jsonrpc"))
            refused(reply, 500, 200)
            assert b"log id" not in reply.body
            if reply.status == 200:
                assert json.loads(reply.body).get("error"), body[:100]


GOOD_CIM = cim_body(
    f'<IMETHODCALL NAME="EnumerateInstances">{namespace_path("root/cimv2")}<IPARAMVALUE NAME="ClassName">'
    '<CLASSNAME NAME="Xen_ComputerSystem"/></IPARAMVALUE><IPARAMVALUE NAME="PropertyList"><VALUE.ARRAY>'
    "<VALUE>text</VALUE></VALUE.ARRAY></IPARAMVALUE></IMETHODCALL>"
).decode()


@pytest.mark.parametrize("door", WBEM_DOORS)
def test_documents_that_are_no_cim_message_are_refused(server, door):
    headers = DEMO_USER + cim_headers("EnumerateInstances")
    with Wire(server, door) as wire:
        assert b"Xen_ComputerSystem" in wire.ask(post(GOOD_CIM.encode(), "/cimom", headers)).body
    for body in documents(GOOD_CIM, "text"):
        with Wire(server, door) as wire:
            reply = wire.ask(post(body, "/cimom", headers))
            refused(reply, 400, 413, 501, 200)
            assert reply.status != 200 or b"<ERROR " in reply.body, body[:100]
            assert b"root:" not in reply.body
            assert b"hahaha" not in reply.body


# Operations of CIM

KEY = '<KEYBINDING NAME="Name"><KEYVALUE>x</KEYVALUE></KEYBINDING>'
WORD = '<PROPERTY NAME="EnabledState" TYPE="%s"><VALUE>x</VALUE></PROPERTY>'
ODD = (
    "", "<VALUE/>", "<VALUE>x</VALUE>", "<VALUE.ARRAY><VALUE>x</VALUE></VALUE.ARRAY>", "<VALUE.ARRAY/>",
    '<CLASSNAME NAME=""/>', '<CLASSNAME NAME="Xen_NoSuch"/>', '<CLASSNAME NAME="Xen_ComputerSystem"/>',
    '<CLASSNAME NAME="../../etc/passwd"/>', '<INSTANCENAME CLASSNAME="Xen_ComputerSystem"/>',
    f'<INSTANCENAME CLASSNAME="Xen_ComputerSystem">{KEY}</INSTANCENAME>',
    '<INSTANCENAME CLASSNAME="Xen_ComputerSystem"><KEYVALUE VALUETYPE="numeric">x</KEYVALUE></INSTANCENAME>',
    f'<INSTANCE CLASSNAME="Xen_ComputerSystem">{WORD % "uint16"}</INSTANCE>',
    f'<INSTANCE CLASSNAME="Xen_ComputerSystem">{WORD % "odd"}</INSTANCE>',
    '<VALUE.NAMEDINSTANCE><INSTANCENAME CLASSNAME="Xen_ComputerSystem"/><INSTANCE CLASSNAME="Xen_Processor"/>'
    "</VALUE.NAMEDINSTANCE>",
    '<CLASS NAME="Mine" SUPERCLASS="Mine"/>', '<QUALIFIER.DECLARATION NAME="x" TYPE="string"/>', "<ODD/>",
    "<VALUE.REFERENCE><CLASSNAME NAME='x'/></VALUE.REFERENCE>", "<VALUE>-1</VALUE>",
    "<VALUE>99999999999999999999</VALUE>",
    "<VALUE>true</VALUE>", "<VALUE>SELECT * FROM Xen_ComputerSystem WHERE</VALUE>", "<VALUE>" + "(" * 5000 + "</VALUE>",
)  # fmt: skip


def cim_calls() -> Iterator[tuple[str, bytes]]:
    """Each operation with none, one wrong, all wrong, doubled and unknown parameters, here and in wrong namespaces."""

    def param(name: str, value: str) -> str:
        return f'<IPARAMVALUE NAME="{name}">{value}</IPARAMVALUE>'

    for name, specs in OPERATIONS.values():
        yield name, cim_call(name)
        yield name, cim_call(name, param("NoSuchParameter", "<VALUE>x</VALUE>"))
        for namespace in ("root/nowhere", "a" * 3000, "root/cimv2/x", "..", "interop"):
            yield name, cim_call(name, namespace=namespace)
        for odd in ODD:
            yield name, cim_call(name, "".join(param(key, odd) for key in list(specs)))
            yield name, cim_call(name, "".join(param(key, odd) for key in [*specs][:1]))
        for first, key in ((next(iter(specs)), key) for key in [*specs][1:]):
            for odd in ODD[:6] + ODD[-5:]:
                yield name, cim_call(name, param(first, ODD[7]) + param(key, odd))
                yield name, cim_call(name, param(first, ODD[10]) + param(key, odd))
            yield name, cim_call(name, param(key, ODD[2]) * 2)


@pytest.mark.parametrize("door", WBEM_DOORS)
def test_every_cim_operation_answers_wrong_parameters(server, door):
    calls = list(cim_calls())
    calls = calls if door == "wbem" else calls[::9]
    errors = 0
    with Wire(server, door) as wire:
        for (name, _), reply in zip(calls, answers(wire, (call for _, call in calls)), strict=True):
            refused(reply, 200, 400)
            assert reply.status == 400 or f'NAME="{name}"'.encode() in reply.body
            assert b"internal error" not in reply.body, (name, reply.body)
            errors += b"<ERROR " in reply.body or reply.status == 400
        for name in ("NoSuchOperation", "", "enumerateclassnames ", "__init__", "x" * 5000):
            reply = wire.ask(cim_call(name))
            refused(reply, 200, 400)
            assert reply.status == 400 or b"<ERROR " in reply.body
    assert errors > len(calls) // 2


METHODS = (
    "RequestStateChange", "DefineSystem", "AddResourceSettings", "ModifySystemSettings", "DestroySystem", "NoSuch",
)  # fmt: skip


def test_every_method_answers_wrong_parameters(server):
    values = [
        f'<PARAMVALUE NAME="{name}" PARAMTYPE="{kind}">{value}</PARAMVALUE>'
        for name in ("RequestedState", "SystemSettings", "AffectedConfiguration", "TimeoutPeriod", "NoSuch")
        for kind in ("uint16", "string", "odd")
        for value in (*ODD[:6], *ODD[9:13])
    ]
    with Wire(server, "wbem") as wire:
        for cls in ("Xen_ComputerSystem", "Xen_VirtualSystemManagementService", "Xen_NoSuch", "CIM_ManagedElement"):
            space, key = namespace_path("root/cimv2"), f'<INSTANCENAME CLASSNAME="{cls}">{KEY}</INSTANCENAME>'
            places = (
                f'<LOCALCLASSPATH>{space}<CLASSNAME NAME="{cls}"/></LOCALCLASSPATH>',
                f"<LOCALINSTANCEPATH>{space}{key}</LOCALINSTANCEPATH>",
            )
            calls = [
                post(
                    cim_body(f'<METHODCALL NAME="{method}">{place}{value}</METHODCALL>'),
                    "/cimom", DEMO_USER + cim_headers(method, f"root/cimv2:{cls}"),
                )
                for method in METHODS for place in places for value in ("", *values)
            ]  # fmt: skip
            for reply in answers(wire, calls):
                refused(reply, 200, 400)
                assert reply.status == 400 or b"<ERROR " in reply.body
                assert b"internal error" not in reply.body, reply.body


# HTTP, at every door


@pytest.mark.parametrize("door", DOORS)
def test_bodies_at_and_beyond_the_limit(server, door):
    limit = decode.LIMITS.max_body if door in WBEM_DOORS else DEFAULT.max_body
    headers = DEMO_USER + cim_headers("EnumerateClassNames") if door in WBEM_DOORS else ""
    for size in (limit, limit + 1, limit + 100_000):
        with Wire(server, door) as wire:
            refused(wire.ask(post(b" " * size, "/", headers)), 400, 413, 500)
    for length in (limit + 1, 1 << 40, (1 << 63) - 1):  # refused before a byte of it has come
        with Wire(server, door) as wire:
            refused(wire.ask(post(b"", "/", headers, length=length)), 413, 500)
            assert ended(wire)
    with Wire(server, door) as wire:  # a body that never comes, and a client that goes
        wire.send(post(b"", "/", headers, length=1000))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\0\r\n\r\n",
        b"\0" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xfe\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda data: repr(data[:40]),
)
def test_bytes_that_are_no_http_are_refused_once(server, door, data):
    with Wire(server, door) as wire:
        wire.send(data)
        reply = wire.reply()
        refused(reply, 400, 413, 431, 500, 501, 505, 403)
        assert ended(wire)


@pytest.mark.parametrize("door", DOORS)
def test_connections_dropped_at_any_byte_leave_nothing(server, door):
    call = cim_call("EnumerateClassNames") if door in WBEM_DOORS else xml_call("VM.get_all", "x")
    for cut in range(0, len(call), 23):
        with Wire(server, door) as wire:
            wire.send(call[:cut])


def test_memory_does_not_grow_with_refused_requests(server):
    body = post(b"<a>" * 1000 + b"x" * 250_000)
    bombs = [
        post((BOMB + GOOD_CALL[21:]).encode()),
        body,
        json_call("x" * 100_000, []),
        post(b"[" * 100_000, "/jsonrpc"),
    ]

    def burst() -> int:
        for _ in range(25):
            with Wire(server, "xenapi") as wire:
                for call in bombs:
                    assert wire.ask(call) is not None
        return resident(server)

    first = burst()
    assert burst() - first < 30 * 1024 * 1024
