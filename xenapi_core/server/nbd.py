"""Disks as network block devices, as VDI.get_nbd_info offers them to backup programs that read changed blocks.

Theory of operation
1. A disk is exported under "/<uuid of the VDI>?session_id=<session>", read only. Users who may read disks over HTTP may
   read them here; the session is checked at every request, so that a logout ends the connection.
2. The networks with the purpose nbd or insecure_nbd decide whether TLS is needed; without such a network nothing is
   exported. A client asks for TLS with STARTTLS. Until then no byte is read ahead, so nothing that was sent before the
   handshake counts as sent after it.
3. A connection is a reading operation of the engine on the disk: it is claimed, and what forbids a copy refuses it. The
   operation ends with the connection.
4. The gate owns the task of each connection (gate.py); `close` ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import parse_qs

from xenapi_core.api.registry import Services
from xenapi_core.api.roles import may
from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.storage import PIECE, Storage
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.plan import Run
from xenapi_core.engine.run import Work
from xenapi_core.engine.steps.vdi_transfer import check_readable, plan_read
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import dummy_task_ref
from xenapi_core.model.schema import VM_ADMIN, roles_above
from xenapi_core.server.gate import Gate, GatedServer
from xenapi_core.server.listener import bind
from xenapi_core.store.api import Store, Version
from xenapi_core.wire import nbd

log = logging.getLogger(__name__)

_HANDSHAKE_SECONDS: Final = 15.0
_GOODBYE_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 3600.0  # between two requests
_SLOW_SECONDS: Final = 60.0  # until a client has taken a reply
_LONGEST_WRITE: Final = 32 << 20  # of a refused write, which is read and thrown away
_ALLOWED: Final = roles_above(VM_ADMIN)
_MISSING: Final = frozenset({"HANDLE_INVALID", "UUID_INVALID"})


class _Link(Protocol):
    """One connection. What fails raises OSError, EOFError or TimeoutError."""

    async def read(self, size: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class _Plain:
    """A plain socket from which no byte is read ahead (theory 2)."""

    encrypted = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    async def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = await self._loop.sock_recv(self.sock, size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    async def write(self, data: bytes) -> None:
        async with asyncio.timeout(_SLOW_SECONDS):
            await self._loop.sock_sendall(self.sock, data)

    def close(self) -> None:
        self.sock.close()


class _Encrypted:
    """A connection with TLS around it."""

    encrypted = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(_SLOW_SECONDS):
            await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


async def _encrypt(sock: socket.socket, context: ssl.SSLContext) -> _Encrypted:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, sock, ssl=context,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS, ssl_shutdown_timeout=_GOODBYE_SECONDS,
    )  # fmt: skip
    return _Encrypted(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


class _RefusedError(Exception):
    """An export that this client does not get: the type of the reply, and a sentence."""

    def __init__(self, kind: int, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def purposes(store: Store) -> frozenset[str]:
    """The purposes that any network of the pool has."""
    return frozenset(purpose for network in store.all("network").values() for purpose in network["purpose"])


class NbdServer:
    """Serves the disks of a pool. `context`: for STARTTLS; None: there is no TLS."""

    def __init__(self, services: Services, context: ssl.SSLContext | None) -> None:
        self.services = services
        self.context = context
        self.port = 0
        self._servers: list[GatedServer] = []

    async def listen(self, host: str, port: int, gate: Gate | None) -> None:
        """Accept connections on every address of `host`. Raises listener.ListenError."""
        sockets = await bind(host, port)
        self.port = sockets[0].getsockname()[1]
        for sock in sockets:
            sock.setblocking(False)
            self._servers.append(GatedServer(sock, gate or Gate([".*"]), self._serve))

    async def close(self) -> None:
        """Accept no more, and end the connections there are."""
        for server in self._servers:
            server.close()
        for server in self._servers:
            await server.end()

    async def _serve(self, sock: socket.socket) -> None:
        talk = _Talk(self, _Plain(sock))
        try:
            await talk.run()
        except (OSError, EOFError, TimeoutError):
            pass  # the client left, or took too long
        except nbd.NbdError as error:
            log.info("a connection ended: %s", error)
        finally:
            talk.link.close()


class _Talk:
    """One connection from its first byte to its last."""

    def __init__(self, server: NbdServer, link: _Plain) -> None:
        self.server = server
        self.services = server.services
        self.plain = link
        self.link: _Plain | _Encrypted = link
        self.zeroes = True

    async def run(self) -> None:
        """Options, until the client has an export or leaves."""
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            await self.link.write(nbd.greeting())
            (flags,) = struct.unpack(">I", await self.link.read(4))
        if flags & ~(nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES):
            raise nbd.NbdError("The client has flags that are not known.")
        self.zeroes = not flags & nbd.NO_ZEROES
        while await self._option():
            pass

    async def _option(self) -> bool:
        """One option; whether another may follow."""
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            number, length = nbd.option(await self.link.read(nbd.OPTION.size))
            if length > nbd.LONGEST_NAME:
                raise nbd.NbdError("An option has too much data.")
            data = await self.link.read(length)
        if number == nbd.EXPORT_NAME:
            with contextlib.suppress(_RefusedError):  # there is no reply that refuses: the connection ends
                await self._export(nbd.name_of(data), nbd.EXPORT_NAME)
            return False
        if number == nbd.ABORT:
            await self._reply(number, nbd.ACK)
            return False
        if number == nbd.STARTTLS:
            await self._start_tls(length)
        elif number in (nbd.INFO, nbd.GO):
            try:
                return await self._export(nbd.wanted(data), number)
            except _RefusedError as refused:
                await self._reply(number, refused.kind, str(refused))
        elif number == nbd.LIST:
            await self._reply(number, nbd.POLICY, "Ask VDI.get_nbd_info for the name of an export.")
        else:
            await self._reply(number, nbd.UNSUPPORTED, "The option is not known.")
        return True

    async def _reply(self, number: int, kind: int, text: str = "") -> None:
        await self.link.write(nbd.reply(number, kind, text.encode()))

    async def _start_tls(self, length: int) -> None:
        if length or self.link.encrypted:
            await self._reply(nbd.STARTTLS, nbd.INVALID, "TLS is begun once, and without data.")
        elif self.server.context is None:
            await self._reply(nbd.STARTTLS, nbd.POLICY, "This server has no TLS.")
        else:
            await self._reply(nbd.STARTTLS, nbd.ACK)
            self.link = await _encrypt(self.plain.sock, self.server.context)

    async def _export(self, name: str, number: int) -> bool:
        """Answer an export request; whether the client may go on with options. Raises _RefusedError."""
        found = purposes(self.services.store)
        if not found & {"nbd", "insecure_nbd"}:
            raise _RefusedError(nbd.POLICY, "No network of the pool has the purpose nbd.")
        if "insecure_nbd" not in found and not self.link.encrypted:
            raise _RefusedError(nbd.TLS_REQUIRED, "TLS comes first.")
        try:
            session, caller, vdi = self._place(name)
            if number == nbd.INFO:
                check_readable(self.services.engine.world, vdi.ref)
                await self.link.write(nbd.export_info(number, vdi["virtual_size"]) + nbd.reply(number, nbd.ACK))
                return True
            await self._lend(number, session, caller, vdi)
        except ApiError as error:
            kind = nbd.UNKNOWN if error.code in _MISSING else nbd.POLICY
            raise _RefusedError(kind, error.code) from None
        return False

    def _place(self, name: str) -> tuple[str, Caller, Version]:
        """The session, its caller and the disk that the name of an export tells (theory 1)."""
        path, _, query = name.partition("?")  # not a URL: nothing in it may be taken for a host
        session = parse_qs(query).get("session_id", [""])[0]
        caller = self.services.sessions.check(session)
        if not may(caller, _ALLOWED):
            raise E.RBAC_PERMISSION_DENIED("VDI.get_nbd_info", "")
        uuid = path.strip("/")
        vdi = self.services.store.by_uuid("VDI", uuid)
        if vdi is None:
            raise E.UUID_INVALID("VDI", uuid)
        return session, caller, vdi

    async def _lend(self, number: int, session: str, caller: Caller, vdi: Version) -> None:
        """Serve the disk as a reading operation of the engine (theory 3). Raises ApiError before the client has had a
        reply, and never after it."""
        engine, begun = self.services.engine, False

        async def use(run: Run, storage: Storage, record: Version) -> None:
            nonlocal begun
            begun = True
            size = record["virtual_size"]
            first = (
                nbd.export_name_reply(size, self.zeroes)
                if number == nbd.EXPORT_NAME
                else nbd.export_info(number, size) + nbd.reply(number, nbd.ACK)
            )
            try:
                await self.link.write(first)
                await self._answer(storage, record["uuid"], size, lambda: self.services.sessions.alive(session))
            except (OSError, EOFError, TimeoutError):
                pass
            except nbd.NbdError as error:
                log.info("a connection ended: %s", error)

        work = Work(engine, dummy_task_ref(self.services.ids, "nbd"), recorded=False, caller=caller)
        reading = engine.start(work, lambda world: plan_read(world, vdi.ref, use))
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait((reading,), timeout=_GOODBYE_SECONDS)
            raise
        except ApiError:
            if not begun:
                raise

    async def _answer(self, storage: Storage, uuid: str, size: int, welcome: Callable[[], bool]) -> None:
        """Commands, until the client leaves or is not welcome any more."""
        while True:
            async with asyncio.timeout(_SILENT_SECONDS):
                command, cookie, offset, length = nbd.request(await self.link.read(nbd.REQUEST.size))
            if command == nbd.DISCONNECT or not welcome():
                return
            if command == nbd.READ:
                await self.link.write(await self._read(storage, uuid, size, cookie, offset, length))
                continue
            if command == nbd.WRITE:
                await self._skip(length)
            error = nbd.EPERM if command in (nbd.WRITE, nbd.TRIM, nbd.WRITE_ZEROES) else nbd.EINVAL
            await self.link.write(nbd.simple_reply(cookie, error))

    async def _read(self, storage: Storage, uuid: str, size: int, cookie: int, offset: int, length: int) -> bytes:
        if length > nbd.LONGEST_READ or offset + length > size:
            return nbd.simple_reply(cookie, nbd.EINVAL)
        end = offset + length
        try:
            parts = [await storage.read(uuid, at, min(PIECE, end - at)) for at in range(offset, end, PIECE)]
        except DriverError as error:
            log.warning("a disk could not be read: %s", error.text)
            return nbd.simple_reply(cookie, nbd.EIO)
        return b"".join((nbd.simple_reply(cookie), *parts))

    async def _skip(self, length: int) -> None:
        """Throw away what a write brings. NbdError if it is too much."""
        if length > _LONGEST_WRITE:
            raise nbd.NbdError("A write is longer than any that is taken.")
        async with asyncio.timeout(_SLOW_SECONDS):
            while length:
                length -= len(await self.link.read(min(length, PIECE)))
