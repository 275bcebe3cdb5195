"""HTTP/1.1 framing: writes status line, headers and the end of a body; parses request lines.

Rule 1: Connection, Content-Length and Transfer-Encoding are written here and nowhere else.
Rule 2: a header that would break the framing (CR, LF, NUL) is a ValueError, never bytes on the wire.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from xenapi_core.server.routes import Request, Response

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_FORBIDDEN = re.compile(r"[\r\n\0]")
_BODILESS: Final = frozenset({204, 304})

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

NAMES: Final = {
    name.encode(): name.lower()
    for name in (
        "Accept", "Accept-Encoding", "Authorization", "CIMMethod", "CIMObject", "CIMOperation", "CIMProtocolVersion",
        "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host", "TE", "Transfer-Encoding",
        "User-Agent",
    )
}  # fmt: skip
# A request line, or the beginning of one: the parser gives up at the first letter of a method it does not know.
REQUEST_LINE: Final = re.compile(
    rb"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\Z| (?:[!-~]*\Z|[!-~]+ (?:HTTP/1\.[01]\r\n|[HTP]{0,4}\Z|HTTP/[01.]{0,3}\r?\Z)))"
)

# (status, headers, keep) -> everything up to the framing header. Endpoints use a handful of header sets; the bound
# keeps replies with headers of their own from filling the memory.
_prefixes: dict[tuple[int, tuple[tuple[str, str], ...], bool], bytes] = {}
_BOUND: Final = 256


def _prefix(status: int, headers: tuple[tuple[str, str], ...], keep: bool) -> bytes:
    key = (status, headers, keep)
    found = _prefixes.get(key)
    if found is not None:
        return found
    made = _lines(status, (*headers, ("Connection", "keep-alive" if keep else "close")))
    if len(_prefixes) < _BOUND:
        _prefixes[key] = made
    return made


def _lines(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    for name, value in headers:
        if _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
            raise ValueError(f"header {name!r} holds a line break")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, ""]).encode("utf-8")


def size(response: Response) -> int:
    """The length of the complete body in bytes."""
    body = response.body
    return len(body) if isinstance(body, bytes) else sum(map(len, body))


def head(response: Response, keep: bool) -> bytes:
    """Everything before the body of a complete response, the empty line included. ValueError: see Rule 2."""
    prefix = _prefix(response.status, response.headers, keep)
    if response.status in _BODILESS or response.status < 200:
        return prefix + b"\r\n"
    return prefix + b"Content-Length: %d\r\n\r\n" % size(response)


def stream_head(response: Response, keep: bool, chunked: bool) -> bytes:
    """Everything before a streamed body. Neither chunked nor of known length: the end of the connection ends it."""
    prefix = _prefix(response.status, response.headers, keep and (chunked or response.length is not None))
    if response.length is not None:
        return prefix + b"Content-Length: %d\r\n\r\n" % response.length
    return prefix + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n")


def switch_head(response: Response) -> bytes:
    """Everything before another protocol begins: neither a length nor chunks, those are HTTP's (RFC 9110, 9.3.6)."""
    upgrade = (("Connection", "Upgrade"),) if response.status == 101 else ()
    return _lines(response.status, (*response.headers, *upgrade)) + b"\r\n"


def body_is_next(request: Request) -> bool:
    """Whether a body follows the headers of a request that offers an upgrade."""
    headers = request.headers
    return request.method != "CONNECT" and ("transfer-encoding" in headers or int(headers.get("content-length", 0)) > 0)


def chunk(data: bytes) -> list[bytes]:
    """One non-empty chunk of a chunked body."""
    return [b"%x\r\n" % len(data), data, b"\r\n"]
