"""DSP1041: adds hosts to storage pools and NICs to network pools, for the pool configuration service.

Rule 1: HostResources are devices of hosts. A storage pool takes the hosts they belong to (a PBD each); without any, the
        host of the service. All devices of a host mean one connection.
Rule 2: a network takes several cards of one host as a bond, and one card as the carrier of its VLAN if it has one on
        another host: its tag is that of the network. A card alone is in the network it was made with.
Rule 3: what is removed can be brought back; so removals are undone like additions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.method import Call
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.schema.objects import Path

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

# Views of devices of hosts that are records of their own; the memory of a host is the host's record.
DEVICES = ("Xen_HostNetworkPort", "Xen_HostProcessor", "Xen_HostMemory")
PORT = DEVICES[0]
BOND_MODE = "balance-slb"


def hosts_of(call: Call, devices: tuple[Path, ...] | None) -> list[str]:
    """References of the hosts that devices belong to. RefusedError, CimError NOT_FOUND."""
    if not devices:
        return [call.subject.ref]
    found = (call.target(path, "HostResources", *DEVICES) for path in devices)
    return list(dict.fromkeys(each.ref if each.version.cls == "host" else str(each["host"]) for each in found))


def _ports(call: Call, devices: tuple[Path, ...] | None) -> list[Version]:
    if not devices:
        raise invalid("HostResources is missing")
    found = {each.ref: each.version for each in (call.target(path, "HostResources", PORT) for path in devices)}
    return list(found.values())


def _unsupported(why: str) -> RefusedError:
    return RefusedError(Kind.NOT_SUPPORTED, why)


# Storage


def connect_hosts(call: Call, sr: Subject, devices: tuple[Path, ...] | None) -> jobs.Body:
    """6 for a host that is connected already; the new connections are made like a present one."""
    jobs.require(call, "PBD.create", "PBD.plug")
    hosts, present = hosts_of(call, devices), list(sr.each("PBDs"))
    if not present:
        raise invalid("no host is connected, so nothing says how")
    known = {str(pbd["host"]): pbd for pbd in present}
    if any(known[host]["currently_attached"] for host in hosts if host in known):
        raise RefusedError(Kind.IN_USE, "that host has the storage already")
    config = dict(present[0]["device_config"])

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(hosts)
        for host in hosts:
            pbd = known[host].ref if host in known else ""
            if not pbd:
                record = {"host": host, "SR": sr.ref, "device_config": config, "other_config": {}}
                pbd = await work.run("PBD.create", record)
                await work.undo("PBD.destroy", pbd)
            await work.run("PBD.plug", pbd)
            await work.undo("PBD.unplug", pbd)
        return {}

    return body


def disconnect_hosts(call: Call, sr: Subject, devices: tuple[Path, ...] | None) -> jobs.Body:
    """5 for a host that is not connected."""
    jobs.require(call, "PBD.unplug", "PBD.destroy")
    known = {str(pbd["host"]): pbd.version for pbd in sr.each("PBDs")}
    hosts = hosts_of(call, devices)
    if any(host not in known for host in hosts):
        raise invalid("that host is not connected to the storage")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(hosts)
        for pbd in (known[host] for host in hosts):
            if pbd.values["currently_attached"]:
                await work.run("PBD.unplug", pbd.ref)
                await work.undo("PBD.plug", pbd.ref)
        for pbd in (known[host] for host in hosts):  # what cannot be taken back under its reference comes last
            await work.run("PBD.destroy", pbd.ref)
        return {}

    return body


# Networks


def connect_ports(call: Call, network: Subject, devices: tuple[Path, ...] | None) -> jobs.Body:
    """The job that adds cards of a host to a network, as a bond or as the carrier of a VLAN (rule 2). RefusedError
    NOT_SUPPORTED for one card and a network without a VLAN."""
    ports = _ports(call, devices)
    tags = {pif["VLAN"] for pif in network.each("PIFs") if pif["VLAN"] >= 0}
    if len(ports) == 1 and tags:
        jobs.require(call, "VLAN.create")
        return _carry(network, ports[0], tags.pop())
    if len(ports) == 1:
        raise _unsupported("a card is in the network it was made with; several make a bond")
    if len({port.values["host"] for port in ports}) != 1:
        raise invalid("a bond has cards of one host")
    jobs.require(call, "Bond.create")
    return _bond(network, ports)


def _carry(network: Subject, port: Version, tag: int) -> jobs.Body:
    async def body(work: Work) -> Mapping[str, Any]:
        vlan = await work.run("VLAN.create", port.ref, tag, network.ref)
        await work.undo("VLAN.destroy", vlan)
        return {}

    return body


def _bond(network: Subject, ports: list[Version]) -> jobs.Body:
    async def body(work: Work) -> Mapping[str, Any]:
        members = tuple(port.ref for port in ports)
        bond = await work.run("Bond.create", network.ref, members, "", BOND_MODE, {})
        await work.undo("Bond.destroy", bond)
        return {}

    return body


def disconnect_ports(call: Call, network: Subject, devices: tuple[Path, ...] | None) -> jobs.Body:
    """The VLANs and bonds of the network that these cards carry, or are. RefusedError NOT_SUPPORTED for a card that
    belongs to the network itself, INVALID_PARAMETER for one that does not."""
    jobs.require(call, "VLAN.destroy", "Bond.destroy")
    chosen = {port.ref for port in _ports(call, devices)}
    calls: dict[str, str] = {}
    for pif in network.each("PIFs"):
        vlan, bonds = pif.follow("VLAN_master_of"), list(pif.each("bond_master_of"))
        if vlan is not None and chosen & {pif.ref, str(vlan["tagged_PIF"])}:
            calls[vlan.ref] = "VLAN.destroy"
            chosen -= {pif.ref, str(vlan["tagged_PIF"])}
        for bond in bonds:
            members = {member.ref for member in bond.each("slaves")}
            if pif.ref in chosen or members <= chosen:
                calls[bond.ref] = "Bond.destroy"
                chosen -= {pif.ref, *members}
    if chosen & {pif.ref for pif in network.each("PIFs")}:
        raise _unsupported("a card is in the network it was made with")
    if chosen:
        raise invalid("that card is not connected to the network")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(calls)
        for ref, method in calls.items():
            await work.run(method, ref)
        return {}

    return body
