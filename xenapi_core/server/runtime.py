"""Composition: the only module that knows all parts, and puts one server together from them.

Rule 1: nobody else composes. Parts are given what they need; none finds another by import.
Rule 2: everything started here is ended here, in reverse order, also when starting fails half way (AsyncExitStack).
Rule 3: protocol endpoints beyond the Xen-API are found through the entry point group `xencim.apps`: a callable
        (Source) -> App.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from xenapi_core.api.auth.pam import PamAuthenticator, PamError
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.auth.users_file import UsersFileAuthenticator, UsersFileError
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.sessions import Sessions
from xenapi_core.bridge.local import LocalSource
from xenapi_core.clock import RealClock
from xenapi_core.config import ServeConfig, default_socket
from xenapi_core.engine.engine import Engine
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.server import tls
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.server.demo import populate
from xenapi_core.server.listener import Listener, ListenError, listen_tcp, listen_unix
from xenapi_core.server.routes import App
from xenapi_core.server.xenapi_app import xenapi_app
from xenapi_core.store.journal import StoreError, open_store
from xenapi_core.store.memory import MemoryStore

DEMO_ACCOUNT = ("root", "xencim")
DRAIN_SECONDS = 10.0
SWEEP_SECONDS = 60.0


class StartError(Exception):
    """The server cannot start: one sentence for the user."""


@dataclass(frozen=True, slots=True)
class VmLine:
    """One line of the start page's table; `memory` in bytes."""

    name: str
    state: str
    vcpus: int
    memory: int
    host: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What the start page and the ready file say."""

    pool: str
    counts: str
    vms: list[VmLine]
    endpoints: dict[str, str]
    fingerprint: str
    self_signed: bool
    account: str
    demo_account: tuple[str, str] | None


@dataclass
class Server:
    """One server for one pool. Use `async with server.running() as summary: await server.stopped()`."""

    config: ServeConfig
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def stopped(self) -> None:
        """Return when SIGTERM, SIGINT or `stop` asked the server to end."""
        await self._stop.wait()

    def stop(self) -> None:
        self._stop.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Summary]:
        """Everything listens inside the block; at its end requests in progress are finished and state is flushed.

        Raises StartError.
        """
        config = self.config
        async with contextlib.AsyncExitStack() as stack:
            clock = RealClock(config.clock_speed)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
                stack.callback(loop.remove_signal_handler, number)
            directory = self._work_directory(stack)
            authenticator, account = self._authenticator(stack)
            store = await self._store(stack)
            ids = Ids()
            if not store.all("pool"):
                populate(store, config.inventory, Ids(config.inventory.seed), clock)
            codec_render = _render_result()
            engine = Engine(store, SCHEMA, clock, ids, codec_render, contention_timeout=config.contention_timeout)
            stack.push_async_callback(engine.close)
            adopt_pool(store, engine, clock)
            await engine.recover()
            sessions = Sessions(store, ids, clock, authenticator)
            dispatcher = Dispatcher(SCHEMA, store, engine, sessions, clock, ids)
            await self._sweeper(stack, sessions, engine, clock)
            source = LocalSource(store, dispatcher, sessions, clock)
            apps = {"xenapi": xenapi_app(dispatcher)}
            for entry in entry_points(group="xencim.apps"):
                apps[entry.name] = entry.load()(source)
            endpoints, fingerprint = await self._listen(stack, apps, directory)
            summary = self._summary(store, endpoints, fingerprint, account)
            self._write_ready(stack, endpoints, fingerprint)
            yield summary
