"""How a response is written in HTTP/1.1: status line, headers, and how the end of the body is known.

Rule 1: Connection, Content-Length and Transfer-Encoding are written here and nowhere else.
Rule 2: a header that would break the framing (CR, LF, NUL) is a ValueError, never bytes on the wire.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from xenapi_core.server.routes import Response

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_FORBIDDEN = re.compile(r"[\r\n\0]")
_BODILESS: Final = frozenset({204, 304})

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

# (status, headers, keep) -> everything up to the framing header. Endpoints use a handful of header sets; the bound
# keeps replies with headers of their own from filling the memory.
_prefixes: dict[tuple[int, tuple[tuple[str, str], ...], bool], bytes] = {}
_BOUND: Final = 256


def _prefix(status: int, headers: tuple[tuple[str, str], ...], keep: bool) -> bytes:
    key = (status, headers, keep)
    found = _prefixes.get(key)
    if found is not None:
        return found
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    for name, value in (*headers, ("Connection", "keep-alive" if keep else "close")):
        if _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
            raise ValueError(f"header {name!r} holds a line break")
        lines.append(f"{name}: {value}")
    made = "\r\n".join([*lines, ""]).encode("utf-8")
    if len(_prefixes) < _BOUND:
        _prefixes[key] = made
    return made


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


def chunk(data: bytes) -> list[bytes]:
    """One non-empty chunk of a chunked body."""
    return [b"%x\r\n" % len(data), data, b"\r\n"]
