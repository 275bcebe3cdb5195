"""host: enabling, and what a host says of itself."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.placement import memory_free, memory_promised
from xenapi_core.engine.transition import STAYS_DISABLED
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_host_operation
from xenapi_core.store.api import Version


@handles("host.enable")
def enable(call: CallContext, ref: str) -> None:
    """HOST_OFFLINE."""
    host = call.get(ref, "host")
    check_host_operation(call.store, host, "enable")
    call.update(ref, enabled=True, other_config=_without(host, STAYS_DISABLED))


def _without(host: Version, key: str) -> dict[str, str]:
    return {name: value for name, value in host["other_config"].items() if name != key}


@handles("host.disable")
def disable(call: CallContext, ref: str, auto_enable: bool) -> None:
    """No new VMs here; running ones stay. HOST_OFFLINE. `auto_enable`: until the host's next boot only."""
    host = call.get(ref, "host")
    metrics = call.store.find(host["metrics"])
    if metrics is not None and not metrics["live"]:
        raise E.HOST_OFFLINE(ref)
    kept = {} if auto_enable else {STAYS_DISABLED: "true"}
    call.update(ref, enabled=False, other_config=_without(host, STAYS_DISABLED) | kept)


@handles("host.get_servertime")
def get_servertime(call: CallContext, ref: str) -> int:
    call.get(ref, "host")
    return call.now


@handles("host.list_methods")
def list_methods(call: CallContext) -> tuple[str, ...]:
    return call.services.dispatcher.listed()


@handles("host.get_management_interface")
def get_management_interface(call: CallContext, ref: str) -> str:
    """HOST_HAS_NO_MANAGEMENT_IP."""
    for pif in call.store.related(ref, "PIFs"):
        if call.get(pif)["management"]:
            return pif
    raise E.HOST_HAS_NO_MANAGEMENT_IP()


@handles("host.compute_free_memory")
def compute_free_memory(call: CallContext, ref: str) -> int:
    """Bytes that no VM on the host, or on its way there, may use."""
    promised = memory_promised(call.world, ref)
    return max(0, memory_free(call.store.find, call.store.related, ref, promised))


@handles("host.is_in_emergency_mode")
def is_in_emergency_mode(call: CallContext) -> bool:
    """False: a server that answers calls about the pool has its coordinator, which is itself."""
    return False


@handles("host.get_uncooperative_resident_VMs")
def get_uncooperative_resident_vms(call: CallContext, ref: str) -> tuple[str, ...]:
    """Always empty, as the API now defines it."""
    return ()
