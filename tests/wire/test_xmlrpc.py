"""The XML-RPC codec: golden bytes, round trips against an independent decoder, and what it refuses."""

from __future__ import annotations

import xmlrpc.client
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_cases import RECORD, THING, golden, same, typed

from xenapi_core.errors import ApiError
from xenapi_core.model.types import (
    FLOAT,
    INT,
    STRING,
    BoolType,
    DateTimeType,
    FloatType,
    IntType,
    MapType,
    OptionType,
    Record,
    Set,
    SetType,
    format_datetime,
)
from xenapi_core.wire.api import Call, WireError
from xenapi_core.wire.jsonrpc import JsonRpc
from xenapi_core.wire.limits import Limits, XmlRefusedError, parse_xml
from xenapi_core.wire.xmlrpc import XmlRpc

CODEC = XmlRpc()
ANY = Call("VM.test", [])
FAILURE = ["VM_BAD_POWER_STATE", "OpaqueRef:x", "halted", "running & well"]


def request(fragment: bytes) -> bytes:
    return (
        b"<methodCall><methodName>m</methodName><params><param>" + fragment + b"</param></params></methodCall>"
    )  # fmt: skip


def value(text: str) -> bytes:
    return request(f"<value>{text}</value>".encode())


# -- golden ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "call"),
    [
        ("request-plain.xml", Call("VM.get_record", ["OpaqueRef:a", "OpaqueRef:b"])),
        ("request-no-params.xml", Call("system.listMethods", [])),
        (
            "request-types.xml",
            Call(
                "VM.test",
                [
                    "bare text", "", "", " kept spaces ", "", "a&b <c> é <raw> end", 12, -7, 9223372036854775807,
                    1500.0, True, False, "20260101T12:00:00Z", None, "hello", {"a": "1", "b": {}}, ["x", 2],
                    ["no data"], ["as libxen"], [], [],
                ],
            ),
        ),
    ],
)  # fmt: skip
def test_requests_are_read(file, call):
    decoded = CODEC.decode(golden(file))
    assert decoded == call
    assert list(map(type, decoded.params)) == list(map(type, call.params))


@pytest.mark.parametrize(
    ("file", "reply"),
    [
        ("reply-record.xml", lambda: CODEC.success(ANY, CODEC.record(THING)(RECORD))),
        ("reply-void.xml", lambda: CODEC.success(ANY, CODEC.value(None, None))),
        ("reply-failure.xml", lambda: CODEC.failure(ANY, FAILURE)),
        ("reply-failure.xml", lambda: CODEC.failure(None, FAILURE)),
        ("reply-methods.xml", lambda: CODEC.bare(ANY, CODEC.value(Set(STRING), ("VM.start", "event.from")))),
        ("reply-counts.xml", lambda: CODEC.success(ANY, CODEC.struct([("vm", CODEC.integer(3))]))),
    ],
)
def test_replies_are_these_bytes(file, reply):
    assert reply() == golden(file)


def test_the_xenapi_client_library_reads_a_record():
    (envelope,), _ = xmlrpc.client.loads(golden("reply-record.xml"))
    assert envelope["Value"]["name"] == RECORD["name"]
    assert "hidden" not in envelope["Value"]
    assert "unset_option" not in envelope["Value"]


# -- round trips -----------------------------------------------------------------------------------------------------


def as_client_sees(type_, value):
    """What xmlrpc.client makes of an internal value, by the rules of the wire format."""
    if value is None:
        return None
    if isinstance(type_, OptionType):
        return as_client_sees(type_.item, value)
    if isinstance(type_, IntType):
        return str(value)
    if isinstance(type_, DateTimeType):
        return format_datetime(value)
    if isinstance(type_, SetType):
        return [as_client_sees(type_.item, item) for item in value]
    if isinstance(type_, MapType):
        return {str(key): as_client_sees(type_.value, item) for key, item in value.items()}
    assert isinstance(type_, BoolType | FloatType) or isinstance(value, str)
    return value


def plain(value):
    if isinstance(value, xmlrpc.client.DateTime):
        return value.value
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


@settings(max_examples=300, deadline=None)
@given(typed)
def test_an_independent_decoder_reads_every_value(case):
    type_, internal = case
    reply = CODEC.success(ANY, CODEC.value(type_, internal))
    (envelope,), _ = xmlrpc.client.loads(reply)
    assert list(envelope) == ["Status", "Value"]
    assert same(plain(envelope["Value"]), as_client_sees(type_, internal))


@settings(max_examples=300, deadline=None)
@given(typed)
def test_every_value_comes_back_through_decode_and_accept(case):
    type_, internal = case
    (param,) = CODEC.decode(request(CODEC.value(type_, internal))).params
    assert same(type_.accept(param), internal)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(blacklist_categories=[])), st.text(st.characters(blacklist_categories=[])))
def test_any_text_gives_a_document_every_parser_reads(name, text):
    fragment = CODEC.array([CODEC.value(STRING, text), CODEC.struct([(name, CODEC.value(Set(STRING), (text, name)))])])
    reply = CODEC.success(ANY, fragment)
    assert parse_xml(reply, Limits()).tag == "methodResponse"
    xmlrpc.client.loads(reply)


def test_characters_xml_cannot_carry_are_dropped_and_line_ends_kept():
    assert CODEC.value(STRING, "a\x00b\x1fc\ufffed\ud800e\tf\ng\rh") == b"<value>abcde\tf\ng&#13;h</value>"
    record = RECORD | {"name": "x\x07y", "config": {"\x01k": "v\x02"}, "disks": ("a\x03", "b")}
    (found,), _ = xmlrpc.client.loads(CODEC.success(ANY, CODEC.record(THING)(record)))
    assert (found["Value"]["name"], found["Value"]["config"], found["Value"]["disks"]) == ("xy", {"k": "v"}, ["a", "b"])


@pytest.mark.parametrize(
    ("number", "text"), [(0.1, "0.1"), (1.0, "1"), (1e300, "1e+300"), (1 / 3, "0.3333333333333333"), (-0.0, "-0")]
)
def test_floats_have_sixteen_digits(number, text):
    assert CODEC.value(FLOAT, number) == f"<value><double>{text}</double></value>".encode()


def test_floats_that_are_no_numbers_are_still_doubles():
    for number in (float("inf"), float("-inf"), float("nan")):
        (found,), _ = xmlrpc.client.loads(CODEC.success(ANY, CODEC.value(FLOAT, number)))
        assert str(found["Value"]) == str(number)


def test_a_record_of_a_class_the_type_does_not_know_is_written_by_its_values():
    mixed = {"a": 1, "b": True, "c": 1.5, "d": None, "e": ("x",), "f": {"g": "<"}}
    (found,), _ = xmlrpc.client.loads(CODEC.success(ANY, CODEC.value(Record("thing"), mixed)))
    assert found["Value"] == {"a": "1", "b": True, "c": 1.5, "e": ["x"], "f": {"g": "<"}}


def test_types_made_on_the_fly_are_not_kept_without_bound():
    codec = XmlRpc()
    for _ in range(5000):
        assert codec.value(Set(INT), (1,)) == b"<value><array><data><value>1</value></data></array></value>"
    assert len(codec._renderers._known) <= 4096


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"<methodCall>",
        b"<methodResponse><params/></methodResponse>",
        b"<methodCall/>",
        b"<methodCall><methodName>m</methodName></methodCall>",
        b"<methodCall><params/></methodCall>",
        b"<methodCall><params/><methodName>m</methodName></methodCall>",
        b"<methodCall><methodName>m<b/></methodName><params/></methodCall>",
        b"<methodCall><methodName>m</methodName><params><value>x</value></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param/></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value/><value/></param></params></methodCall>",
        b"<methodCall xmlns='urn:x'><methodName>m</methodName><params/></methodCall>",
        value("<unknown>1</unknown>"),
        value("<int>1</int><int>2</int>"),
        value("text<int>1</int>"),
        value("<int>1</int>text"),
        value("<int>one</int>"),
        value("<int>1_0</int>"),
        value("<int></int>"),
        value("<int>" + "9" * 30 + "</int>"),
        value("<double>1_0</double>"),
        value("<double>x</double>"),
        value("<boolean>true</boolean>"),
        value("<boolean>2</boolean>"),
        value("<nil>x</nil>"),
        value("<base64>!!!</base64>"),
        value("<string><b/></string>"),
        value("<struct><member><name>a</name></member></struct>"),
        value("<struct><member><value>a</value><name>a</name></member></struct>"),
        value("<struct><value>a</value></struct>"),
        value("<array><data>x<int>1</int></data></array>"),
        value("&undefined;"),
        value("\x01"),
        request(b"<value>") + b"trailing",
    ],
)
def test_what_is_no_call_is_a_wire_error(body):
    with pytest.raises(WireError):
        CODEC.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE methodCall><methodCall><methodName>m</methodName><params/></methodCall>',
        b'<?xml version="1.0"?> <!-- x --> <?pi ?> <!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">]>' + value("&a;"),
        b'<!DOCTYPE m SYSTEM "file:///etc/passwd">' + value("x"),
        b'<!DOCTYPE m [<!ENTITY % p SYSTEM "http://127.0.0.1:1/">%p;]>' + value("x"),
        b"<a>" * 100 + b"</a>" * 100,
        b"<a/>" * 50_000,
        b"<a>" + b"x" * 400_000 + b"</a>",
    ],
)  # fmt: skip
def test_documents_that_only_harm_are_refused_before_they_are_read(body):
    with pytest.raises(XmlRefusedError):
        parse_xml(body)
    with pytest.raises(WireError):
        CODEC.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        value("x").decode().encode("utf-16"),
        value("x").decode().encode("utf-16-le"),
        value("x").decode().encode("utf-32"),
        b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE m+AD4-' + value("x"),
        b"<?xml version='1.0'\n encoding = 'utf-16'?>" + value("x"),
        value("x").decode().encode("cp037"),
    ],
)
def test_encodings_that_could_hide_a_doctype_are_not_read(body):
    with pytest.raises(WireError):
        CODEC.decode(body)


def test_a_doctype_inside_text_is_text():
    assert CODEC.decode(value("<![CDATA[<!DOCTYPE x>]]>")).params == ["<!DOCTYPE x>"]


def test_latin_1_documents_are_read():
    body = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + request(b"<value>\xe4</value>")
    assert CODEC.decode(body).params == ["ä"]


def test_nesting_is_read_up_to_the_limit():
    def nested(depth):
        return request(b"<value><array><data>" * depth + b"</data></array></value>" * depth)

    assert CODEC.decode(nested(20)).params
    with pytest.raises(WireError, match="deeper"):
        CODEC.decode(nested(21))


def test_parameters_are_counted():
    body = (
        b"<methodCall><methodName>m</methodName><params>" + b"<param><value/></param>" * 257 + b"</params></methodCall>"
    )
    with pytest.raises(WireError, match="256"):
        CODEC.decode(body)


@pytest.mark.parametrize(
    "fragment",
    [
        b"<value>ab\xffcd</value>",
        b"<value><string>ab\xffcd</string></value>",
        b"<value><struct><member><name>k</name><value>ab\xffcd</value></member></struct></value>",
        b"<value><array><data><value>fine</value><value>ab\xffcd</value></data></array></value>",
        b"<value><base64>YWL/Y2Q=</base64></value>",
    ],
)
def test_bytes_that_are_no_utf8_are_an_invalid_value(fragment):
    with pytest.raises(ApiError) as caught:
        CODEC.decode(request(fragment))
    assert caught.value.description == ["INVALID_VALUE", "Invalid UTF-8 string in parameter", "ab\ufffdcd"]


def test_bytes_that_are_no_utf8_elsewhere_are_no_call():
    with pytest.raises(WireError):
        CODEC.decode(b"<methodCall><methodName>\xff</methodName><params/></methodCall>")
    with pytest.raises(WireError):
        CODEC.decode(request(b"<value>\xff</wrong>"))


SEEDS = [golden("request-plain.xml"), golden("request-types.xml"), request(b"<value>\xff</value>")]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_requests_raise_nothing_but_the_two_errors(seed, data):
    body = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        new = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"<", b"</value>", b"<value>", b"<!DOCTYPE", b"&#0;", b"]]>"])
        )
        body[at : at + data.draw(st.integers(0, 8))] = new
    with suppress(WireError, ApiError):
        CODEC.decode(bytes(body))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_wire_errors(body):
    with pytest.raises(WireError):
        CODEC.decode(body)


@pytest.mark.parametrize("codec", [XmlRpc(), JsonRpc()])
def test_a_struct_joined_with_its_reply_is_the_same_reply(codec):
    call, members = Call("VM.get_all_records", [], 7, "2.0"), [("a&b", codec.integer(1)), ("c", codec.integer(2))]
    assert codec.success_struct(call, members) == codec.success(call, codec.struct(members))
