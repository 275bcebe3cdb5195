"""A small conversion appliance: XML-RPC over TLS, and jobs that go on each time they are looked at."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
import xmlrpc.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from authority import Issued, issue

RUNNING, COMPLETED, ABORTED = 2, 3, 4


@dataclass
class ConversionAppliance:
    """`jobs`: number -> what was asked for. `path`: the states of a job, one for each look; the last one stays.

    `instead`: method -> what is answered instead: a value, or an HTTP status. `deleted`: numbers of jobs.
    """

    identity: Issued
    port: int = 0
    percent: int = 40
    path: list[int] = field(default_factory=lambda: [0, 1, RUNNING, COMPLETED])
    jobs: dict[str, Any] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    instead: dict[str, Any] = field(default_factory=dict)
    accounts: list[Any] = field(default_factory=list)
    seen: asyncio.Event = field(default_factory=asyncio.Event)  # a job was looked at

    async def answer(self, request: web.Request) -> web.Response:
        params, method = xmlrpc.client.loads(await request.text())
        self.accounts.append(params[0])
        if isinstance(instead := self.instead.get(method), int):
            return web.Response(status=instead)
        value = instead if instead is not None else getattr(self, "_" + str(method).replace(".", "_"))(*params[1:])
        reply: Any = value if isinstance(value, xmlrpc.client.Fault) else (value,)
        return web.Response(text=xmlrpc.client.dumps(reply, methodresponse=True), content_type="text/xml")

    def _job_create(self, info: Any) -> Any:
        number = str(len(self.jobs) + 1)
        self.jobs[number], self.looks[number] = info, 0
        return self._told(number)

    def _job_get(self, number: str) -> Any:
        self.looks[number] += 1
        self.seen.set()
        return self._told(number)

    def _job_delete(self, number: str) -> Any:
        self.deleted.append(number)
        return ""

    def _told(self, number: str) -> Any:
        look = min(self.looks[number], len(self.path) - 1)
        state = self.path[look]
        failed = "The source machine is gone." if state == ABORTED else ""
        return {"Id": number, "State": state, "PercentComplete": self.percent, "ErrorString": failed}


@asynccontextmanager
async def conversion_appliance() -> AsyncIterator[ConversionAppliance]:
    """An appliance on a port of 127.0.0.1, with a certificate of its own."""
    appliance = ConversionAppliance(issue("127.0.0.1", int(time.time())))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "identity.pem"
        file.write_text(appliance.identity.pem + appliance.identity.key, encoding="ascii")
        context.load_cert_chain(file)
    app = web.Application()
    app.router.add_post("/", appliance.answer)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        appliance.port = runner.addresses[0][1]
        yield appliance
    finally:
        await runner.cleanup()
