"""CIM values as text inside CIM-XML (DSP0201), and the envelopes of messages.

Every function here returns `str`; the encoder joins many of them and turns the whole into UTF-8 once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from xenapi_core.errors import never

INTEGERS = {
    "uint8": (0, 0xFF), "uint16": (0, 0xFFFF), "uint32": (0, 0xFFFF_FFFF), "uint64": (0, 0xFFFF_FFFF_FFFF_FFFF),
    "sint8": (-0x80, 0x7F), "sint16": (-0x8000, 0x7FFF), "sint32": (-0x8000_0000, 0x7FFF_FFFF),
    "sint64": (-0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
}  # fmt: skip
REALS = ("real32", "real64")

# Characters that end or open markup, the carriage return (a parser would make it a line feed), and what XML 1.0
# cannot carry at all.
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_RARE = re.compile("[\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ATTRIBUTE = re.compile('["\t\n&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def _escape(match: re.Match[str]) -> str:
    # U+FFFD stands for a character that XML cannot carry: the reader sees that something was there.
    return _ESCAPES.get(match[0], "\ufffd")


def content(value: str) -> str:
    """A string as element content. Markup is full of what is frequent: that is replaced without a call for each."""
    if not _SPECIAL.search(value):
        return value
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _RARE.sub(_escape, value) if _RARE.search(value) else value


def attribute(value: str) -> str:
    """A string as an attribute's value, to be put between double quotes."""
    return _ATTRIBUTE.sub(_escape, value) if _ATTRIBUTE.search(value) else value


def boolean(value: Any) -> str:
    return "true" if value else "false"


def real(value: float) -> str:
    """DSP0201: digits on both sides of the point, and INF, -INF, NaN."""
    if math.isfinite(value):
        text = repr(float(value))
        mantissa, e, exponent = text.partition("e")
        return text if "." in mantissa else f"{mantissa}.0{e}{exponent}"
    if math.isnan(value):
        return "NaN"
    return "INF" if value > 0 else "-INF"


def simple(value: Any) -> str:
    """A string, char16 or datetime."""
    return content(value if isinstance(value, str) else str(value))


WRITERS: dict[str, Callable[[Any], str]] = {
    "string": simple, "char16": simple, "datetime": simple, "boolean": boolean,
    **dict.fromkeys(REALS, real), **dict.fromkeys(INTEGERS, str),
}  # fmt: skip


def type_of(value: Any) -> str:
    """The CIM type of a value for which nothing declares one."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "sint64" if value < 0 else "uint64"
    if isinstance(value, float):
        return "real64"
    if isinstance(value, str):
        return "string"
    return never(f"a {type(value).__name__} is no simple CIM value")


# Envelopes. `message_id` comes from the client.

_OPEN = (
    '<?xml version="1.0" encoding="utf-8"?>\n<CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="{id}" '
    'PROTOCOLVERSION="1.0"><SIMPLERSP>'
)
_CLOSE = b"</SIMPLERSP></MESSAGE></CIM>"


def _response(message_id: str, element: str, name: str, inside: list[bytes]) -> list[bytes]:
    head = f'{_OPEN.format(id=attribute(message_id))}<{element} NAME="{attribute(name)}">'
    return [head.encode(), *inside, f"</{element}>".encode(), _CLOSE]


def intrinsic_response(message_id: str, name: str, values: list[bytes] | None, out: list[bytes]) -> list[bytes]:
    """The pieces of a successful reply to an intrinsic operation (IMETHODRESPONSE)."""
    value = [] if values is None else [b"<IRETURNVALUE>", *values, b"</IRETURNVALUE>"]
    return _response(message_id, "IMETHODRESPONSE", name, [*value, *out])


def intrinsic_frame(message_id: str, name: str, out: list[bytes]) -> tuple[bytes, bytes]:
    """The bytes before and after the children of IRETURNVALUE in a successful reply to an intrinsic operation."""
    head, opened, closed, *tail = _response(
        message_id, "IMETHODRESPONSE", name, [b"<IRETURNVALUE>", b"</IRETURNVALUE>", *out]
    )
    return head + opened, b"".join((closed, *tail))


def method_response(message_id: str, name: str, value: bytes, out: list[bytes]) -> list[bytes]:
    """The pieces of a successful reply to a method call (METHODRESPONSE); `value` is RETURNVALUE or b""."""
    return _response(message_id, "METHODRESPONSE", name, [value, *out])


def error_response(
    message_id: str, name: str, status: int, text: str, extrinsic: bool, instance: bytes = b""
) -> list[bytes]:
    """The pieces of a reply that tells a CIM status (DSP0200: HTTP 200 with an ERROR element); `instance` is the
    CIM_Error that says more."""
    error = f'<ERROR CODE="{status}" DESCRIPTION="{attribute(text)}">'.encode() + instance + b"</ERROR>"
    return _response(message_id, "METHODRESPONSE" if extrinsic else "IMETHODRESPONSE", name, [error])
