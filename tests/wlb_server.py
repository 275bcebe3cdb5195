"""A small workload balancing server: it speaks the protocol over TLS, and has a state of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import threading
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web
from authority import Issued, issue
from lxml import etree

PATH = "/Citrix.Dwm.WorkloadBalance/Service"
INTERFACE = "http://schemas.citrix.com/DWM"
ENDLESS = -1  # in `instead`: an answer without an end
ACCOUNT = ("wlb", "wlb pass<&>wörd")


def tag(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


def leaves(**texts: str) -> str:
    return "".join(tag(name, escape(text)) for name, text in texts.items())


def envelope(body: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>{body}</s:Body></s:Envelope>'.encode()
    )


def fault(text: str) -> bytes:
    return envelope(f"<s:Fault><s:Reason><s:Text>{text}</s:Text></s:Reason></s:Fault>")


def result(method: str, inner: str) -> bytes:
    return envelope(
        f'<{method}Response xmlns="{INTERFACE}"><{method}Result>{inner}</{method}Result></{method}Response>'
    )


@dataclass
class WlbServer:
    """`pools`: uuid -> what AddXenServer said. `settings`: per pool. What it recommends is told by the tests.

    `instead`: method -> the bytes, or the HTTP status, that are answered instead. `calls`: methods, in order.
    `silent`: it takes requests and does not answer until it is `woken`.
    """

    identity: Issued
    port: int = 0
    pools: dict[str, dict[str, str]] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    stars: dict[str, str] = field(default_factory=dict)  # host uuid -> stars; "0 reason": none
    moves: dict[str, str] = field(default_factory=dict)  # VM uuid -> host uuid
    switched: str = ""  # uuid of a host to be switched off
    reports: dict[str, str] = field(default_factory=dict)
    instead: dict[str, bytes | int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    asked_for: list[dict[str, str]] = field(default_factory=list)  # parameters of the calls, in order
    silent: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if b64decode(given.removeprefix("Basic ")).decode().split(":", 1) != list(ACCOUNT):
            return web.Response(status=401)
        body = etree.fromstring(await request.read())
        (call,) = body[0]
        name = etree.QName(call)
        assert name.namespace == INTERFACE
        assert request.headers["SOAPAction"] == f'"{INTERFACE}/IWorkloadBalance/{name.localname}"'
        (asked,) = call
        names = [etree.QName(each).localname for each in asked]
        assert names == sorted(names), "a contract has its members in the order of the alphabet"
        self.calls.append(name.localname)
        self.asked_for.append({etree.QName(each).localname: each.text or "" for each in asked})
        if self.silent:
            await self.woken.wait()
        instead = self.instead.get(name.localname)
        if instead == ENDLESS:
            stream = web.StreamResponse()
            await stream.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await stream.write(b" " * 65536)
            return stream
        if isinstance(instead, int):
            return web.Response(status=instead)
        if instead is not None:
            return web.Response(body=instead, content_type="text/xml")
        method: Callable[[Any], str] = getattr(self, f"_{name.localname}")
        return web.Response(body=result(name.localname, method(asked)), content_type="text/xml")

    @staticmethod
    def _text(asked: Any, name: str) -> str:
        return asked.findtext(f"{{{INTERFACE}}}{name}") or ""

    def _AddXenServer(self, asked: Any) -> str:
        said = {name: self._text(asked, name) for name in ("UserName", "Password", "XenServerUrl")}
        self.pools[self._text(asked, "PoolUuid")] = said
        return leaves(Id="1")

    def _RemoveXenServer(self, asked: Any) -> str:
        if self.pools.pop(self._text(asked, "PoolUuid"), None) is None:
            return leaves(ErrorMessage="unknown pool", ResultCode="4001")
        return ""

    def _SetXenPoolConfiguration(self, asked: Any) -> str:
        kept = self.settings.setdefault(self._text(asked, "PoolUuid"), {})
        for pair in asked.find(f"{{{INTERFACE}}}OptimizationParms"):
            key, value = pair
            kept[key.text] = value.text or ""
        return ""

    def _GetXenPoolConfiguration(self, asked: Any) -> str:
        kept = self.settings.get(self._text(asked, "PoolUuid"), {})
        return tag("OptimizationParms", *(tag("Pair", leaves(Key=key, Value=value)) for key, value in kept.items()))

    def _VMGetRecommendations(self, asked: Any) -> str:
        found = []
        for number, (host, stars) in enumerate(self.stars.items()):
            _, _, reason = stars.partition(" ")
            said = {"ZeroScoreReason": reason} if reason else {"Stars": stars}
            found.append(tag("Recommendation", leaves(HostUuid=host, RecommendationId=str(number), **said)))
        return tag("Recommendations", *found)

    def _HostGetRecommendations(self, asked: Any) -> str:
        found = [leaves(HostUuid=host, RecommendationId="7", VmUuid=vm) for vm, host in self.moves.items()]
        if self.switched:
            found.append(leaves(HostUuid=self.switched, RecommendationId="8", VmUuid=""))
        if not found:
            return leaves(CanPlaceAllVMs="true")
        return leaves(CanPlaceAllVMs="true") + tag("Recommendations", *(tag("Move", each) for each in found))

    def _GetOptimizationRecommendations(self, asked: Any) -> str:
        found = [
            leaves(MoveToHostUuid=host, Reason="Memory", RecommendationId="7", VmToMoveUuid=vm)
            for vm, host in self.moves.items()
        ]
        if self.switched:
            own = {"MoveFromHostUuid": self.switched, "MoveToHostUuid": self.switched}
            found.append(leaves(**own, Reason="PowerOff", RecommendationId="8", VmToMoveUuid=""))
        if not found:
            return ""
        return leaves(OptimizationId="3") + tag("Recommendations", *(tag("Move", each) for each in found))

    def _ExecuteReport(self, asked: Any) -> str:
        names = {etree.QName(each).localname: each for each in asked}
        told = {name.text: value.text or "" for name, value in names["ReportParms"]}
        return leaves(XmlDataSet=f"{self.reports[names['ReportName'].text]} {sorted(told.items())}")

    def _GetDiagnostics(self, asked: Any) -> str:
        return leaves(DiagnosticData="all is <well> & good")


@asynccontextmanager
async def wlb_server() -> AsyncIterator[WlbServer]:
    """A server on a port of 127.0.0.1, with a certificate of its own."""
    server = WlbServer(issue("127.0.0.1", int(time.time())))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "identity.pem"
        file.write_text(server.identity.pem + server.identity.key, encoding="ascii")
        context.load_cert_chain(file)
    app = web.Application()
    app.router.add_post(PATH, server.answer)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


@contextmanager
def wlb_thread() -> Iterator[WlbServer]:
    """The same, for tests without a loop: it runs in a thread of its own until the end."""
    loop = asyncio.new_event_loop()
    started: list[WlbServer] = []
    ready, end = threading.Event(), asyncio.Event()

    async def body() -> None:
        async with wlb_server() as server:
            started.append(server)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(body()))
    thread.start()
    try:
        assert ready.wait(30)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)
        loop.close()
