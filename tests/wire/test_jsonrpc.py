"""The JSON-RPC codec: golden bytes, envelopes of both versions, round trips, and what it refuses."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_cases import RECORD, THING, golden, same, typed

from xenapi_core.errors import ApiError
from xenapi_core.model.types import (
    FLOAT,
    STRING,
    DateTimeType,
    MapType,
    OptionType,
    Record,
    Set,
    SetType,
    format_datetime,
)
from xenapi_core.wire.api import Call, WireError
from xenapi_core.wire.jsonrpc import JsonRpc

CODEC = JsonRpc()
V1 = Call("VM.get_record", [], "q-1", "1.0")
V2 = Call("VM.get_record", [], 17, "2.0")
FAILURE = ["VM_BAD_POWER_STATE", "OpaqueRef:x", "halted", "running & well"]


@pytest.mark.parametrize(
    ("file", "call"),
    [
        (
            "request-1.json",
            Call("VM.get_record", ["OpaqueRef:a", 1, 2.5, True, None, ["x"], {"k": "v"}], "q-1", "1.0"),
        ),
        ("request-2.json", Call("VM.get_record", ["OpaqueRef:a", 9223372036854775807], 17, "2.0")),
    ],
)
def test_requests_are_read(file, call):
    assert CODEC.decode(golden(file)) == call


@pytest.mark.parametrize(
    ("file", "reply"),
    [
        ("reply-record-1.json", lambda: CODEC.success(V1, CODEC.record(THING)(RECORD))),
        ("reply-void-2.json", lambda: CODEC.success(V2, CODEC.value(None, None))),
        ("reply-failure-1.json", lambda: CODEC.failure(V1, FAILURE)),
        ("reply-failure-2.json", lambda: CODEC.failure(V2, FAILURE)),
        ("reply-failure-early.json", lambda: CODEC.failure(None, FAILURE)),
    ],
)
def test_replies_are_these_bytes(file, reply):
    assert reply() == golden(file)


def test_a_bare_reply_is_an_ordinary_result():
    names = CODEC.value(Set(STRING), ("VM.start",))
    assert json.loads(CODEC.bare(V2, names)) == {"jsonrpc": "2.0", "result": ["VM.start"], "id": 17}


def test_fragments_nest_inside_each_other():
    inner = CODEC.struct([('a"b', CODEC.integer(3)), ("c", CODEC.array([]))])
    assert json.loads(CODEC.array([inner, CODEC.value(STRING, "x")])) == [{'a"b': 3, "c": []}, "x"]


@pytest.mark.parametrize(("params", "expected"), [("null", []), ('{"a":1}', [{"a": 1}]), ("[1]", [1]), (None, [])])
def test_version_2_takes_params_in_four_forms(params, expected):
    member = "" if params is None else f',"params":{params}'
    assert CODEC.decode(f'{{"jsonrpc":"2.0","method":"m","id":1{member}}}'.encode()).params == expected


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "null", '"x"', "1", "{}", '[{"method":"m","params":[],"id":1}]',
        '{"params":[],"id":1}', '{"method":1,"params":[],"id":1}',
        '{"method":"m","id":1}', '{"method":"m","params":null,"id":1}', '{"method":"m","params":{},"id":1}',
        '{"method":"m","params":[]}', '{"method":"m","params":[],"id":null}', '{"method":"m","params":[],"id":1.5}',
        '{"method":"m","params":[],"id":true}', '{"method":"m","params":[],"id":[]}',
        '{"jsonrpc":"2.0","method":"m","params":[]}', '{"jsonrpc":"2.0","method":"m","params":"x","id":1}',
        '{"jsonrpc":"1.0","method":"m","params":[],"id":1}', '{"jsonrpc":2.0,"method":"m","params":[],"id":1}',
        '{"method":"m","params":[NaN],"id":1}', '{"method":"m","params":["\\ud800"],"id":1}',
        '{"method":"m","params":[' + ",".join("1" * 300) + '],"id":1}',
        '{"method":"m","params":' + "[" * 70 + "]" * 70 + ',"id":1}',
        '{"method":"m","params":' + "[" * 5000 + "]" * 5000 + ',"id":1}',
        '{"method":"m","params":[' + '{"a":' * 70 + "1" + "}" * 70 + '],"id":1}',
        '{"method":"m","params":["' + "x" * 400_000 + '"],"id":1}',
    ],
)  # fmt: skip
def test_what_is_no_call_is_a_wire_error(body):
    with pytest.raises(WireError):
        CODEC.decode(body.encode())


@pytest.mark.parametrize("param", [b'"ab\xffcd"', b'["x","ab\xffcd"]', b'{"k":"ab\xffcd"}', b'{"ab\xffcd":1}'])
def test_bytes_that_are_no_utf8_are_an_invalid_value(param):
    with pytest.raises(ApiError) as caught:
        CODEC.decode(b'{"method":"m","params":[' + param + b'],"id":1}')
    assert caught.value.description == ["INVALID_VALUE", "Invalid UTF-8 string in parameter", "ab\ufffdcd"]


def test_bytes_that_are_no_utf8_elsewhere_are_no_call():
    with pytest.raises(WireError):
        CODEC.decode(b'{"method":"\xff","params":[],"id":1}')


def as_client_sees(type_, value):
    if value is None:
        return None
    if isinstance(type_, OptionType):
        return as_client_sees(type_.item, value)
    if isinstance(type_, DateTimeType):
        return format_datetime(value)
    if isinstance(type_, SetType):
        return [as_client_sees(type_.item, item) for item in value]
    if isinstance(type_, MapType):
        return {str(key): as_client_sees(type_.value, item) for key, item in value.items()}
    return value


@settings(max_examples=300, deadline=None)
@given(typed)
def test_an_independent_decoder_reads_every_value(case):
    type_, internal = case
    reply = json.loads(CODEC.success(V2, CODEC.value(type_, internal)))
    assert same(reply["result"], as_client_sees(type_, internal))


@settings(max_examples=300, deadline=None)
@given(typed)
def test_every_value_comes_back_through_decode_and_accept(case):
    type_, internal = case
    body = b'{"jsonrpc":"2.0","method":"m","params":[' + CODEC.value(type_, internal) + b'],"id":1}'
    (param,) = CODEC.decode(body).params
    assert same(type_.accept(param), internal)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(blacklist_categories=[])))
def test_any_text_gives_valid_json(text):
    expected = text.encode("utf-8", "ignore").decode("utf-8")
    assert json.loads(CODEC.value(STRING, text)) == expected
    assert json.loads(CODEC.struct([(text, CODEC.value(Set(STRING), (text,)))])) == {expected: [expected]}
    record = json.loads(CODEC.record(THING)(RECORD | {"name": text, "config": {text: text}}))
    assert (record["name"], record["config"]) == (expected, {expected: expected})


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_floats_that_are_no_numbers_are_null(number):
    assert CODEC.value(FLOAT, number) == b"null"
    assert json.loads(CODEC.record(THING)(RECORD | {"load": number}))["load"] is None


def test_a_record_of_a_class_the_type_does_not_know_is_written_by_its_values():
    mixed = {"a": 1, "b": True, "d": None, "e": ("x",), "f": {1: "<"}}
    assert json.loads(CODEC.value(Record("thing"), mixed)) == {"a": 1, "b": True, "e": ["x"], "f": {"1": "<"}}


SEEDS = [golden("request-1.json"), golden("request-2.json"), b'{"method":"m","params":["\xff"],"id":1}']


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_requests_raise_nothing_but_the_two_errors(seed, data):
    body = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        new = data.draw(st.binary(max_size=4) | st.sampled_from([b"[", b"{", b'"', b"\\u", b"1e999", b"null"]))
        body[at : at + data.draw(st.integers(0, 8))] = new
    with suppress(WireError, ApiError):
        CODEC.decode(bytes(body))
