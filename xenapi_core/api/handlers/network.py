"""network: creating and destroying networks, their purposes, and bringing them up for VMs."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.network_records import attach_network
from xenapi_core.engine.steps.network_rules import LONGEST_BRIDGE, check_attachable, free_name
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Txn, Version

INTERNAL_MANAGEMENT = "is_host_internal_management_network"
RESERVED_BRIDGES = ("xen", "xapi", "vif", "tap", "eth")  # beginnings of names that the server and the host give
USUAL_MTU = 1500  # Ethernet's
NBD = {"nbd": "insecure_nbd", "insecure_nbd": "nbd"}  # purposes that exclude each other


@handles("network.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """A network; without a bridge name of its own it gets the next free xapi<n>, without an MTU that of Ethernet.

    BRIDGE_NAME_EXISTS [bridge]; INVALID_VALUE for a bridge name that is reserved or too long, and for an MTU that no
    interface can have.
    """
    bridges = {network["bridge"] for network in call.store.all("network").values()}
    bridge = values["bridge"]
    if bridge in bridges and bridge:
        raise E.BRIDGE_NAME_EXISTS(bridge)
    if bridge.startswith(RESERVED_BRIDGES) or len(bridge) > LONGEST_BRIDGE:
        raise E.INVALID_VALUE("bridge", bridge)
    mtu = values["MTU"] if values["MTU"] > 0 else USUAL_MTU
    if not 68 <= mtu <= 65535:  # RFC 791; the Ethernet driver's limit
        raise E.INVALID_VALUE("MTU", str(mtu))
    return call.create("network", {**values, "MTU": mtu, "bridge": bridge or free_name("xapi", bridges)})


@handles("network.pool_introduce")
def pool_introduce(
    call: CallContext,
    name: str,
    description: str,
    mtu: int,
    other_config: dict[str, str],
    bridge: str,
    managed: bool,
    purpose: tuple[str, ...],
) -> str:
    """A record as given: the bridge is that of the host that joins."""
    values = {"name_label": name, "name_description": description, "MTU": mtu, "bridge": bridge, "managed": managed}
    return call.create("network", {**values, "other_config": other_config, "purpose": purpose})


@handles("network.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """Also destroys the network's unattached VIFs.

    NETWORK_CONTAINS_PIF, NETWORK_CONTAINS_VIF, CANNOT_DESTROY_SYSTEM_NETWORK (API reference, devices).
    """
    network = call.get(ref, "network")
    vifs = [call.get(vif, "VIF") for vif in call.store.related(ref, "VIFs")]
    attached = [vif.ref for vif in vifs if vif["currently_attached"] or vif["reserved"]]
    if attached:
        raise E.NETWORK_CONTAINS_VIF(*attached)
    pifs = call.store.related(ref, "PIFs")
    if pifs:
        raise E.NETWORK_CONTAINS_PIF(*pifs)
    if network["other_config"].get(INTERNAL_MANAGEMENT) == "true":
        raise E.CANNOT_DESTROY_SYSTEM_NETWORK(ref)

    def write(txn: Txn) -> None:
        for vif in vifs:
            if not is_null(vif["metrics"]):
                txn.delete(vif["metrics"])
            txn.delete(vif.ref)
        txn.delete(ref)

    call.commit(write)


@handles("network.set_default_locking_mode")
def set_default_locking_mode(call: CallContext, ref: str, value: str) -> None:
    """VIF_IN_USE [network, VIF] while a VIF is attached: what it may send would change under it."""
    for vif in map(call.get, call.store.related(ref, "VIFs")):
        if vif["currently_attached"]:
            raise E.VIF_IN_USE(ref, vif.ref)
    call.update(ref, default_locking_mode=value)


@handles("network.attach")
def attach(call: CallContext, ref: str, host: str) -> None:
    """Brings up the interface of `host` on the network; an internal network is on every host as it is.

    HOST_OFFLINE; see network_rules.check_attachable.
    """
    _attach(call, (ref,), host)


@handles("network.attach_for_vm")
def attach_for_vm(call: CallContext, host: str, vm: str) -> None:
    """Bring up the interfaces of `host` on all networks of the VM. Errors as of network.attach."""
    _attach(call, _networks(call, vm), host)


@handles("network.detach_for_vm")
def detach_for_vm(call: CallContext, host: str, vm: str) -> None:
    """Nothing is left to take off: interfaces stay up until PIF.unplug, since other VMs and the host use them, and the
    bridge of an internal network comes and goes with the NICs on it. HOST_OFFLINE."""
    check_live(call.store, host)


def _networks(call: CallContext, vm: str) -> tuple[str, ...]:
    vifs = map(call.get, call.store.related(vm, "VIFs"))
    return tuple(dict.fromkeys(vif["network"] for vif in vifs if not is_null(vif["network"])))


def _attach(call: CallContext, networks: tuple[str, ...], host: str) -> None:
    check_live(call.store, host)
    for network in networks:
        check_attachable(call.store, network, host)

    def write(txn: Txn) -> None:
        for network in networks:
            attach_network(txn, network, host)

    call.commit(write)


def _purposes(network: Version) -> tuple[str, ...]:
    return tuple(network["purpose"])


@handles("network.add_purpose")
def add_purpose(call: CallContext, ref: str, value: str) -> None:
    """NETWORK_INCOMPATIBLE_PURPOSES [new, present]: the pool serves its disks either with TLS or without."""
    conflict = NBD[value]
    for network in call.store.all("network").values():
        if conflict in _purposes(network):
            raise E.NETWORK_INCOMPATIBLE_PURPOSES(value, conflict)
    old = _purposes(call.get(ref, "network"))
    if value not in old:
        call.update(ref, purpose=(*old, value))


@handles("network.remove_purpose")
def remove_purpose(call: CallContext, ref: str, value: str) -> None:
    old = _purposes(call.get(ref, "network"))
    call.update(ref, purpose=tuple(purpose for purpose in old if purpose != value))
