"""A small pool behind the real dispatcher, store, engine and codecs, without sockets: what tests of the API drive."""

from __future__ import annotations

import contextlib
import inspect
import xmlrpc.client
from collections.abc import AsyncIterator, Mapping
from typing import Any

from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.sessions import Sessions
from xenapi_core.clock import VirtualClock
from xenapi_core.drivers.sim import SimWorld
from xenapi_core.engine.engine import Engine
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import ROLES
from xenapi_core.server.routes import Peer
from xenapi_core.store.memory import MemoryStore
from xenapi_core.testing.records import Records
from xenapi_core.wire.xmlrpc import XmlRpc

TCP = Peer("tcp", "192.0.2.1")
UNIX = Peer("unix", uid=0)
ACCOUNTS = {"root": ("secret", ("pool-admin",)), **{role: (f"{role} word", (role,)) for role in ROLES}}


class Refused(Exception):
    """A Failure reply: its ErrorDescription."""

    def __init__(self, description: list[str]) -> None:
        super().__init__(*description)
        self.description = description


class ApiPool(Records):
    """One host, one coordinator, and whatever a test adds."""

    def __init__(
        self, store: Any, accounts: Mapping[str, Any], delays: Mapping[str, float], failure_delay: float
    ) -> None:
        super().__init__("test", store)
        self.clock = VirtualClock()
        self.codec = XmlRpc()
        self.engine = Engine(store, SCHEMA, self.clock, self.ids, lambda t, v: self.codec.value(t, v).decode())
        self.authenticator = StaticAuthenticator(accounts)
        self.sessions = Sessions(SCHEMA, store, self.ids, self.clock, self.authenticator, failure_delay=failure_delay)
        self.dispatcher = Dispatcher(SCHEMA, store, self.engine, self.sessions, self.clock, self.ids, **delays)
        self.host = self.add("host", hostname="one", enabled=True, metrics=self.add("host_metrics", live=True))
        self.pool = self.add("pool", name_label="test pool", master=self.host)
        self.sim = SimWorld(self.clock, seed=1)

    def serve(self, *hosts: str) -> None:
        """Put simulated hosts behind these records, which answer from then on."""
        for host in hosts:
            uuid = self.store.get(host)["uuid"]
            self.engine.add_host(host, self.sim.add_host(uuid, f"host-{uuid}", memory=1 << 34, reserved=0))

    def add_vm(self, **values: Any) -> str:
        memory = {f"memory_{name}": 1 << 30 for name in ("static_min", "dynamic_min", "dynamic_max", "static_max")}
        metrics = self.add("VM_metrics")
        given = {"name_label": "vm", "VCPUs_max": 2, "VCPUs_at_startup": 1, "metrics": metrics, **memory, **values}
        return self.add("VM", **given)

    def send(self, method: str, *params: Any, peer: Peer = TCP) -> Any:
        """The raw answer of the dispatcher: bytes, or an awaitable of bytes."""
        body = xmlrpc.client.dumps(params, method, allow_none=True).encode()
        return self.dispatcher.handle(self.codec.decode(body), self.codec, peer)

    async def call(self, method: str, *params: Any, peer: Peer = TCP) -> Any:
        """The value of a call, decoded by an independent decoder. Raises Refused."""
        reply = self.send(method, *params, peer=peer)
        return value_of(await reply if inspect.isawaitable(reply) else reply)

    async def refusal(self, method: str, *params: Any, peer: Peer = TCP) -> list[str]:
        """The ErrorDescription of a call that must fail."""
        try:
            value = await self.call(method, *params, peer=peer)
        except Refused as refused:
            return refused.description
        raise AssertionError(f"{method} succeeded with {value!r}")

    async def login(self, user: str = "root", originator: str = "test") -> str:
        return await self.call("session.login_with_password", user, ACCOUNTS[user][0], "1.0", originator)


def value_of(reply: bytes) -> Any:
    """What a reply says. Raises Refused."""
    ((answer,), _) = xmlrpc.client.loads(reply)
    if not isinstance(answer, dict):
        return answer
    if answer["Status"] == "Failure":
        raise Refused(answer["ErrorDescription"])
    assert answer["Status"] == "Success"
    return answer["Value"]


@contextlib.asynccontextmanager
async def api_pool(
    store: Any = None,
    accounts: Mapping[str, Any] = ACCOUNTS,
    from_delay: float = 0.0,
    next_delay: float = 0.0,
    failure_delay: float = 0.0,
) -> AsyncIterator[ApiPool]:
    delays = {"from_delay": from_delay, "next_delay": next_delay}
    pool = ApiPool(store if store is not None else MemoryStore(SCHEMA), accounts, delays, failure_delay)
    try:
        yield pool
    finally:
        await pool.engine.close()
        await pool.sim.close()
