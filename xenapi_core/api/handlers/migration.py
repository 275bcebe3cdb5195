"""Migration with storage: what a destination answers, and whether it would work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenapi_core.api.auth import Identity
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.placement import check_receiving
from xenapi_core.engine.plan import PLANS
from xenapi_core.errors import E


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
    identity = Identity(caller.user, caller.roles, superuser=caller.local_root)
    session = sessions.open(identity, originator=caller.originator, address=call.address)
    url = f"http://[{address}]" if ":" in address else f"http://{address}"
    return {
        "host": ref,
        "master": url,
        "session_id": session,
        "SM": f"{url}/services/SM?session_id={session}",
        "xenops": f"{url}/services/xenops?session_id={session}",
    }


@handles("VM.assert_can_migrate")
def assert_can_migrate(call: CallContext, *args: Any) -> None:
    """What VM.migrate_send with the same parameters would raise before it begins. Nothing is moved."""
    PLANS["VM.migrate_send"](call.world, *args, {})
