"""Composition: the only module that knows all parts, and puts one server together from them.

Rule 1: nobody else composes. Parts are given what they need; none finds another by import.
Rule 2: everything started here is ended here, in reverse order, also when starting fails half way (AsyncExitStack).
Rule 3: protocol endpoints beyond the Xen-API are found through the entry point group `xencim.apps`: a callable
        (Source, Hosting) -> App.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from xenapi_core.address import bracketed
from xenapi_core.api.auth import Authenticator
from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.auth.directories import DirectoryError, offers
from xenapi_core.api.auth.external import External
from xenapi_core.api.auth.pam import PamAuthenticator, PamError
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.auth.users_file import UsersFileAuthenticator, UsersFileError
from xenapi_core.api.balancer import Balancer
from xenapi_core.api.certificates import record_certificates
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.member_certificates import record_members
from xenapi_core.api.membership import Door, Membership, place_of
from xenapi_core.api.sessions import Sessions
from xenapi_core.background import keep_going
from xenapi_core.bridge.client import RemoteXenApi
from xenapi_core.bridge.local import LocalSource
from xenapi_core.clock import RealClock
from xenapi_core.config import ServeConfig, default_socket
from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.world import SimWorld
from xenapi_core.engine import database_copies, firewall, ha_failover, snapshot_schedules, ssh_expiry
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.plan import https
from xenapi_core.engine.transition import place_consoles
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.power import is_guest
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.server import balancing, outgoing, tls
from xenapi_core.server.about import about_route
from xenapi_core.server.actions import measurements
from xenapi_core.server.actions.action import parts_of
from xenapi_core.server.actions.history import History
from xenapi_core.server.actions.recorder import Recorder
from xenapi_core.server.actions.table import action_routes
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.server.agents import HostAgents, plain_refused
from xenapi_core.server.announce import announce
from xenapi_core.server.conversion import ask_appliance
from xenapi_core.server.demo import populate
from xenapi_core.server.download import download
from xenapi_core.server.endpoints import HostEndpoints, assign_addresses
from xenapi_core.server.exchange import PoolExchange
from xenapi_core.server.gate import Gate, PatternError
from xenapi_core.server.host_identities import HostIdentities
from xenapi_core.server.http_auth import authenticated
from xenapi_core.server.joining import members_route
from xenapi_core.server.listener import Listener, ListenError, listen_tcp, listen_unix
from xenapi_core.server.member_disks import HostFolders
from xenapi_core.server.nbd import NbdServer
from xenapi_core.server.pool_secret import MembershipFileError, open_membership
from xenapi_core.server.ready_file import ReadyFileError, forget_killed, ready_file
from xenapi_core.server.relay import relay_to_coordinator
from xenapi_core.server.restoring import take_over
from xenapi_core.server.routes import App, EndpointError, Hosting, encrypted_only, of_host, only_while
from xenapi_core.server.tls_identity import TlsIdentity
from xenapi_core.server.trust import of_balancers, of_certificate, of_members, of_pools
from xenapi_core.server.xenapi_app import page, reply_headers, xenapi_app
from xenapi_core.store.failure import StoreError
from xenapi_core.store.journal import open_store
from xenapi_core.store.memory import MemoryStore
from xenapi_core.wire.xmlrpc import XmlRpc

log = logging.getLogger(__name__)

DEMO_ACCOUNT = ("root", "xencim")
DEFAULT_TLS_PORT = 9367
DRAIN_SECONDS = 10.0
SWEEP_SECONDS = 60.0

# What the engine does by itself, as the log calls it.
_FOLLOWERS: Mapping[str, Callable[[Engine], Awaitable[None]]] = {
    "snapshot schedules": snapshot_schedules.follow,
    "SSH expiry": ssh_expiry.follow,
    "database replication": database_copies.follow,
    "firewalls of the hosts": firewall.follow,
    "high availability": ha_failover.follow,
}


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
    _tls_port: int | None = None

    async def stopped(self) -> None:
        """Return when SIGTERM, SIGINT, SIGHUP or `stop` asked the server to end."""
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
            self._catch_signals(stack)
            forget_killed(config.ready_file)
            directory = self._directory(stack)
            clock = RealClock(config.clock_speed)
            authenticator, account = self._authenticator(stack)
            store = await self._store(stack)
            membership = self._membership()
            ids = Ids()
            fresh = not store.all("pool")
            if fresh:
                populate(store, config.inventory, Ids(config.inventory.seed), clock)
            _say_whether_certificates_log_in(store, fresh, config.client_ca is not None)
            _say_how_cim_answers(store, config.cim_jobs)
            places = assign_addresses(store, config.bind) if config.endpoints_per_host else {}
            engine, world = await self._engine(stack, store, clock, ids)
            sessions = Sessions(
                store, ids, clock, authenticator, membership=membership,
                external=self._external(stack, store, clock, authenticator),
                reads_certificates=config.client_ca is not None,
            )  # fmt: skip
            dispatcher = Dispatcher(SCHEMA, store, engine, sessions, clock, ids)
            engine.exchange = PoolExchange(
                dispatcher.services,
                partial(download, loopback=config.loopback),
                partial(outgoing.send, loopback=config.loopback),
                partial(outgoing.post, loopback=config.loopback),
                partial(ask_appliance, loopback=config.loopback),
            )
            trust = partial(of_balancers, store)
            dispatcher.balancer = Balancer(engine.world, partial(balancing.post, loopback=config.loopback, trust=trust))
            engine.advisor = dispatcher.balancer
            keep_going(stack, clock, "the session sweeper", lambda: _sweep(sessions, clock))
            for name, follow in _FOLLOWERS.items():
                keep_going(stack, clock, name, partial(follow, engine))
            recorder = Recorder()
            dispatcher.history = await self._history(stack, recorder, engine)
            source = LocalSource(
                store, dispatcher, sessions, clock, lambda: recorder.newest, partial(measurements.recorded, recorder)
            )
            basic = BasicAuth(sessions)
            about = about_route(SCHEMA, authenticated(sessions, basic, "xencim"))
            joining = members_route(dispatcher.services, world)
            parts = parts_of(config.state, recorder)
            dispatcher.blobs = parts.blobs
            dispatcher.member_disks = HostFolders(config.state) if config.state is not None else None
            extra = (about, joining, *action_routes(dispatcher.services, basic, page, parts))

            relay = relay_to_coordinator(sessions, reply_headers)

            def xenapi(host: str | None = None) -> App:
                """The Xen-API of one host, or of the server as a whole."""
                door = Door(dispatcher, store, sessions, host)
                routes = of_host(extra, host) if host else extra
                seen = partial(dispatcher.programs.note, host or "")
                return xenapi_app(
                    door, extra=routes, tls_port=lambda: self._tls_port, relay=relay,
                    plain_refused=plain_refused(store, host), seen=seen,
                )  # fmt: skip

            apps = {"xenapi": xenapi(), **await self._apps(stack, source, membership)}
            membership.connect = lambda address: RemoteXenApi(
                address, self._tls_port or DEFAULT_TLS_PORT, of_pools(store)
            )
            membership.connect_member = lambda address: RemoteXenApi(
                address, self._tls_port or DEFAULT_TLS_PORT, partial(of_members, store, address)
            )
            membership.connect_to = lambda address, certificate: RemoteXenApi(
                address, self._tls_port or DEFAULT_TLS_PORT, of_certificate(certificate)
            )
            dispatcher.identities = members = HostIdentities(directory, RealClock())
            try:
                record_members(dispatcher.services)
            except tls.CertificateError as error:
                raise StartError(str(error)) from None
            endpoints, certificate, own, shared = await self._listen(
                stack, apps, store, directory, places, xenapi, members
            )
            dispatcher.agents = agents = HostAgents(store, clock, own, shared, "xenapi_tls" in endpoints)
            keep_going(stack, clock, "restarting of the agent", agents.follow)
            fingerprint = certificate.facts.sha256 if certificate is not None else ""
            dispatcher.certificate = certificate
            record_certificates(dispatcher.services)
            endpoints |= await self._listen_nbd(stack, dispatcher, certificate)
            membership.address = _reached_at(endpoints, store)
            keep_going(stack, clock, "greeting of the coordinator", lambda: announce(membership, store, clock))
            engine.be_reached(_reach(membership.address, bool(places)))
            place_consoles(engine.world)
            self._write_ready(stack, endpoints, fingerprint, own.urls())
            yield Summary(
                endpoints=endpoints,
                fingerprint=fingerprint,
                self_signed=certificate is not None and certificate.self_signed,
                account=account,
                demo_account=None if config.users or config.pam else DEMO_ACCOUNT,
                **_inventory(store),
            )

    def _catch_signals(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN and number == signal.SIGHUP:
                continue  # nohup: the terminal may go
            loop.add_signal_handler(number, self._stop.set)
            stack.callback(loop.remove_signal_handler, number)

    def _directory(self, stack: contextlib.AsyncExitStack) -> Path:
        """Where the self-signed certificate goes: beside the state, or for this run only."""
        if self.config.state is not None:
            return self.config.state
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xencim-")))

    def _authenticator(self, stack: contextlib.AsyncExitStack) -> tuple[Authenticator, str]:
        """Who checks passwords, and what the start page says of accounts."""
        config = self.config
        authenticator: Authenticator
        try:
            if config.users is not None:
                authenticator, account = UsersFileAuthenticator(config.users), f"accounts of {config.users}"
            elif config.pam is not None:
                authenticator, account = PamAuthenticator(config.pam), f"accounts of PAM service {config.pam}"
            else:
                user, password = DEMO_ACCOUNT
                authenticator = StaticAuthenticator({user: (password, (POOL_ADMIN,))})
                account = f"{user} / {password}"
        except (UsersFileError, PamError) as error:
            raise StartError(str(error)) from None
        stack.callback(authenticator.close)
        return authenticator, account

    def _external(
        self, stack: contextlib.AsyncExitStack, store: MemoryStore, clock: RealClock, local: Authenticator
    ) -> External:
        """The directories that external authentication may use."""
        try:
            external = External(store, clock, local, offers(self.config.directories))
        except DirectoryError as error:
            raise StartError(f"--directory: {error}") from None
        stack.callback(external.close)
        return external

    async def _store(self, stack: contextlib.AsyncExitStack) -> MemoryStore:
        if self.config.state is None:
            return MemoryStore(SCHEMA)
        try:
            if await take_over(self.config.state, SCHEMA):
                log.warning("the backup that waited has been restored")
            store = await open_store(self.config.state, SCHEMA)
        except StoreError as error:
            raise StartError(str(error)) from None
        stack.push_async_callback(store.close)
        return store

    async def _engine(
        self, stack: contextlib.AsyncExitStack, store: MemoryStore, clock: RealClock, ids: Ids
    ) -> tuple[Engine, SimWorld]:
        """The engine, with simulated hosts and storage behind the records, and what was interrupted taken back."""
        config = self.config
        codec = XmlRpc()
        engine = Engine(
            store, SCHEMA, clock, ids,
            lambda type_, value: codec.value(type_, value).decode(),
            contention_timeout=config.contention_timeout,
        )  # fmt: skip
        disks = config.state / "disks.sqlite" if config.state is not None else None
        world = SimWorld(clock, seed=config.inventory.seed, disks=disks)
        stack.push_async_callback(world.close)
        stack.push_async_callback(engine.close)
        try:
            adopt_pool(store, engine, world)
        except DriverError as error:
            raise StartError(error.text) from None
        await engine.recover()
        return engine, world

    async def _history(self, stack: contextlib.AsyncExitStack, recorder: Recorder, engine: Engine) -> History:
        """Measurements: those of earlier times, and new ones from now on."""
        clock = engine.world.clock
        history = History(recorder, engine.world.store, clock, self.config.state)
        await history.restore()
        stack.push_async_callback(history.save)
        keep_going(stack, clock, "measuring", lambda: measurements.follow(history, engine))
        return history

    async def _apps(
        self, stack: contextlib.AsyncExitStack, source: LocalSource, membership: Membership
    ) -> dict[str, App]:
        """The endpoints found by entry point, started (rule 3). A server that is a member elsewhere has none."""
        apps = {}
        for entry in entry_points(group="xencim.apps"):
            app = self._app(entry.load(), source)
            apps[entry.name] = only_while(app, lambda: _elsewhere(membership))
            if app.stop is not None:
                stack.push_async_callback(app.stop)
            if app.start is not None:
                await app.start()
        return apps

    def _app(self, make: Callable[..., App], source: LocalSource) -> App:
        config = self.config
        ways = {} if config.cim_compat is None else {"wbem": config.cim_compat}
        hosting = Hosting(config.state, config.models, config.indication_ca, not config.indication_no_verify, ways)
        try:
            return make(source, hosting)
        except EndpointError as error:
            raise StartError(str(error)) from None

    def _membership(self) -> Membership:
        try:
            return open_membership(self.config.state)
        except MembershipFileError as error:
            raise StartError(str(error)) from None

    def _gate(self, name: str) -> Gate | None:
        """Who may connect to that listener; None: everybody."""
        allowed = self.config.allow_hosts
        patterns = (*allowed.get("", ()), *allowed.get(name, ()))
        try:
            return Gate(patterns) if patterns else None
        except PatternError as error:
            raise StartError(str(error)) from None

    async def _listen(
        self,
        stack: contextlib.AsyncExitStack,
        apps: Mapping[str, App],
        store: MemoryStore,
        directory: Path,
        places: Mapping[str, str],
        xenapi: Callable[[str], App],
        members: HostIdentities,
    ) -> tuple[dict[str, str], TlsIdentity | None, HostEndpoints, list[Listener]]:
        """Open every listener. Returns URLs (the socket's path too) by the ready file's names, the certificate if one
        is shown, the endpoints of hosts that have their own (`places`: host -> address), and the TCP listeners of the
        Xen-API if hosts have none.
        """
        config = self.config
        wanted = [
            (name, app, getattr(config.ports, f"{name}{suffix}"), bool(suffix))
            for name, app in apps.items()
            for suffix in ("", "_tls")
            if getattr(config.ports, f"{name}{suffix}", None) is not None
        ]
        own = HostEndpoints(store, places, xenapi, (None, None), None)
        endpoints: dict[str, str] = {}
        identity, context, context_of = None, None, None
        listeners: list[Listener] = []
        shared: list[Listener] = []
        stack.push_async_callback(_drain, listeners, store)
        host = config.bind.strip("[]")
        shown = bracketed(host)
        try:
            if any(encrypted for *_, encrypted in wanted):
                given = (config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
                identity = TlsIdentity(directory, given, [host, *places.values()], RealClock())
                context_of = partial(_context_of_host, identity, config.client_ca, store, members)
                context = context_of("")
            if places:
                ports = (config.ports.xenapi, config.ports.xenapi_tls)
                gates = (self._gate("xenapi"), self._gate("xenapi_tls"))
                own = HostEndpoints(store, places, xenapi, ports, context_of, gates)
                stack.push_async_callback(own.drain, DRAIN_SECONDS)
                await own.start()
                self._tls_port = own.ports[1]
                keep_going(stack, RealClock(), "following of the hosts' endpoints", own.follow)
                endpoints.update(own.urls()[_coordinator_uuid(store)])
                wanted = [each for each in wanted if each[0] != "xenapi"]
            for name, app, port, encrypted in wanted:
                settings = context if encrypted else None
                if not encrypted and name == "wbem" and not (config.loopback or config.wbem_plain_basic):
                    app = encrypted_only(app)
                scheme, key_name = ("https", f"{name}_tls") if encrypted else ("http", name)
                listener = await listen_tcp(app, host, port, settings, gate=self._gate(key_name))
                listeners.append(listener)
                if name == "xenapi":
                    shared.append(listener)
                if key_name == "xenapi_tls":
                    self._tls_port = listener.port
                endpoints[key_name] = f"{scheme}://{shown}:{listener.port}"
            socket = config.socket or default_socket()
            listeners.append(await listen_unix(apps["xenapi"], str(socket)))
            endpoints["socket"] = str(socket)
        except (ListenError, tls.CertificateError) as error:
            raise StartError(str(error)) from None
        return endpoints, identity, own, shared

    async def _listen_nbd(
        self, stack: contextlib.AsyncExitStack, dispatcher: Dispatcher, identity: TlsIdentity | None
    ) -> dict[str, str]:
        """Serve disks over NBD if that was asked for; its URL under the ready file's name."""
        port = self.config.ports.nbd
        if port is None:
            return {}
        server = NbdServer(dispatcher.services, identity.context() if identity is not None else None)
        host = self.config.bind.strip("[]")
        stack.push_async_callback(server.close)
        try:
            await server.listen(host, port, self._gate("nbd"))
        except (ListenError, tls.CertificateError) as error:
            raise StartError(str(error)) from None
        dispatcher.nbd_port = server.port
        return {"nbd": f"nbd://{bracketed(host)}:{server.port}"}

    def _write_ready(
        self,
        stack: contextlib.AsyncExitStack,
        endpoints: Mapping[str, str],
        fingerprint: str,
        hosts: Mapping[str, Mapping[str, str]],
    ) -> None:
        names = ("xenapi", "xenapi_tls", "socket", "wbem", "wbem_tls")
        content: dict[str, Any] = {name: endpoints.get(name) for name in names}
        content |= {"tls_fingerprint": fingerprint}
        content |= {"endpoints": hosts} if hosts else {}
        content |= {"nbd": endpoints["nbd"]} if "nbd" in endpoints else {}
        try:
            stack.enter_context(ready_file(self.config.ready_file, content))
        except ReadyFileError as error:
            raise StartError(str(error)) from None


def _say_how_cim_answers(store: MemoryStore, mode: str | None) -> None:
    """The pool itself says whether CIM methods answer with jobs, so that an administrator can change it at any time."""
    if mode is None:
        return
    txn = store.begin()
    for ref, pool in store.all("pool").items():
        txn.update(ref, other_config={**pool["other_config"], "cim-jobs": mode})
    store.commit(txn)


def _say_whether_certificates_log_in(store: MemoryStore, fresh: bool, verified: bool) -> None:
    """A new pool says what the option says; after that the pool's own calls count, and the log says what differs."""
    for ref, pool in store.all("pool").items():
        if fresh and verified:
            txn = store.begin()
            txn.update(ref, client_certificate_auth_enabled=True)
            store.commit(txn)
        elif verified and not pool["client_certificate_auth_enabled"]:
            log.warning("client certificates do not log in until pool.enable_client_certificate_auth is called")
        elif pool["client_certificate_auth_enabled"] and not verified:
            log.warning("client certificates do not log in until the server is started with --client-ca")


async def _drain(listeners: list[Listener], store: MemoryStore) -> None:
    """Accept no more, and let requests in progress finish; those that wait for events are answered at once."""
    draining = asyncio.gather(*(listener.drain(DRAIN_SECONDS) for listener in listeners))
    store.wake()
    await draining


async def _sweep(sessions: Sessions, clock: RealClock) -> None:
    while True:
        await clock.sleep(SWEEP_SECONDS)
        sessions.sweep()
        await sessions.revalidate()


def _reached_at(endpoints: Mapping[str, str], store: MemoryStore) -> str:
    """Where other servers reach this one: its TLS port if it has one, and its host's address if it listens on all."""
    url = endpoints.get("xenapi_tls") or endpoints.get("xenapi")
    if url is None:
        return ""
    scheme, host, port = place_of(url)
    if host in ("0.0.0.0", "::"):  # noqa: S104 - recognised, not bound
        (pool,) = store.all("pool").values()
        host = str(store.get(pool["master"])["address"])
    return f"{scheme}://{bracketed(host)}:{port}"


def _reach(server: str, each: bool) -> Callable[[str], str]:
    """World.reach of a server at that URL; `each`: every host has an endpoint of its own, on the same port."""
    if not server:
        return https
    if not each:
        return lambda address: server
    scheme, _, port = place_of(server)
    return lambda address: f"{scheme}://{bracketed(address)}:{port}"


def _elsewhere(membership: Membership) -> str:
    """Where the pool is asked that this server has joined, in a sentence; "" if it has joined none."""
    if not membership.coordinator:
        return ""
    return f"This server is a member of a pool; ask the pool's coordinator, {place_of(membership.coordinator)[1]}."


def _context_of_host(
    identity: TlsIdentity, client_ca: Path | None, store: MemoryStore, members: HostIdentities, host: str
) -> ssl.SSLContext:
    """For a listener of that host, or (host "") of the server as a whole, which is the coordinator's."""

    def shown_to_members() -> ssl.SSLContext:
        record = store.find(host) if host else None
        return members.context(record["uuid"] if record is not None else _coordinator_uuid(store))

    return identity.context(client_ca, shown_to_members)


def _coordinator_uuid(store: MemoryStore) -> str:
    (pool,) = store.all("pool").values()
    return str(store.get(pool["master"])["uuid"])


def _inventory(store: MemoryStore) -> dict[str, Any]:
    """What the start page shows of the pool: its name, a line of numbers, and its VMs."""
    guests = [vm for vm in store.all("VM").values() if is_guest(vm)]
    running = sum(vm["power_state"] == "Running" for vm in guests)
    numbers = [(len(store.all("host")), "host"), (len(guests), "VM"), (len(store.all("network")), "network")]
    words = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in [*numbers, (len(store.all("SR")), "SR")]]
    words[1] += f" ({running} running)"
    lines = []
    for vm in guests:
        host = store.find(vm["resident_on"])
        name = host["name_label"] if host else ""
        lines.append(VmLine(vm["name_label"], vm["power_state"], vm["VCPUs_max"], vm["memory_static_max"], name))
    (pool,) = store.all("pool").values()
    return {"pool": pool["name_label"], "counts": ", ".join(words), "vms": lines}
