"""Checks of operations on networks and host interfaces, with the errors they raise.

Rule 1: everything here reads records and returns or raises; nothing writes and nothing awaits.
Rule 2: an interface is above another one if it gets its frames from it: a VLAN above the interface that carries the
        tag, the access end of a tunnel above its transport, an SR-IOV interface above the card. A bond is no such
        relation: its members stand in for nothing of their own while they are members.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from xenapi_core.errors import ApiError, E
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Store, Version

HIGHEST_TAG: Final = 4094  # 4095 is reserved (IEEE 802.1Q)
LONGEST_BRIDGE: Final = 15  # the name of a Linux interface
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\Z")
_FAMILY: Final = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
_INTERFACE: Final = {4: ipaddress.IPv4Interface, 6: ipaddress.IPv6Interface}


# Hosts and the pool


def ha_enabled(store: Store) -> bool:
    return any(pool["ha_enabled"] for pool in store.all("pool").values())


def check_unprotected(store: Store, pif: Version) -> None:
    """HA_IS_ENABLED, REDO_LOG_IS_ENABLED: both rely on the interfaces that are up."""
    if not pif["currently_attached"]:
        return
    for pool in store.all("pool").values():
        if pool["ha_enabled"]:
            raise E.HA_IS_ENABLED()
        if pool["redo_log_enabled"]:
            raise E.REDO_LOG_IS_ENABLED()


def check_no_cluster(store: Store, pif: Version) -> None:
    """CLUSTERING_ENABLED [cluster_host] while the cluster of the host talks over the interface."""
    for member in store.all("Cluster_host").values():
        if member["PIF"] == pif.ref and member["enabled"]:
            raise E.CLUSTERING_ENABLED(member.ref)


# What an interface is


def is_bonded(store: Store, pif: Version) -> bool:
    """Whether it is a member of a bond that exists."""
    return store.find(pif["bond_slave_of"]) is not None


def is_sriov_logical(store: Store, pif: str) -> bool:
    return bool(store.related(pif, "sriov_logical_PIF_of"))


def is_above_sriov(store: Store, pif: str) -> bool:
    """Whether it is a VLAN of an SR-IOV interface."""
    vlan = store.find(store.get(pif)["VLAN_master_of"])
    return vlan is not None and is_sriov_logical(store, vlan["tagged_PIF"])


def above(store: Store, pif: str) -> list[Version]:
    """The interfaces that get their frames from this one."""
    refs = [store.get(vlan)["untagged_PIF"] for vlan in store.related(pif, "VLAN_slave_of")]
    refs += [store.get(tunnel)["access_PIF"] for tunnel in store.related(pif, "tunnel_transport_PIF_of")]
    refs += [store.get(sriov)["logical_PIF"] for sriov in store.related(pif, "sriov_physical_PIF_of")]
    found = map(store.find, refs)
    return [version for version in found if version is not None]


def carries(store: Store, lower: str, pif: str) -> bool:
    """Whether `pif` is the interface `lower`, or gets its frames from it, directly or through others."""
    seen, left = {lower}, [lower]
    while left:
        for upper in above(store, left.pop()):
            if upper.ref not in seen:
                seen.add(upper.ref)
                left.append(upper.ref)
    return pif in seen


def pifs_of(store: Store, network: str, host: str) -> list[Version]:
    """The interfaces that join `network` on `host`."""
    found = map(store.get, store.related(network, "PIFs"))
    return [pif for pif in found if pif["host"] == host]


def check_managed(pif: Version) -> None:
    """PIF_UNMANAGED [PIF]."""
    if not pif["managed"]:
        raise E.PIF_UNMANAGED(pif.ref)


def check_network_managed(store: Store, network: str) -> None:
    """NETWORK_UNMANAGED [network]."""
    if not store.get(network, "network")["managed"]:
        raise E.NETWORK_UNMANAGED(network)


def check_not_connected(store: Store, network: str, host: str) -> None:
    """NETWORK_ALREADY_CONNECTED [network, PIF]: a host has one interface at most on a network."""
    present = pifs_of(store, network, host)
    if present:
        raise E.NETWORK_ALREADY_CONNECTED(network, present[0].ref)


def serves_sriov(store: Store, network: str) -> bool:
    """Whether the interfaces on `network` are SR-IOV ones, or VLANs of such: no others can join it."""
    return any(is_sriov_logical(store, pif) or is_above_sriov(store, pif) for pif in store.related(network, "PIFs"))


def check_independent(store: Store, pif: Version) -> None:
    """Raise what else depends on the interface, or what it depends on.

    PIF_ALREADY_BONDED, PIF_VLAN_STILL_EXISTS, PIF_TUNNEL_STILL_EXISTS, PIF_SRIOV_STILL_EXISTS,
    CANNOT_FORGET_SRIOV_LOGICAL, each [PIF].
    """
    if is_bonded(store, pif) or store.related(pif.ref, "bond_master_of"):
        raise E.PIF_ALREADY_BONDED(pif.ref)
    if store.related(pif.ref, "VLAN_slave_of") or pif["VLAN"] >= 0:
        raise E.PIF_VLAN_STILL_EXISTS(pif.ref)
    if store.related(pif.ref, "tunnel_transport_PIF_of") or store.related(pif.ref, "tunnel_access_PIF_of"):
        raise E.PIF_TUNNEL_STILL_EXISTS(pif.ref)
    if store.related(pif.ref, "sriov_physical_PIF_of"):
        raise E.PIF_SRIOV_STILL_EXISTS(pif.ref)
    if is_sriov_logical(store, pif.ref):
        raise E.CANNOT_FORGET_SRIOV_LOGICAL(pif.ref)


def check_not_management_of_member(store: Store, pif: Version) -> None:
    """PIF_IS_MANAGEMENT_INTERFACE [PIF]: without it a member of the pool loses its coordinator."""
    is_coordinator = any(pool["master"] == pif["host"] for pool in store.all("pool").values())
    if pif["management"] and pif["currently_attached"] and not is_coordinator:
        raise E.PIF_IS_MANAGEMENT_INTERFACE(pif.ref)


# Up and down


def check_plug(store: Store, pif: Version) -> None:
    """Raise why the interface cannot be brought up, or what it needs below it cannot.

    HOST_OFFLINE; PIF_UNMANAGED; CANNOT_PLUG_BOND_SLAVE; TRANSPORT_PIF_NOT_CONFIGURED [transport PIF] for a tunnel.
    """
    check_live(store, pif["host"])
    check_managed(pif)
    if is_bonded(store, pif):
        raise E.CANNOT_PLUG_BOND_SLAVE(pif.ref)
    for tunnel in map(store.get, store.related(pif.ref, "tunnel_access_PIF_of")):
        transport = store.get(tunnel["transport_PIF"], "PIF")
        check_transport(transport)
        check_plug(store, transport)


def check_transport(transport: Version) -> None:
    """TRANSPORT_PIF_NOT_CONFIGURED [PIF]: a tunnel is carried between addresses."""
    if transport["ip_configuration_mode"] == "None":
        raise E.TRANSPORT_PIF_NOT_CONFIGURED(transport.ref)


def check_unplug(store: Store, pif: Version) -> None:
    """Raise why the interface cannot be brought down, or one that is above it and up.

    HOST_OFFLINE; PIF_UNMANAGED; HA_IS_ENABLED; REDO_LOG_IS_ENABLED; PIF_IS_MANAGEMENT_INTERFACE;
    HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN; VIF_IN_USE [network, VIF]; PIF_DOES_NOT_ALLOW_UNPLUG; CLUSTERING_ENABLED;
    PIF_HAS_FCOE_SR_IN_USE [PIF, SR].
    """
    check_live(store, pif["host"])
    check_managed(pif)
    check_unprotected(store, pif)
    if pif["management"] and pif["currently_attached"]:
        raise E.PIF_IS_MANAGEMENT_INTERFACE(pif.ref)
    vifs = [store.get(vif) for vif in store.related(pif["network"], "VIFs")]
    _check_failover_plan(store, pif, vifs)
    for vif in vifs:
        vm = store.find(vif["VM"])
        if vif["currently_attached"] and vm is not None and vm["resident_on"] == pif["host"]:
            raise E.VIF_IN_USE(pif["network"], vif.ref)
    if pif["disallow_unplug"]:
        raise E.PIF_DOES_NOT_ALLOW_UNPLUG(pif.ref)
    check_no_cluster(store, pif)
    _check_fcoe(store, pif)
    for upper in above(store, pif.ref):
        if upper["currently_attached"]:
            check_unplug(store, upper)


def _check_failover_plan(store: Store, pif: Version, vifs: list[Version]) -> None:
    """A protected VM must be able to restart on every enabled host, so its networks must be there."""
    overcommit = all(pool["ha_allow_overcommit"] for pool in store.all("pool").values())
    if not ha_enabled(store) or overcommit or not store.get(pif["host"])["enabled"]:
        return
    for vif in vifs:
        vm = store.find(vif["VM"])
        if vm is not None and vm["ha_restart_priority"] == "restart":
            raise E.HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN()


def _check_fcoe(store: Store, pif: Version) -> None:
    """Which card reaches a Fibre Channel over Ethernet repository is not recorded: any capable one may."""
    if "fcoe" not in pif["capabilities"]:
        return
    for pbd in map(store.get, store.related(pif["host"], "PBDs")):
        sr = store.find(pbd["SR"])
        if pbd["currently_attached"] and sr is not None and sr["type"] == "lvmofcoe":
            raise E.PIF_HAS_FCOE_SR_IN_USE(pif.ref, sr.ref)


def check_attachable(store: Store, network: str, host: str) -> None:
    """Raise why VMs on `host` cannot be connected to `network`.

    BRIDGE_NOT_AVAILABLE [bridge] for a network that the server does not manage and no interface is known to serve;
    HOST_CANNOT_ATTACH_NETWORK [host, network] where other hosts have interfaces and this one none of use.
    """
    record = store.get(network, "network")
    present = pifs_of(store, network, host)
    if not record["managed"]:
        if not any(pif["currently_attached"] for pif in present):
            raise E.BRIDGE_NOT_AVAILABLE(record["bridge"])
        return
    internal = not store.related(network, "PIFs")
    usable = any(not is_bonded(store, pif) for pif in present)
    if not internal and not usable:
        raise E.HOST_CANNOT_ATTACH_NETWORK(host, network)


# VLANs, and the management interface


def check_vlan(store: Store, tagged: Version, tag: int, network: str) -> None:
    """Raise why no VLAN can be made: in this order,

    NETWORK_UNMANAGED; PIF_UNMANAGED; HOST_OFFLINE; NETWORK_ALREADY_CONNECTED; CANNOT_ADD_VLAN_TO_BOND_SLAVE [PIF];
    PIF_IS_VLAN [PIF]; VLAN_TAG_INVALID [tag]; PIF_VLAN_EXISTS [device]; IS_TUNNEL_ACCESS_PIF [PIF];
    NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE [network].
    """
    check_network_managed(store, network)
    check_managed(tagged)
    check_live(store, tagged["host"])
    check_not_connected(store, network, tagged["host"])
    if is_bonded(store, tagged):
        raise E.CANNOT_ADD_VLAN_TO_BOND_SLAVE(tagged.ref)
    if tagged["VLAN"] >= 0:
        raise E.PIF_IS_VLAN(tagged.ref)
    check_tag(tag)
    if any(store.get(vlan)["tag"] == tag for vlan in store.related(tagged.ref, "VLAN_slave_of")):
        raise E.PIF_VLAN_EXISTS(tagged["device"])
    if store.related(tagged.ref, "tunnel_access_PIF_of"):
        raise E.IS_TUNNEL_ACCESS_PIF(tagged.ref)
    if serves_sriov(store, network) and not is_sriov_logical(store, tagged.ref):
        raise E.NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE(network)


def check_tag(tag: int) -> None:
    """VLAN_TAG_INVALID [tag]."""
    if not 0 <= tag <= HIGHEST_TAG:
        raise E.VLAN_TAG_INVALID(str(tag))


def check_manageable(store: Store, pif: Version) -> None:
    """Raise why a host cannot be managed through the interface.

    HOST_OFFLINE; CANNOT_PLUG_BOND_SLAVE; PIF_HAS_NO_NETWORK_CONFIGURATION; PIF_HAS_NO_V6_NETWORK_CONFIGURATION.
    """
    check_live(store, pif["host"])
    if is_bonded(store, pif):
        raise E.CANNOT_PLUG_BOND_SLAVE(pif.ref)
    if pif["primary_address_type"] == "IPv4" and pif["ip_configuration_mode"] == "None":
        raise E.PIF_HAS_NO_NETWORK_CONFIGURATION(pif.ref)
    if pif["primary_address_type"] == "IPv6" and pif["ipv6_configuration_mode"] == "None":
        raise E.PIF_HAS_NO_V6_NETWORK_CONFIGURATION(pif.ref)


# Addresses


def check_mac(mac: str) -> None:
    """MAC_INVALID [mac] for what is no six octets, or a multicast address, which no interface can have."""
    if not _MAC.match(mac) or int(mac[:2], 16) & 1:
        raise E.MAC_INVALID(mac)


def check_ip(parameter: str, text: str, version: int) -> None:
    """INVALID_IP_ADDRESS_SPECIFIED [parameter]."""
    try:
        _FAMILY[version](text)
    except ValueError:
        raise E.INVALID_IP_ADDRESS_SPECIFIED(parameter) from None


def parse_cidr(parameter: str, text: str, version: int, error: str = "INVALID_CIDR_ADDRESS_SPECIFIED") -> str:
    """The address in "address/length". `error` [parameter] if it is none, or the length is missing."""
    address, slash, length = text.partition("/")
    try:
        if not slash or not (length.isascii() and length.isdigit()):
            raise ValueError(text)
        _INTERFACE[version](text)
    except ValueError:
        failure: ApiError = E.by_code[error](parameter)
        raise failure from None
    return address


def check_allowed(field: str, addresses: Iterable[str]) -> None:
    """INVALID_VALUE [field, address] for what is no address of the family that `field` ("ipv4_allowed"...) is for."""
    family = _FAMILY[4 if field.startswith("ipv4") else 6]
    for address in addresses:
        try:
            family(address)
        except ValueError:
            raise E.INVALID_VALUE(field, address) from None


def free_name(stem: str, taken: set[str]) -> str:
    """The first of stem0, stem1... that is not taken."""
    return next(name for n in range(len(taken) + 1) if (name := f"{stem}{n}") not in taken)


def bridge_of(device: str, taken: set[str]) -> str:
    """The bridge of a physical interface: xenbr3 for eth3, br<name> for others, xapi<n> where that is too long."""
    bridge = f"xenbr{device[3:]}" if device.startswith("eth") else f"br{device}"
    return bridge if len(bridge) <= LONGEST_BRIDGE else free_name("xapi", taken)
