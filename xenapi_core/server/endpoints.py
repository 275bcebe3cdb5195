"""A Xen-API endpoint for every host of the pool, each on an address of its own.

Theory of operation
1. Clients that get HOST_IS_SLAVE continue with the address in it and the port they had. So all endpoints have the same
   two ports and differ in their address, which is the host's: 127.0.0.1, 127.0.0.2 and so on.
2. What an endpoint answers follows from pool.master (api/membership.py, Door); nothing here knows of roles.
3. A host that is down, or has no management interface, has no endpoint: the listeners follow host_metrics.live and
   PIF.management. A host that is dropped loses it for good; one that comes later gets none, because its address is not
   ours to give.
4. The agent of a host is its endpoint. `restart` and `stop` say what shall become of it, and whoever follows does it.
   One that was stopped stays so until it is restarted, or its host has been down.
5. A host whose address changes to another loopback address is found there from then on. Other addresses are in the
   records alone: a simulated host has no interface of this machine.
6. An endpoint that cannot be opened again is tried every RETRY_SECONDS: its address is the one clients know.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from xenapi_core.model.hosts import is_live
from xenapi_core.server.gate import Gate
from xenapi_core.server.listener import Listener, ListenError, listen_tcp
from xenapi_core.server.routes import App
from xenapi_core.store.api import Store

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 20  # to find a port that is free on all addresses
_CLOSE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 1.0
_WATCHED: Final = ("host", "host_metrics", "PIF")


def assign_addresses(store: Store, base: str) -> dict[str, str]:
    """Give the hosts the addresses from `base` on, in their order, and say so in their records. Host -> address."""
    first = ipaddress.ip_address(base)
    places = {host: str(first + number) for number, host in enumerate(store.all("host"))}
    txn = store.begin()
    for host, address in places.items():
        txn.update(host, address=address)
        for pif in store.related(host, "PIFs"):
            if store.get(pif)["management"]:
                txn.update(pif, ip_configuration_mode="Static", IP=address, netmask="255.0.0.0")
    store.commit(txn)
    return places


class HostEndpoints:
    """The endpoints of the hosts in `places` (host -> address). `ports`: plain and TLS; 0: a free one; None: none."""

    def __init__(
        self,
        store: Store,
        places: Mapping[str, str],
        app: Callable[[str], App],
        ports: tuple[int | None, int | None],
        context: Callable[[str], ssl.SSLContext] | None,
        gates: tuple[Gate | None, Gate | None] = (None, None),
    ) -> None:
        self._store = store
        self._places = dict(places)
        self._apps = {host: app(host) for host in places}
        self._wanted = ports
        self._contexts = (None, context)  # without TLS, and with it, by host
        self._gates = gates
        self.ports: list[int | None] = [None, None]
        self._open: dict[str, list[Listener]] = {}
        self._stopped: set[str] = set()
        self._asked: set[str] = set()

    async def start(self) -> None:
        """Choose the ports and open the endpoint of every host that is up. Raises ListenError."""
        for attempt in range(_ATTEMPTS):
            self.ports = list(self._wanted)
            try:
                for host in self._places:
                    if self._live(host):
                        await self._open_for(host)
                return
            except ListenError:
                await self.drain(0)
                if 0 not in self._wanted or attempt == _ATTEMPTS - 1:
                    raise

    def urls(self) -> dict[str, dict[str, str]]:
        """Host uuid -> {"xenapi": URL, "xenapi_tls": URL}, of hosts that are down too."""
        found = {}
        for host, address in self._places.items():
            record = self._store.find(host)
            if record is not None:
                named = (("xenapi", "http", self.ports[0]), ("xenapi_tls", "https", self.ports[1]))
                found[record["uuid"]] = {
                    name: f"{scheme}://{address}:{port}" for name, scheme, port in named if port is not None
                }
        return found

    def has(self, host: str) -> bool:
        """Whether `host` has an endpoint of its own, open or not."""
        return host in self._places

    def listeners(self) -> tuple[Listener, ...]:
        """Those that are open."""
        return tuple(listener for listeners in self._open.values() for listener in listeners)

    def restart(self, host: str) -> None:
        """Close the endpoint of `host` and open it again (theory 4)."""
        self._stopped.discard(host)
        self._asked.add(host)
        self._store.wake()

    def stop(self, host: str) -> None:
        """Close the endpoint of `host` (theory 4)."""
        self._stopped.add(host)
        self._asked.add(host)
        self._store.wake()

    def stopped(self, host: str) -> bool:
        return host in self._stopped

    async def follow(self) -> None:
        """Open and close endpoints as hosts come up and go down; ends by cancellation."""
        seen: list[int] = []
        clock, again = asyncio.get_running_loop().time, math.inf
        while True:
            revision = self._store.revision
            now = [self._store.class_revision(cls) for cls in _WATCHED]
            if now != seen or self._asked or clock() >= again:
                seen = now
                again = math.inf if await self._adjust() else clock() + RETRY_SECONDS
            self._asked &= self._places.keys()
            if not self._asked:  # otherwise one was asked for after its host's turn
                await self._store.wait(revision, None if again == math.inf else again - clock())

    async def _adjust(self) -> bool:
        """Open and close what must be now. False if an endpoint is closed that should be open (theory 6)."""
        missing = False
        for host in tuple(self._places):
            if self._store.find(host) is None:
                del self._places[host]
            live = host in self._places and self._live(host)
            if not live:
                self._stopped.discard(host)
            up = live and host not in self._stopped
            if host in self._asked:
                self._asked.discard(host)
                await self._close_for(host)
            if up and (address := self._address(host)) != self._places[host]:
                self._places[host] = address
                await self._close_for(host)
            if up and host not in self._open:
                try:
                    await self._open_for(host)
                except ListenError as error:
                    missing = True
                    log.error("the endpoint of host %s cannot be opened again yet: %s", host, error)
            elif not up:
                await self._close_for(host)
        return not missing

    def _live(self, host: str) -> bool:
        """Whether the host listens: it is up, and has a management interface if it has any."""
        record = self._store.find(host)
        managed = [self._store.get(pif)["management"] for pif in self._store.related(host, "PIFs")]
        return record is not None and is_live(self._store, record) and (any(managed) or not managed)

    def _address(self, host: str) -> str:
        """Where the endpoint belongs (theory 5)."""
        address = str(self._store.get(host)["address"])
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return self._places[host]
        return address if found.version == 4 and found.is_loopback else self._places[host]

    async def _close_for(self, host: str) -> None:
        for listener in self._open.pop(host, ()):
            await listener.drain(_CLOSE_SECONDS)

    async def _open_for(self, host: str) -> None:
        """Open both listeners of a host, or none. Raises ListenError."""
        opened: list[Listener] = []
        try:
            for index, port in enumerate(self.ports):
                if port is None:
                    continue
                context = self._contexts[index]
                settings = context(host) if context is not None else None
                listener = await listen_tcp(
                    self._apps[host], self._places[host], port, settings, gate=self._gates[index]
                )
                opened.append(listener)
                self.ports[index] = listener.port
        except ListenError:
            for listener in opened:
                await listener.close()
            raise
        self._open[host] = opened

    async def drain(self, timeout: float) -> None:
        """Close every endpoint; requests in progress have `timeout` seconds."""
        opened, self._open = self._open, {}
        for listeners in opened.values():
            for listener in listeners:
                await listener.drain(timeout)
