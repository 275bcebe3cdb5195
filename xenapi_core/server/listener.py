"""Listening sockets: TCP (with or without TLS) and Unix, each serving one App.

Rule 1: a Unix socket appears under its name complete, with its final mode: it is bound elsewhere and renamed.
Rule 2: a socket file is replaced only if nobody answers there, and removed at the end only if it is still ours.
Rule 3: what keeps us from listening is one sentence for the user (ListenError).
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from xenapi_core.server.gate import Gate, GatedServer
from xenapi_core.server.http import HttpProtocol
from xenapi_core.server.routes import App
from xenapi_core.server.service import DEFAULT, HttpLimits, Service

_BACKLOG = 1024
_ANSWER_SECONDS = 2.0
_HANDSHAKE_SECONDS = 15.0
_GOODBYE_SECONDS = 5.0
_LONGEST_PATH = 107  # sun_path of Linux, less the final NUL


class ListenError(Exception):
    """Cannot listen there: one sentence for the user."""


class Listener:
    """One listener. `port` and `address` for TCP, `path` for Unix sockets."""

    def __init__(
        self,
        service: Service,
        servers: Sequence[asyncio.Server | GatedServer],
        address: str = "",
        port: int = 0,
        path: Path | None = None,
        again: Callable[[], Awaitable[Listener]] | None = None,
    ) -> None:
        """`again` listens at the same place anew."""
        self.service = service
        self.address = address
        self.port = port
        self.path = path
        self._servers = servers
        self._again = again
        self._inode = path.stat().st_ino if path is not None else None

    async def drain(self, timeout: float) -> None:
        """Stop accepting, finish requests in progress for at most `timeout` seconds, cut off the rest."""
        for server in self._servers:
            server.close()
        for server in self._servers:
            if isinstance(server, GatedServer):
                await server.end()
        if self.path is not None and self._inode is not None:
            try:
                if self.path.stat().st_ino == self._inode:
                    self.path.unlink()
            except FileNotFoundError:
                pass
        await self.service.drain(timeout)

    async def close(self) -> None:
        """Stop at once; requests in progress are cancelled."""
        await self.drain(0)

    async def open_again(self) -> None:
        """After `drain`: listen where a TCP listener was, with new connections only. Raises ListenError."""
        assert self._again is not None
        fresh = await self._again()
        self.service, self._servers = fresh.service, fresh._servers


async def _serve(
    service: Service, sock: socket.socket, context: ssl.SSLContext | None, gate: Gate | None = None
) -> asyncio.Server | GatedServer:
    """Accept connections on a bound socket, through `gate` if there is one."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    if gate is not None:
        return GatedServer(sock, gate, partial(_connect, service, context))
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(lambda: HttpProtocol(service), sock=sock, backlog=_BACKLOG)
    if context is None:
        return await loop.create_server(lambda: HttpProtocol(service), sock=sock, backlog=_BACKLOG)
    return await loop.create_server(
        lambda: HttpProtocol(service), sock=sock, backlog=_BACKLOG, ssl=context,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS, ssl_shutdown_timeout=_GOODBYE_SECONDS,
    )  # fmt: skip


async def _connect(service: Service, context: ssl.SSLContext | None, sock: socket.socket) -> None:
    """Serve an accepted connection; with TLS, return when the handshake is done."""
    loop = asyncio.get_running_loop()
    if context is None:
        await loop.connect_accepted_socket(lambda: HttpProtocol(service), sock)
        return
    await loop.connect_accepted_socket(
        lambda: HttpProtocol(service), sock, ssl=context,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS, ssl_shutdown_timeout=_GOODBYE_SECONDS,
    )  # fmt: skip


async def listen_tcp(
    app: App,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None = None,
    *,
    limits: HttpLimits = DEFAULT,
    gate: Gate | None = None,
) -> Listener:
    """Listen on every address of `host` ("" or "*": all of this machine); port 0 takes a free one, the same for all.

    `gate` decides who may connect; None: everybody. Raises ListenError.
    """
    sockets = await bind(host, port)
    service = Service(app, "tcp" if ssl_context is None else "tls", limits)
    servers = [await _serve(service, sock, ssl_context, gate) for sock in sockets]
    address, number = sockets[0].getsockname()[:2]
    again = partial(listen_tcp, app, host, number, ssl_context, limits=limits, gate=gate)
    return Listener(service, servers, address, number, again=again)


async def bind(host: str, port: int) -> list[socket.socket]:
    """Bound sockets for all addresses of `host` that this machine has. Raises ListenError."""
    if not 0 <= port <= 65535:
        raise ListenError(f"{port} is no port number (0 to 65535).")
    loop = asyncio.get_running_loop()
    name = None if host in ("", "*") else host
    try:
        async with asyncio.timeout(30):
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, TimeoutError):
        raise ListenError(f"{host!r} is no address or name of this machine.") from None
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            number = sockets[0].getsockname()[1] if sockets and port == 0 else port
            try:
                sockets.append(_bound(family, kind, protocol, (address[0], number, *address[2:])))
            except OSError as error:
                failure = error
                # A name may have addresses of a family that is switched off; everything else is told.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
        if not sockets:
            raise failure or OSError(errno.EADDRNOTAVAIL, "no address")
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise ListenError(_sentence(error, host, port)) from None
    return sockets


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)  # "port in use" may come only now
    except BaseException:
        sock.close()
        raise
    return sock


def _sentence(error: OSError, host: str, port: int) -> str:
    place = f"{host or '*'} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"Cannot listen on {place}: another program listens there; choose another port, or 0 for a free one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Cannot listen on {place}: permission denied (ports below 1024 need a privilege)."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"Cannot listen on {place}: this machine has no such address."
    return f"Cannot listen on {place}: {os.strerror(error.errno) if error.errno else error}."


async def listen_unix(app: App, path: str | Path, mode: int = 0o600, *, limits: HttpLimits = DEFAULT) -> Listener:
    """Listen on a Unix socket at `path` with file mode `mode`; missing folders are made. Raises ListenError."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if mode & 0o077 else 0o700)
        _check_folder(path.parent)
        await _make_way(path)
        sock = _bound_unix(path, mode)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(f"Cannot listen on {path}: {reason.lower()}.") from None
    service = Service(app, "unix", limits)
    return Listener(service, [await _serve(service, sock, None)], path=path)


def _check_folder(folder: Path) -> None:
    """Whoever owns the folder could replace the socket: it must be us or root. Raises ListenError."""
    owner = folder.stat().st_uid
    if owner not in (0, os.getuid()):
        raise ListenError(f"Cannot listen in {folder}: the folder belongs to another user (uid {owner}).")


def _socket_file(path: Path) -> bool:
    """Whether a socket file is at `path`. Raises ListenError if something else is."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(kind):
        raise ListenError(f"Cannot listen on {path}: there is a file that is no socket.")
    return True


async def _make_way(path: Path) -> None:
    """Refuse if `path` is taken; a socket file where nobody answers is not (Rule 2). Raises ListenError, OSError."""
    if not _socket_file(path):
        return
    probe = socket.socket(socket.AF_UNIX)
    probe.setblocking(False)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await asyncio.get_running_loop().sock_connect(probe, str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return
    except TimeoutError:
        pass  # somebody holds it, though too busy to accept
    except OSError as error:
        if error.errno == errno.EACCES:
            raise
    finally:
        probe.close()
    raise ListenError(f"Cannot listen on {path}: another program listens there.")


def _bound_unix(path: Path, mode: int) -> socket.socket:
    """A listening socket at `path`, complete when it appears (Rule 1). Raises ListenError, OSError."""
    new = path.with_name(f".{secrets.token_hex(4)}")
    for candidate in (path, new):
        if len(os.fsencode(candidate)) > _LONGEST_PATH:
            raise ListenError(f"Cannot listen on {path}: socket paths have at most {_LONGEST_PATH} bytes.")
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(new))
        new.chmod(mode)
        sock.listen(_BACKLOG)
        new.replace(path)
    except BaseException:
        sock.close()
        new.unlink(missing_ok=True)
        raise
    return sock
