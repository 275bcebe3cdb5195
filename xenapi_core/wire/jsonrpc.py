"""JSON-RPC codec: versions 1.0 and 2.0, as the Xen-API has them at /jsonrpc.

Rule 1: as in XML-RPC, encoding is driven by the declared type; here an int is a number and a datetime a string.
Rule 2: the envelope answers in the version of the request; a failure before there is a request answers in the 2.0 form
        with id 0 and the error as a plain list, as the reference server does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from xenapi_core.model.schema import Class
from xenapi_core.model.types import (
    DateTimeType,
    MapType,
    OptionType,
    RecordType,
    SetType,
    StringType,
    Type,
    format_datetime,
)
from xenapi_core.wire.api import Call, WireError
from xenapi_core.wire.limits import DEFAULT, Limits
from xenapi_core.wire.xmlrpc import Renderers, key_text, refuse_invalid_utf8

_VOID: Final = b'""'

Convert = Callable[[Any], Any]


# -- encoding --------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """`value` with what JSON cannot carry made fit: lone surrogates dropped, mappings made dicts, keys made text."""
    if isinstance(value, str):
        return value.encode("utf-8", "ignore").decode("utf-8")
    if isinstance(value, Mapping):
        return {_plain(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    return value


def _dumps(value: Any) -> bytes:
    """JSON bytes; floats that are no numbers become null, because JSON has no spelling for them."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_plain(value))


def _untyped(value: Any) -> Any:
    """A record whose class the type does not tell: unset options are absent."""
    if isinstance(value, Mapping):
        return {str(k): _untyped(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_untyped(item) for item in value]
    return value


def _convert(type_: Type) -> Convert | None:
    """How a value of `type_` is made ready for JSON; None when it already is."""
    if isinstance(type_, DateTimeType):
        return format_datetime
    if isinstance(type_, RecordType):
        return _untyped
    if isinstance(type_, SetType):
        item = _convert(type_.item)
        return None if item is None else lambda value: [item(v) for v in value]
    if isinstance(type_, OptionType):
        inner = _convert(type_.item)
        return None if inner is None else lambda value: None if value is None else inner(value)
    if isinstance(type_, MapType):
        key, member = key_text(type_.key), _convert(type_.value)
        if member is not None:
            return lambda value: {key(k): member(v) for k, v in value.items()}
        if not isinstance(type_.key, StringType):
            return lambda value: {key(k): v for k, v in value.items()}
    return None


def _compile(type_: Type) -> Callable[[Any], bytes]:
    convert = _convert(type_)
    if convert is None:
        return _dumps
    return lambda value: _dumps(convert(value))


# -- decoding --------------------------------------------------------------------------------------------------------


def _deeper_than(depth: int, value: Any) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _request(document: Any, limits: Limits) -> Call:
    """The call in a decoded document. WireError for whatever is no request of version 1.0 or 2.0."""
    if not isinstance(document, dict):
        raise WireError("a request is an object (batches are not supported)")
    version = document.get("jsonrpc", "1.0")
    if version not in ("1.0", "2.0") or ("jsonrpc" in document and version != "2.0"):
        raise WireError('jsonrpc is "2.0" or absent')
    method, id_ = document.get("method"), document.get("id")
    if not isinstance(method, str):
        raise WireError("method is a string")
    if type(id_) not in (int, str):
        raise WireError("id is a number or a string, and required")
    params = document.get("params")
    if version == "2.0" and not isinstance(params, list):
        if params is not None and not isinstance(params, dict):
            raise WireError("params is a list, an object or absent")
        params = [] if params is None else [params]
    if not isinstance(params, list):
        raise WireError("params is a list, and required in version 1.0")
    if len(params) > limits.max_params:
        raise WireError(f"more than {limits.max_params} parameters")
    return Call(method, params, id_, version)


class JsonRpc:
    """The JSON-RPC codec (see wire/api.py, Codec)."""

    name = "json"
    content_type = "application/json"

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.limits = limits
        self._renderers = Renderers(_compile)

    def decode(self, body: bytes) -> Call:
        if len(body) > self.limits.max_body:
            raise WireError(f"the document has {len(body)} bytes, at most {self.limits.max_body} are read")
        try:
            document = self._load(body)
        except WireError:
            self._explain_invalid_utf8(body)
            raise
        return _request(document, self.limits)

    def _load(self, body: bytes) -> Any:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise WireError(f"not JSON: {error}") from None
        if body.count(b"[") + body.count(b"{") > self.limits.max_depth and _deeper_than(
            self.limits.max_depth, [document]
        ):
            raise WireError(f"values are nested deeper than {self.limits.max_depth}")
        return document

    def _explain_invalid_utf8(self, body: bytes) -> None:
        """INVALID_VALUE if the only thing wrong with `body` is bad UTF-8 in a parameter."""
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            try:
                call = _request(self._load(body.decode("latin-1").encode("utf-8")), self.limits)
            except WireError:
                return
            refuse_invalid_utf8(call.params)

    def value(self, type_: Type | None, value: Any) -> bytes:
        if type_ is None:
            return _VOID
        return self._renderers[type_](value)

    def array(self, items: Iterable[bytes]) -> bytes:
        return b"[" + b",".join(items) + b"]"

    def struct(self, members: Iterable[tuple[str, bytes]]) -> bytes:
        return b"{" + b",".join([_dumps(name) + b":" + fragment for name, fragment in members]) + b"}"

    def integer(self, value: int) -> bytes:
        return b"%d" % value

    def record(self, cls: Class) -> Callable[[Mapping[str, Any]], bytes]:
        plan = [
            (f.name, _convert(f.type), isinstance(f.type, OptionType)) for f in cls.fields if not f.internal
        ]  # fmt: skip
        names = [name for name, _, _ in plan]
        converted = [(name, convert) for name, convert, _ in plan if convert is not None]
        optional = [name for name, _, option in plan if option]

        def render(values: Mapping[str, Any]) -> bytes:
            ready = {name: values[name] for name in names}
            for name in optional:
                if ready[name] is None:
                    del ready[name]
            for name, convert in converted:
                if name in ready:
                    ready[name] = convert(ready[name])
            return _dumps(ready)

        return render

    def success(self, call: Call, fragment: bytes) -> bytes:
        if call.version == "2.0":
            return b"".join((b'{"jsonrpc":"2.0","result":', fragment, b',"id":', _dumps(call.id), b"}"))
        return b"".join((b'{"result":', fragment, b',"error":null,"id":', _dumps(call.id), b"}"))

    def success_struct(self, call: Call, members: Iterable[tuple[str, bytes]]) -> bytes:
        return self.success(call, self.struct(members))

    def bare(self, call: Call, fragment: bytes) -> bytes:
        """A successful reply, the same as `success`, because JSON-RPC results have no Status."""
        return self.success(call, fragment)

    def failure(self, call: Call | None, description: list[str]) -> bytes:
        if call is None:
            return _dumps({"jsonrpc": "2.0", "error": description, "id": 0})
        if call.version == "2.0":
            error = {"code": 1, "message": description[0], "data": description[1:]}
            return _dumps({"jsonrpc": "2.0", "error": error, "id": call.id})
        return _dumps({"result": None, "error": description, "id": call.id})
