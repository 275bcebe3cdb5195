"""Identifies the peer of a connection, as far as its transport knows."""

from __future__ import annotations

import asyncio
import socket
import struct

from xenapi_core.server.routes import Peer


def peer_of(transport: asyncio.Transport, kind: str) -> Peer:
    """The peer of a connection, as far as its transport knows."""
    if kind == "unix":
        sock = transport.get_extra_info("socket")
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return Peer(kind, uid=uid)
    name = transport.get_extra_info("peername")
    address = f"{name[0]}:{name[1]}" if name else ""
    tls = transport.get_extra_info("ssl_object")
    return Peer(kind, address, certificate=tls.getpeercert(binary_form=True) if tls is not None else None)
