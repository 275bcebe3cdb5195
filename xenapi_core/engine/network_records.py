"""Changes of interface records that several operations share: up and down, created, moved and removed.

Rule 1: every function here writes in the transaction it is given and decides nothing; steps/network_rules.py has
        refused what may not be.
Rule 2: what is up stands on something that is up, and nothing stays up on what went down.
Rule 3: records that were introduced as they are (PIF.db_introduce, VLAN.pool_introduce) may stand on each other in a
        circle; whoever walks from interface to interface passes each once.
Rule 4: a VLAN and a tunnel share the PIF_metrics of the hardware below them; hardware and bonds have their own.
"""

from __future__ import annotations

from typing import Any, Final

from xenapi_core.engine.plan import World
from xenapi_core.ids import NULL_REF
from xenapi_core.store.api import Txn

VLAN_MAC: Final = "fe:ff:ff:ff:ff:ff"  # what the bridge of a VLAN has, as on XenServer: frames keep their own addresses

# The addresses of the host on an interface, as an interface without any has them.
NO_ADDRESSES: Final[dict[str, Any]] = {
    "ip_configuration_mode": "None", "IP": "", "netmask": "", "gateway": "", "DNS": "",
    "ipv6_configuration_mode": "None", "IPv6": (), "ipv6_gateway": "",
}  # fmt: skip


def bring_up(txn: Txn, pif: str, *, passed: frozenset[str] = frozenset()) -> None:
    """Connect the interface to its network, after what carries it. The members of a bond are then no longer used by
    themselves. `passed`: interfaces whose turn is coming already."""
    values = txn.get(pif, "PIF")
    passed |= {pif}
    for carrier in _carriers(txn, pif):
        if carrier not in passed:
            bring_up(txn, carrier, passed=passed)
    if not values["currently_attached"]:
        txn.update(pif, currently_attached=True)
    for bond in txn.related(pif, "bond_master_of"):
        for member in txn.related(bond, "slaves"):
            txn.update(member, currently_attached=False)


def take_down(txn: Txn, pif: str, *, passed: frozenset[str] = frozenset()) -> None:
    """Disconnect the interface, after everything it carries. `passed`: interfaces whose turn is coming already."""
    passed |= {pif}
    carried = [txn.get(vlan)["untagged_PIF"] for vlan in txn.related(pif, "VLAN_slave_of")]
    carried += [txn.get(tunnel)["access_PIF"] for tunnel in txn.related(pif, "tunnel_transport_PIF_of")]
    carried += [txn.get(sriov)["logical_PIF"] for sriov in txn.related(pif, "sriov_physical_PIF_of")]
    for other in carried:
        if other not in passed and txn.find(other) is not None:
            take_down(txn, other, passed=passed)
    txn.update(pif, currently_attached=False)


def _carriers(txn: Txn, pif: str) -> list[str]:
    found = []
    vlan = txn.find(txn.get(pif)["VLAN_master_of"])
    if vlan is not None and vlan["untagged_PIF"] == pif:  # records that clients introduce may name any VLAN
        found.append(vlan["tagged_PIF"])
    found += [txn.get(tunnel)["transport_PIF"] for tunnel in txn.related(pif, "tunnel_access_PIF_of")]
    found += [txn.get(sriov)["physical_PIF"] for sriov in txn.related(pif, "sriov_logical_PIF_of")]
    return [carrier for carrier in found if txn.find(carrier) is not None]


def attach_network(txn: Txn, network: str, host: str) -> None:
    """Bring up what joins `network` on `host`, as a VM that arrives there needs it."""
    for pif in txn.related(network, "PIFs"):
        values = txn.get(pif)
        if values["host"] == host and values["managed"] and txn.find(values["bond_slave_of"]) is None:
            bring_up(txn, pif)


def new_metrics(world: World, txn: Txn, **values: Any) -> str:
    """A fresh PIF_metrics record."""
    given = {"uuid": world.ids.uuid(), "last_updated": world.clock.now(), **values}
    return txn.create("PIF_metrics", world.ids.ref(), given)


def new_pif(world: World, txn: Txn, ref: str = "", **values: Any) -> str:
    """A fresh interface that is down and has no addresses; `values` as far as they are known. Returns its reference."""
    given = {
        "uuid": world.ids.uuid(), "VLAN": -1, "physical": False, "currently_attached": False,
        "device_name": values["device"], **values,
    }  # fmt: skip
    return txn.create("PIF", ref or world.ids.ref(), given)


def remove_pif(txn: Txn, pif: str) -> None:
    """Take the interface down and delete it."""
    take_down(txn, pif)
    delete_pif(txn, pif)


def delete_pif(txn: Txn, pif: str) -> None:
    """Delete the record of an interface, with measurements that are its own (rule 4)."""
    values = txn.get(pif, "PIF")
    shared = values["VLAN"] >= 0 or txn.related(pif, "tunnel_access_PIF_of")
    if not shared:
        txn.delete(values["metrics"])
    txn.delete(pif)


def new_vlan(world: World, txn: Txn, tagged: str, tag: int, network: str) -> tuple[str, str]:
    """A VLAN that is up. Returns the VLAN and its untagged interface."""
    carrier = txn.get(tagged, "PIF")
    vlan = world.ids.ref()
    untagged = new_pif(
        world, txn, device=carrier["device"], device_name=carrier["device_name"], network=network, host=carrier["host"],
        MAC=VLAN_MAC, MTU=carrier["MTU"], VLAN=tag, metrics=carrier["metrics"], VLAN_master_of=vlan,
    )  # fmt: skip
    txn.create("VLAN", vlan, {"uuid": world.ids.uuid(), "tagged_PIF": tagged, "untagged_PIF": untagged, "tag": tag})
    bring_up(txn, untagged)
    return vlan, untagged


def remove_vlan(txn: Txn, vlan: str) -> None:
    """Delete a VLAN and its untagged interface."""
    untagged = txn.get(vlan, "VLAN")["untagged_PIF"]
    if txn.find(untagged) is not None:
        remove_pif(txn, untagged)
    txn.delete(vlan)


def move_vlan(txn: Txn, vlan: str, carrier: str) -> None:
    """Have another interface carry the VLAN; the networks of guests do not notice."""
    target = txn.get(carrier)
    txn.update(vlan, tagged_PIF=carrier)
    txn.update(txn.get(vlan)["untagged_PIF"], device=target["device"], metrics=target["metrics"])


def move_tunnel(txn: Txn, tunnel: str, carrier: str) -> None:
    """Have another interface carry the tunnel."""
    txn.update(tunnel, transport_PIF=carrier)
    txn.update(txn.get(tunnel)["access_PIF"], metrics=txn.get(carrier)["metrics"])


def move_addresses(txn: Txn, source: str, target: str) -> None:
    """The host keeps its addresses, and with them its management, on another interface."""
    values = txn.get(source)
    moved = {name: values[name] for name in (*NO_ADDRESSES, "primary_address_type", "management")}
    txn.update(target, **moved)
    txn.update(source, **NO_ADDRESSES, management=False)


def manage_through(txn: Txn, pif: str) -> None:
    """Make it the one management interface of its host, whose address becomes that of the interface."""
    bring_up(txn, pif)
    values = txn.get(pif, "PIF")
    for other in txn.related(values["host"], "PIFs"):
        txn.update(other, management=other == pif)
    note_address(txn, pif)


def note_address(txn: Txn, pif: str) -> None:
    """The address of a host is that of its management interface, as soon as one is known."""
    values = txn.get(pif)
    if values["management"] and (address := primary_address(values)):
        txn.update(values["host"], address=address)


def primary_address(pif: Any) -> str:
    """The host's primary address on the interface; "" while it has no address of that family."""
    if pif["primary_address_type"] == "IPv6":
        return str(pif["IPv6"][0]).partition("/")[0] if pif["IPv6"] else ""
    return str(pif["IP"])


def forget_members(txn: Txn, bond: str) -> None:
    """The members of a bond are interfaces of their own again."""
    for member in txn.related(bond, "slaves"):
        txn.update(member, bond_slave_of=NULL_REF)
