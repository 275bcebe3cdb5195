"""The client of the pool's workload balancing server: its requests, and its answers as records.

Theory of operation
1. Which server, and the account there, is in the pool's record; the password is a secret that the record names. Each
   call reads them anew.
2. Nothing is kept between calls, and no call is made twice: a failure is raised, and the caller decides.
3. The server names objects by uuid. A uuid that is not here makes the whole answer malformed: the server looks at
   another pool, or at what this one was.
4. A password is in a request and in the secret, and nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from xenapi_core.engine.advice import Rating
from xenapi_core.engine.plan import World
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.hosts import is_live
from xenapi_core.store.api import Txn, Version
from xenapi_core.wire import wlb_soap as soap
from xenapi_core.wire.wlb_soap import Element, Request

# Keys of pool.other_config, and seconds where the pool does not say.
_PATIENCE: Final = ("wlb_timeout", 30.0)
_PATIENCE_FOR_REPORTS: Final = ("wlb_reports_timeout", 600.0)
_LONGEST: Final = 3600.0
_PORT: Final = re.compile("[0-9]{1,5}")
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")


class Post(Protocol):
    """The function that sends requests (server/balancing.py)."""

    async def __call__(
        self, place: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float, most: int
    ) -> tuple[int, bytes]:
        """HTTP status and body of the reply to a POST over TLS; of a longer one than `most` bytes that and no more.

        SSL_VERIFY_ERROR, and WLB_ errors for what is wrong with `place` (host:port) or with the connection to it.
        """


@dataclass(frozen=True)
class Account:
    """A server, as host:port, and who we are there."""

    url: str
    username: str
    password: str = field(repr=False)


def check_place(url: str) -> None:
    """WLB_URL_INVALID for what is not host:port; an IPv6 address stands in brackets."""
    host, _, port = url.rpartition(":")
    good = _PORT.fullmatch(port) is not None and 0 < int(port) < 65536
    try:
        ipaddress.IPv6Address(host[1:-1] if host.startswith("[") and host.endswith("]") else "")
    except ValueError:
        good = good and _NAME.fullmatch(host) is not None
    if not good:
        raise E.WLB_URL_INVALID(url)


class Balancer:
    """The client of the workload balancing server, and the engine.advice.Advisor of the pool. All calls raise what Post
    and wlb_soap.result_of do."""

    def __init__(self, world: World, post: Post) -> None:
        self._world = world
        self._post = post

    # The pool and its server.

    async def add_pool(self, account: Account, xenserver_username: str, xenserver_password: str) -> None:
        """Have a server watch this pool with that account of ours; remember the server and our account there once it
        does. WLB_URL_INVALID."""
        store, pool = self._world.store, self._pool()
        coordinator = store.get(pool["master"], "host")
        request = Request("AddXenServer").add("Password", xenserver_password).add("PoolUuid", pool["uuid"])
        request.add("UserName", xenserver_username)
        request.add("XenServerUrl", f"{self._world.reach(coordinator['address'])}/")
        result = await self._ask(request, account)
        if soap.find(result, "Id") is None:
            soap.malformed(request.method, "Id is missing.")
        ids = self._world.ids

        def write(txn: Txn) -> None:
            self._forget(txn)
            values = {"uuid": ids.uuid(), "value": account.password, "other_config": {}}
            secret = txn.create("secret", ids.ref(), values)
            txn.update(pool.ref, wlb_url=account.url, wlb_username=account.username, wlb_password=secret)

        self._commit(write)

    async def remove_pool(self) -> None:
        """Have the server forget this pool."""
        request = self._about_pool("RemoveXenServer")
        soap.check_empty(request.method, await self._ask(request))

    def forget(self, password: str) -> None:
        """Forget the server whose password is that secret; nothing if another one was chosen meanwhile."""

        def write(txn: Txn) -> None:
            pool = self._pool()
            if pool["wlb_password"] == password:
                self._forget(txn)
                cleared = {"wlb_url": "", "wlb_username": "", "wlb_password": NULL_REF, "wlb_enabled": False}
                txn.update(pool.ref, **cleared)

        self._commit(write)

    def _forget(self, txn: Txn) -> None:
        """The secret of the present server goes."""
        old = self._pool()["wlb_password"]
        if txn.find(old) is not None:
            txn.delete(old)

    async def configure(self, config: Mapping[str, str]) -> None:
        """Change settings of the server for this pool."""
        request = Request("SetXenPoolConfiguration").add_map("OptimizationParms", config)
        request.add("PoolUuid", self._pool()["uuid"])
        soap.check_empty(request.method, await self._ask(request))

    async def configuration(self) -> dict[str, str]:
        """The settings."""
        request = self._about_pool("GetXenPoolConfiguration")
        return soap.pairs_of(request.method, await self._ask(request), "OptimizationParms")

    # Recommendations.

    async def ratings(self, vm: str) -> tuple[Rating, ...]:
        """Of every host that is up, in the server's order."""
        request = self._about_pool("VMGetRecommendations").add("VmUuid", self._world.store.get(vm, "VM")["uuid"])
        method = request.method
        found = [self._rating(method, each) for each in soap.recommendations(await self._ask(request))]
        store = self._world.store
        up = [host for host in store.all("host").values() if is_live(store, host)]
        if len(found) != len(up) or {rating.host for rating in found} != {host.ref for host in up}:
            soap.malformed(method, "The recommendations are not one for each host that is up.")
        return tuple(found)

    def _rating(self, method: str, element: Element) -> Rating:
        host = self._named(method, "host", soap.needed_text(method, element, "HostUuid")).ref
        number = soap.needed_number(method, element, "RecommendationId")
        if soap.find(element, "Stars") is None:
            return Rating(host, "0.0", number, soap.needed_text(method, element, "ZeroScoreReason"))
        return Rating(host, soap.needed_number(method, element, "Stars"), number)

    async def optimization(self) -> dict[str, tuple[str, ...]]:
        """VM -> the uuid of the host it should move to, and the numbers of the optimisation and of the recommendation,
        and why. For a host that should be switched on or off: its control domain -> the host's own uuid, and so on."""
        request = self._about_pool("GetOptimizationRecommendations")
        method, result = request.method, await self._ask(request)
        advice: dict[str, tuple[str, ...]] = {}
        for each in soap.recommendations(result):
            vm, host = self._vm_or_domain(method, each, "VmToMoveUuid", "MoveToHostUuid", "MoveFromHostUuid")
            advice[vm] = (
                host["uuid"],
                soap.needed_number(method, result, "OptimizationId"),
                soap.needed_number(method, each, "RecommendationId"),
                soap.needed_text(method, each, "Reason"),
            )
        return advice

    async def moves(self, host: str) -> dict[str, str]:
        """VM -> the host it should go to, for VMs on `host`; its control domain -> `host`, if that is to be switched
        off then."""
        store = self._world.store
        request = Request("HostGetRecommendations").add("HostUuid", store.get(host, "host")["uuid"])
        request.add("PoolUuid", self._pool()["uuid"])
        method, found = request.method, {}
        for each in soap.recommendations(await self._ask(request)):
            vm, target = self._vm_or_domain(method, each, "VmUuid", "HostUuid", "HostUuid")
            soap.needed_number(method, each, "RecommendationId")
            if target.ref == store.get(vm)["resident_on"] and not store.get(vm)["is_control_domain"]:
                soap.malformed(method, "A VM should move to the host where it is.")
            found[vm] = target.ref
        return found

    def _vm_or_domain(
        self, method: str, element: Element, vm_name: str, target_name: str, own_name: str
    ) -> tuple[str, Version]:
        """A VM and the host it is recommended to move to; with no VM, the control domain of a host, and that host."""
        if uuid := soap.text_of(element, vm_name, ""):
            target = self._named(method, "host", soap.needed_text(method, element, target_name))
            return self._named(method, "VM", uuid).ref, target
        host = self._named(method, "host", soap.needed_text(method, element, own_name))
        domain = self._world.store.find(host["control_domain"])
        if domain is None:
            soap.malformed(method, f"{vm_name} is missing.")
        return domain.ref, host

    def _named(self, method: str, cls: str, uuid: str) -> Version:
        found = self._world.store.by_uuid(cls, uuid)
        return soap.malformed(method, f"There is no {cls} of a uuid that it names.") if found is None else found

    # Reports.

    async def report(self, name: str, parameters: Mapping[str, str]) -> bytes:
        """A report, as the server writes it: XML."""
        request = Request("ExecuteReport").add("ReportName", name).add_report_parameters(parameters)
        return await self._long_text(request, "XmlDataSet")

    async def diagnostics(self) -> bytes:
        """The server's diagnostics as text."""
        return await self._long_text(Request("GetDiagnostics"), "DiagnosticData")

    async def _long_text(self, request: Request, name: str) -> bytes:
        status, body = await self._send(request, self._account(), _PATIENCE_FOR_REPORTS, soap.LARGEST_REPORT)

        def read() -> bytes:
            result = soap.result_of(request.method, status, body, soap.LARGEST_REPORT)
            if soap.find(result, name) is None:
                soap.malformed(request.method, f"{name} is missing.")
            return soap.text_of(result, name, "").encode()

        return await asyncio.to_thread(read)  # megabytes take longer than the loop may be deaf

    # Asking.

    def _about_pool(self, method: str) -> Request:
        return Request(method).add("PoolUuid", self._pool()["uuid"])

    async def _ask(self, request: Request, account: Account | None = None) -> Element:
        """The result of a call; `account`: not the pool's."""
        status, body = await self._send(request, account or self._account(), _PATIENCE, soap.LARGEST)
        return soap.result_of(request.method, status, body)

    async def _send(
        self, request: Request, account: Account, patience: tuple[str, float], most: int
    ) -> tuple[int, bytes]:
        """HTTP status and body of the reply to `request`, sent with the credentials of `account`. Raises what Post
        does."""
        check_place(account.url)  # a database from elsewhere may hold anything
        credentials = b64encode(f"{account.username}:{account.password}".encode()).decode("ascii")
        headers = {**request.headers, "Authorization": f"Basic {credentials}"}
        return await self._post(account.url, soap.PATH, headers, request.body(), self._seconds(*patience), most)

    def _seconds(self, key: str, default: float) -> float:
        """The timeout in the pool's other_config, if it is a sensible number, else the default."""
        try:
            seconds = float(self._pool()["other_config"].get(key, default))
        except ValueError:
            return default
        return min(seconds, _LONGEST) if math.isfinite(seconds) and seconds > 0 else default

    def _account(self) -> Account:
        """The pool's. WLB_NOT_INITIALIZED."""
        pool = self._pool()
        if not pool["wlb_url"]:
            raise E.WLB_NOT_INITIALIZED()
        secret = self._world.store.find(pool["wlb_password"])
        return Account(pool["wlb_url"], pool["wlb_username"], secret["value"] if secret is not None else "")

    def _pool(self) -> Version:
        return next(iter(self._world.store.all("pool").values()))

    def _commit(self, write: Callable[[Txn], None]) -> None:
        txn = self._world.store.begin()
        write(txn)
        self._world.store.commit(txn)
