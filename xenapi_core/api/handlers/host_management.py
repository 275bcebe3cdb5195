"""host: setting its management interface at the host itself, and rewriting its network records.

Rule 1: these calls name no host: they mean the one whose endpoint was called, or the coordinator where one endpoint
        serves the whole pool.
Rule 2: where every host has an endpoint of its own, it listens while the host has a management interface, at the
        host's address (server/endpoints.py). A server with one endpoint for all hosts goes on listening: it is no host.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from xenapi_core.api.handlers.pif import check_management
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import network_records as records
from xenapi_core.engine.steps import network_rules as rules
from xenapi_core.engine.transition import place_consoles
from xenapi_core.errors import E
from xenapi_core.store.api import Txn

# What a host is called before anybody gives it a name.
NAMELESS: Final = frozenset({"localhost", "localhost.localdomain"})


def here(call: CallContext) -> str:
    """The host that a call means which names none (rule 1)."""
    return call.host or str(the_pool(call)["master"])


@handles("host.signal_networking_change")
def signal_networking_change(call: CallContext) -> None:
    """What follows from the management interface follows it again: the host's address, and where consoles are.

    The address is "" while no interface is for the management, and stays while that interface has none yet (DHCP). A
    host that has no name yet gets its hostname.
    """
    ref = here(call)
    host = call.get(ref, "host")

    def write(txn: Txn) -> None:
        managing = [pif for pif in txn.related(ref, "PIFs") if txn.get(pif)["management"]]
        for pif in managing:
            records.note_address(txn, pif)
        if not managing:
            txn.update(ref, address="")
        if host["name_label"] in NAMELESS and host["hostname"]:
            txn.update(ref, name_label=host["hostname"])

    call.commit(write)
    place_consoles(call.world)


@handles("host.management_disable")
def management_disable(call: CallContext) -> None:
    """No interface of the host carries its management any more. HA_IS_ENABLED."""
    if rules.ha_enabled(call.store):
        raise E.HA_IS_ENABLED()

    def write(txn: Txn) -> None:
        for pif in txn.related(here(call), "PIFs"):
            txn.update(pif, management=False)

    call.commit(write)


@handles("host.reset_networking")
def reset_networking(call: CallContext, ref: str) -> None:
    """Forget the bonds, VLANs, tunnels and interfaces of a host; PIF.scan finds its cards again."""

    def write(txn: Txn) -> None:
        mine = set(txn.related(ref, "PIFs"))
        gone = {txn.get(pif)["metrics"] for pif in mine}
        for cls, field in (("Bond", "master"), ("VLAN", "tagged_PIF"), ("tunnel", "transport_PIF")):
            gone.update(each.ref for each in call.store.all(cls).values() if each[field] in mine)
        for each in (*gone, *mine):
            if txn.find(each) is not None:
                txn.delete(each)

    call.get(ref, "host")
    call.commit(write)


@handles("host.local_management_reconfigure")
def local_management_reconfigure(call: CallContext, interface: str) -> None:
    """Manage the host through its interface of that name. INVALID_VALUE for a name it does not have; HA_IS_ENABLED, and
    what else host.management_reconfigure raises."""
    if rules.ha_enabled(call.store):
        raise E.HA_IS_ENABLED()
    for pif in map(call.get, call.store.related(here(call), "PIFs")):
        if interface in (pif["device"], pif["device_name"]) and pif["VLAN"] < 0:
            check_management(call, pif)
            call.commit(partial(records.manage_through, pif=pif.ref))
            return
    raise E.INVALID_VALUE("interface", interface)
