"""VLAN: creating and destroying tagged networks, on one host or on all of them at once."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import network_records as records
from xenapi_core.engine.steps import network_rules as rules
from xenapi_core.errors import E
from xenapi_core.model.hosts import is_live
from xenapi_core.store.api import Txn, Version


def _make(call: CallContext, carriers: list[Version], tag: int, network: str) -> list[tuple[str, str]]:
    """A VLAN on each of the interfaces, or on none. Returns (VLAN, untagged interface) in their order."""
    for tagged in carriers:
        rules.check_vlan(call.store, tagged, tag, network)
    made: list[tuple[str, str]] = []

    def write(txn: Txn) -> None:
        made.extend(records.new_vlan(call.world, txn, tagged.ref, tag, network) for tagged in carriers)

    call.commit(write)
    return made


def _untagged(call: CallContext, host: str, device: str) -> Version:
    """The interface of that name. INVALID_VALUE ["device", device]."""
    for pif in map(call.get, call.store.related(host, "PIFs")):
        if pif["device"] == device and pif["VLAN"] < 0:
            return pif
    raise E.INVALID_VALUE("device", device)


@handles("VLAN.create")
def create(call: CallContext, tagged: str, tag: int, network: str) -> str:
    """A new VLAN, whose interface is up at once. Raises what network_rules.check_vlan does."""
    ((vlan, _),) = _make(call, [call.get(tagged, "PIF")], tag, network)
    return vlan


@handles("VLAN.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """What PIF.unplug raises for its untagged interface; PIF_TUNNEL_STILL_EXISTS while that carries a tunnel."""
    vlan = call.get(ref, "VLAN")
    untagged = call.store.find(vlan["untagged_PIF"])
    if untagged is not None:
        rules.check_unplug(call.store, untagged)
        if call.store.related(untagged.ref, "tunnel_transport_PIF_of"):
            raise E.PIF_TUNNEL_STILL_EXISTS(untagged.ref)
    call.commit(lambda txn: records.remove_vlan(txn, ref))


@handles("VLAN.pool_introduce")
def pool_introduce(call: CallContext, tagged: str, untagged: str, tag: int, other_config: dict[str, str]) -> str:
    """VLAN_TAG_INVALID; INVALID_VALUE for an untagged interface that itself carries the tagged one."""
    rules.check_tag(tag)
    if rules.carries(call.store, untagged, tagged):
        raise E.INVALID_VALUE("untagged_PIF", untagged)
    ids = call.services.ids
    ref = ids.ref()
    values = {"tagged_PIF": tagged, "untagged_PIF": untagged, "tag": tag, "other_config": other_config}

    def write(txn: Txn) -> None:
        txn.create("VLAN", ref, {"uuid": ids.uuid(), **values})
        txn.update(untagged, VLAN_master_of=ref)

    call.commit(write)
    return ref


@handles("pool.create_VLAN")
def create_everywhere(call: CallContext, device: str, network: str, tag: int) -> tuple[str, ...]:
    """A VLAN interface on `device` of every host, or of none. INVALID_VALUE ["device", device]; what VLAN.create
    raises."""
    rules.check_tag(tag)
    carriers = [_untagged(call, host, device) for host in call.store.all("host")]
    return tuple(pif for _, pif in _make(call, carriers, tag, network))


@handles("pool.create_VLAN_from_PIF")
def create_beside(call: CallContext, pif: str, network: str, tag: int) -> tuple[str, ...]:
    """A VLAN interface on what joins the network of `pif` on each host that answers, or on none of them."""
    rules.check_tag(tag)
    shared = call.get(pif, "PIF")["network"]
    pifs = map(call.get, call.store.related(shared, "PIFs"))
    carriers = [pif for pif in pifs if is_live(call.store, call.get(pif["host"], "host"))]
    return tuple(made for _, made in _make(call, carriers, tag, network))


# The deprecated forms, in terms of the others


@handles("PIF.create_VLAN")
def create_on_device(call: CallContext, device: str, network: str, host: str, tag: int) -> str:
    """INVALID_VALUE ["device", device]; what VLAN.create raises."""
    ((_, pif),) = _make(call, [_untagged(call, host, device)], tag, network)
    return pif


@handles("PIF.destroy")
def destroy_interface(call: CallContext, ref: str) -> None:
    """PIF_IS_PHYSICAL [PIF] for what is no VLAN; what VLAN.destroy raises."""
    pif = call.get(ref, "PIF")
    if pif["VLAN"] < 0:
        raise E.PIF_IS_PHYSICAL(ref)
    destroy(call, pif["VLAN_master_of"])
