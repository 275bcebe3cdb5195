"""Everything that listens: which certificate is shown where, and the opening of all listeners.

Rule 1: what was opened is drained when the exit stack unwinds, also if something after it cannot be opened.
Rule 2: where hosts have endpoints of their own, there is no other TCP listener of the Xen-API.
Rule 3: a request can come as soon as its own listener is open, before the others are.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xenapi_core.address import bracketed
from xenapi_core.api.membership import place_of
from xenapi_core.api.registry import Services
from xenapi_core.background import keep_going
from xenapi_core.clock import RealClock
from xenapi_core.config import ServeConfig, default_socket
from xenapi_core.engine.plan import https
from xenapi_core.server.endpoints import HostEndpoints
from xenapi_core.server.gate import Gate
from xenapi_core.server.host_identities import HostIdentities
from xenapi_core.server.listener import Listener, listen_tcp, listen_unix
from xenapi_core.server.nbd import NbdServer
from xenapi_core.server.routes import App, encrypted_only
from xenapi_core.server.tls_identity import TlsIdentity
from xenapi_core.store.api import Store

DRAIN_SECONDS: Final = 10.0
XENAPI: Final = "xenapi"  # the name of the Xen-API among apps, as in the ready file


@dataclass(frozen=True, slots=True)
class Apps:
    """What answers at listeners: at those of the server as a whole, by name, and at those of one host."""

    whole: Mapping[str, App]
    of_host: Callable[[str], App]


@dataclass(frozen=True, slots=True)
class Certificates:
    """`shown`: to clients, by every listener with TLS; None if there is none. `members`: by hosts to each other.
    `client_ca`: who vouches for certificates of clients."""

    store: Store
    shown: TlsIdentity | None
    members: HostIdentities
    client_ca: Path | None

    def context(self, host: str) -> ssl.SSLContext:
        """For a listener with TLS of that host, or (host "") of the server as a whole, which is the coordinator's.
        Raises tls.CertificateError."""
        assert self.shown is not None

        def shown_to_members() -> ssl.SSLContext:
            record = self.store.find(host) if host else None
            return self.members.context(record["uuid"] if record is not None else _coordinator_uuid(self.store))

        return self.shown.context(self.client_ca, shown_to_members)


@dataclass(frozen=True, slots=True)
class Listening:
    """What is open. `urls`: by the ready file's names, the socket's path too. `own`: the endpoints of hosts that have
    their own. `shared`: the TCP listeners of the Xen-API if hosts have none. Ports: None if there is no such listener.
    """

    urls: dict[str, str]
    own: HostEndpoints
    shared: tuple[Listener, ...]
    tls_port: int | None
    nbd_port: int | None


async def open_listeners(
    stack: contextlib.AsyncExitStack,
    config: ServeConfig,
    services: Services,
    apps: Apps,
    certificates: Certificates,
    places: Mapping[str, str],
) -> Listening:
    """Open every listener that is asked for; hosts in `places` have their own, at those addresses.

    Raises ListenError, tls.CertificateError, gate.PatternError.
    """
    store = services.store
    opened: list[Listener] = []
    stack.push_async_callback(_drain, opened, store)
    own = await _open_own(stack, config, store, apps, certificates, places)
    urls = dict(own.urls()[_coordinator_uuid(store)]) if places else {}
    tls_port, shared = own.ports[1], []
    context = certificates.context("") if certificates.shown is not None else None
    for name, app in apps.whole.items():
        if places and name == XENAPI:
            continue  # rule 2
        for encrypted in (False, True):
            listener = await _open_tcp(config, name, app, context if encrypted else None, encrypted)
            if listener is None:
                continue
            opened.append(listener)
            urls[_key(name, encrypted)] = _url(config, "https" if encrypted else "http", listener.port)
            if name == XENAPI:
                shared.append(listener)
                tls_port = listener.port if encrypted else tls_port
    socket = config.socket or default_socket()
    opened.append(await listen_unix(apps.whole[XENAPI], str(socket)))
    urls["socket"] = str(socket)
    nbd_port = await _open_nbd(stack, config, services, certificates.shown)
    urls |= {"nbd": _url(config, "nbd", nbd_port)} if nbd_port is not None else {}
    return Listening(urls, own, tuple(shared), tls_port, nbd_port)


async def _open_own(
    stack: contextlib.AsyncExitStack,
    config: ServeConfig,
    store: Store,
    apps: Apps,
    certificates: Certificates,
    places: Mapping[str, str],
) -> HostEndpoints:
    """The endpoints of hosts in `places`, which follow their hosts from now on."""
    if not places:
        return HostEndpoints(store, places, apps.of_host, (None, None), None)
    gates = (_gate(config, "xenapi"), _gate(config, "xenapi_tls"))
    ports = (config.ports.xenapi, config.ports.xenapi_tls)
    own = HostEndpoints(store, places, apps.of_host, ports, certificates.context, gates)
    stack.push_async_callback(own.drain, DRAIN_SECONDS)
    await own.start()
    keep_going(stack, RealClock(), "following of the hosts' endpoints", own.follow)
    return own


async def _open_tcp(
    config: ServeConfig, name: str, app: App, context: ssl.SSLContext | None, encrypted: bool
) -> Listener | None:
    """A listener of the server as a whole; None if it is switched off."""
    key = _key(name, encrypted)
    port = getattr(config.ports, key, None)
    if port is None:
        return None
    if not encrypted and name == "wbem" and not (config.loopback or config.wbem_plain_basic):
        app = encrypted_only(app)
    return await listen_tcp(app, _host(config), port, context, gate=_gate(config, key))


async def _open_nbd(
    stack: contextlib.AsyncExitStack, config: ServeConfig, services: Services, identity: TlsIdentity | None
) -> int | None:
    """The port where disks are served over NBD; None if that was not asked for."""
    if config.ports.nbd is None:
        return None
    server = NbdServer(services, identity.context() if identity is not None else None)
    stack.push_async_callback(server.close)
    await server.listen(_host(config), config.ports.nbd, _gate(config, "nbd"))
    return server.port


def _key(name: str, encrypted: bool) -> str:
    """What the ready file and the options call a listener."""
    return f"{name}_tls" if encrypted else name


def _gate(config: ServeConfig, key: str) -> Gate | None:
    """Who may connect to that listener; None: everybody. Raises PatternError."""
    patterns = (*config.allow_hosts.get("", ()), *config.allow_hosts.get(key, ()))
    return Gate(patterns) if patterns else None


def _host(config: ServeConfig) -> str:
    return config.bind.strip("[]")


def _url(config: ServeConfig, scheme: str, port: int) -> str:
    return f"{scheme}://{bracketed(_host(config))}:{port}"


async def _drain(listeners: list[Listener], store: Store) -> None:
    """Accept no more, and let requests in progress finish; those that wait for events are answered at once."""
    draining = asyncio.gather(*(listener.drain(DRAIN_SECONDS) for listener in listeners))
    store.wake()
    await draining


def reached_at(urls: Mapping[str, str], store: Store) -> str:
    """Where other servers reach this one: its TLS port if it has one, and its host's address if it listens on all. ""
    if they do not."""
    url = urls.get("xenapi_tls") or urls.get("xenapi")
    if url is None:
        return ""
    scheme, host, port = place_of(url)
    if host in ("0.0.0.0", "::"):  # noqa: S104 - recognised, not bound
        (pool,) = store.all("pool").values()
        host = str(store.get(pool["master"])["address"])
    return f"{scheme}://{bracketed(host)}:{port}"


def reach_of(server: str, each: bool) -> Callable[[str], str]:
    """World.reach of a server at that URL; `each`: every host has an endpoint of its own, on the same port."""
    if not server:
        return https
    if not each:
        return lambda address: server
    scheme, _, port = place_of(server)
    return lambda address: f"{scheme}://{bracketed(address)}:{port}"


def _coordinator_uuid(store: Store) -> str:
    (pool,) = store.all("pool").values()
    return str(store.get(pool["master"])["uuid"])
