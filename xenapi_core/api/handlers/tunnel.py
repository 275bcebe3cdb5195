"""tunnel: private networks between hosts, carried by an interface of each."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import network_records as records
from xenapi_core.engine.steps import network_rules as rules
from xenapi_core.engine.steps.network_tunnel import check_tunnel, new_tunnel
from xenapi_core.store.api import Txn


@handles("tunnel.create")
def create(call: CallContext, transport: str, network: str, protocol: str) -> str:
    """A new tunnel, whose access interface is up at once. Raises what network_tunnel.check_tunnel does."""
    check_tunnel(call.store, call.get(transport, "PIF"), network)
    made: list[str] = []
    call.commit(lambda txn: made.append(new_tunnel(call.world, txn, transport, network, protocol)))
    return made[0]


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
