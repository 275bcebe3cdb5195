"""VLANs and tunnels of the coordinator that another host lacks: for a host that joins, and for host.sync_*.

Rule 1: a host has a VLAN of the coordinator if it has an interface with that tag on the same network, carried by an
        interface on the same network as the coordinator's carrier; and a tunnel, if the far end of one is on the same
        network. (So does xapi.)
Rule 2: the carrier is the one interface of the host on the network of the coordinator's carrier. A host without one
        cannot have the copy, which is no error: hosts of a pool may have different NICs.
Rule 3: this module finds what is missing. Whoever asks decides whether what cannot be made is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xenapi_core.engine.network_records import new_vlan
from xenapi_core.engine.plan import World
from xenapi_core.engine.steps.network_rules import check_vlan, pifs_of
from xenapi_core.engine.steps.network_tunnel import check_tunnel, new_tunnel
from xenapi_core.store.api import Store, Txn, Version


@dataclass(frozen=True, slots=True)
class Missing:
    """A VLAN or tunnel that a host lacks. `check` raises what VLAN.create or tunnel.create would; `make` writes it."""

    name: str
    check: Callable[[], None]
    make: Callable[[Txn], object]


def missing_vlans(world: World, host: str) -> Iterator[Missing]:
    """The VLANs of the coordinator that `host` lacks and can carry."""
    store = world.store
    for vlan in list(store.all("VLAN").values()):
        carrier, tagged = store.find(vlan["tagged_PIF"]), store.find(vlan["untagged_PIF"])
        if carrier is None or tagged is None or not _is_coordinators(store, carrier):
            continue
        own = _only(pifs_of(store, carrier["network"], host))
        present = pifs_of(store, tagged["network"], host)
        if own is None or any(_is_vlan(store, pif, own, vlan["tag"]) for pif in present):
            continue
        yield _missing_vlan(world, own, vlan["tag"], tagged["network"])


def missing_tunnels(world: World, host: str) -> Iterator[Missing]:
    """The tunnels of the coordinator that `host` lacks and can carry, with the same protocol."""
    store = world.store
    for tunnel in list(store.all("tunnel").values()):
        transport, access = store.find(tunnel["transport_PIF"]), store.find(tunnel["access_PIF"])
        if transport is None or access is None or not _is_coordinators(store, transport):
            continue
        own = _only(pifs_of(store, transport["network"], host))
        present = pifs_of(store, access["network"], host)
        if own is None or any(store.related(pif.ref, "tunnel_access_PIF_of") for pif in present):
            continue
        yield _missing_tunnel(world, own, access["network"], tunnel["protocol"])


def _missing_vlan(world: World, carrier: Version, tag: int, network: str) -> Missing:
    return Missing(
        f"VLAN {tag}",
        lambda: check_vlan(world.store, carrier, tag, network),
        lambda txn: new_vlan(world, txn, carrier.ref, tag, network),
    )


def _missing_tunnel(world: World, transport: Version, network: str, protocol: str) -> Missing:
    return Missing(
        f"tunnel to network {world.store.get(network)['uuid']}",
        lambda: check_tunnel(world.store, transport, network),
        lambda txn: new_tunnel(world, txn, transport.ref, network, protocol),
    )


def _is_coordinators(store: Store, pif: Version) -> bool:
    return any(pool["master"] == pif["host"] for pool in store.all("pool").values())


def _is_vlan(store: Store, pif: Version, carrier: Version, tag: int) -> bool:
    vlan = store.find(pif["VLAN_master_of"])
    return pif["VLAN"] == tag and vlan is not None and vlan["tagged_PIF"] == carrier.ref


def _only(pifs: list[Version]) -> Version | None:
    return pifs[0] if len(pifs) == 1 else None
