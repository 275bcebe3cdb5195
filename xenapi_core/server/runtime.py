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
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from xenapi_core.api.audit import AuditLog
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
from xenapi_core.api.registry import Services
from xenapi_core.api.sessions import Sessions
from xenapi_core.api.surroundings import Surroundings
from xenapi_core.background import keep_going
from xenapi_core.bridge.client import RemoteXenApi
from xenapi_core.bridge.local import LocalSource
from xenapi_core.clock import RealClock
from xenapi_core.config import ServeConfig
from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.world import SimWorld
from xenapi_core.engine import database_copies, firewall, ha_failover, snapshot_schedules, ssh_expiry
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.transition import place_consoles
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.server import balancing, outgoing, tls
from xenapi_core.server.about import about_route
from xenapi_core.server.actions import measurements
from xenapi_core.server.actions.action import Parts, parts_of
from xenapi_core.server.actions.history import History
from xenapi_core.server.actions.recorder import Recorder
from xenapi_core.server.actions.table import action_routes
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.server.agents import HostAgents, plain_refused
from xenapi_core.server.announce import announce
from xenapi_core.server.conversion import ask_appliance
from xenapi_core.server.demo import populate
from xenapi_core.server.download import download
from xenapi_core.server.endpoints import assign_addresses
from xenapi_core.server.exchange import PoolExchange
from xenapi_core.server.gate import PatternError
from xenapi_core.server.host_identities import HostIdentities
from xenapi_core.server.http_auth import authenticated
from xenapi_core.server.joining import members_route
from xenapi_core.server.listener import ListenError
from xenapi_core.server.listening import XENAPI, Apps, Certificates, Listening, open_listeners, reach_of, reached_at
from xenapi_core.server.member_disks import HostFolders
from xenapi_core.server.pool_secret import MembershipFileError, open_membership
from xenapi_core.server.ready_file import ReadyFileError, forget_killed, ready_file
from xenapi_core.server.relay import relay_to_coordinator
from xenapi_core.server.restoring import take_over
from xenapi_core.server.routes import App, EndpointError, Hosting, of_host, only_while
from xenapi_core.server.start_summary import Summary, ready_content, summary_of
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
SWEEP_SECONDS = 60.0
APPS = "xencim.apps"  # the entry points of rule 3

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
class Foundation:
    """What is kept from one run to the next, if anything is. `places`: the hosts that have an endpoint of their own,
    with its address."""

    store: MemoryStore
    clock: RealClock
    places: Mapping[str, str]
    membership: Membership
    certificates: Certificates


@dataclass(frozen=True, slots=True)
class Core:
    """What answers calls and does what they ask."""

    engine: Engine
    world: SimWorld
    sessions: Sessions
    dispatcher: Dispatcher
    history: History
    parts: Parts

    @property
    def services(self) -> Services:
        return self.dispatcher.services


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
        async with contextlib.AsyncExitStack() as stack:
            self._catch_signals(stack)
            forget_killed(self.config.ready_file)
            authenticator, account = self._authenticator(stack)
            foundation = await self._open_foundation(stack)
            core = await self._make_core(stack, foundation, authenticator)
            _begin_loops(stack, foundation, core)
            apps = await self._start_apps(stack, foundation, core)
            listening = await self._listen(stack, foundation, core, apps)
            self._say_where(stack, foundation, core, listening)
            shown = foundation.certificates.shown
            fingerprint = shown.facts.sha256 if shown is not None else ""
            self._write_ready(stack, ready_content(listening.urls, fingerprint, listening.own.urls()))
            yield summary_of(
                foundation.store,
                endpoints=listening.urls,
                fingerprint=fingerprint,
                self_signed=shown is not None and shown.self_signed,
                account=account,
                demo_account=None if self.config.users or self.config.pam else DEMO_ACCOUNT,
            )

    # Steps, in their order. What each begins, the stack ends.

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

    async def _open_foundation(self, stack: contextlib.AsyncExitStack) -> Foundation:
        """The pool that was kept, or a new one, and in it what the options say of it."""
        config, clock = self.config, RealClock(self.config.clock_speed)
        directory = self._directory(stack)
        store = await self._store(stack)
        membership = self._membership(store)
        fresh = not store.all("pool")
        if fresh:
            populate(store, config.inventory, Ids(config.inventory.seed), clock)
        _say_whether_certificates_log_in(store, fresh, config.client_ca is not None)
        _say_how_cim_answers(store, config.cim_jobs)
        places = assign_addresses(store, config.bind) if config.endpoints_per_host else {}
        certificates = self._certificates(store, directory, places)
        return Foundation(store, clock, places, membership, certificates)

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

    def _membership(self, store: MemoryStore) -> Membership:
        """The role of this server in its pool, with ways to other servers: at the TLS port that this one has itself."""

        def port() -> int:
            return self._tls_port or DEFAULT_TLS_PORT

        try:
            membership = open_membership(self.config.state)
        except MembershipFileError as error:
            raise StartError(str(error)) from None
        membership.connect = lambda address: RemoteXenApi(address, port(), of_pools(store))
        membership.connect_member = lambda address: RemoteXenApi(address, port(), partial(of_members, store, address))
        membership.connect_to = lambda address, pem: RemoteXenApi(address, port(), of_certificate(pem))
        return membership

    def _certificates(self, store: MemoryStore, directory: Path, places: Mapping[str, str]) -> Certificates:
        """Those of hosts, and one for clients if any listener has TLS."""
        config, shown = self.config, None
        names = (XENAPI, *(entry.name for entry in entry_points(group=APPS)))
        if any(getattr(config.ports, f"{name}_tls", None) is not None for name in names):
            given = (config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
            try:
                shown = TlsIdentity(directory, given, [config.bind.strip("[]"), *places.values()], RealClock())
            except tls.CertificateError as error:
                raise StartError(str(error)) from None
        return Certificates(store, shown, HostIdentities(directory, RealClock()), config.client_ca)

    async def _make_core(
        self, stack: contextlib.AsyncExitStack, foundation: Foundation, authenticator: Authenticator
    ) -> Core:
        """Everything behind the listeners, with certificates on record."""
        config, store, clock, ids = self.config, foundation.store, foundation.clock, Ids()
        engine, world = await self._engine(stack, store, clock, ids)
        sessions = Sessions(
            SCHEMA, store, ids, clock, authenticator, membership=foundation.membership,
            external=self._external(stack, store, clock, authenticator),
            reads_certificates=config.client_ca is not None,
        )  # fmt: skip
        parts = parts_of(config.state, Recorder())
        history = await self._history(stack, parts.recorder, engine)
        asks = partial(balancing.post, loopback=config.loopback, trust=partial(of_balancers, store))
        engine.advisor = balancer = Balancer(engine.world, asks)
        around = Surroundings(
            AuditLog(clock),
            history=history,
            blobs=parts.blobs,
            member_disks=HostFolders(config.state) if config.state is not None else None,
            balancer=balancer,
            identities=foundation.certificates.members,
            certificate=foundation.certificates.shown,
        )
        dispatcher = Dispatcher(SCHEMA, store, engine, sessions, clock, ids, around)
        engine.exchange = self._exchange(dispatcher.services)
        try:
            record_members(dispatcher.services)
        except tls.CertificateError as error:
            raise StartError(str(error)) from None
        record_certificates(dispatcher.services)
        return Core(engine, world, sessions, dispatcher, history, parts)

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

    async def _history(self, stack: contextlib.AsyncExitStack, recorder: Recorder, engine: Engine) -> History:
        """Measurements of earlier times; what is measured from now on is saved at the end."""
        history = History(recorder, engine.world.store, engine.world.clock, self.config.state)
        await history.restore()
        stack.push_async_callback(history.save)
        return history

    def _exchange(self, services: Services) -> PoolExchange:
        """The way to other pools and to web servers."""
        loopback = self.config.loopback
        return PoolExchange(
            services,
            partial(download, loopback=loopback),
            partial(outgoing.send, loopback=loopback),
            partial(outgoing.post, loopback=loopback),
            partial(ask_appliance, loopback=loopback),
        )

    async def _start_apps(self, stack: contextlib.AsyncExitStack, foundation: Foundation, core: Core) -> Apps:
        """The Xen-API, and the endpoints found by entry point, started (rule 3). A server that is a member elsewhere
        has none of the latter."""
        recorder = core.parts.recorder
        source = LocalSource(
            foundation.store, core.dispatcher, core.sessions, foundation.clock,
            newest=lambda: recorder.newest, recorded=partial(measurements.recorded, recorder),
        )  # fmt: skip
        xenapi = self._xenapi(foundation.store, core)
        whole = {XENAPI: xenapi(None)}
        for entry in entry_points(group=APPS):
            app = self._app(entry.load(), source)
            whole[entry.name] = only_while(app, lambda: _elsewhere(foundation.membership))
            if app.stop is not None:
                stack.push_async_callback(app.stop)
            if app.start is not None:
                await app.start()
        return Apps(whole, xenapi)

    def _xenapi(self, store: MemoryStore, core: Core) -> Callable[[str | None], App]:
        """Makes the Xen-API of one host, or (None) of the server as a whole."""
        basic, relay = BasicAuth(core.sessions), relay_to_coordinator(core.sessions, reply_headers)
        extra = (
            about_route(SCHEMA, authenticated(core.sessions, basic, "xencim")),
            members_route(core.services, core.world),
            *action_routes(core.services, basic, page, core.parts),
        )

        def xenapi(host: str | None) -> App:
            door = Door(core.dispatcher, store, core.sessions, host)
            routes = of_host(extra, host) if host else extra
            seen = partial(core.services.surroundings.programs.note, host or "")
            return xenapi_app(
                door, extra=routes, tls_port=lambda: self._tls_port, relay=relay,
                plain_refused=plain_refused(store, host), seen=seen,
            )  # fmt: skip

        return xenapi

    def _app(self, make: Callable[..., App], source: LocalSource) -> App:
        config = self.config
        ways = {} if config.cim_compat is None else {"wbem": config.cim_compat}
        hosting = Hosting(config.state, config.models, config.indication_ca, not config.indication_no_verify, ways)
        try:
            return make(source, hosting)
        except EndpointError as error:
            raise StartError(str(error)) from None

    async def _listen(
        self, stack: contextlib.AsyncExitStack, foundation: Foundation, core: Core, apps: Apps
    ) -> Listening:
        """Everything that listens, with the agents of hosts, which are listeners."""
        certificates, places, around = foundation.certificates, foundation.places, core.services.surroundings
        try:
            listening = await open_listeners(stack, self.config, core.services, apps, certificates, places)
        except (ListenError, tls.CertificateError, PatternError) as error:
            raise StartError(str(error)) from None
        self._tls_port = listening.tls_port
        encrypted = "xenapi_tls" in listening.urls
        agents = HostAgents(foundation.store, foundation.clock, listening.own, listening.shared, encrypted)
        around.agents, around.nbd_port = agents, listening.nbd_port
        keep_going(stack, foundation.clock, "restarting of the agent", agents.follow)
        return listening

    def _say_where(
        self, stack: contextlib.AsyncExitStack, foundation: Foundation, core: Core, listening: Listening
    ) -> None:
        """Tell the records, the pool and its coordinator where this server is reached."""
        store, membership = foundation.store, foundation.membership
        membership.address = reached_at(listening.urls, store)
        keep_going(
            stack,
            foundation.clock,
            "greeting of the coordinator",
            partial(announce, membership, store, foundation.clock),
        )
        core.engine.be_reached(reach_of(membership.address, bool(foundation.places)))
        place_consoles(core.engine.world)

    def _write_ready(self, stack: contextlib.AsyncExitStack, content: Mapping[str, Any]) -> None:
        try:
            stack.enter_context(ready_file(self.config.ready_file, content))
        except ReadyFileError as error:
            raise StartError(str(error)) from None


def _begin_loops(stack: contextlib.AsyncExitStack, foundation: Foundation, core: Core) -> None:
    """What the server does by itself, whether or not anybody calls."""
    loops: Mapping[str, Callable[[], Awaitable[None]]] = {
        "the session sweeper": partial(_sweep, core.sessions, foundation.clock),
        "measuring": partial(measurements.follow, core.history, core.engine),
        **{name: partial(follow, core.engine) for name, follow in _FOLLOWERS.items()},
    }
    for name, begin in loops.items():
        keep_going(stack, foundation.clock, name, begin)


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


async def _sweep(sessions: Sessions, clock: RealClock) -> None:
    while True:
        await clock.sleep(SWEEP_SECONDS)
        sessions.sweep()
        await sessions.revalidate()


def _elsewhere(membership: Membership) -> str:
    """Where the pool is asked that this server has joined, in a sentence; "" if it has joined none."""
    if not membership.coordinator:
        return ""
    return f"This server is a member of a pool; ask the pool's coordinator, {place_of(membership.coordinator)[1]}."
