"""PIF: bringing interfaces up and down, host addresses, properties, and records without an interface behind them."""

from __future__ import annotations

from typing import Any, Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import network_records as records
from xenapi_core.engine.steps import network_rules as rules
from xenapi_core.errors import E
from xenapi_core.model.classes.pif import PIF
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Txn, Version

# Ethernet settings that can be chosen, with their values (API reference, PIF.set_property).
PROPERTIES: Final = {"gro": ("on", "off")}
_INTRODUCED: Final = next(
    tuple(param.name for param in message.params) for message in PIF.messages if message.name == "db_introduce"
)


@handles("PIF.plug")
def plug(call: CallContext, ref: str) -> None:
    """Also brings up what carries the interface. See network_rules.check_plug for the errors."""
    rules.check_plug(call.store, call.get(ref, "PIF"))
    call.commit(lambda txn: records.bring_up(txn, ref))


@handles("PIF.unplug")
def unplug(call: CallContext, ref: str) -> None:
    """Also takes down what the interface carries. See network_rules.check_unplug for the errors."""
    rules.check_unplug(call.store, call.get(ref, "PIF"))
    call.commit(lambda txn: records.take_down(txn, ref))


@handles("PIF.forget")
def forget(call: CallContext, ref: str) -> None:
    """PIF_ALREADY_BONDED, PIF_VLAN_STILL_EXISTS, PIF_TUNNEL_STILL_EXISTS, PIF_SRIOV_STILL_EXISTS,
    CANNOT_FORGET_SRIOV_LOGICAL; PIF_IS_MANAGEMENT_INTERFACE for a member of the pool; HA_IS_ENABLED,
    REDO_LOG_IS_ENABLED, CLUSTERING_ENABLED."""
    pif = call.get(ref, "PIF")
    rules.check_independent(call.store, pif)
    rules.check_not_management_of_member(call.store, pif)
    rules.check_unprotected(call.store, pif)
    rules.check_no_cluster(call.store, pif)
    call.commit(lambda txn: records.remove_pif(txn, ref))


@handles("PIF.db_introduce")
def db_introduce(call: CallContext, *values: Any) -> str:
    """A record as given, with measurements of its own; it is down."""
    given = dict(zip(_INTRODUCED, values, strict=True))
    made: list[str] = []

    def write(txn: Txn) -> None:
        metrics = records.new_metrics(call.world, txn)
        made.append(records.new_pif(call.world, txn, **given, metrics=metrics))

    call.commit(write)
    return made[0]


handles("PIF.pool_introduce")(db_introduce)


@handles("PIF.db_forget")
def db_forget(call: CallContext, ref: str) -> None:
    """Only the record goes, whatever depends on the interface."""
    call.commit(lambda txn: records.delete_pif(txn, ref))


@handles("PIF.set_disallow_unplug")
def set_disallow_unplug(call: CallContext, ref: str, value: bool) -> None:
    """CLUSTERING_ENABLED: a cluster relies on an interface that stays."""
    if not value:
        rules.check_no_cluster(call.store, call.get(ref, "PIF"))
    call.update(ref, disallow_unplug=value)


@handles("PIF.set_property")
def set_property(call: CallContext, ref: str, name: str, value: str) -> None:
    """INVALID_VALUE ["properties", "name = value"]; CANNOT_CHANGE_PIF_PROPERTIES. A bond passes it to its members."""
    if value not in PROPERTIES.get(name, ()):
        raise E.INVALID_VALUE("properties", f"{name} = {value}")
    pif = call.get(ref, "PIF")
    bonds = call.store.related(ref, "bond_master_of")
    if rules.is_bonded(call.store, pif) or not (pif["physical"] or bonds):
        raise E.CANNOT_CHANGE_PIF_PROPERTIES(ref)
    properties = {**pif["properties"], name: value}
    members = [member for bond in bonds for member in call.store.related(bond, "slaves")]

    def write(txn: Txn) -> None:
        for each in (ref, *members):
            txn.update(each, properties=properties)

    call.commit(write)


# Addresses


@handles("PIF.reconfigure_ip")
def reconfigure_ip(call: CallContext, ref: str, mode: str, address: str, netmask: str, gateway: str, dns: str) -> None:
    """PIF_UNMANAGED, HA_IS_ENABLED, REDO_LOG_IS_ENABLED, CLUSTERING_ENABLED; INVALID_IP_ADDRESS_SPECIFIED [parameter];
    PIF_IS_MANAGEMENT_INTERFACE if the host would lose the address it is managed by. An empty `dns` changes nothing."""
    pif = _reconfigurable(call, ref)
    for name, text in (("IP", address), ("netmask", netmask), ("gateway", gateway)):
        if text or (mode == "Static" and name != "gateway"):
            rules.check_ip(name, text, 4)
    if mode == "None" and pif["management"] and pif["primary_address_type"] == "IPv4":
        raise E.PIF_IS_MANAGEMENT_INTERFACE(ref)
    static = mode == "Static"
    changes = {
        "ip_configuration_mode": mode,
        "IP": address if static else "",
        "netmask": netmask if static else "",
        "gateway": gateway if static else "",
        **({"DNS": dns} if dns else {}),
    }
    _write_addresses(call, ref, changes)


@handles("PIF.reconfigure_ipv6")
def reconfigure_ipv6(call: CallContext, ref: str, mode: str, address: str, gateway: str, dns: str) -> None:
    """Set the IPv6 addresses of an interface; a static address has its prefix length with it. Errors as of
    reconfigure_ip."""
    pif = _reconfigurable(call, ref)
    if gateway:
        rules.check_ip("gateway", gateway, 6)
    if address or mode == "Static":
        rules.parse_cidr("IPv6", address, 6, "INVALID_IP_ADDRESS_SPECIFIED")
    if mode == "None" and pif["management"] and pif["primary_address_type"] == "IPv6":
        raise E.PIF_IS_MANAGEMENT_INTERFACE(ref)
    static = mode == "Static"
    changes = {
        "ipv6_configuration_mode": mode,
        "IPv6": (address,) if static else (),
        "ipv6_gateway": gateway if static else "",
        **({"DNS": dns} if dns else {}),
    }
    _write_addresses(call, ref, changes)


def _reconfigurable(call: CallContext, ref: str) -> Version:
    pif = call.get(ref, "PIF")
    rules.check_managed(pif)
    rules.check_unprotected(call.store, pif)
    rules.check_no_cluster(call.store, pif)
    check_live(call.store, pif["host"])
    return pif


def _write_addresses(call: CallContext, ref: str, changes: dict[str, Any]) -> None:
    def write(txn: Txn) -> None:
        txn.update(ref, **changes)
        records.note_address(txn, ref)

    call.commit(write)


@handles("PIF.set_primary_address_type")
def set_primary_address_type(call: CallContext, ref: str, value: str) -> None:
    """HA_IS_ENABLED, REDO_LOG_IS_ENABLED, CLUSTERING_ENABLED; PIF_IS_MANAGEMENT_INTERFACE."""
    pif = call.get(ref, "PIF")
    rules.check_unprotected(call.store, pif)
    rules.check_no_cluster(call.store, pif)
    if pif["management"]:
        raise E.PIF_IS_MANAGEMENT_INTERFACE(ref)
    call.update(ref, primary_address_type=value)


# Management


@handles("host.management_reconfigure")
def management_reconfigure(call: CallContext, ref: str) -> None:
    """HA_IS_ENABLED; see network_rules.check_manageable; PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE if the host is managed
    over the other family now; INTERFACE_HAS_NO_IP [bridge] while no address is known."""
    if rules.ha_enabled(call.store):
        raise E.HA_IS_ENABLED()
    pif = call.get(ref, "PIF")
    check_management(call, pif)
    call.commit(lambda txn: records.manage_through(txn, ref))


def check_management(call: CallContext, pif: Version) -> None:
    """Raise why the host cannot be managed through the interface; see host.management_reconfigure."""
    rules.check_manageable(call.store, pif)
    for other in map(call.get, call.store.related(pif["host"], "PIFs")):
        if other["management"] and other["primary_address_type"] != pif["primary_address_type"]:
            raise E.PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE(pif.ref)
    if not pif["management"] and not records.primary_address(pif):
        raise E.INTERFACE_HAS_NO_IP(call.get(pif["network"], "network")["bridge"])


@handles("pool.management_reconfigure")
def pool_management_reconfigure(call: CallContext, network: str) -> None:
    """HA_IS_ENABLED; PIF_NOT_PRESENT [host, network]; PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE [PIF]; and for each host
    what host.management_reconfigure raises. All hosts move, or none."""
    if rules.ha_enabled(call.store):
        raise E.HA_IS_ENABLED()
    chosen = []
    for host in call.store.all("host"):
        present = rules.pifs_of(call.store, network, host)
        if not present:
            raise E.PIF_NOT_PRESENT(host, network)
        chosen.append(present[0])
    for pif in chosen:
        if pif["primary_address_type"] != chosen[0]["primary_address_type"]:
            raise E.PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE(pif.ref)
        check_management(call, pif)

    def write(txn: Txn) -> None:
        for pif in chosen:
            records.manage_through(txn, pif.ref)

    call.commit(write)
