"""Access control of a listener by peer: patterns over the addresses and names of machines that may connect.

Rule 1: the meaning is that of the third part of API 1.0's `xen-api-server` setting: regular expressions, one of which
        has to fit the client's address or its host name; no expression lets everybody in. They fit as a whole, so that
        `127.0.0.1` does not let 127.0.0.10 in.
Rule 2: a refused peer learns nothing: the connection ends before the first byte, also before a TLS handshake.
Rule 3: a name counts only if it has the client's address among its own: whoever serves an address range can give it
        any name.
Rule 4: every accepted socket has one task until it is handed over or closed; `end` cancels and awaits them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

log = logging.getLogger(__name__)

_LOOKUP_SECONDS: Final = 5.0
_MOST_WAITING: Final = 256
_PAUSE_SECONDS: Final = 0.2


class PatternError(Exception):
    """A pattern that is no regular expression: one sentence for the user."""


class Gate:
    """Admits clients by address and name. `admits` may ask the resolver."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises PatternError."""
        self._patterns: list[re.Pattern[str]] = []
        for pattern in patterns:
            try:
                self._patterns.append(re.compile(pattern))
            except re.error as error:
                raise PatternError(f"{pattern!r} is no regular expression: {error}.") from None

    async def admits(self, address: str) -> bool:
        """Whether a client at `address` may connect. A name that cannot be found within 5 s fits nothing."""
        plain = address.removeprefix("::ffff:").partition("%")[0]
        if self._fits(plain):
            return True
        name = await _name_of(address)
        return name is not None and self._fits(name)

    def _fits(self, text: str) -> bool:
        return any(pattern.fullmatch(text) for pattern in self._patterns)


async def _name_of(address: str) -> str | None:
    """The confirmed host name of `address` (rule 3)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            name, _ = await loop.getnameinfo((address, 0), socket.NI_NAMEREQD)
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return None
    return name if any(entry[4][0] == address for entry in found) else None


class GatedServer:
    """Accepts on a listening socket; `serve` makes a connection of an admitted peer's socket."""

    def __init__(self, sock: socket.socket, gate: Gate, serve: Callable[[socket.socket], Awaitable[object]]) -> None:
        self._sock = sock
        self._gate = gate
        self._serve = serve
        self._asking: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._sock)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED):
                    raise
                # Out of descriptors: no connection can be taken until one ends.
                await asyncio.wait(tuple(self._asking) or (loop.create_future(),), timeout=_PAUSE_SECONDS)
                continue
            if len(self._asking) >= _MOST_WAITING:
                accepted.close()
                continue
            accepted.setblocking(False)
            task = loop.create_task(self._admit(accepted))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _admit(self, accepted: socket.socket) -> None:
        try:
            address = accepted.getpeername()[0]
            if await self._gate.admits(address):
                # A client that breaks the TLS handshake off is no news.
                with contextlib.suppress(OSError, TimeoutError):
                    await self._serve(accepted)
                return
            log.warning("a connection from %s was refused: the host is not among the allowed ones", address)
        except OSError:
            pass  # the client is gone already
        except asyncio.CancelledError:
            accepted.close()
            raise
        accepted.close()

    def close(self) -> None:
        """Accept no more."""
        self._accepting.cancel()
        for task in self._asking:
            task.cancel()
        self._sock.close()

    async def end(self) -> None:
        """After `close`: return when nobody waits at the gate any more."""
        await asyncio.gather(self._accepting, *self._asking, return_exceptions=True)
