"""Whatever bytes come in, the WBEM service answers: with a refusal or a CIM error, never with an exception."""

from __future__ import annotations

import contextlib
import re

import pytest
from cim_kit import NAMESPACE, World, basic, body_of, envelope, graph, intrinsic, ipv, method_call, post
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from cim_provider.schema.objects import CimError
from cim_provider.wire import decode, mof_value
from cim_provider.wire.headers import RefusedError
from cim_provider.wire.parameters import OPERATIONS
from xenapi_core.server.routes import Peer, Request

TAGS = (
    "CIM", "MESSAGE", "SIMPLEREQ", "MULTIREQ", "IMETHODCALL", "METHODCALL", "LOCALNAMESPACEPATH", "NAMESPACE",
    "NAMESPACEPATH", "HOST", "IPARAMVALUE", "PARAMVALUE", "CLASSNAME", "INSTANCENAME", "KEYBINDING", "KEYVALUE",
    "VALUE",
    "VALUE.ARRAY", "VALUE.REFERENCE", "VALUE.REFARRAY", "VALUE.NULL", "VALUE.NAMEDINSTANCE", "INSTANCE", "PROPERTY",
    "PROPERTY.ARRAY", "PROPERTY.REFERENCE", "QUALIFIER", "LOCALINSTANCEPATH", "LOCALCLASSPATH", "INSTANCEPATH",
    "CLASSPATH", "CLASS", "ODD",
)  # fmt: skip
WORDS = (
    "T_Every", "T_Part", "T_Link", "T_Keys", "Id", "InstanceID", "Antecedent", "Size", "Tags", "Inner", "Parts", "Part",
    "One_uint8", "Many_real32", "One_datetime", "Settings", "Target", "Targets", "Flag", "Problem", "Take", "string",
    "numeric", "boolean", "2.0", "1.0", "5", "-1", "1e9", "true", "99999999999999999999999", "root", "é", "",
    "20260101000000.000000+000", "instance of T_Part { Id = 5; };", "<INSTANCE CLASSNAME='T_Part'/>", "NULL", "\t",
    "null",
)  # fmt: skip
words = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=6)
attributes = st.dictionaries(
    st.sampled_from(("NAME", "CLASSNAME", "TYPE", "VALUETYPE", "EmbeddedObject")), words, max_size=3
)


def element(tag: str, attrs: dict[str, str], children: list[etree._Element], text: str) -> etree._Element:
    made = etree.Element(tag, attrs)
    made.text = text
    made.extend(children)
    return made


def elements(children):
    return st.builds(element, st.sampled_from(TAGS), attributes, st.lists(children, max_size=3), words)


trees = st.recursive(st.builds(element, st.sampled_from(TAGS), attributes, st.just([]), words), elements, max_leaves=8)
some_xml = trees.map(lambda tree: etree.tostring(tree, encoding="unicode"))


def look(body: bytes) -> None:
    """Decode a body all the way; only the two kinds of error a request can have may come out."""
    with contextlib.suppress(RefusedError, CimError):
        message = decode.read(body)
        (decode.extrinsic if message.target is not None else decode.intrinsic)(message, graph())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(body):
    look(body)


@settings(max_examples=150, deadline=None)
@given(some_xml)
def test_any_xml_is_refused_or_read(xml):
    look(xml.encode())


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_parameters_of_every_operation_are_refused_or_read(data):
    name, specs = data.draw(st.sampled_from(sorted(OPERATIONS.values(), key=lambda o: o[0])))
    chosen = data.draw(st.lists(st.sampled_from([*specs, "odd"]), max_size=3))
    look(intrinsic(name, "".join(ipv(key, data.draw(some_xml)) for key in chosen)))


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_parameters_of_a_method_are_refused_or_read(data):
    chosen = data.draw(
        st.lists(st.sampled_from(("Settings", "Target", "Targets", "Flag", "Problem", "Job")), max_size=3)
    )
    inside = "".join(f'<PARAMVALUE NAME="{key}">{data.draw(some_xml)}</PARAMVALUE>' for key in chosen)
    look(method_call("Take", inside))


@settings(max_examples=100, deadline=None)
@given(some_xml)
def test_any_target_of_a_method_is_refused_or_read(xml):
    look(envelope(f'<METHODCALL NAME="Take"><LOCALINSTANCEPATH>{NAMESPACE}{xml}</LOCALINSTANCEPATH></METHODCALL>'))
    look(envelope(f'<METHODCALL NAME="Take">{xml}</METHODCALL>'))


GOOD = method_call(
    "Take",
    '<PARAMVALUE NAME="Flag" PARAMTYPE="boolean"><VALUE>true</VALUE></PARAMVALUE><PARAMVALUE NAME="Settings" '
    'PARAMTYPE="string" EmbeddedObject="instance"><VALUE.ARRAY><VALUE>&lt;INSTANCE CLASSNAME="T_Part"&gt;&lt;PROPERTY '
    'NAME="Id" TYPE="string"&gt;&lt;VALUE&gt;x&lt;/VALUE&gt;&lt;/PROPERTY&gt;&lt;/INSTANCE&gt;</VALUE></VALUE.ARRAY>'
    "</PARAMVALUE>",
)


@settings(max_examples=250, deadline=None)
@given(
    st.integers(0, len(GOOD) - 1),
    st.integers(0, 12),
    st.binary(max_size=6) | st.sampled_from([w.encode() for w in WORDS]),
)
def test_a_good_request_with_a_piece_replaced_is_refused_or_read(at, cut, piece):
    look(GOOD[:at] + piece + GOOD[at + cut :])


def test_the_request_that_is_broken_above_is_good():
    path, method, found = decode.extrinsic(decode.read(GOOD), graph())
    assert (path.classname, method, set(found)) == ("T_Every", "Take", {"Flag", "Settings"})


mof_pieces = st.sampled_from(
    ("instance", "of", "T_Part", "{", "}", ";", "=", ",", '"', '"x"', "'", "\\", "Id", "Size", "5", "-", "0x", "1b",
     "b",
     "null", "/*", "*/", "//", "\n", " ", "[", "]", "(", ")", ":", "é", "$", ".", "e", '"\\x"', "'\\x41'")
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(mof_pieces, max_size=25).map("".join) | st.text(max_size=30))
def test_any_mof_text_is_refused_or_read(text):
    with contextlib.suppress(mof_value.MofValueError):
        mof_value.parse(text)


header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ("authorization", "content-type", "accept", "cimoperation", "cimmethod", "cimobject", "cimprotocolversion",
             "man", "opt", "content-encoding", "48-cimmethod")
        ),
        header_texts,
    ),
    st.booleans(),
)  # fmt: skip
def test_any_headers_get_an_answer(found, known):
    if known:
        found["authorization"] = basic()
    reply = World().send(Request("POST", "/", found, intrinsic("EnumerateClassNames"), Peer("tcp")))
    assert reply.status in (200, 400, 401, 406, 415, 501)
    assert known or reply.status == 401


@pytest.mark.parametrize("depth", [10, 60, 1000, 20_000])
@pytest.mark.parametrize("tag", ["VALUE.ARRAY", "VALUE.REFERENCE", "A"])
def test_nesting_without_end_is_refused_or_answered(depth, tag):
    nested = f"<{tag}>" * depth + f"</{tag}>" * depth
    reply = World().send(post(intrinsic("GetClass", ipv("ClassName", nested)), "GetClass"))
    assert reply.status in (200, 400)
    assert b"CLASS NAME=" not in body_of(reply)


def test_references_within_references_end():
    inner = "<VALUE>x</VALUE>"
    for _ in range(12):
        inner = (
            f'<INSTANCENAME CLASSNAME="T_Link"><KEYBINDING NAME="Antecedent"><VALUE.REFERENCE>{inner}</VALUE.REFERENCE>'
            "</KEYBINDING></INSTANCENAME>"
        )
    reply = World().send(post(intrinsic("GetInstance", ipv("InstanceName", inner)), "GetInstance"))
    assert re.search(rb'<ERROR CODE="4"', body_of(reply))


def test_entities_are_never_expanded():
    bomb = b'<!DOCTYPE CIM [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    body = intrinsic("GetClass", ipv("ClassName", '<CLASSNAME NAME="&b;"/>')).replace(b"<CIM ", bomb + b"<CIM ", 1)
    reply = World().send(post(body, "GetClass"))
    assert reply.status == 400
    assert b"aaaa" not in body_of(reply)


def test_a_body_beyond_the_limit_is_refused():
    body = intrinsic("GetClass", ipv("ClassName", "<VALUE>" + "x" * decode.LIMITS.max_body + "</VALUE>"))
    assert World().send(post(body, "GetClass")).status == 400
