"""The short cut for simple requests says what the XML parser says, or nothing."""

from __future__ import annotations

import xmlrpc.client

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xenapi_core.errors import ApiError
from xenapi_core.wire.api import Call, WireError
from xenapi_core.wire.flat import flat_call
from xenapi_core.wire.xmlrpc import XmlRpc

CODEC = XmlRpc()
SCALARS = st.one_of(st.text(max_size=12), st.booleans(), st.integers(-(2**31), 2**31 - 1))
TAGS = ["value", "string", "int", "i4", "boolean"]
MARKUP = [
    "<nil/>",
    "<struct></struct>",
    "<array><data></data></array>",
    "]]>",
    "<!--c-->",
    "<![CDATA[y]]>",
    ">",
    "&amp;",
]
TEXTS = ["1", "0", "-5", "x", " ", "\n", "\r", "&#10;", "\u00e9", "\ufffe", "\x7f", "\x0b"]
BREAKS = ["</param><param>", "</params>", "<param>"]
PIECES = st.sampled_from([f"<{t}>" for t in TAGS] + [f"</{t}>" for t in TAGS] + MARKUP + TEXTS + BREAKS)


def parsed(body: bytes) -> Call | None:
    """What the XML parser says; None if it refuses."""
    try:
        return CODEC.decode_document(body)
    except (WireError, ApiError):
        return None


def document(method: str, params: str, head: str = "<?xml version='1.0'?>\n") -> bytes:
    listed = "".join(f"<param>{param}</param>" for param in params.split("|")) if params else ""
    return f"{head}<methodCall><methodName>{method}</methodName><params>{listed}</params></methodCall>".encode()


def test_what_the_usual_clients_send_takes_the_short_cut():
    body = xmlrpc.client.dumps(("OpaqueRef:a", True, "\u00e9", 7), "VM.get_record", encoding="utf-8").encode()
    assert flat_call(body) == ("VM.get_record", ["OpaqueRef:a", True, "\u00e9", 7])


@given(st.lists(SCALARS, max_size=4))
@settings(max_examples=150)
def test_calls_of_scalars_mean_what_the_parser_says(params):
    body = xmlrpc.client.dumps(tuple(params), "CLASS.message").encode()
    simple = flat_call(body)
    if simple is not None:
        assert Call(*simple) == parsed(body)


@given(st.lists(PIECES, max_size=9).map("".join), st.sampled_from(["", "<?xml version='1.0'?>", " ", "\ufeff"]))
@example("<value><int>5</i4></value>", "")
@example("<value>a\rb</value>", "")
@example("<value> 1 </value>", "")
@example("<value><string>a</string> </value>", "")
@settings(max_examples=400)
def test_anything_odd_is_left_to_the_parser_or_means_the_same(inside, head):
    body = document("a.b", inside, head)
    simple = flat_call(body)
    if simple is not None:
        assert Call(*simple) == parsed(body)


@pytest.mark.parametrize(
    "body",
    [
        document("a.b", "<value>&lt;</value>"),
        document("a.b", "<value><double>1</double></value>"),
        document("a.b", "<value><boolean>2</boolean></value>"),
        document("a.b", "<value>x</value>", "<?xml version='1.0' encoding='iso-8859-1'?>"),
        document("a.b", "<value>x</value>", "<!DOCTYPE methodCall>"),
        document("a.b", "<value>\xe9</value>").decode().encode("latin-1"),
        document("a.b", "<value>" + "x" * 5000 + "</value>"),
        b"",
    ],
)  # fmt: skip
def test_everything_else_is_left_to_the_parser(body):
    assert flat_call(body) is None
