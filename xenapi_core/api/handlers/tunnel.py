"""tunnel: private networks between hosts, carried by an interface of each."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import network_records as records
from xenapi_core.engine.plans import network_rules as rules
from xenapi_core.errors import E
from xenapi_core.store.api import Txn, Version


@handles("tunnel.create")
def create(call: CallContext, transport: str, network: str, protocol: str) -> str:
    """NETWORK_UNMANAGED, PIF_UNMANAGED, CANNOT_ADD_TUNNEL_TO_BOND_SLAVE, NETWORK_ALREADY_CONNECTED,
    OPENVSWITCH_NOT_ACTIVE, IS_TUNNEL_ACCESS_PIF, CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL,
    CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL, NETWORK_INCOMPATIBLE_WITH_TUNNEL, TRANSPORT_PIF_NOT_CONFIGURED,
    HOST_OFFLINE: in this order. The access interface is up at once; the tunnel is active when something reports so in
    `status`."""
    carrier = call.get(transport, "PIF")
    _check(call, carrier, network)
    world = call.world
    ref = world.ids.ref()

    def write(txn: Txn) -> None:
        taken = {txn.get(pif)["device"] for pif in txn.related(carrier["host"], "PIFs")}
        access = records.new_pif(
            world, txn, device=rules.free_name("tunnel", taken), network=network, host=carrier["host"],
            MAC=world.ids.mac(ref, "tunnel"), MTU=txn.get(network)["MTU"], metrics=carrier["metrics"],
        )  # fmt: skip
        values = {"access_PIF": access, "transport_PIF": transport, "protocol": protocol}
        txn.create("tunnel", ref, {"uuid": world.ids.uuid(), **values})
        records.bring_up(txn, access)

    call.commit(write)
    return ref


def _check(call: CallContext, carrier: Version, network: str) -> None:
    store = call.store
    rules.check_network_managed(store, network)
    rules.check_managed(carrier)
    if rules.is_bonded(store, carrier):
        raise E.CANNOT_ADD_TUNNEL_TO_BOND_SLAVE(carrier.ref)
    rules.check_not_connected(store, network, carrier["host"])
    if any(host["software_version"].get("network_backend") != "openvswitch" for host in store.all("host").values()):
        raise E.OPENVSWITCH_NOT_ACTIVE()
    if store.related(carrier.ref, "tunnel_access_PIF_of"):
        raise E.IS_TUNNEL_ACCESS_PIF(carrier.ref)
    if rules.is_sriov_logical(store, carrier.ref):
        raise E.CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL(carrier.ref)
    if rules.is_above_sriov(store, carrier.ref):
        raise E.CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL(carrier.ref)
    if rules.serves_sriov(store, network):
        raise E.NETWORK_INCOMPATIBLE_WITH_TUNNEL(network)
    rules.check_transport(carrier)
    rules.check_plug(store, carrier)


@handles("tunnel.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """What PIF.unplug raises for its access interface."""
    access = call.store.find(call.get(ref, "tunnel")["access_PIF"])
    if access is not None:
        rules.check_unplug(call.store, access)

    def write(txn: Txn) -> None:
        if access is not None:
            records.remove_pif(txn, access.ref)
        txn.delete(ref)

    call.commit(write)
