"""Migration with storage: the data that a destination returns to the sender, and checks in advance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.placement import check_receiving
from xenapi_core.engine.plan import PLANS
from xenapi_core.engine.steps.vm_leave import parcel_of
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live


@handles("host.migrate_receive")
def migrate_receive(call: CallContext, ref: str, network: str, options: Mapping[str, str]) -> dict[str, str]:
    """Where VM.migrate_send sends a VM: the host, the addresses of its services, and a session like the caller's.

    HOST_CANNOT_ATTACH_NETWORK, INTERFACE_HAS_NO_IP, and why the host takes no VM now.
    """
    host = call.get(ref, "host")
    pifs = [call.get(pif) for pif in call.store.related(ref, "PIFs")]
    pif = next((pif for pif in pifs if pif["network"] == network), None)
    if pif is None:
        raise E.HOST_CANNOT_ATTACH_NETWORK(ref, network)
    address = pif["IP"] or (host["address"] if pif["management"] else "")
    if not address:
        raise E.INTERFACE_HAS_NO_IP(pif.ref)
    check_receiving(call.world, ref, "vm_migrate")
    sessions, caller = call.services.sessions, call.caller
    session = sessions.open(sessions.identity(caller), originator=caller.originator, address=call.address)
    url = call.world.reach(address)
    return {
        "host": ref,
        "master": url,
        "session_id": session,
        "SM": f"{url}/services/SM?session_id={session}",
        "xenops": f"{url}/services/xenops?session_id={session}",
    }


def _check_sending(call: CallContext, *args: Any) -> None:
    """Raise what this pool knows to be in the way of VM.migrate_send; `args`: all of its parameters but the last."""
    PLANS["VM.migrate_send"](call.world, *args, {})


@handles("VM.assert_can_migrate")
async def assert_can_migrate(call: CallContext, *args: Any) -> None:
    """What VM.migrate_send with the same parameters would raise before it begins. Nothing is moved.

    Objects of another pool are looked up there. NOT_IMPLEMENTED if this process reaches none.
    """
    _check_sending(call, *args)
    vm, dest, _, vdi_map, vif_map, options, *_ = args
    if call.store.find(dest["host"]) is not None:
        return
    engine = call.services.engine
    if engine.exchange is None:
        raise E.NOT_IMPLEMENTED("VM.migrate_send to another pool")
    copied = options.get("copy") == "true"
    await engine.exchange.check(parcel_of(call.world, call.get(vm, "VM"), dest, vdi_map, vif_map, copied))


@handles("VM.assert_can_migrate_sender")
def assert_can_migrate_sender(
    call: CallContext,
    vm: str,
    dest: Mapping[str, str],
    live: bool,
    vdi_map: Mapping[str, str],
    vif_map: Mapping[str, str],
    vgpu_map: Mapping[str, str],
    options: Mapping[str, str],
) -> None:
    """Check the sender's side of VM.assert_can_migrate; no other pool is contacted."""
    _check_sending(call, vm, dest, live, vdi_map, vif_map, options, vgpu_map)


@handles("VM.pool_migrate_complete")
async def pool_migrate_complete(call: CallContext, vm: str, host: str) -> None:
    """What a member says when a VM has arrived on it: the record says from now on what that host's hypervisor does.

    HOST_OFFLINE; VM_NOT_RESIDENT_HERE for a VM the host does not have, of which nothing changes.
    """
    check_live(call.store, host)
    await call.services.engine.reconciler.note_arrival(vm, host)
