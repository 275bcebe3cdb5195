"""WebSocket codec (RFC 6455), server side: the handshake, and frames.

Theory of operation
1. A viewer's frames are masked; one that is not, or that breaks another rule of the RFC, is a WebSocketError with the
   status code to close with.
2. What travels is a stream of bytes: where a message ends means nothing, so fragments are handed on as they come.
3. With the subprotocol "base64" the bytes are text in base64, as old browsers needed it; a frame is decoded as a whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from typing import Final

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LARGEST: Final = 1 << 20  # bytes of one frame
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SUBPROTOCOLS: Final = ("binary", "base64")


class WebSocketError(Exception):
    """What came is no WebSocket: the code to close with (RFC 6455, 7.4.1) and one sentence."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def accept(headers: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Headers of the reply to an opening handshake, and the chosen subprotocol ("" for none). `headers`: by lower case
    names. WebSocketError."""
    words = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    if headers.get("upgrade", "").strip().lower() != "websocket" or "upgrade" not in words:
        raise WebSocketError(1002, "This address is for WebSocket clients.")
    if headers.get("sec-websocket-version", "").strip() != "13":
        raise WebSocketError(1002, "WebSocket is spoken in version 13.")
    key = headers.get("sec-websocket-key", "").strip()
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        whole = False
    if not whole:
        raise WebSocketError(1002, "Sec-WebSocket-Key is no 16 bytes in base64.")
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    wanted = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",") if word.strip()]
    chosen = next((word for word in wanted if word in SUBPROTOCOLS), "")
    if wanted and not chosen:
        raise WebSocketError(1002, "The subprotocols are binary and base64.")
    reply = (("Upgrade", "websocket"), ("Sec-WebSocket-Accept", base64.b64encode(digest).decode()))
    return (*reply, ("Sec-WebSocket-Protocol", chosen)) if chosen else reply, chosen


def frame(opcode: int, data: bytes) -> bytes:
    """One whole, unmasked frame."""
    head = 0x80 | opcode
    if len(data) < 126:
        return struct.pack(">BB", head, len(data)) + data
    if len(data) < 1 << 16:
        return struct.pack(">BBH", head, 126, len(data)) + data
    return struct.pack(">BBQ", head, 127, len(data)) + data


def close(code: int) -> bytes:
    return frame(CLOSE, struct.pack(">H", code))


class Reader:
    """Frames out of what a viewer sends."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of every frame that is complete now. WebSocketError."""
        self._held += data
        found = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def _next(self) -> tuple[int, bytes] | None:
        held = self._held
        if len(held) < 2:
            return None
        opcode, size, start = held[0] & 15, held[1] & 127, 2
        if held[0] & 0x70 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise WebSocketError(1002, "The frame uses what was not agreed upon.")
        if not held[1] & 0x80:
            raise WebSocketError(1002, "The frame is not masked.")
        if opcode >= CLOSE and (size > 125 or not held[0] & 0x80):
            raise WebSocketError(1002, "A control frame is too long, or in parts.")
        if size >= 126:
            form = ">H" if size == 126 else ">Q"
            start += struct.calcsize(form)
            if len(held) < start:
                return None
            (size,) = struct.unpack_from(form, held, 2)
        if size > LARGEST:
            raise WebSocketError(1009, f"A frame has at most {LARGEST} bytes.")
        end = start + 4 + size
        if len(held) < end:
            return None
        mask, masked = bytes(held[start : start + 4]), bytes(held[start + 4 : end])
        del held[:end]
        if not size:
            return opcode, b""
        stretched = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(masked, "big") ^ int.from_bytes(stretched, "big")
        return opcode, plain.to_bytes(size, "big")
