"""One HTTP connection to a listener: sends export requests, reads replies, and stays open in between.

Rule 1: every wait for the listener has a deadline, and every reply a size limit. Whatever goes wrong is a
        DeliveryError, after which the connection is closed.
Rule 2: only the address given at construction is contacted; redirects are errors.
Rule 3: certificates of https listeners are verified, by default against the system's authorities (or SSL_CERT_FILE);
        see Trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cim_provider.indications.address import Address
from cim_provider.indications.names import Names

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 20.0
MAX_HEAD, MAX_BODY = 32 * 1024, 1024 * 1024


class DeliveryError(Exception):
    """A listener did not take an indication; the text says why, without anything secret."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How certificates of https listeners are verified: by the authorities in the file `ca` (None: the system's), or
    not at all with `verify` false."""

    ca: Path | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """OSError (SSLError is one) if the file holds no authorities."""
        context = ssl.create_default_context(cafile=self.ca)
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


TRUST_SYSTEM = Trust()


class ListenerConnection:
    """A connection that is opened when first needed, and again when the listener has closed it."""

    def __init__(self, address: Address, trust: Trust = TRUST_SYSTEM, names: Names | None = None) -> None:
        self.address = address
        self.names = Names() if names is None else names
        self.trust = trust
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._head = (
            f"POST {address.target} HTTP/1.1\r\nHost: {address.shown}\r\n"
            'Content-Type: application/xml; charset="utf-8"\r\nAccept: */*\r\n'
            "CIMExport: MethodRequest\r\nCIMExportMethod: ExportIndication\r\nContent-Length: "
        ).encode()

    async def export(self, body: tuple[bytes, ...]) -> None:
        """Return when the listener has confirmed the request. DeliveryError."""
        kept = self._streams is not None
        try:
            await self._exchange(body)
        except _ClosedError as error:
            self.close()
            if not kept:
                raise DeliveryError(str(error)) from None
            # A listener may close an idle connection at any time, and then has not seen the request.
            try:
                await self._exchange(body)
            except _ClosedError as again:
                self.close()
                raise DeliveryError(str(again)) from None
            except BaseException:
                self.close()
                raise
        except BaseException:
            self.close()
            raise

    async def _exchange(self, body: tuple[bytes, ...]) -> None:
        try:
            reader, writer = self._streams or await self._open()
            async with asyncio.timeout(ANSWER_SECONDS):
                size = sum(map(len, body))
                writer.writelines([self._head, b"%d\r\n\r\n" % size, *body])
                await writer.drain()
                status, headers = await self._read_head(reader)
                content = await self._read_body(reader, headers)
        except TimeoutError:
            raise DeliveryError("no answer in time") from None
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _ClosedError(f"the connection was closed ({type(error).__name__})") from None
        except asyncio.LimitOverrunError:
            raise DeliveryError("the answer is no HTTP") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that DNS cannot have
            raise DeliveryError(f"cannot connect: {getattr(error, 'strerror', '') or type(error).__name__}") from None
        if headers.get("connection", "").lower() == "close" or not _length_known(headers):
            self.close()
        if status != 200:
            raise DeliveryError(f"the listener answered {status}")
        if b"<EXPMETHODRESPONSE" not in content or b"<ERROR" in content:
            raise DeliveryError("the listener refused the indication")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self.address
        async with asyncio.timeout(CONNECT_SECONDS):
            context = self.trust.context() if address.encrypted else None
            self._streams = await asyncio.open_connection(
                sock=await self._connect(),
                ssl=context,
                server_hostname=address.host if context else None,
                limit=MAX_HEAD,
            )
        return self._streams

    async def _connect(self) -> socket.socket:
        """A connection to the first address of the host that takes one. OSError, UnicodeError."""
        failure = OSError(0, "the host has no address")
        for family, found in await self.names.find(self.address.host):
            with contextlib.ExitStack() as stack:
                try:
                    made = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    made.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(made, (found[0], self.address.port, *found[2:]))
                except OSError as error:
                    failure = error
                else:
                    stack.pop_all()
                    return made
        raise failure

    async def _read_head(self, reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
        """Status and headers (names in lower case) of the final answer."""
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            words = lines[0].split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
                raise DeliveryError("the answer is no HTTP")
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            if words[0] == "HTTP/1.0" and headers.get("connection", "").lower() != "keep-alive":
                headers["connection"] = "close"
            if words[1] != "100":
                return int(words[1]), headers

    async def _read_body(self, reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunks(reader)
        length = headers.get("content-length", "")
        if not length:
            found = await reader.read(MAX_BODY + 1)
            while len(found) <= MAX_BODY and (more := await reader.read(MAX_BODY)):
                found += more
            size = len(found)
        else:
            size = int(length) if length.isdecimal() and len(length) < 10 else MAX_BODY + 1
            found = await reader.readexactly(size) if size <= MAX_BODY else b""
        if size > MAX_BODY:
            raise DeliveryError("the answer is too long")
        return found

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        found = b""
        while True:
            line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError:
                raise DeliveryError("the answer is no HTTP") from None
            if size < 0 or len(found) + size > MAX_BODY:
                raise DeliveryError("the answer is too long")
            found += await reader.readexactly(size)
            await reader.readuntil(b"\r\n")
            if size == 0:
                return found

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class _ClosedError(Exception):
    """The connection ended before the answer was complete."""


def _length_known(headers: Mapping[str, str]) -> bool:
    return "content-length" in headers or "transfer-encoding" in headers
