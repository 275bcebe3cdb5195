"""host: enabling, reports of a host about itself, and removing a host that is gone."""

from __future__ import annotations

import re

from xenapi_core.api.handlers.pool_roles import coordinator_lost
from xenapi_core.api.member_certificates import forget_member
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.ha_rules import check_disabling
from xenapi_core.engine.host_memory import memory_free, memory_promised
from xenapi_core.engine.plans.host_evacuate import moves_away
from xenapi_core.engine.steps.host_records import only_here, remove_host
from xenapi_core.engine.steps.sr_records import check_idle
from xenapi_core.engine.transition import STAYS_DISABLED
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.infrastructure_lifecycle import ENABLED, OFFLINE, check_host_operation
from xenapi_core.store.api import Version
from xenapi_core.wire.api import WireError
from xenapi_core.wire.xmlrpc import XmlRpc

LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?", re.ASCII)


@handles("host.enable")
def enable(call: CallContext, ref: str) -> None:
    """HOST_OFFLINE; HOST_DISABLED_UNTIL_REBOOT for one that has prepared to be switched off."""
    host = call.get(ref, "host")
    check_host_operation(call.store, host, "enable")
    call.update(ref, enabled=True, requested_state=ENABLED, other_config=_other_config_without(host, STAYS_DISABLED))


def _other_config_without(host: Version, key: str) -> dict[str, str]:
    return {name: value for name, value in host["other_config"].items() if name != key}


@handles("host.disable")
def disable(call: CallContext, ref: str, auto_enable: bool) -> None:
    """No new VMs here; running ones stay. HOST_OFFLINE, HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN.

    `auto_enable`: until the host's next boot only.
    """
    host = check_live(call.store, ref)
    if host["enabled"]:
        check_disabling(call.world, ref)
    kept = {} if auto_enable else {STAYS_DISABLED: "true"}
    call.update(
        ref, enabled=False, requested_state=OFFLINE, other_config=_other_config_without(host, STAYS_DISABLED) | kept
    )


@handles("host.list_methods")
def list_methods(call: CallContext) -> tuple[str, ...]:
    return call.services.schema.listed()


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


@handles("host.compute_memory_overhead")
def compute_memory_overhead(call: CallContext, ref: str) -> int:
    """Bytes the hypervisor uses for itself and for the VMs here."""
    vms = map(call.get, call.store.related(ref, "resident_VMs"))
    return int(call.get(ref, "host")["memory_overhead"] + sum(vm["memory_overhead"] for vm in vms))


@handles("host.assert_can_evacuate")
def assert_can_evacuate(call: CallContext, ref: str) -> None:
    """CANNOT_EVACUATE_HOST: the errors of all VMs that must stay, as code,parameters|code,parameters."""
    errors = moves_away(call.world, ref).obstacles.values()
    if errors:
        raise E.CANNOT_EVACUATE_HOST("|".join(dict.fromkeys(",".join(error.description) for error in errors)))


@handles("host.get_vms_which_prevent_evacuation")
def get_vms_which_prevent_evacuation(call: CallContext, ref: str) -> dict[str, tuple[str, ...]]:
    """VM -> the code and parameters of what keeps it here."""
    return {vm: tuple(error.description) for vm, error in moves_away(call.world, ref).obstacles.items()}


@handles("host.set_power_on_mode")
def set_power_on_mode(call: CallContext, ref: str, mode: str, config: dict[str, str]) -> None:
    call.update(ref, power_on_mode=mode, power_on_config=config)


@handles("host.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """Drop the records of a host that is gone for good.

    HA_IS_ENABLED; HOST_IS_LIVE, also for the coordinator; HOST_HAS_RESIDENT_VMS.
    """
    host = call.get(ref, "host")
    pools = call.store.all("pool").values()
    if any(pool["ha_enabled"] for pool in pools):
        raise E.HA_IS_ENABLED()
    if is_live(call.store, host) or any(pool["master"] == ref for pool in pools):
        raise E.HOST_IS_LIVE(ref)
    if any(not call.get(vm)["is_control_domain"] for vm in call.store.related(ref, "resident_VMs")):
        raise E.HOST_HAS_RESIDENT_VMS(ref)
    drop_host(call, ref)
    forget_member(call.services, host["uuid"])


def drop_host(call: CallContext, ref: str) -> None:
    """Remove the host's records, and let go of its driver and of those of the storage only it had.

    OTHER_OPERATION_IN_PROGRESS while something is done to a disk there.
    """
    engine, storage = call.services.engine, only_here(call.world, ref)
    for sr in storage:
        check_idle(call.world, sr)
    call.commit(lambda txn: remove_host(call.world, txn, ref))
    engine.drop_host(ref)
    for sr in storage:
        engine.drop_storage(sr)


@handles("host.set_hostname_live")
def set_hostname_live(call: CallContext, ref: str, hostname: str) -> None:
    """HOST_NAME_INVALID [reason] unless it is a DNS name: labels of letters, digits and hyphens, at most 63 long."""
    if not hostname:
        raise E.HOST_NAME_INVALID("hostname empty")
    if len(hostname) > 253 or any(len(label) > 63 for label in hostname.split(".")):
        raise E.HOST_NAME_INVALID("hostname is too long")
    if not all(LABEL.fullmatch(label) for label in hostname.split(".")):
        raise E.HOST_NAME_INVALID("hostname contains invalid chars")
    call.update(ref, hostname=hostname)


@handles("host.is_in_emergency_mode")
async def is_in_emergency_mode(call: CallContext) -> bool:
    """Whether the host has lost its coordinator: that is down, or does not answer."""
    return await coordinator_lost(call)


@handles("host.get_uncooperative_resident_VMs")
def get_uncooperative_resident_vms(call: CallContext, ref: str) -> tuple[str, ...]:
    """Always empty, as the API now defines it."""
    return ()


@handles("host.call_plugin")
def call_plugin(call: CallContext, ref: str, plugin: str, function: str, args: dict[str, str]) -> str:
    """XENAPI_MISSING_PLUGIN: this server has no plug-ins."""
    raise E.XENAPI_MISSING_PLUGIN(plugin)


@handles("host.call_extension")
def call_extension(call: CallContext, ref: str, text: str) -> str:
    """MESSAGE_METHOD_UNKNOWN [method]: this server has no API extensions. INVALID_VALUE for what is no XML-RPC call."""
    try:
        method = XmlRpc().decode(text.encode()).method
    except WireError as error:
        raise E.INVALID_VALUE("call", str(error)) from error
    raise E.MESSAGE_METHOD_UNKNOWN(method)


@handles("host.has_extension")
def has_extension(call: CallContext, ref: str, name: str) -> bool:
    """False: this server has no API extensions."""
    return False
