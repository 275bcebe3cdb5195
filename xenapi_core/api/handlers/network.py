"""network: making and destroying networks, and their purposes."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.store.api import Txn, Version

INTERNAL_MANAGEMENT = "is_host_internal_management_network"
LONGEST_BRIDGE = 15  # a Linux interface name
NBD = {"nbd": "insecure_nbd", "insecure_nbd": "nbd"}  # purposes that exclude each other


@handles("network.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """A network; without a bridge name of its own it gets the next free xapiN.

    BRIDGE_NAME_EXISTS [bridge]; INVALID_VALUE for a bridge name or MTU that no interface can have.
    """
    bridges = {network["bridge"] for network in call.store.all("network").values()}
    bridge = values["bridge"]
    if bridge in bridges and bridge:
        raise E.BRIDGE_NAME_EXISTS(bridge)
    if len(bridge) > LONGEST_BRIDGE:
        raise E.INVALID_VALUE("bridge", bridge)
    if not 68 <= values["MTU"] <= 65535:  # RFC 791; the Ethernet driver's limit
        raise E.INVALID_VALUE("MTU", str(values["MTU"]))
    if not bridge and values["managed"]:
        bridge = next(name for n in range(len(bridges) + 1) if (name := f"xapi{n}") not in bridges)
    return call.create("network", {**values, "bridge": bridge})


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
    """VIF_IN_USE [network, vif] while an attached VIF goes by the default."""
    for vif in map(call.get, call.store.related(ref, "VIFs")):
        if vif["currently_attached"] and vif["locking_mode"] == "network_default":
            raise E.VIF_IN_USE(ref, vif.ref)
    call.update(ref, default_locking_mode=value)


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
