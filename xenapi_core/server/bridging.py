"""A bridge: the apps of this program (the WBEM server) over a pool that runs elsewhere. Composition, as runtime.py."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from xenapi_core.address import bracketed
from xenapi_core.bridge.pool_client import PoolClient, Trust, Unreachable
from xenapi_core.bridge.remote import LoginRefusedError, RemoteSource
from xenapi_core.bridge.replica import mirror_schema
from xenapi_core.clock import RealClock
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.power import is_guest
from xenapi_core.server import tls
from xenapi_core.server.listener import Listener, ListenError, listen_tcp
from xenapi_core.server.ready_file import ReadyFileError, forget_killed, ready_file
from xenapi_core.server.routes import EndpointError, Hosting, encrypted_only

DRAIN_SECONDS: Final = 10.0


class BridgeError(Exception):
    """The bridge cannot start: one sentence for the user."""


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The configuration of `xencim bridge`. Ports: 0 takes a free one, None switches the listener off."""

    pool: str
    user: str
    password: str
    trust: Trust = field(default_factory=Trust)
    bind: str = "127.0.0.1"
    loopback: bool = True
    wbem_port: int | None = 5988
    wbem_tls_port: int | None = 5989
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cim_compat: str | None = None
    state: Path | None = None
    ready_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Bridged:
    """The data of the start page: the pool's name, hosts and VMs of it, and our URLs."""

    pool: str
    hosts: int
    vms: int
    endpoints: dict[str, str]
    fingerprint: str


@contextlib.asynccontextmanager
async def bridging(config: BridgeConfig) -> AsyncIterator[tuple[Bridged, asyncio.Event]]:
    """Inside the block the pool is mirrored and everything listens; the event is set when a signal asks to end.

    Raises BridgeError.
    """
    async with contextlib.AsyncExitStack() as stack:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN and number == signal.SIGHUP:
                continue  # nohup: the terminal may go
            loop.add_signal_handler(number, ended.set)
            stack.callback(loop.remove_signal_handler, number)
        forget_killed(config.ready_file)
        if config.state is not None:
            try:
                config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise BridgeError(f"cannot use the state directory {config.state}: {error.strerror}") from None
        source = await _source(config, stack)
        endpoints: dict[str, str] = {}
        listeners: list[Listener] = []
        fingerprint = ""
        ways = {} if config.cim_compat is None else {"wbem": config.cim_compat}
        hosting = Hosting(config.state, ways=ways)
        for entry in entry_points(group="xencim.apps"):
            try:
                app = entry.load()(source, hosting)
            except EndpointError as error:
                raise BridgeError(str(error)) from None
            if app.stop is not None:
                stack.push_async_callback(app.stop)
            if app.start is not None:
                await app.start()
            stack.push_async_callback(_drain, listeners)
            try:
                if config.wbem_tls_port is not None:
                    certificate, key = _certificate(config, stack)
                    fingerprint = tls.fingerprint(certificate)
                    context = tls.server_context(certificate, key)
                    listeners.append(await listen_tcp(app, config.bind, config.wbem_tls_port, context))
                    endpoints["wbem_tls"] = f"https://{bracketed(config.bind)}:{listeners[-1].port}"
                if config.wbem_port is not None:
                    plain = app if config.loopback else encrypted_only(app)
                    listeners.append(await listen_tcp(plain, config.bind, config.wbem_port))
                    endpoints["wbem"] = f"http://{bracketed(config.bind)}:{listeners[-1].port}"
            except (ListenError, tls.CertificateError) as error:
                raise BridgeError(str(error)) from None
        try:
            stack.enter_context(ready_file(config.ready_file, {**endpoints, "tls_fingerprint": fingerprint}))
        except ReadyFileError as error:
            raise BridgeError(str(error)) from None
        (pool,) = source.all("pool").values()
        guests = [vm for vm in source.all("VM").values() if is_guest(vm)]
        name = pool["name_label"] or config.pool
        yield Bridged(name, len(source.all("host")), len(guests), endpoints, fingerprint), ended


async def _source(config: BridgeConfig, stack: contextlib.AsyncExitStack) -> RemoteSource:
    schema = mirror_schema(SCHEMA)
    try:
        client = PoolClient(config.pool, schema, config.trust)
    except OSError as error:
        raise BridgeError(f"cannot read the CA file {config.trust.ca_file}: {error.strerror or error}") from None
    source = RemoteSource(client, schema, RealClock(), config.user, config.password)
    stack.push_async_callback(source.close)
    try:
        await source.start()
    except (Unreachable, LoginRefusedError, ValueError) as error:
        raise BridgeError(str(error)) from None
    return source


def _certificate(config: BridgeConfig, stack: contextlib.AsyncExitStack) -> tuple[Path, Path]:
    if config.tls_cert is not None and config.tls_key is not None:
        return config.tls_cert, config.tls_key
    folder = config.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xencim-")))
    return tls.ensure_certificate(folder, [config.bind], RealClock())


async def _drain(listeners: list[Listener]) -> None:
    await asyncio.gather(*(listener.drain(DRAIN_SECONDS) for listener in listeners))
