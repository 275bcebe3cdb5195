"""A simulated pool behind the real Xen-API endpoint, sockets included: what tests of import and export drive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from http_client import Client, Reply, connected, serving
from sim_api import ask

from xenapi_core.api.audit import AuditLog
from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.registry import Services
from xenapi_core.api.sessions import Sessions
from xenapi_core.api.surroundings import Surroundings
from xenapi_core.clock import RealClock
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import ROLES
from xenapi_core.server.actions.action import parts_of
from xenapi_core.server.actions.history import History
from xenapi_core.server.actions.recorder import Recorder
from xenapi_core.server.actions.table import action_routes
from xenapi_core.server.download import download
from xenapi_core.server.exchange import PoolExchange
from xenapi_core.server.listener import Listener
from xenapi_core.server.outgoing import post, send
from xenapi_core.server.xenapi_app import page, xenapi_app
from xenapi_core.testing.pool import SimPool, sim_pool

ACCOUNTS = {"root": ("secret", ("pool-admin",)), **{role: ("word", (role,)) for role in ROLES}}


@dataclass
class Site:
    """One server. `sessions` of any account; requests on connections of their own."""

    pool: SimPool
    services: Services
    sessions: Sessions
    listener: Listener
    recorder: Recorder

    async def login(self, user: str = "root") -> str:
        return await self.sessions.login(user, ACCOUNTS[user][0])

    async def send(self, client: Client, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        length = "" if "Transfer_Encoding" in headers or method == "GET" else f"Content-Length: {len(body)}\r\n"
        await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}{lines}\r\n".encode() + body)

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """The reply to one request; `headers` with "_" for "-"."""
        async with connected(self.listener) as client:
            await self.send(client, method, path, body, **headers)
            return await client.reply()

    async def root(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """The same, in a session of the administrator's."""
        session = await self.login()
        return await self.ask(method, path, body, Cookie=f"session_id={session}", **headers)

    def client(self) -> Any:
        return connected(self.listener)

    async def call(self, wire_name: str, *args: Any) -> Any:
        """A message, as the administrator."""
        return await ask(self.pool, wire_name, *args)

    def task(self, **values: Any) -> str:
        """A pending task."""
        return self.pool.add("task", **{"name_label": "mine", "status": "pending", **values})

    def told(self, task: str) -> tuple[str, tuple[str, ...]]:
        """How a task stands: its status, and what failed."""
        record = self.pool.store.get(task)
        return record["status"], record["error_info"]


@asynccontextmanager
async def action_server(state: Path | None = None, **options: Any) -> AsyncIterator[Site]:
    """A Site; its clock runs a thousand times faster than the wall's."""
    async with sim_pool(RealClock(1000.0), **options) as pool:
        sessions = Sessions(SCHEMA, pool.store, pool.ids, pool.clock, StaticAuthenticator(ACCOUNTS), failure_delay=0)
        recorder = Recorder()
        parts = parts_of(state, recorder)
        history = History(recorder, pool.store, pool.clock, state)
        around = Surroundings(AuditLog(pool.clock), history=history, blobs=parts.blobs)
        dispatcher = Dispatcher(SCHEMA, pool.store, pool.engine, sessions, pool.clock, pool.ids, around)
        extra = action_routes(dispatcher.services, BasicAuth(sessions), page, parts)
        local = partial(download, loopback=True), partial(send, loopback=True), partial(post, loopback=True)
        pool.engine.exchange = PoolExchange(dispatcher.services, *local)
        async with serving(xenapi_app(dispatcher, extra=extra)) as listener:
            pool.engine.be_reached(lambda address: f"http://127.0.0.1:{listener.port}")
            yield Site(pool, dispatcher.services, sessions, listener, recorder)
