"""Creating a tunnel: for tunnel.create, and for a host that gets the tunnels of the coordinator (network_copies.py)."""

from __future__ import annotations

from xenapi_core.engine.network_records import bring_up, new_pif
from xenapi_core.engine.plan import World
from xenapi_core.engine.steps import network_rules as rules
from xenapi_core.errors import E
from xenapi_core.store.api import Store, Txn, Version


def check_tunnel(store: Store, transport: Version, network: str) -> None:
    """Raise why no tunnel can be made: in this order,

    NETWORK_UNMANAGED; PIF_UNMANAGED; CANNOT_ADD_TUNNEL_TO_BOND_SLAVE; NETWORK_ALREADY_CONNECTED;
    OPENVSWITCH_NOT_ACTIVE; IS_TUNNEL_ACCESS_PIF; CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL;
    CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL; NETWORK_INCOMPATIBLE_WITH_TUNNEL; TRANSPORT_PIF_NOT_CONFIGURED;
    HOST_OFFLINE.
    """
    rules.check_network_managed(store, network)
    rules.check_managed(transport)
    if rules.is_bonded(store, transport):
        raise E.CANNOT_ADD_TUNNEL_TO_BOND_SLAVE(transport.ref)
    rules.check_not_connected(store, network, transport["host"])
    if any(host["software_version"].get("network_backend") != "openvswitch" for host in store.all("host").values()):
        raise E.OPENVSWITCH_NOT_ACTIVE()
    if store.related(transport.ref, "tunnel_access_PIF_of"):
        raise E.IS_TUNNEL_ACCESS_PIF(transport.ref)
    if rules.is_sriov_logical(store, transport.ref):
        raise E.CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL(transport.ref)
    if rules.is_above_sriov(store, transport.ref):
        raise E.CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL(transport.ref)
    if rules.serves_sriov(store, network):
        raise E.NETWORK_INCOMPATIBLE_WITH_TUNNEL(network)
    rules.check_transport(transport)
    rules.check_plug(store, transport)


def new_tunnel(world: World, txn: Txn, transport: str, network: str, protocol: str) -> str:
    """A tunnel whose access interface is up; it is active when something reports so in `status`. Returns the tunnel."""
    carrier, tunnel = txn.get(transport, "PIF"), world.ids.ref()
    taken = {txn.get(pif)["device"] for pif in txn.related(carrier["host"], "PIFs")}
    access = new_pif(
        world, txn, device=rules.free_name("tunnel", taken), network=network, host=carrier["host"],
        MAC=world.ids.mac(tunnel, "tunnel"), MTU=txn.get(network)["MTU"], metrics=carrier["metrics"],
    )  # fmt: skip
    values = {"access_PIF": access, "transport_PIF": transport, "protocol": protocol}
    txn.create("tunnel", tunnel, {"uuid": world.ids.uuid(), **values})
    bring_up(txn, access)
    return tunnel
