"""Xen-API client of another pool: JSON-RPC on kept connections, which follow the coordinator.

Theory of operation
1. Arguments and results are internal values (model/types.py); the schema says how each travels. What a newer or older
   server sends that our types do not accept becomes the type's empty value (`tolerant`): a mirror must not stop there.
2. HOST_IS_SLAVE names the coordinator: requests go there from then on, until nobody answers there. Then they go to the
   address that a person gave again.
3. Each request has a deadline. What goes wrong below the API is Unreachable: one sentence, never a session or password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson

from xenapi_core.address import bracketed
from xenapi_core.errors import ApiError, E
from xenapi_core.model.schema import Class, Schema
from xenapi_core.model.types import STRING, EnumType, MapType, Mismatch, OptionType, RecordType, SetType, Type
from xenapi_core.wire.jsonrpc import JsonRpc

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
REDIRECTS: Final = 3  # coordinators change, but not that fast
LONG_ANSWER: Final = 100_000  # bytes of JSON that are not decoded in the loop


class Unreachable(Exception):  # noqa: N818 - what the pool is, in one word
    """The pool does not answer now; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How the pool proves who it is over TLS: by a CA file (None: the system's), by the SHA-256 fingerprint of its
    certificate, or not at all (`insecure`)."""

    ca_file: str | None = None
    fingerprint: bytes | None = None
    insecure: bool = False

    def setting(self) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
        """What aiohttp wants. OSError (ssl.SSLError included) for a CA file that cannot be read."""
        if self.fingerprint is not None:
            return aiohttp.Fingerprint(self.fingerprint)
        if self.insecure:
            return False
        return ssl.create_default_context(cafile=self.ca_file)


class PoolClient:
    """Calls of one pool by many users. `url` is http(s)://host[:port]; close() when done."""

    def __init__(self, url: str, schema: Schema, trust: Trust | None = None) -> None:
        self.schema = schema
        self._scheme, _, place = url.rstrip("/").partition("://")
        self._host, self._port = self._given = _split(place)
        self._setting = (trust or Trust()).setting() if self._scheme == "https" else True
        self._codec = JsonRpc()
        self._http: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The URL that requests go to now."""
        return f"{self._scheme}://{self._host}{self._port}"

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(self, session: str | None, method: str, *args: Any) -> Any:
        """The result of `method` ("VM.start", "Async.VM.start") with internal values, as an internal value.

        `session` None: the method takes none (login). ApiError as the pool says, Unreachable.
        """
        base = method.removeprefix("Async.")
        known = self.schema.methods[base]
        sent = [self._codec.value(STRING, session)] if session is not None else []
        sent += [self._codec.value(param.type, arg) for param, arg in zip(known.params, args, strict=False)]
        answer = await self._ask(_request(method, self._codec.array(sent)), 0.0)
        type_ = STRING if base != method else known.message.result
        return None if type_ is None else tolerant(type_, answer, self.schema)

    async def raw(self, session: str, method: str, params: Sequence[Any], patience: float = 0.0) -> Any:
        """The result of `method` as JSON has it, for parameters that are sent as JSON has them; the call may wait
        `patience` seconds. Raises what `call` does."""
        return await self._ask(_request(method, orjson.dumps([session, *params])), patience)

    async def _ask(self, body: bytes, patience: float) -> Any:
        for _ in range(REDIRECTS):
            try:
                document = await self._post(body, patience)
            except Unreachable:
                self._host, self._port = self._given  # rule 2
                raise
            error = document.get("error")
            if error is None:
                return document.get("result")
            failure = _failure(error)
            if failure.code != "HOST_IS_SLAVE" or not failure.params:
                raise failure
            self._host, port = _split(failure.params[0])
            self._port = port or self._port
        raise Unreachable(f"the hosts of the pool send each other's clients in circles, last to {self.url}")

    async def page(self, address: str, path: str, query: Mapping[str, str]) -> bytes:
        """The reply to a GET of `path` at the host with that address ("": the address of the pool). Unreachable."""
        host = bracketed(address) or self._host
        return await self._exchange("GET", f"{self._scheme}://{host}{self._port}{path}?{urlencode(query)}")

    async def _post(self, body: bytes, patience: float) -> dict[str, Any]:
        """The document that answers a call (rule 3)."""
        content = await self._exchange("POST", f"{self.url}/jsonrpc", body, patience)
        try:
            long = len(content) > LONG_ANSWER
            document = await asyncio.to_thread(orjson.loads, content) if long else orjson.loads(content)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Unreachable(f"{self.url} does not answer in JSON-RPC")
        return document

    async def _exchange(self, method: str, url: str, body: bytes = b"", patience: float = 0.0) -> bytes:
        """The content of the reply to a request (rule 3)."""
        if self._http is None:
            connector = aiohttp.TCPConnector(ssl=self._setting, limit=0)
            self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        place = url.partition("?")[0].rpartition("/")[0]
        limits = aiohttp.ClientTimeout(total=patience + ANSWER_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            async with self._http.request(
                method, url, data=body or None, headers=headers, timeout=limits, allow_redirects=False
            ) as reply:
                content, status = await reply.read(), reply.status
        except aiohttp.ServerFingerprintMismatch:
            raise Unreachable(f"{place} has another certificate than the one with that fingerprint") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise Unreachable(f"the certificate of {place} is not trusted: {error.certificate_error}") from None
        except TimeoutError:
            raise Unreachable(f"{place} did not answer in time") from None
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            why = os.strerror(cause.errno) if isinstance(cause, ConnectionError) and cause.errno else cause.strerror
            raise Unreachable(f"{place} cannot be reached: {why or cause}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{place} cannot be reached: {error or type(error).__name__}") from None
        if status != 200:
            raise Unreachable(f"{place} answers HTTP {status} to a Xen-API client")
        return content


def _request(method: str, params: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":%b,"params":%b}' % (orjson.dumps(method), params)


def _split(place: str) -> tuple[str, str]:
    """Host (an IPv6 address in brackets) and ":port", or "" for the scheme's own."""
    place = place.partition("/")[0]
    if place.startswith("["):
        host, _, rest = place.partition("]")
        return f"{host}]", rest if rest.startswith(":") else ""
    if place.count(":") > 1:
        return f"[{place}]", ""
    host, colon, port = place.partition(":")
    return host, f"{colon}{port}" if port else ""


def _failure(error: Any) -> ApiError:
    """The ApiError of a JSON-RPC error, in the form of 2.0 or (before dispatch) of 1.0."""
    if isinstance(error, Mapping):
        description = [error.get("message", "INTERNAL_ERROR"), *(error.get("data") or ())]
    else:
        description = list(error) if isinstance(error, list) and error else ["INTERNAL_ERROR"]
    return E.from_wire([str(part) for part in description])


def tolerant(type_: Type, value: Any, schema: Schema) -> Any:
    """The internal form of what a server sent; what the type does not accept becomes its empty value.

    In a set or a map only the members that are not accepted are missing.
    """
    if isinstance(type_, RecordType) and type_.cls in schema.classes:
        return record(schema.classes[type_.cls], value, schema)
    if isinstance(type_, SetType) and isinstance(value, list):
        return tuple(tolerant(type_.item, item, schema) for item in value if _fits(type_.item, item))
    if isinstance(type_, MapType) and isinstance(value, Mapping):
        return {
            tolerant(type_.key, key, schema): tolerant(type_.value, item, schema)
            for key, item in value.items()
            if _fits(type_.key, key) and _fits(type_.value, item)
        }
    with contextlib.suppress(Mismatch):
        return type_.accept(value)
    return type_.empty


def _fits(type_: Type, value: Any) -> bool:
    """Whether a member of a set or map is kept: unknown members of an enum are not, all else is made to fit."""
    if isinstance(type_, OptionType):
        type_ = type_.item
    if not isinstance(type_, EnumType):
        return True
    try:
        type_.accept(value)
    except Mismatch:
        return False
    return True


def record(cls: Class, value: Any, schema: Schema) -> dict[str, Any]:
    """The stored fields of a record that a server sent; what it did not send is as it is at first."""
    sent = value if isinstance(value, Mapping) else {}
    return {
        field.name: tolerant(field.type, sent[field.name], schema) if field.name in sent else field.initial
        for field in cls.fields
        if field.stored
    }
