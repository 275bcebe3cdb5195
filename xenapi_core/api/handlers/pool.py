"""pool: its members, and what one server can say of it.

Rule 1: one process serves all hosts of the pool, so being the coordinator is a fact of the records alone.
"""

from __future__ import annotations

from xenapi_core.api.handlers.host import drop_host
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Version


def _pool(call: CallContext) -> Version:
    return next(iter(call.store.all("pool").values()))


def _live(call: CallContext, host: Version) -> bool:
    metrics = call.store.find(host["metrics"])
    return metrics is None or bool(metrics["live"])


def _guests(call: CallContext, host: str) -> list[Version]:
    vms = map(call.get, call.store.related(host, "resident_VMs"))
    return [vm for vm in vms if not vm["is_control_domain"]]


@handles("pool.join")
def join(call: CallContext, address: str, user: str, password: str) -> None:
    """Raises what keeps this pool from becoming a member of another; joining itself is NOT_IMPLEMENTED.

    In the order of the API reference: HA_IS_ENABLED, JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS,
    JOINING_HOST_CANNOT_HAVE_RUNNING_VMS, JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS,
    JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS, POOL_JOINING_HOST_HAS_BONDS, POOL_JOINING_HOST_HAS_TUNNELS,
    POOL_JOINING_HOST_HAS_NETWORK_SRIOVS, POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS.
    """
    if _pool(call)["ha_enabled"]:
        raise E.HA_IS_ENABLED()
    hosts = call.store.all("host")
    if len(hosts) > 1:
        raise E.JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS()
    if any(_guests(call, host) for host in hosts):
        raise E.JOINING_HOST_CANNOT_HAVE_RUNNING_VMS()
    if any(vm["current_operations"] for vm in call.store.all("VM").values()):
        raise E.JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS()
    if any(sr["shared"] and not sr["is_tools_sr"] for sr in call.store.all("SR").values()):
        raise E.JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS()
    if call.store.all("Bond"):
        raise E.POOL_JOINING_HOST_HAS_BONDS()
    if call.store.all("tunnel"):
        raise E.POOL_JOINING_HOST_HAS_TUNNELS()
    if call.store.all("network_sriov"):
        raise E.POOL_JOINING_HOST_HAS_NETWORK_SRIOVS()
    if any(pif["VLAN"] >= 0 and not pif["management"] for pif in call.store.all("PIF").values()):
        raise E.POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS()
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("pool.eject")
def eject(call: CallContext, host: str) -> None:
    """Remove a member with its own storage; nothing may run or be at work there.

    HA_IS_ENABLED; INTERNAL_ERROR for the coordinator; OPERATION_NOT_ALLOWED with guests; OTHER_OPERATION_IN_PROGRESS.
    """
    pool = _pool(call)
    check_pool_operation(call.store, pool, "eject")
    if pool["master"] == host:
        raise E.INTERNAL_ERROR("Cannot_eject_master")
    if _guests(call, host):
        raise E.OPERATION_NOT_ALLOWED("VM resident on host")
    if current := call.get(host, "host")["current_operations"]:
        raise other_operation("host", host, current)
    drop_host(call, host)


@handles("pool.designate_new_master")
def designate_new_master(call: CallContext, host: str) -> None:
    """HA_IS_ENABLED, OTHER_OPERATION_IN_PROGRESS, HOST_OFFLINE. The present coordinator stays it without a word."""
    pool = _pool(call)
    check_pool_operation(call.store, pool, "designate_new_master")
    if not _live(call, call.get(host, "host")):
        raise E.HOST_OFFLINE(host)
    call.update(pool.ref, master=host)


@handles("pool.recover_slaves")
def recover_slaves(call: CallContext) -> tuple[str, ...]:
    """The members that answer: they have no coordinator but this server."""
    master = _pool(call)["master"]
    return tuple(ref for ref, host in call.store.all("host").items() if ref != master and _live(call, host))


@handles("pool.sync_database")
async def sync_database(call: CallContext) -> None:
    """Returns when everything written so far is durable."""
    await call.store.durable(call.store.revision)


@handles("pool.get_license_state")
def get_license_state(call: CallContext, ref: str) -> dict[str, str]:
    """The edition all hosts have, and the earliest expiry; "never" where no licence ends."""
    hosts = list(call.store.all("host").values())
    editions = sorted({host["edition"] for host in hosts})
    expiries = sorted(host["license_params"]["expiry"] for host in hosts if host["license_params"].get("expiry"))
    return {"edition": editions[0] if editions else "", "expiry": expiries[0] if expiries else "never"}


@handles("pool.is_slave")
def is_slave(call: CallContext, host: str) -> bool:
    """Whether `host` follows another host as coordinator."""
    return all(pool["master"] != host for pool in call.store.all("pool").values())


@handles("pool.has_extension")
def has_extension(call: CallContext, ref: str, name: str) -> bool:
    """False: this server has no API extensions."""
    return False
