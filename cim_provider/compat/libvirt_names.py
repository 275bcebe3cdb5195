"""Names as keys in the libvirt-cim mode: machines, hosts, pools and devices by name instead of by uuid.

    machine            web                      device   web/xvda  web/52:54:00:ab:cd:ef  web/mem  web/0
    setting data       Xen:web                  of a device: as the device; of processors web/proc
    host               host-1.example           pool     MemoryPool/0  DiskPool/shared  NetworkPool/lan

There is one libvirt-cim on each host, and one xencim for a pool of hosts: what libvirt-cim has one of for a host has
its literal identifier for the coordinator, and that with the host's name after a stroke for each other host.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cim_provider.compat.names import Names, prefixed, text
from cim_provider.compat.single import home
from cim_provider.mapping.rule import Rule, computed, const
from cim_provider.mapping.subject import NULL_REF, Pool, Subject
from cim_provider.mapping.view import VIEWS, View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.ethernet_port import HostNetworkPort
from cim_provider.profiles.resource_pool import NetworkPool
from cim_provider.profiles.virtual_ethernet_switch import cards_of
from cim_provider.schema.objects import CIMV2, Path
from cim_provider.wire.model_path import model_path
from xenapi_core.model.power import is_guest

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

HOST_CLASS = "Xen_HostSystem"


def is_machine(version: Version) -> bool:
    """Whether a VM record is a machine: what libvirt has no word for has no name either."""
    return is_guest(version)


def disk_name(vbd: Subject | Version) -> str:
    """The name in the guest; as long as the guest has not given one, what it would be at this position."""
    values = vbd if isinstance(vbd, Subject) else vbd.values
    device, position = str(values["device"]), str(values["userdevice"])
    if device or not position.isdecimal() or int(position) >= len(string.ascii_lowercase):
        return device or position
    return "xvd" + string.ascii_lowercase[int(position)]


def mac(vif: Subject | Version) -> str:
    values = vif if isinstance(vif, Subject) else vif.values
    return str(values["MAC"]).lower()


def own_uuid(device: Subject | Version) -> str:
    values = device if isinstance(device, Subject) else device.values
    return str(values["uuid"])


DeviceName = Callable[["Subject | Version"], str]

# Class of a device's record -> what it is called within its machine, and the machine's inverse field.
DEVICES: dict[str, tuple[DeviceName, str]] = {
    "VBD": (disk_name, "VBDs"),
    "VIF": (mac, "VIFs"),
    "console": (own_uuid, "consoles"),
    "VTPM": (own_uuid, "VTPMs"),
    "VUSB": (own_uuid, "VUSBs"),
    "VGPU": (own_uuid, "VGPUs"),
}


class Naming:
    """The names of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.machines = Names(pool, "VM", counts=is_machine)
        self.hosts = Names(pool, "host", "hostname")
        self.stores = Names(pool, "SR")
        self.networks = Names(pool, "network")

    # rules

    def part(self, word: Callable[[Subject], str]) -> Rule:
        """<machine>/<word>, of what is part of the VM record."""

        def read(vm: Subject) -> str:
            return f"{self.machines.of(vm)}/{word(vm)}"

        return text(read, lambda pool, value: self.machines.record(str(value).rpartition("/")[0]))

    def device(self, cls: str) -> Rule:
        """<machine>/<device>, of a record of class `cls`."""
        name, _ = DEVICES[cls]

        def read(device: Subject) -> str | None:
            vm = device.follow("VM")
            return None if vm is None else f"{self.machines.of(vm)}/{name(device)}"

        return text(read, lambda pool, value: self.device_record(cls, str(value)))

    def device_record(self, cls: str, value: str) -> Version | None:
        """The record that <machine>/<device> names."""
        machine, _, word = value.rpartition("/")
        vm = self.machines.record(machine)
        name, inverse = DEVICES[cls]
        for version in map(self.pool.find, self.pool.related(vm.ref, inverse) if vm is not None else ()):
            if version is not None and name(version) == word:
                return version
        return None

    def of_host(self, literal: str, cls: str = "host") -> Rule:
        """The literal for the coordinator, <literal>/<host> for others. With a `literal` that ends in a stroke, 0 for
        the coordinator."""
        short, long = (literal + "0", literal) if literal.endswith("/") else (literal, literal + "/")

        def read(host: Subject) -> str:
            pool = host.only("pool")
            return short if pool is not None and pool["master"] == host.ref else long + self.hosts.of(host)

        def record_of(pool: Pool, value: object) -> Version | None:
            if value == short:
                masters = [pool.find(one.values["master"]) for one in pool.all("pool").values()]
                return next((one for one in masters if one is not None), None)
            return self.hosts.record(str(value).removeprefix(long))

        return text(read, record_of)

    def home_pool(self, literal: str) -> Rule:
        """The identifier of the pool, of one host each, that a VM draws on."""
        name = self.of_host(literal).read

        def read(vm: Subject) -> str | None:
            host = home(vm)
            return None if host is None else str(name(host))

        return text(read)

    def store_pool(self) -> Rule:
        return prefixed("DiskPool/", self.stores.rule())

    def network_pool(self) -> Rule:
        return prefixed("NetworkPool/", self.networks.rule())

    def role(self, cls: str, pool: Rule) -> Rule:
        """InstanceID of a setting that defines capabilities: <role> for the main record of `cls`, <role>/<pool> for
        others."""

        def read(subject: Subject) -> str:
            main = self._main(subject, cls)
            return str(subject.item) if main == subject.ref else f"{subject.item}/{pool.read(subject)}"

        def record_of(source: Pool, value: object) -> Version | None:
            _, stroke, rest = str(value).partition("/")
            if stroke:
                return None if pool.record_of is None else pool.record_of(source, rest)
            return source.find(self._main(Subject(source, None), cls))

        return text(read, record_of)

    @staticmethod
    def _main(subject: Subject, cls: str) -> str:
        """The reference of the coordinator, the default SR, or the network over which the coordinator is managed."""
        pool = subject.only("pool")
        if pool is None or cls == "SR":
            return NULL_REF if pool is None else str(pool["default_SR"])
        master = pool.follow("master")
        if master is None or cls == "host":
            return NULL_REF if master is None else master.ref
        return next((str(pif["network"]) for pif in master.each("PIFs") if pif["management"]), NULL_REF)

    def machine_identifier(self) -> Rule:
        """The name of the machine that a configuration is of; of a snapshot, that of the machine it was taken of."""

        def read(vm: Subject) -> str:
            machine = vm.follow("snapshot_of") if vm["is_a_snapshot"] else None
            return self.machines.of(machine or vm)

        return text(read)

    # paths that are values

    def uplink_cards(self, spaces: Mapping[str, str]) -> Rule:
        """The paths of the interfaces of hosts that an uplink is made of."""

        def path(pif: Subject) -> str:
            keys = {
                "SystemCreationClassName": HOST_CLASS, "SystemName": self.hosts.via("host").read(pif),
                "CreationClassName": HostNetworkPort.cim, "DeviceID": pif["uuid"],
            }  # fmt: skip
            return model_path(Path.of(HostNetworkPort.cim, keys, CIMV2), spaces)

        def read(pif: Subject) -> tuple[str, ...]:
            return tuple(sorted(map(path, cards_of(pif))))

        return computed(read)

    def pool_path(self, spaces: Mapping[str, str]) -> Rule:
        """The path of the pool of a network's interfaces."""
        identifier = self.network_pool().read

        def read(network: Subject) -> tuple[str, ...]:
            return (model_path(Path.of(NetworkPool.cim, {"InstanceID": identifier(network)}, CIMV2), spaces),)

        return computed(read)

    # systems

    def system_lines(self) -> dict[type[View], dict[str, Rule]]:
        """SystemCreationClassName and SystemName of everything that belongs to a machine or a host."""
        found: dict[type[View], dict[str, Rule]] = {}
        for view in VIEWS.values():
            declared = view.rules.get("SystemCreationClassName")
            system = None if declared is None else declared.constant
            if system == ComputerSystem.cim:
                found[view] = {"SystemName": self.machines.rule() if view.of == "VM" else self.machines.via("VM")}
            elif system == HostComputerSystem.cim:
                found[view] = {"SystemCreationClassName": const(HOST_CLASS), "SystemName": self._host_name(view)}
        return found

    def _host_name(self, view: type[View]) -> Rule:
        if view.of == "host":
            return self.hosts.rule()
        if view.of is not None:
            return self.hosts.via("host")

        def read(subject: Subject) -> str:
            pool = subject.only("pool")
            host = None if pool is None else pool.follow("master")
            return "" if host is None else self.hosts.of(host)

        return text(read)
