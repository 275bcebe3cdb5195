"""Bonds: several interfaces of a host that act as one (API reference, Bond).

Rule 1: the networks of the members are no longer served by them, so the VMs that are on this host, or can be nowhere
        else, move to the network of the bond with their NICs; VLANs and tunnels keep their networks and get another
        carrier. Where two members carry the same tag, one VLAN stays and the guests of the other move to it.
Rule 2: rules are checked again when the NICs have moved: what changed meanwhile undoes the whole.
"""

from __future__ import annotations

from typing import Any, Final

from xenapi_core.engine import network_records
from xenapi_core.engine.plan import Plan, Run, World, plans
from xenapi_core.engine.steps import network_moves, network_rules
from xenapi_core.engine.steps.network_moves import Move, move_of, vifs_of_host
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Store, Txn, Version

# What lacp can be told, with the values it knows; the first one is the default. None: a whole number, no default.
LACP: Final[dict[str, tuple[str, ...] | None]] = {
    "hashing_algorithm": ("tcpudp_ports", "src_mac"),
    "lacp-time": ("slow", "fast"),
    "lacp-aggregation-key": None,
    "lacp-fallback-ab": ("true", "false"),
}


def check_property(mode: str, name: str, value: str) -> None:
    """INVALID_VALUE ["properties", "name = value"]: only lacp has properties."""
    known = LACP.get(name, ()) if mode == "lacp" else ()
    fits = value.isascii() and value.isdigit() if known is None else value in known
    if not fits:
        raise E.INVALID_VALUE("properties", f"{name} = {value}")


def with_defaults(mode: str, properties: dict[str, str]) -> dict[str, str]:
    """What `mode` works with: `properties`, and the default of each one that is missing."""
    if mode != "lacp":
        return dict(properties)
    return {name: values[0] for name, values in LACP.items() if values} | properties


@plans("Bond.create")
def plan_create(
    world: World, network: str, members: tuple[str, ...], mac: str, mode: str, properties: dict[str, str]
) -> Plan:
    """Make one interface of several.

    NETWORK_UNMANAGED; PIF_BOND_NEEDS_MORE_MEMBERS; NETWORK_ALREADY_CONNECTED; NETWORK_INCOMPATIBLE_WITH_BOND;
    MAC_INVALID; INVALID_VALUE for a property; for each member PIF_ALREADY_BONDED, PIF_VLAN_EXISTS [device],
    IS_TUNNEL_ACCESS_PIF, PIF_IS_SRIOV_LOGICAL, HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE, PIF_UNMANAGED;
    PIF_CANNOT_BOND_CROSS_HOST; HOST_OFFLINE; INCOMPATIBLE_PIF_PROPERTIES; PIF_BOND_MORE_THAN_ONE_IP.
    """
    refs = tuple(dict.fromkeys(members))

    def check() -> list[Version]:
        return _check_create(world.store, network, refs, mac, mode, properties)

    pifs = check()
    merged = _same_tags(world.store, pifs)
    moves = _moves_up(world, pifs, network, merged)
    bond = world.ids.ref()

    def finish(run: Run, txn: Txn) -> None:
        present = check()
        primary = _primary(present)
        master = _new_master(world, txn, present, primary, network, mac)
        values = {
            "uuid": world.ids.uuid(), "master": master, "primary_slave": primary.ref, "mode": mode,
            "properties": with_defaults(mode, properties), "links_up": len(_links(txn, present)),
            "auto_update_mac": not mac,
        }  # fmt: skip
        txn.create("Bond", bond, values)
        for pif in present:
            txn.update(pif.ref, bond_slave_of=bond, disallow_unplug=False)
        network_records.move_addresses(txn, primary.ref, master)
        for pif in present:
            _move_layers(txn, pif.ref, master, merged)
        network_records.bring_up(txn, master)
        network_moves.write(txn, moves)

    return Plan(
        steps=network_moves.steps(world, moves),
        claims=network_moves.claims(moves),
        finish=finish,
        result=lambda run: bond,
    )


def _check_create(
    store: Store, network: str, members: tuple[str, ...], mac: str, mode: str, properties: dict[str, str]
) -> list[Version]:
    network_rules.check_network_managed(store, network)
    pifs = [store.get(ref, "PIF") for ref in members]
    if len(pifs) < 2:
        raise E.PIF_BOND_NEEDS_MORE_MEMBERS()
    network_rules.check_not_connected(store, network, pifs[0]["host"])
    if network_rules.serves_sriov(store, network):
        raise E.NETWORK_INCOMPATIBLE_WITH_BOND(network)
    if mac:
        network_rules.check_mac(mac)
    for name, value in properties.items():
        check_property(mode, name, value)
    for pif in pifs:
        _check_member(store, pif)
    if len({pif["host"] for pif in pifs}) > 1:
        raise E.PIF_CANNOT_BOND_CROSS_HOST()
    check_live(store, pifs[0]["host"])
    if any(pif["properties"] != pifs[0]["properties"] for pif in pifs):
        raise E.INCOMPATIBLE_PIF_PROPERTIES()
    if sum(pif["ip_configuration_mode"] != "None" for pif in pifs) > 1:
        raise E.PIF_BOND_MORE_THAN_ONE_IP()
    return pifs


def _check_member(store: Store, pif: Version) -> None:
    if network_rules.is_bonded(store, pif) or store.related(pif.ref, "bond_master_of"):
        raise E.PIF_ALREADY_BONDED(pif.ref)
    if pif["VLAN"] >= 0:
        raise E.PIF_VLAN_EXISTS(pif["device"])
    if store.related(pif.ref, "tunnel_access_PIF_of"):
        raise E.IS_TUNNEL_ACCESS_PIF(pif.ref)
    if network_rules.is_sriov_logical(store, pif.ref):
        raise E.PIF_IS_SRIOV_LOGICAL(pif.ref)
    if pif["management"] and network_rules.ha_enabled(store):
        raise E.HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE()
    network_rules.check_managed(pif)


def _primary(pifs: list[Version]) -> Version:
    """The member whose addresses the bond takes: the management interface, else the first that has some, else the
    first."""
    rank = {True: 0, False: 1}
    return min(pifs, key=lambda pif: (rank[pif["management"]], rank[pif["ip_configuration_mode"] != "None"]))


def _links(txn: Txn, pifs: list[Version]) -> list[Any]:
    """Measurements of the members that have a link."""
    found = [txn.find(pif["metrics"]) for pif in pifs]
    return [metrics for metrics in found if metrics is not None and metrics["carrier"]]


def _new_master(world: World, txn: Txn, pifs: list[Version], primary: Version, network: str, mac: str) -> str:
    """The interface that stands for the bond, named by the first free bond<n> of the host."""
    host = primary["host"]
    links = _links(txn, pifs)
    metrics = network_records.new_metrics(
        world, txn, carrier=bool(links), speed=sum(link["speed"] for link in links),
        duplex=bool(links) and all(link["duplex"] for link in links),
    )  # fmt: skip
    taken = {world.store.get(pif)["device"] for pif in world.store.related(host, "PIFs")}
    return network_records.new_pif(
        world, txn, device=network_rules.free_name("bond", taken), network=network, host=host,
        MAC=mac or primary["MAC"], MTU=world.store.get(network)["MTU"], metrics=metrics,
        properties=primary["properties"], disallow_unplug=any(pif["disallow_unplug"] for pif in pifs),
    )  # fmt: skip


def _same_tags(store: Store, pifs: list[Version]) -> dict[str, str]:
    """VLANs that end because another member carries the same tag: VLAN -> the VLAN that stays.

    The one with the management interface stays; of equals the first.
    """
    by_tag: dict[int, list[Version]] = {}
    for pif in pifs:
        for vlan in map(store.get, store.related(pif.ref, "VLAN_slave_of")):
            by_tag.setdefault(vlan["tag"], []).append(vlan)
    ends: dict[str, str] = {}
    for vlans in by_tag.values():
        stays = next((vlan for vlan in vlans if store.get(vlan["untagged_PIF"])["management"]), vlans[0])
        ends.update({vlan.ref: stays.ref for vlan in vlans if vlan is not stays})
    return ends


def _moves_up(world: World, pifs: list[Version], network: str, merged: dict[str, str]) -> list[Move]:
    """The NICs that leave the networks of members, and those of VLANs that end."""
    store, host = world.store, pifs[0]["host"]
    moves = [move_of(world, vif, network) for vif in vifs_of_host(world, host, [pif["network"] for pif in pifs])]
    for ends, stays in merged.items():
        old, new = (store.get(store.get(vlan)["untagged_PIF"])["network"] for vlan in (ends, stays))
        moves += [move_of(world, vif, new) for vif in vifs_of_host(world, host, [old])]
    return moves


def _move_layers(txn: Txn, source: str, target: str, merged: dict[str, str]) -> None:
    """What `source` carried, `target` carries; VLANs in `merged` end."""
    for vlan in txn.related(source, "VLAN_slave_of"):
        if vlan in merged:
            _merge(txn, vlan, merged[vlan])
        else:
            network_records.move_vlan(txn, vlan, target)
    for tunnel in txn.related(source, "tunnel_transport_PIF_of"):
        network_records.move_tunnel(txn, tunnel, target)


def _merge(txn: Txn, ends: str, stays: str) -> None:
    """One VLAN takes over what the interface of the other one had: its addresses, and that it was up."""
    old, new = (txn.get(vlan)["untagged_PIF"] for vlan in (ends, stays))
    if txn.get(old)["ip_configuration_mode"] != "None" and txn.get(new)["ip_configuration_mode"] == "None":
        network_records.move_addresses(txn, old, new)
    if txn.get(old)["currently_attached"]:
        txn.update(new, currently_attached=True)
    for tunnel in txn.related(old, "tunnel_transport_PIF_of"):
        network_records.move_tunnel(txn, tunnel, new)
    network_records.delete_pif(txn, old)
    txn.delete(ends)


@plans("Bond.destroy")
def plan_destroy(world: World, bond: str) -> Plan:
    """Make the members interfaces of their own again; the primary one takes over what the bond had.

    HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE; HOST_OFFLINE; HANDLE_INVALID if no member is left.
    """
    store = world.store

    def check() -> tuple[Version, Version, tuple[str, ...]]:
        record = store.get(bond, "Bond")
        master = store.get(record["master"], "PIF")
        members = store.related(bond, "slaves")
        if master["management"] and network_rules.ha_enabled(store):
            raise E.HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE()
        check_live(store, master["host"])
        primary = record["primary_slave"] if record["primary_slave"] in members else next(iter(members), NULL_REF)
        return master, store.get(primary, "PIF"), members

    master, primary, _ = check()
    local = vifs_of_host(world, master["host"], [master["network"]])
    moves = [move_of(world, vif, primary["network"]) for vif in local]

    def finish(run: Run, txn: Txn) -> None:
        master, primary, members = check()
        network_records.forget_members(txn, bond)
        network_records.move_addresses(txn, master.ref, primary.ref)
        txn.update(primary.ref, disallow_unplug=master["disallow_unplug"])
        _move_layers(txn, master.ref, primary.ref, {})
        txn.delete(bond)
        network_records.delete_pif(txn, master.ref)
        if master["currently_attached"]:
            for member in members:
                network_records.bring_up(txn, member)
        network_moves.write(txn, moves)

    return Plan(steps=network_moves.steps(world, moves), claims=network_moves.claims(moves), finish=finish)
