"""A small real pool for tests of the CIM side: a store with known records, a Source over it, and calls as the service
makes them.

`SmallPool` needs no event loop and can be read only. `working_pool` is the whole stack under a virtual clock: engine,
simulator, dispatcher and LocalSource.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lxml import etree

from cim_provider.job_calls import STARTED_BY, Invocation, call_of
from cim_provider.jobs import SYSTEMS
from cim_provider.operations.api import OPERATIONS, MethodCall, Operation, Reply
from cim_provider.operations.extrinsic import invoke
from cim_provider.profiles import indications
from cim_provider.profiles.configuration import STATE
from cim_provider.provider import CimProvider
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import CIMV2, INTEROP, Param, Path
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.records import Records
from xenapi_core.api.sessions import Sessions
from xenapi_core.bridge.local import LocalSource
from xenapi_core.bridge.source import NO_SAMPLES, Principal, Recorded, Samples, Source, Summary, Window
from xenapi_core.clock import VirtualClock
from xenapi_core.ids import NULL_REF, Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import POOL_ADMIN, READ_ONLY, VM_OPERATOR, Schema
from xenapi_core.server.actions import measurements
from xenapi_core.server.actions.recorder import Recorder
from xenapi_core.store.api import Change, Version
from xenapi_core.store.memory import MemoryStore
from xenapi_core.testing.pool import SimPool, sim_pool

GIB = 1 << 30
ROOT = Principal("root", frozenset({POOL_ADMIN}), "wbem")

_graph: list[ClassGraph] = []


def graph() -> ClassGraph:
    """The real class graph, loaded once for all tests."""
    if not _graph:
        _graph.append(load_graph([mof_root() / "dmtf" / "xencim_dmtf.mof", mof_root() / "xen" / "xencim.mof"]))
    return _graph[0]


class StoreSource:
    """A Source over a store that nobody can call; `rescans` counts look-ups of whole classes."""

    schema: Schema = SCHEMA

    def __init__(self, store: MemoryStore, clock: VirtualClock) -> None:
        self._store, self._clock = store, clock
        self.find, self.by_uuid, self.related = store.find, store.by_uuid, store.related
        self.class_revision = store.class_revision
        self.value = Records(SCHEMA, store).value
        self.rescans: list[str] = []
        self.round: Samples | None = NO_SAMPLES

    @property
    def revision(self) -> int:
        return self._store.revision

    def all(self, cls: str) -> Mapping[str, Version]:
        self.rescans.append(cls)
        return self._store.all(cls)

    def changes(self, since: int, classes: Iterable[str] | None = None) -> list[Change]:
        return self._store.changes(since, classes)

    async def wait(self, since: int, timeout: float | None) -> bool:
        return await self._store.wait(since, timeout)

    def now(self) -> int:
        return self._clock.now()

    @property
    def samples(self) -> Samples | None:
        return self.round

    async def recorded(self, principal: Principal, cls: str, uuid: str, start: int, interval: int) -> Recorded | None:
        return None

    def disk_server(self, address: str) -> str | None:
        return None

    async def authenticate(self, user: str, password: str, originator: str, address: str = "") -> Principal | None:
        return None

    def known(self, user: str, password: str) -> Principal | None:
        return ROOT if user == "root" else None

    async def call(self, principal: Principal, method: str, *args: Any) -> Any:
        raise AssertionError(f"{method} called on a pool that can only be read")


@dataclass
class SmallPool:
    """One pool of two hosts; `vm` and friends add to it. References are kept by name."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    ids: Ids = field(default_factory=lambda: Ids("cim"))
    store: MemoryStore = field(default_factory=lambda: MemoryStore(SCHEMA))
    refs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = StoreSource(self.store, self.clock)
        self.provider = CimProvider(self.source, graph())
        for name in ("host-0", "host-1"):
            metrics = self.add("host_metrics", f"{name}/metrics", live=True, memory_total=64 * GIB)
            self.add(
                "host", name, name_label=name, hostname=f"{name}.example", address="192.0.2.1", enabled=True,
                metrics=metrics,
            )  # fmt: skip
        self.add("pool", "pool", name_label="lab", master=self.refs["host-0"])
        self.add("network", "lan", name_label="lan")
        self.add("SR", "sr", name_label="sr", type="lvm")

    def add(self, cls: str, name: str, **values: Any) -> str:
        """One record in a transaction of its own."""
        txn = self.store.begin()
        ref = self.refs[name] = txn.create(cls, self.ids.ref(), {"uuid": self.ids.uuid(), **values})
        self.store.commit(txn)
        return ref

    def vm(self, name: str, **values: Any) -> str:
        """A VM with metrics, two vCPUs and 2 GiB; Halted unless said otherwise."""
        metrics = self.add("VM_metrics", f"{name}/metrics", **values.pop("metrics", {}))
        record = {
            "name_label": name, "power_state": "Halted", "metrics": metrics, "VCPUs_max": 4, "VCPUs_at_startup": 2,
            "memory_static_min": GIB, "memory_static_max": 2 * GIB, "memory_dynamic_min": GIB,
            "memory_dynamic_max": 2 * GIB, "domain_type": "hvm", "domid": -1,
        }  # fmt: skip
        return self.add("VM", name, **(record | values))

    def is_on(self, vm: str) -> bool:
        """Whether a VM's devices are plugged unless something else is said."""
        return self.version(vm)["power_state"] in ("Running", "Paused")

    def disk(self, name: str, vm: str, **values: Any) -> str:
        """A VBD with a VDI of 8 GiB behind it, unless `values` names another."""
        if "VDI" not in values:
            values["VDI"] = self.add("VDI", f"{name}/vdi", SR=self.refs["sr"], virtual_size=8 * GIB)
        record = {
            "VM": self.refs[vm], "type": "Disk", "mode": "RW", "userdevice": "0", "bootable": True,
            "currently_attached": self.is_on(vm),
        }  # fmt: skip
        return self.add("VBD", name, **(record | values))

    def nic(self, name: str, vm: str, **values: Any) -> str:
        record = {
            "VM": self.refs[vm], "network": self.refs["lan"], "device": "0", "MAC": "52:54:00:ab:cd:ef", "MTU": 1500,
            "currently_attached": self.is_on(vm),
        }  # fmt: skip
        return self.add("VIF", name, **(record | values))

    def equip(self, vm: str) -> None:
        """What a pool has besides disks and interfaces, one of each: hardware of host-0 and devices of a VM."""
        host, machine = self.refs["host-0"], self.refs[vm]
        self.add("host_cpu", "cpu", host=host, number=0, vendor="GenuineIntel", modelname="CPU", speed=2400, flags="lm")
        self.set("host-0", software_version={"product_brand": "xencim", "product_version": "8.3.0", "xen": "4.17.5"})
        self.set(vm, guest_metrics=self.add("VM_guest_metrics", "tools", PV_drivers_version={"major": "7"}))
        metrics = self.add("PIF_metrics", "pif/metrics", carrier=True, speed=1000, duplex=True)
        self.add(
            "PIF", "pif", host=host, network=self.refs["lan"], device="eth0", VLAN=-1, MAC="52:54:00:00:00:01",
            metrics=metrics, physical=True, currently_attached=True,
        )  # fmt: skip
        self.add("PBD", "pbd", host=host, SR=self.refs["sr"], currently_attached=True)
        for protocol in ("rfb", "vt100"):
            self.add("console", protocol, VM=machine, protocol=protocol, location=f"https://host-0/{protocol}")
        self.add("VTPM", "vtpm", VM=machine)
        self.add("VUSB", "vusb", VM=machine, currently_attached=True)
        self.add("VGPU", "vgpu", VM=machine, device="0", currently_attached=True)
        measured = {"cpu0": 0.25, "memory": float(GIB), "vbd_xvda_read": 1e6, "vif_0_rx": 2e6}
        both = {self.uuid(vm): measured, self.uuid("host-0"): {"cpu0": 0.5, "pif_eth0_rx": 2e6}}
        minute = {
            uuid: {name: Summary(value, value / 2, value * 2) for name, value in values.items()}
            for uuid, values in both.items()
        }
        self.source.round = Samples(1_800_000_000, both, Window(1_800_000_000, 60, minute))

    def called(self, name: str) -> None:
        """A task that a method call started."""
        calls = self.provider.jobs.ended.calls
        task = self.add("task", name, status="success", other_config={STARTED_BY: "DefineSystem"})
        service = Path.of("Xen_VirtualSystemManagementService", {"Name": "x"}, CIMV2)
        calls.note(task, call_of(Invocation("DefineSystem", service, {}, {}, {}), SYSTEMS))

    def set(self, name: str, **values: Any) -> None:
        txn = self.store.begin()
        txn.update(self.refs[name], **values)
        self.store.commit(txn)

    def delete(self, name: str) -> None:
        txn = self.store.begin()
        txn.delete(self.refs[name])
        self.store.commit(txn)

    def version(self, name: str) -> Version:
        return self.store.get(self.refs[name])

    def uuid(self, name: str) -> str:
        return str(self.version(name)["uuid"])

    def path(self, name: str, classname: str = "Xen_ComputerSystem") -> Path:
        """The path of a VM or host as a system."""
        return Path.of(classname, {"CreationClassName": classname, "Name": self.uuid(name)}, CIMV2)

    def subscribed(self) -> None:
        """One stored instance of each class that clients create instances of."""
        keys = {"SystemCreationClassName": "Xen_HostComputerSystem", "SystemName": self.uuid("host-0"), "Name": "one"}
        lines = {"Destination": "http://127.0.0.1:1", "QueryLanguage": "WQL", "Query": "SELECT * FROM CIM_Indication"}
        put, made = self.provider.repository.put, {}
        for cls in (indications.FILTER, *indications.DESTINATIONS):
            made[cls] = Path.of(cls, {**keys, "CreationClassName": cls}, INTEROP)
            put(made[cls], {**keys, **lines, "CreationClassName": cls})
        (systems, *_) = self.provider.extent(indications.OfferedCollection)
        filters = (made[indications.FILTER], systems.path)
        for cls, chosen in zip(indications.SUBSCRIPTIONS, filters, strict=True):
            ends = {"Filter": chosen, "Handler": made[indications.DESTINATIONS[0]]}
            put(Path.of(cls, ends, INTEROP), {**ends, "SubscriptionState": 2, "OnFatalErrorPolicy": 2})

    def values(self, classname: str, name: str) -> Mapping[str, Any]:
        """The values of the one instance that view `classname` makes of a record; of setting data, the Defined one."""
        (found,) = (one for one in self.renditions(classname, name) if one.item is None)
        return found.values

    def state_values(self, classname: str, name: str) -> Mapping[str, Any]:
        """The values of the State setting data that view `classname` makes of a record."""
        (found,) = (one for one in self.renditions(classname, name) if one.item == STATE)
        return found.values

    def renditions(self, classname: str, name: str) -> tuple[Any, ...]:
        from cim_provider.mapping.view import VIEWS

        return self.provider.extent(VIEWS[classname]).of(self.version(name))

    def run(self, operation: str, namespace: str = CIMV2, principal: Principal = ROOT, **params: Any) -> Reply:
        return run(self.provider, operation, namespace, principal, **params)


def run(
    provider: CimProvider, operation: str, namespace: str = CIMV2, principal: Principal = ROOT, **params: Any
) -> Reply:
    """An intrinsic operation, as the service calls it."""
    reply = OPERATIONS[operation](Operation(operation, namespace, params, principal, provider))
    if isinstance(reply, Reply) and reply.growing is None:
        return reply
    return asyncio.run(_finished(reply))


async def _finished(reply: Reply | Awaitable[Any]) -> Reply:
    """What takes more than one slice of the loop's time, whole."""
    found = reply if isinstance(reply, Reply) else await reply
    assert isinstance(found, Reply)
    return await found.whole()


def elements(values: Iterable[bytes] | None) -> list[etree._Element]:
    """What a Reply holds, parsed."""
    return list(etree.fromstring(b"<all>" + b"".join(values or ()) + b"</all>"))


def instance_values(element: etree._Element) -> dict[str, Any]:
    """Property name -> text, list of texts, or None, of the INSTANCE in (or that is) an element."""
    instance = element if element.tag == "INSTANCE" else element.find(".//INSTANCE")
    assert instance is not None
    found: dict[str, Any] = {}
    for prop in instance:
        array = prop.find("VALUE.ARRAY")
        if array is not None:
            found[prop.get("NAME")] = [value.text or "" for value in array]
        else:
            value = prop.find("VALUE")
            reference = prop.find("VALUE.REFERENCE")
            found[prop.get("NAME")] = (
                reference if reference is not None else None if value is None else value.text or ""
            )
    return found


def key_values(element: etree._Element) -> dict[str, str]:
    """Key name -> text of the first INSTANCENAME in (or that is) an element."""
    name = element if element.tag == "INSTANCENAME" else element.find(".//INSTANCENAME")
    assert name is not None
    return {key.get("NAME"): key.findtext("KEYVALUE") or "" for key in name.findall("KEYBINDING")}


def classes(found: Iterable[etree._Element]) -> list[str]:
    """The class name of the first INSTANCENAME of each element."""
    return [next(iter(e.iter("INSTANCENAME"))).get("CLASSNAME") for e in found]


def out_values(reply: Reply) -> dict[str, str]:
    """Output parameters of a Reply: name -> text."""
    return {e.get("NAME"): e.findtext("VALUE") or "" for e in elements(reply.out)}


async def call(provider: CimProvider, path: Path, method: str, principal: Principal = ROOT, **params: Any) -> Any:
    """An extrinsic call; returns (return value, output parameter name -> PARAMVALUE element)."""
    given = {name: Param(value) for name, value in params.items()}
    reply = invoke(MethodCall(path.namespace or CIMV2, path, method, given, principal, provider))
    reply = await reply if inspect.isawaitable(reply) else reply
    return reply.return_value, {e.get("NAME"): e for e in elements(reply.out)}


def path_in(element: etree._Element) -> Path:
    """The path in a VALUE.REFERENCE, with string keys."""
    name = next(iter(element.iter("INSTANCENAME")))
    namespace = "/".join(e.get("NAME") for e in element.iter("NAMESPACE"))
    return Path.of(name.get("CLASSNAME"), key_values(name), namespace)


NULL = NULL_REF


@dataclass
class WorkingPool:
    """The whole stack but the sockets; `sim` is the test kit's pool."""

    sim: SimPool
    clock: VirtualClock
    store: MemoryStore
    source: Source
    provider: CimProvider
    principal: Principal
    recorder: Recorder

    def path(self, vm: str) -> Path:
        uuid = self.store.get(vm)["uuid"]
        return Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": uuid}, CIMV2)

    async def call(self, path: Path, method: str, **params: Any) -> Any:
        """As the function `call`, while the clock stands still."""
        return await call(self.provider, path, method, self.principal, **params)


@contextlib.asynccontextmanager
async def working_pool(hosts: int = 1) -> AsyncIterator[WorkingPool]:
    """A pool that works, on a virtual clock."""
    clock = VirtualClock()
    async with sim_pool(clock, hosts=hosts) as sim:
        users = {"root": ("secret", POOL_ADMIN), "operator": ("secret", VM_OPERATOR), "guest": ("guest", READ_ONLY)}
        accounts = StaticAuthenticator({user: (password, (role,)) for user, (password, role) in users.items()})
        sessions = Sessions(SCHEMA, sim.store, sim.ids, clock, accounts)
        dispatcher = Dispatcher(SCHEMA, sim.store, sim.engine, sessions, clock, sim.ids)
        recorder = Recorder()
        measured = partial(measurements.recorded, recorder)
        source = LocalSource(sim.store, dispatcher, sessions, clock, lambda: recorder.newest, measured)
        principal = await source.authenticate("root", "secret", "wbem")
        assert principal is not None
        yield WorkingPool(sim, clock, sim.store, source, CimProvider(source, graph()), principal, recorder)
