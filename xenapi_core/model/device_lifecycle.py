"""Operations on VBDs, VIFs, VDIs and tasks: which are allowed when.

Rule 1: allowed_* look at the record and at what its schema entry follows (a VBD or VIF follows its VM's power state and
        current operations, a VDI its VBDs' attachment and its SR's type); check_* may look further, at guest drivers
        and storage.
Rule 2: who relies on a disk beside VMs is in its own record: hosts (static_on), high availability (ha_hosts, ha_pool),
        the redo log (redo_log_pools). Whoever takes or releases a disk writes it there.
Rule 3: nothing here awaits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model import power
from xenapi_core.model.enums import VBD_OPERATIONS, VDI_OPERATIONS, VIF_OPERATIONS
from xenapi_core.model.schema import Reader
from xenapi_core.model.storage_types import offers

# VM operations during which its devices stand still (API reference, devices).
_VM_HOLDS_DEVICES: Final = frozenset({"clean_shutdown", "hard_shutdown", "suspend", "pause"})

# Operations of a disk whose counterpart in storage_operations has another name.
_IN_STORAGE: Final = {"revert_to": "vdi_revert", "revert_from": "vdi_revert"}

# Operations that no record alone can answer.
_NEEDS_ATTACHED: Final = frozenset(
    {
        "resize", "resize_online", "snapshot", "clone", "copy", "destroy", "update", "mirror", "revert_to",
        "revert_from", "enable_cbt", "disable_cbt", "data_destroy", "list_changed_blocks",
    }
)  # fmt: skip

# Operations that leave an attached disk alone, and that may begin while it is in use.
_FINE_WHILE_ATTACHED: Final = frozenset({"snapshot", "clone", "resize_online", "mirror", "enable_cbt", "disable_cbt"})
# The same for one that a host has attached to itself: it stays where the host finds it.
_FINE_WHILE_STATIC: Final = _FINE_WHILE_ATTACHED - {"mirror"}
# What leaves a disk of high availability, or of the redo log, as it is.
_FINE_WHILE_RELIED_ON: Final = frozenset(
    {
        "snapshot", "clone", "copy", "update", "generate_config", "enable_cbt", "disable_cbt", "list_changed_blocks",
    }
)  # fmt: skip
_VDI_LISTED: Final = (
    "clone", "copy", "resize", "resize_online", "snapshot", "destroy", "forget", "update", "generate_config",
    "set_on_boot", "enable_cbt", "disable_cbt", "data_destroy", "list_changed_blocks",
)  # fmt: skip

# What can be done with a snapshot whose data was destroyed, and whose list of changed blocks was kept.
_OF_METADATA: Final = frozenset({"destroy", "forget", "update", "data_destroy", "list_changed_blocks"})
_TRACKED_TYPES: Final = ("system", "user")

_Check = Callable[[Reader, Any, str, bool], ApiError | None]


def _allowed(check: _Check, reader: Reader, record: Any, operations: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in operations if check(reader, record, name, False) is None)


def _busy(cls: str, record: Any, fine: frozenset[str] = frozenset()) -> ApiError | None:
    current = {task: op for task, op in record["current_operations"].items() if op not in fine}
    return power.other_operation(cls, record.ref, current) if current else None


def _vm_holds_devices(vm: Any) -> ApiError | None:
    for operation in vm["current_operations"].values():
        if operation in _VM_HOLDS_DEVICES:
            return E.OPERATION_NOT_ALLOWED(f"Current operation on VM:{vm.ref} is {operation}")
    return None


def check_vbd_operation(reader: Reader, vbd: Any, operation: str) -> None:
    """Raise what forbids `operation` on `vbd` now (API reference, devices)."""
    error = _vbd_error(reader, vbd, operation, True)
    if error is not None:
        raise error


def allowed_vbd_operations(reader: Reader, vbd: Any) -> tuple[str, ...]:
    """Operations a client may request on `vbd` now, in schema order. () if its VM is gone."""
    return _allowed(_vbd_error, reader, vbd, VBD_OPERATIONS.values)


def _vbd_error(reader: Reader, vbd: Any, operation: str, far: bool) -> ApiError | None:
    vm = reader.find(vbd["VM"])
    if vm is None:
        return E.HANDLE_INVALID("VM", vbd["VM"])
    error = _busy("VBD", vbd, frozenset({"pause", "unpause"})) or _vm_holds_devices(vm)
    if error is not None or operation == "attach":
        return error
    if operation in ("insert", "eject"):
        return _media_error(vbd, vm, operation)
    if vm["power_state"] != power.RUNNING:
        return power.bad_power_state(vm, (power.RUNNING,))
    attached = vbd["currently_attached"]
    if operation == "plug":
        if attached:
            return E.DEVICE_ALREADY_ATTACHED(vbd.ref)
        if vbd["empty"] and vbd["type"] != "CD":
            return E.VBD_IS_EMPTY(vbd.ref)
    elif not attached:
        return E.DEVICE_ALREADY_DETACHED(vbd.ref)
    elif operation in ("unplug", "unplug_force") and not vbd["unpluggable"]:
        return E.VBD_NOT_UNPLUGGABLE(vbd.ref)
    if far and operation in ("plug", "unplug", "unplug_force"):
        return _hotplug_error(reader, vbd, vm, operation)
    return None


def _media_error(vbd: Any, vm: Any, operation: str) -> ApiError | None:
    if vbd["type"] == "Disk":
        return E.VBD_NOT_REMOVABLE_MEDIA(vbd.ref)
    if operation == "insert" and not vbd["empty"]:
        return E.VBD_NOT_EMPTY(vbd.ref)
    if operation == "eject" and vbd["empty"]:
        return E.VBD_IS_EMPTY(vbd.ref)
    if vm["power_state"] == power.SUSPENDED:
        return power.bad_power_state(vm, (power.HALTED, power.RUNNING))
    return None


def _hotplug_error(reader: Reader, vbd: Any, vm: Any, operation: str) -> ApiError | None:
    """What only a look at the guest and at the disk's other users can tell."""
    if not power.booted_paravirtualised(reader, vm):
        if vbd["type"] == "CD":
            return E.OPERATION_NOT_ALLOWED("HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected")
        if vbd["type"] == "Disk" and vbd["mode"] == "RO" and operation == "plug":
            return E.DISK_VBD_MUST_BE_READWRITE_FOR_HVM(vbd.ref)
        if not power.has_pv_drivers(reader, vm):
            return E.VM_MISSING_PV_DRIVERS(vm.ref)
    return disk_use_error(reader, vbd) if operation == "plug" else None


def disk_use_error(reader: Reader, vbd: Any) -> ApiError | None:
    """Why the disk of `vbd` cannot be attached through it now: VDI_NOT_MANAGED, VDI_READONLY; VDI_IN_USE [vdi], also
    for one of high availability, sharable or not;
    OTHER_OPERATION_IN_PROGRESS while something is done to it that may not be begun once it is attached."""
    vdi = reader.find(vbd["VDI"])
    if vbd["empty"] or vdi is None:
        return None
    if not vdi["managed"]:
        return E.VDI_NOT_MANAGED(vdi.ref)
    writes = vbd["mode"] == "RW"
    if writes and vdi["read_only"]:
        return E.VDI_READONLY(vdi.ref)
    if is_of_ha(vdi):
        return E.VDI_IN_USE(vdi.ref)
    if not vdi["sharable"]:
        if vdi["static_on"]:
            return E.VDI_IN_USE(vdi.ref)
        for other in map(reader.find, reader.related(vdi.ref, "VBDs")):
            in_use = other["currently_attached"] or other["reserved"]
            if other.ref != vbd.ref and in_use and (writes or other["mode"] == "RW"):
                return E.VDI_IN_USE(vdi.ref)
    return _busy("VDI", vdi, _FINE_WHILE_ATTACHED if writes else _FINE_WHILE_ATTACHED | {"copy"})


def check_vif_operation(reader: Reader, vif: Any, operation: str) -> None:
    """Raise what forbids `operation` ("attach", "plug", "unplug") on `vif` now (API reference, devices)."""
    error = _vif_error(reader, vif, operation, True)
    if error is not None:
        raise error


def allowed_vif_operations(reader: Reader, vif: Any) -> tuple[str, ...]:
    """Operations a client may request on `vif` now, in schema order. () if its VM is gone."""
    return _allowed(_vif_error, reader, vif, VIF_OPERATIONS.values)


def _vif_error(reader: Reader, vif: Any, operation: str, far: bool) -> ApiError | None:
    vm = reader.find(vif["VM"])
    if vm is None:
        return E.HANDLE_INVALID("VM", vif["VM"])
    error = _busy("VIF", vif) or _vm_holds_devices(vm)
    if error is not None or operation == "attach":
        return error
    if vm["power_state"] != power.RUNNING:
        return power.bad_power_state(vm, (power.RUNNING,))
    if operation == "plug" and vif["currently_attached"]:
        return E.DEVICE_ALREADY_ATTACHED(vif.ref)
    if operation == "unplug" and not vif["currently_attached"]:
        return E.DEVICE_ALREADY_DETACHED(vif.ref)
    if vm["is_control_domain"]:
        return E.OPERATION_NOT_ALLOWED("A control domain's VIFs cannot be hotplugged")
    if far and not power.has_pv_drivers(reader, vm):
        return E.VM_MISSING_PV_DRIVERS(vm.ref)
    return None


def check_vdi_operation(reader: Reader, vdi: Any, operation: str) -> None:
    """Raise what forbids `operation` on `vdi` now (API reference, devices)."""
    error = _vdi_error(reader, vdi, operation, True)
    if error is not None:
        raise error


def allowed_vdi_operations(reader: Reader, vdi: Any) -> tuple[str, ...]:
    """Operations a client may request on `vdi` now, in schema order."""
    return tuple(
        name for name in VDI_OPERATIONS.values if name in _VDI_LISTED and not _vdi_error(reader, vdi, name, False)
    )


def _vdi_error(reader: Reader, vdi: Any, operation: str, far: bool) -> ApiError | None:
    ref = vdi.ref
    if _holds_memory_in_use(vdi) and operation not in _FINE_WHILE_ATTACHED:
        return E.VDI_IN_USE(ref, operation)
    error = _busy("VDI", vdi, frozenset({"copy"}))
    if error is None and operation != "copy" and vdi["current_operations"]:
        error = _busy("VDI", vdi)
    if error is not None:
        return error
    if vdi["static_on"] and operation not in _FINE_WHILE_STATIC:
        return E.VDI_IN_USE(ref, operation)
    if operation not in _FINE_WHILE_RELIED_ON and (error := _relied_on_error(reader, vdi, operation)):
        return error
    attached = _attached(reader, ref)
    if attached and operation not in _FINE_WHILE_ATTACHED:
        only_read = all(vbd["mode"] == "RO" for vbd in attached)
        if not (operation == "copy" and only_read):
            return E.VDI_IN_USE(ref, operation)
    sr = reader.find(vdi["SR"])
    kind = sr["type"] if sr is not None else ""
    if operation == "destroy":
        if kind == "udev":
            return E.VDI_IS_A_PHYSICAL_DEVICE(ref)
        if vdi["type"] == "rrd":
            return E.VDI_HAS_RRDS(ref)
    if operation == "snapshot" and vdi["sharable"]:
        return E.VDI_IS_SHARABLE(ref)
    if operation == "revert_from" and not vdi["is_a_snapshot"]:
        return E.REVERT_ONLY_ALLOWED_ON_SNAPSHOT()
    if operation == "data_destroy":
        if not vdi["is_a_snapshot"]:
            return E.OPERATION_NOT_ALLOWED("VDI is not a snapshot")
        if not vdi["cbt_enabled"]:
            return E.VDI_NO_CBT_METADATA(ref)
    if vdi["type"] == "cbt_metadata" and operation not in _OF_METADATA:
        return E.VDI_INCOMPATIBLE_TYPE(ref, vdi["type"])
    if not offers(kind, _IN_STORAGE.get(operation, f"vdi_{operation}")):
        return E.SR_OPERATION_NOT_SUPPORTED(vdi["SR"])
    error = _tracking_error(vdi, operation)
    if error is not None:
        return error
    if operation in ("snapshot", "copy", "mirror") and vdi["on_boot"] == "reset":
        return E.VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION()
    if far and operation in _NEEDS_ATTACHED and not sr_attached(reader, vdi["SR"]):
        return E.SR_HAS_NO_PBDS(vdi["SR"])
    return None


def is_of_ha(vdi: Any) -> bool:
    """Whether high availability needs the disk, or a host has it attached for that."""
    return bool(vdi["ha_hosts"]) or not is_null(vdi["ha_pool"])


def _relied_on_error(reader: Reader, vdi: Any, operation: str) -> ApiError | None:
    """REDO_LOG_IS_ENABLED, HA_IS_ENABLED; VDI_IN_USE [vdi, operation] for a disk that a host has attached for high
    availability, which is off."""
    if reader.related(vdi.ref, "redo_log_pools"):
        return E.REDO_LOG_IS_ENABLED()
    if not is_null(vdi["ha_pool"]):
        return E.HA_IS_ENABLED()
    return E.VDI_IN_USE(vdi.ref, operation) if is_of_ha(vdi) else None


def _attached(reader: Reader, vdi: str) -> list[Any]:
    """VBDs through which a machine has the disk, or is about to."""
    vbds = (vbd for vbd in map(reader.find, reader.related(vdi, "VBDs")) if vbd is not None)
    return [vbd for vbd in vbds if vbd["currently_attached"] or vbd["reserved"]]


def check_static_use(reader: Reader, vdi: Any) -> None:
    """Raise why no host can attach `vdi` to itself now: VDI_INCOMPATIBLE_TYPE for a list of changed blocks,
    VDI_NOT_MANAGED; VDI_IN_USE [vdi] for a disk that is not sharable and that a machine, another host or high
    availability has; OTHER_OPERATION_IN_PROGRESS."""
    if vdi["type"] == "cbt_metadata":
        raise E.VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi["type"])
    if not vdi["managed"]:
        raise E.VDI_NOT_MANAGED(vdi.ref)
    if not vdi["sharable"] and (vdi["static_on"] or is_of_ha(vdi) or _attached(reader, vdi.ref)):
        raise E.VDI_IN_USE(vdi.ref)
    if error := _busy("VDI", vdi, _FINE_WHILE_STATIC):
        raise error


def check_ha_use(reader: Reader, vdi: Any) -> None:
    """Raise why no host can attach `vdi` for high availability now: VDI_INCOMPATIBLE_TYPE for a list of changed blocks;
    VDI_IN_USE [vdi] for a disk that a machine has, and for one that is not sharable and that a host has attached to
    itself; OTHER_OPERATION_IN_PROGRESS for what may not be begun once it is attached."""
    if vdi["type"] == "cbt_metadata":
        raise E.VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi["type"])
    if _attached(reader, vdi.ref) or (vdi["static_on"] and not vdi["sharable"]):
        raise E.VDI_IN_USE(vdi.ref)
    if error := _busy("VDI", vdi, _FINE_WHILE_RELIED_ON):
        raise error


def _holds_memory_in_use(vdi: Any) -> bool:
    """Whether it is an image of a VM's memory that is written or read now: a host has it attached then."""
    return vdi["type"] == "suspend" and "blocked" in vdi["current_operations"].values()


def _tracking_error(vdi: Any, operation: str) -> ApiError | None:
    """What tracking of changed blocks forbids, or wants."""
    if operation in ("enable_cbt", "disable_cbt"):
        if vdi["is_a_snapshot"]:
            return E.OPERATION_NOT_ALLOWED("VDI is a snapshot")
        if vdi["type"] not in _TRACKED_TYPES:
            return E.VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi["type"])
        if vdi["on_boot"] == "reset":
            return E.VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION()
    if operation == "list_changed_blocks" and not vdi["cbt_enabled"]:
        return E.VDI_NO_CBT_METADATA(vdi.ref)
    if operation in ("mirror", "set_on_boot") and vdi["cbt_enabled"]:
        return E.VDI_CBT_ENABLED(vdi.ref)
    return None


def sr_attached(reader: Reader, sr: str) -> bool:
    """Whether some host has the storage repository attached."""
    return any(pbd["currently_attached"] for pbd in map(reader.find, reader.related(sr, "PBDs")) if pbd is not None)


def allowed_task_operations(reader: Reader, task: Any) -> tuple[str, ...]:
    """A task that has not ended can be cancelled, or destroyed when it ends; an ended one has no operations left."""
    ended = task["status"] in ("success", "failure", "cancelled") or task["finished"] != 0
    return () if ended else ("cancel", "destroy")
