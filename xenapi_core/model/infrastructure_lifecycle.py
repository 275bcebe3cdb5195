"""Operations on hosts, SRs, networks and the pool: which are allowed when, and the errors otherwise.

Rule 1: the function `refuse_X_operation` knows every reason against an operation. `allowed_X_operations` lists the
        operations without one, and `check_X_operation` raises the one there is; so a client is never offered what would
        be refused, nor refused what was offered.
Rule 2: this module reads records and returns values. It never awaits, so it can be called at render time.
Rule 3: what a function reads beyond its own record is named in `follows=` of the computed field that uses it.
"""

from __future__ import annotations

from typing import Final

from xenapi_core.errors import ApiError, E
from xenapi_core.model.enums import (
    HOST_ALLOWED_OPERATIONS,
    NETWORK_OPERATIONS,
    POOL_ALLOWED_OPERATIONS,
    STORAGE_OPERATIONS,
)
from xenapi_core.model.hosts import is_live
from xenapi_core.model.power import Record, other_operation
from xenapi_core.model.schema import Reader
from xenapi_core.model.storage_types import offers

# Hosts: operations that bring VMs and operations that drive them away exclude each other (API reference, host).
BRINGING: Final = frozenset({"provision", "vm_resume", "vm_migrate"})
DRIVING_AWAY: Final = frozenset({"evacuate", "reboot", "shutdown"})
GOING_DOWN: Final = frozenset({"reboot", "shutdown"})
PLACING: Final = frozenset({"provision", "vm_start", "vm_resume", "vm_migrate"})

# CIM's RequestedState of a host, and the operations that ask for it, whoever asked (lifecycle.py has those of VMs).
ENABLED, DISABLED, SHUT_DOWN, OFFLINE, REBOOT = 2, 3, 4, 6, 10
HOST_ASKS_FOR: Final = {"power_on": ENABLED, "evacuate": DISABLED, "shutdown": SHUT_DOWN, "reboot": REBOOT}

# Key of host.local_database, "true" once the host has prepared to be switched off: nobody enables it before it boots.
DISABLED_UNTIL_REBOOT: Final = "host_disabled_until_reboot"


def _in_progress(cls: str, record: Record, against: frozenset[str]) -> ApiError | None:
    """OTHER_OPERATION_IN_PROGRESS if one of `against` is in progress on the record."""
    current = {task: operation for task, operation in record["current_operations"].items() if operation in against}
    return other_operation(cls, record.ref, current) if current else None


def refuse_host_operation(reader: Reader, host: Record, operation: str) -> ApiError | None:
    """Why `operation` cannot be requested of `host` now, or None.

    In this order: OTHER_OPERATION_IN_PROGRESS, then HOST_IS_LIVE and HOST_POWER_ON_MODE_DISABLED for power_on;
    HOST_OFFLINE for everything else on a host that is down; HOST_DISABLED and HOST_EVACUATE_IN_PROGRESS for placing
    VMs; HOST_NOT_DISABLED and HOST_HAS_RESIDENT_VMS for reboot and shutdown; HOST_DISABLED_UNTIL_REBOOT for enable.
    """
    if operation in GOING_DOWN or operation == "power_on":
        against = BRINGING | GOING_DOWN | {"power_on"}
    elif operation == "evacuate":
        against = BRINGING | DRIVING_AWAY
    elif operation in BRINGING:
        against = DRIVING_AWAY
    else:
        against = GOING_DOWN
    if refusal := _in_progress("host", host, against):
        return refusal
    live = is_live(reader, host)
    if operation == "power_on":
        if live:
            return E.HOST_IS_LIVE(host.ref)
        return None if host["power_on_mode"] else E.HOST_POWER_ON_MODE_DISABLED()
    if not live:
        return E.HOST_OFFLINE(host.ref)
    if operation in PLACING:
        if not host["enabled"]:
            return E.HOST_DISABLED(host.ref)
        return E.HOST_EVACUATE_IN_PROGRESS(host.ref) if "evacuate" in host["current_operations"].values() else None
    if operation in GOING_DOWN:
        if host["enabled"]:
            return E.HOST_NOT_DISABLED()
        return E.HOST_HAS_RESIDENT_VMS(host.ref) if _has_guests(reader, host.ref) else None
    if operation == "enable" and host["local_database"].get(DISABLED_UNTIL_REBOOT) == "true":
        return E.HOST_DISABLED_UNTIL_REBOOT(host.ref)
    if operation == "apply_updates" and host["latest_synced_updates_applied"] != "no":
        return E.OPERATION_NOT_ALLOWED("No downloaded updates wait for this host.")
    return None


def _has_guests(reader: Reader, host: str) -> bool:
    """Whether a VM other than a control domain is on the host."""
    residents = (reader.find(vm) for vm in reader.related(host, "resident_VMs"))
    return any(vm is not None and not vm["is_control_domain"] for vm in residents)


def allowed_host_operations(reader: Reader, host: Record) -> tuple[str, ...]:
    """Operations a client may request of `host` now, in schema order."""
    return tuple(op for op in HOST_ALLOWED_OPERATIONS.values if refuse_host_operation(reader, host, op) is None)


def check_host_operation(reader: Reader, host: Record, operation: str) -> None:
    """Raise what refuse_host_operation finds."""
    if refusal := refuse_host_operation(reader, host, operation):
        raise refusal


# Storage repositories. These work on records alone, so they need no host that reaches the storage.
RECORD_OPERATIONS: Final = frozenset({"vdi_forget", "pbd_create", "pbd_destroy", "plug", "forget", "destroy"})
EVERY_STORAGE_OPERATION: Final = frozenset(STORAGE_OPERATIONS.values)


def refuse_sr_operation(reader: Reader, sr: Record, operation: str) -> ApiError | None:
    """Why `operation` cannot be requested of `sr` or a disk in it now, or None.

    In this order: OTHER_OPERATION_IN_PROGRESS (only plug may overlap, and only with plug); SR_OPERATION_NOT_SUPPORTED
    if the back end has no such operation; SR_HAS_PBD for destroy and forget while a PBD is attached; SR_HAS_NO_PBDS for
    destroy without a PBD to reach the storage by, and for what needs an attached one; SR_NOT_EMPTY for destroy.
    """
    against = EVERY_STORAGE_OPERATION - {"plug"} if operation == "plug" else EVERY_STORAGE_OPERATION
    if refusal := _in_progress("SR", sr, against):
        return refusal
    if not offers(sr["type"], operation) or (operation == "destroy" and sr["is_tools_sr"]):
        return E.SR_OPERATION_NOT_SUPPORTED(sr.ref)
    found = (reader.find(pbd) for pbd in reader.related(sr.ref, "PBDs"))
    attached = [pbd["currently_attached"] for pbd in found if pbd is not None]
    if operation in ("destroy", "forget") and any(attached):
        return E.SR_HAS_PBD(sr.ref)
    if operation == "destroy":
        if not attached:
            return E.SR_HAS_NO_PBDS(sr.ref)
        return E.SR_NOT_EMPTY() if _has_disks(reader, sr.ref) else None
    if operation in ("plug", "pbd_destroy") and all(attached):
        return E.OPERATION_NOT_ALLOWED("The SR has no connection that is not attached.")
    if operation not in RECORD_OPERATIONS and not any(attached):
        return E.SR_HAS_NO_PBDS(sr.ref)
    return None


def _has_disks(reader: Reader, sr: str) -> bool:
    """Whether the SR holds a managed disk; recorded measurements (type rrd) do not count."""
    disks = (reader.find(vdi) for vdi in reader.related(sr, "VDIs"))
    return any(vdi is not None and vdi["managed"] and vdi["type"] != "rrd" for vdi in disks)


def allowed_sr_operations(reader: Reader, sr: Record) -> tuple[str, ...]:
    """Operations a client may request of `sr` and its disks now, in schema order."""
    return tuple(op for op in STORAGE_OPERATIONS.values if refuse_sr_operation(reader, sr, op) is None)


def check_sr_operation(reader: Reader, sr: Record, operation: str) -> None:
    """Raise what refuse_sr_operation finds."""
    if refusal := refuse_sr_operation(reader, sr, operation):
        raise refusal


def allowed_network_operations(reader: Reader, network: Record) -> tuple[str, ...]:
    """Operations a client may request of `network` now: any number of VIFs may be attaching at once."""
    return NETWORK_OPERATIONS.values


# The pool: what high availability forbids, because it would pull a host out from under the failover plan.
NOT_UNDER_HA: Final = frozenset(
    {"ha_enable", "cluster_create", "designate_new_master", "tls_verification_enable", "eject", "apply_updates"}
)  # fmt: skip
FROM_REPOSITORIES: Final = frozenset({"sync_updates", "get_updates", "apply_updates"})
EVERY_POOL_OPERATION: Final = frozenset(POOL_ALLOWED_OPERATIONS.values)


def refuse_pool_operation(reader: Reader, pool: Record, operation: str) -> ApiError | None:
    """Why `operation` cannot be requested of `pool` now, or None.

    In this order: OTHER_OPERATION_IN_PROGRESS (a pool does one thing at a time); HA_IS_ENABLED; OPERATION_NOT_ALLOWED
    for what is already so, or lacks its repositories.
    """
    if refusal := _in_progress("pool", pool, EVERY_POOL_OPERATION):
        return refusal
    if pool["ha_enabled"] and operation in NOT_UNDER_HA:
        return E.HA_IS_ENABLED()
    if operation == "ha_disable" and not pool["ha_enabled"]:
        return E.OPERATION_NOT_ALLOWED("High availability is not enabled.")
    if operation == "tls_verification_enable" and pool["tls_verification_enabled"]:
        return E.OPERATION_NOT_ALLOWED("TLS verification is already enabled.")
    if operation in FROM_REPOSITORIES and not pool["repositories"]:
        return E.OPERATION_NOT_ALLOWED("The pool has no update repository.")
    return None


def allowed_pool_operations(reader: Reader, pool: Record) -> tuple[str, ...]:
    """Operations a client may request of `pool` now, in schema order."""
    return tuple(op for op in POOL_ALLOWED_OPERATIONS.values if refuse_pool_operation(reader, pool, op) is None)


def check_pool_operation(reader: Reader, pool: Record, operation: str) -> None:
    """Raise what refuse_pool_operation finds."""
    if refusal := refuse_pool_operation(reader, pool, operation):
        raise refusal
