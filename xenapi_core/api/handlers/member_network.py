"""host: messages between the members of a pool about their networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.plan import World
from xenapi_core.engine.steps.network_copies import Missing, missing_tunnels, missing_vlans
from xenapi_core.store.api import Txn


@handles("host.sync_vlans")
def sync_vlans(call: CallContext, ref: str) -> None:
    """Give the host the VLANs of the coordinator that it lacks and has a card for; all or none. Nothing is removed.

    What VLAN.create raises; HOST_OFFLINE among it, if there is something to make.
    """
    _copy(call, ref, missing_vlans)


@handles("host.sync_tunnels")
def sync_tunnels(call: CallContext, ref: str) -> None:
    """Make the tunnels of the coordinator that the host lacks, as sync_vlans does for VLANs. What tunnel.create
    raises."""
    _copy(call, ref, missing_tunnels)


def _copy(call: CallContext, ref: str, find: Callable[[World, str], Iterator[Missing]]) -> None:
    missing = list(find(call.world, call.get(ref, "host").ref))
    for each in missing:
        each.check()

    def write(txn: Txn) -> None:
        for each in missing:
            each.make(txn)

    call.commit(write)


@handles("host.sync_pif_currently_attached")
def sync_attached(call: CallContext, ref: str, bridges: tuple[str, ...]) -> None:
    """The interfaces of the host are attached whose network has one of these bridges, and no others.

    The host says what it found when it booted. So nothing is brought up or down, and nothing speaks against it.
    """
    call.get(ref, "host")
    up = {network for network, record in call.store.all("network").items() if record["bridge"] in bridges}

    def write(txn: Txn) -> None:
        for pif in txn.related(ref, "PIFs"):
            txn.update(pif, currently_attached=txn.get(pif)["network"] in up)

    call.commit(write)
