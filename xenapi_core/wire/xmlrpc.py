"""XML-RPC codec in the dialect of Xen-API servers and clients: bytes to a Call, typed values to fragments.

Rule 1: encoding is driven by the declared type, never by the Python type: the int 1 of an int field and the true of a
        bool field must never be mixed up. Integers travel as text (`<value>1</value>`), as clients expect.
Rule 2: renderers are compiled once per type (and per class for records) and hold no state afterwards.
Rule 3: decoding accepts what clients really send (untyped values, arrays without data, params in arrays) and answers
        anything else with WireError.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from lxml import etree

from xenapi_core.errors import E
from xenapi_core.model.schema import Class
from xenapi_core.model.types import (
    BoolType,
    DateTimeType,
    EnumType,
    FloatType,
    IntType,
    MapType,
    OptionType,
    RecordType,
    SetType,
    Type,
    format_datetime,
)
from xenapi_core.wire.api import Call, WireError
from xenapi_core.wire.flat import flat_call
from xenapi_core.wire.limits import DEFAULT, Limits, XmlError, declared_encoding, parse_xml

INVALID_UTF8: Final = "Invalid UTF-8 string in parameter"

_HEAD: Final = b'<?xml version="1.0"?><methodResponse><params><param>'
_TAIL: Final = b"</param></params></methodResponse>"
_SUCCESS: Final = (
    _HEAD + b"<value><struct><member><name>Status</name><value>Success</value></member><member><name>Value</name>"
)
_FAILURE: Final = (
    _HEAD + b"<value><struct><member><name>Status</name><value>Failure</value></member>"
    b"<member><name>ErrorDescription</name>"
)
_END: Final = b"</member></struct></value>" + _TAIL
_VOID: Final = b"<value></value>"

Render = Callable[[Any], str]


# -- text ------------------------------------------------------------------------------------------------------------

# Characters XML 1.0 cannot carry are dropped, as the reference server does. A carriage return is written as a character
# reference: raw, every XML reader would turn it into a line feed.
_SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]')
_SPECIAL_ASCII: Final = bytes(code for code in range(128) if _SPECIAL.match(chr(code)))
_REPLACE: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}


def escape(text: str) -> str:
    """`text` as XML character data."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _REPLACE.get(match[0], ""), text)


def clean(text: str) -> bool:
    """Whether `text` stays as it is when escaped. For long text several times as fast as the regular expression."""
    if text.isascii():
        data = text.encode("ascii")
        return len(data.translate(None, _SPECIAL_ASCII)) == len(data)
    return _SPECIAL.search(text) is None


# -- encoding --------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return f"<value>{value}</value>"
    return f"<value>{escape(value)}</value>"


def _int(value: int) -> str:
    return f"<value>{value:d}</value>"


def _float(value: float) -> str:
    return f"<value><double>{value:.16g}</double></value>"


def _bool(value: bool) -> str:
    return "<value><boolean>1</boolean></value>" if value else "<value><boolean>0</boolean></value>"


@lru_cache(maxsize=2048)
def _datetime(value: int) -> str:
    return f"<value><dateTime.iso8601>{format_datetime(value)}</dateTime.iso8601></value>"


def _untyped(value: Any) -> str:
    """A value whose type the schema does not tell (a member of a record of an unknown class), by its Python type."""
    if value is None:
        return "<value><nil/></value>"
    if isinstance(value, bool):
        return _bool(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _int(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        members = [
            f"<member><name>{escape(str(name))}</name>{_untyped(member)}</member>"
            for name, member in value.items()
            if member is not None  # an unset option is absent
        ]
        return f"<value><struct>{''.join(members)}</struct></value>"
    return f"<value><array><data>{''.join(map(_untyped, value))}</data></array></value>"


def _set(item: Render) -> Render:
    def render(value: tuple[Any, ...]) -> str:
        if not value:
            return "<value><array><data></data></array></value>"
        return f"<value><array><data>{''.join(map(item, value))}</data></array></value>"

    return render


def _texts(value: tuple[str, ...]) -> str:
    """A set of strings or references: one look for special characters covers all of them."""
    if value and clean("".join(value)):
        return f"<value><array><data><value>{'</value><value>'.join(value)}</value></data></array></value>"
    return f"<value><array><data>{''.join(map(_text, value))}</data></array></value>"


def _map(key: Render, item: Render) -> Render:
    def render(value: Mapping[Any, Any]) -> str:
        if not value:
            return "<value><struct></struct></value>"
        members = [f"<member><name>{key(k)}</name>{item(v)}</member>" for k, v in value.items()]
        return f"<value><struct>{''.join(members)}</struct></value>"

    return render


def _option(item: Render) -> Render:
    return lambda value: "<value><nil/></value>" if value is None else item(value)


def key_text(type_: Type) -> Callable[[Any], str]:
    """How map keys of `type_` are spelled in a struct or object: always as text."""
    if isinstance(type_, DateTimeType):
        return format_datetime
    if isinstance(type_, FloatType):
        return lambda value: f"{value:.16g}"
    if isinstance(type_, BoolType):
        return lambda value: "true" if value else "false"
    return str


def _compile(type_: Type) -> Render:
    """The renderer of values of `type_` (Rule 2)."""
    if isinstance(type_, IntType):
        return _int
    if isinstance(type_, FloatType):
        return _float
    if isinstance(type_, BoolType):
        return _bool
    if isinstance(type_, DateTimeType):
        return _datetime
    if isinstance(type_, SetType):
        item = _compile(type_.item)
        return _texts if item is _text else _set(item)
    if isinstance(type_, MapType):
        spell = key_text(type_.key)
        key = escape if spell is str and not isinstance(type_.key, IntType) else lambda value: escape(spell(value))
        return _map(key, _compile(type_.value))
    if isinstance(type_, OptionType):
        return _option(_compile(type_.item))
    if isinstance(type_, RecordType):
        return _untyped
    if isinstance(type_, EnumType):
        known = {value: _text(value) for value in type_.values}
        return lambda value: known.get(value) or _text(value)
    return _text


# -- decoding --------------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,20}\s*\Z")
_DOUBLE = re.compile(
    r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\s*\Z|\s*[+-]?(?:inf|nan)\s*\Z", re.ASCII
)


def _leaf(node: etree._Element) -> str:
    if len(node):
        raise WireError(f"<{node.tag}> holds text, not elements")
    return node.text or ""


def _read_string(node: etree._Element) -> str:
    return _leaf(node)


def _read_int(node: etree._Element) -> int:
    text = _leaf(node)
    if not _INTEGER.match(text):
        raise WireError(f"<{node.tag}> holds a decimal number")
    return int(text)


def _read_double(node: etree._Element) -> float:
    text = _leaf(node)
    if not _DOUBLE.match(text):
        raise WireError("<double> holds a number")
    return float(text)


def _read_boolean(node: etree._Element) -> bool:
    text = _leaf(node).strip()
    if text not in ("0", "1"):
        raise WireError("<boolean> holds 0 or 1")
    return text == "1"


def _read_datetime(node: etree._Element) -> str:
    return _leaf(node).strip()


def _read_nil(node: etree._Element) -> None:
    if _leaf(node).strip():
        raise WireError("<nil> is empty")


def _read_base64(node: etree._Element) -> str:
    try:
        data = base64.b64decode("".join(_leaf(node).split()), validate=True)
    except (binascii.Error, ValueError):
        raise WireError("<base64> holds base64") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise E.INVALID_VALUE(INVALID_UTF8, data.decode("utf-8", "replace")) from None


def _read_struct(node: etree._Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for member in node:
        if member.tag != "member" or len(member) != 2 or member[0].tag != "name":
            raise WireError("a struct is made of members, each a name and a value")
        found[_leaf(member[0])] = _read_value(member[1])
    return found


def _read_array(node: etree._Element) -> list[Any]:
    if len(node) == 1 and node[0].tag == "data":
        node = node[0]
    return [_read_value(item[0] if item.tag == "param" and len(item) == 1 else item) for item in node]


_READERS: Final[Mapping[str, Callable[[etree._Element], Any]]] = {
    "string": _read_string,
    "int": _read_int,
    "i4": _read_int,
    "i8": _read_int,
    "double": _read_double,
    "boolean": _read_boolean,
    "dateTime.iso8601": _read_datetime,
    "nil": _read_nil,
    "base64": _read_base64,
    "struct": _read_struct,
    "array": _read_array,
}


def _read_value(node: etree._Element) -> Any:
    """A `<value>` element. The depth of the tree was bounded by parse_xml, so the recursion is too."""
    if node.tag != "value":
        raise WireError(f"<value> expected, not <{node.tag}>")
    count = len(node)
    if count == 0:
        return node.text or ""
    child = node[0]
    if count > 1 or (node.text and not node.text.isspace()) or (child.tail and not child.tail.isspace()):
        raise WireError("<value> holds either text or one typed element")
    reader = _READERS.get(child.tag)
    if reader is None:
        raise WireError(f"unknown type <{child.tag}>")
    return reader(child)


def _strings(value: Any) -> Iterable[str]:
    """Every string in a decoded parameter, in document order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _strings(item)


def refuse_invalid_utf8(params: Iterable[Any]) -> None:
    """INVALID_VALUE for the first string that is no UTF-8, in parameters that were read one character per byte."""
    for text in _strings(list(params)):
        data = text.encode("latin-1", "replace")
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise E.INVALID_VALUE(INVALID_UTF8, data.decode("utf-8", "replace")) from None


def _struct_parts(members: Iterable[tuple[str, bytes]]) -> list[bytes]:
    parts = [b"<value><struct>"]
    for name, fragment in members:
        parts += (b"<member><name>", escape(name).encode("utf-8"), b"</name>", fragment, b"</member>")
    parts.append(b"</struct></value>")
    return parts


# -- the codec -------------------------------------------------------------------------------------------------------


class XmlRpc:
    """The XML-RPC codec (see wire/api.py, Codec)."""

    name = "xmlrpc"
    content_type = "text/xml"

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.limits = limits
        self._renderers = Renderers(_compile)

    def decode(self, body: bytes) -> Call:
        simple = flat_call(body)
        if simple is not None and len(simple[1]) <= self.limits.max_params and len(body) <= self.limits.max_body:
            return Call(*simple)
        return self.decode_document(body)

    def decode_document(self, body: bytes) -> Call:
        """`decode` without the short cut for simple requests (flat.py)."""
        try:
            root = parse_xml(body, self.limits)
        except XmlError as error:
            self._explain_invalid_utf8(body)
            raise WireError(str(error)) from None
        return self._call(root)

    def _call(self, root: etree._Element) -> Call:
        if root.tag != "methodCall":
            raise WireError(f"the root element is <methodCall>, not <{root.tag}>")
        if len(root) != 2 or root[0].tag != "methodName" or root[1].tag != "params":
            raise WireError("<methodCall> holds <methodName> and <params>")
        name, listed = root
        if len(listed) > self.limits.max_params:
            raise WireError(f"more than {self.limits.max_params} parameters")
        params = []
        for param in listed:
            if param.tag != "param" or len(param) != 1:
                raise WireError("<params> holds <param> elements with one <value> each")
            params.append(_read_value(param[0]))
        return Call(_leaf(name).strip(), params)

    def _explain_invalid_utf8(self, body: bytes) -> None:
        """INVALID_VALUE if the only thing wrong with `body` is bad UTF-8 in a parameter."""
        if declared_encoding(body) not in ("utf-8", "utf8"):
            return
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            try:
                call = self._call(parse_xml(body, self.limits, as_latin1=True))
            except (XmlError, WireError):
                return
            refuse_invalid_utf8(call.params)

    def value(self, type_: Type | None, value: Any) -> bytes:
        if type_ is None:
            return _VOID
        return self._renderers[type_](value).encode("utf-8")

    def array(self, items: Iterable[bytes]) -> bytes:
        return b"<value><array><data>" + b"".join(items) + b"</data></array></value>"

    def struct(self, members: Iterable[tuple[str, bytes]]) -> bytes:
        return b"".join(_struct_parts(members))

    def integer(self, value: int) -> bytes:
        return b"<value><i4>%d</i4></value>" % value

    def record(self, cls: Class) -> Callable[[Mapping[str, Any]], bytes]:
        plan: list[tuple[str, str, Render | None, bool]] = []
        texts = []
        for field in cls.fields:
            if field.internal:
                continue
            optional = isinstance(field.type, OptionType)
            encode: Render | None = _compile(field.type.item if isinstance(field.type, OptionType) else field.type)
            prefix = f"<member><name>{escape(field.name)}</name>"
            if encode is _text and not optional:
                # One look for special characters covers all text fields of a record.
                texts.append(field.name)
                encode, prefix = None, prefix + "<value>"
            plan.append((field.name, prefix, encode, optional))

        def render(values: Mapping[str, Any]) -> bytes:
            plain = clean("".join([values[name] for name in texts]))
            parts = ["<value><struct>"]
            add = parts.append
            for name, prefix, encode, optional in plan:
                value = values[name]
                if encode is None:
                    add(f"{prefix}{value if plain else escape(value)}</value></member>")
                elif value is not None or not optional:
                    add(f"{prefix}{encode(value)}</member>")
            add("</struct></value>")
            return "".join(parts).encode()

        return render

    def success(self, call: Call, fragment: bytes) -> bytes:
        return b"".join((_SUCCESS, fragment, _END))

    def success_struct(self, call: Call, members: Iterable[tuple[str, bytes]]) -> bytes:
        return b"".join((_SUCCESS, *_struct_parts(members), _END))

    def bare(self, call: Call, fragment: bytes) -> bytes:
        return b"".join((_HEAD, fragment, _TAIL))

    def failure(self, call: Call | None, description: list[str]) -> bytes:
        texts = "".join(map(_text, description)).encode("utf-8")
        return b"".join((_FAILURE, b"<value><array><data>", texts, b"</data></array></value>", _END))


def encode_call(method: str, params: Iterable[Any]) -> bytes:
    """The request a client sends; values by their Python type."""
    listed = "".join(f"<param>{_untyped(value)}</param>" for value in params)
    text = f"<methodCall><methodName>{escape(method)}</methodName><params>{listed}</params></methodCall>"
    return ('<?xml version="1.0"?>' + text).encode("utf-8")


def decode_reply(body: bytes, limits: Limits = DEFAULT) -> Any:
    """The value a server answered. Raises the ApiError it answered instead; WireError for what is no reply."""
    try:
        answer = parse_xml(body, limits).findall("./params/param/value")
    except XmlError as error:
        raise WireError(str(error)) from None
    if len(answer) != 1:
        raise WireError("the reply holds no value")
    value = _read_value(answer[0])
    if not isinstance(value, dict) or "Status" not in value:
        return value
    if value["Status"] == "Success":
        return value.get("Value")
    description = value.get("ErrorDescription")
    if not isinstance(description, list) or not description:
        raise WireError("the reply does not say what failed")
    raise E.from_wire([str(each) for each in description])


class Renderers:
    """Compiled renderers by type. Types are compared by identity: hashing a nested type costs more than encoding."""

    def __init__(self, compile_: Callable[[Type], Callable[[Any], Any]], bound: int = 4096) -> None:
        self._compile = compile_
        self._bound = bound
        self._known: dict[int, tuple[Type, Callable[[Any], Any]]] = {}  # holds the type, so that its id stays its own

    def __getitem__(self, type_: Type) -> Callable[[Any], Any]:
        entry = self._known.get(id(type_))
        if entry is not None:
            return entry[1]
        made = self._compile(type_)
        if len(self._known) < self._bound:  # types made on the fly must not fill the memory
            self._known[id(type_)] = (type_, made)
        return made
