"""VM: settings that have rules. Those without are derived setters, or PLAIN_WRITES in api/derived.py.

Rule 1: a setter asks the lifecycle table whether the VM may be changed now, checks the new values against the others,
        and makes one commit.
Rule 2: a setting that a running guest must get (dynamic memory range, hot-plugged vCPUs) is a plan:
        engine/plans/vm_live.py.
"""

from __future__ import annotations

import math

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.ha_rules import (
    BEST_EFFORT,
    RESTART,
    check_agile,
    check_protecting,
    enabled_pool,
    is_protected,
)
from xenapi_core.engine.plans.vm_live import MEMORY_FIELDS, check_memory_order
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import PAUSED, RUNNING
from xenapi_core.store.api import Version


def _changeable(call: CallContext, ref: str, operation: str) -> Version:
    vm = call.get(ref, "VM")
    check_vm_operation(call.store, vm, operation)
    return vm


# Memory


def _set_memory(call: CallContext, ref: str, operation: str, **changes: int) -> None:
    vm = _changeable(call, ref, operation)
    check_memory_order({name: changes.get(name, vm[name]) for name in MEMORY_FIELDS})
    if is_protected(vm):
        most = changes.get("memory_static_max", vm["memory_static_max"])
        check_protecting(call.world, vm, most + vm["memory_overhead"])
    call.update(ref, **changes)


@handles("VM.set_memory_static_max")
def set_memory_static_max(call: CallContext, ref: str, value: int) -> None:
    _set_memory(call, ref, "changing_static_range", memory_static_max=value)


@handles("VM.set_memory_static_min")
def set_memory_static_min(call: CallContext, ref: str, value: int) -> None:
    _set_memory(call, ref, "changing_static_range", memory_static_min=value)


@handles("VM.set_memory_static_range")
def set_memory_static_range(call: CallContext, ref: str, low: int, high: int) -> None:
    _set_memory(call, ref, "changing_static_range", memory_static_min=low, memory_static_max=high)


@handles("VM.set_memory_limits")
def set_memory_limits(
    call: CallContext, ref: str, static_min: int, static_max: int, dynamic_min: int, dynamic_max: int
) -> None:
    _set_memory(
        call, ref, "changing_memory_limits", memory_static_min=static_min, memory_static_max=static_max,
        memory_dynamic_min=dynamic_min, memory_dynamic_max=dynamic_max,
    )  # fmt: skip


@handles("VM.set_memory")
def set_memory(call: CallContext, ref: str, value: int) -> None:
    """Give the VM exactly `value` bytes: the dynamic range becomes a point."""
    _set_memory(
        call, ref, "changing_memory_limits", memory_static_max=value, memory_dynamic_min=value, memory_dynamic_max=value
    )


@handles("VM.set_HVM_shadow_multiplier")
def set_hvm_shadow_multiplier(call: CallContext, ref: str, value: float) -> None:
    """INVALID_VALUE unless at least 1, and finite."""
    _changeable(call, ref, "changing_shadow_memory")
    if not 1.0 <= value < math.inf:
        raise E.INVALID_VALUE("multiplier", f"{value:g}")
    call.update(ref, HVM_shadow_multiplier=value)


# vCPUs


# More than any guest of Xen can have. Each processor is an object of its own to CIM clients, so a number without a
# bound would let one VM make every listing endless.
MOST_VCPUS = 1024


def check_most_vcpus(at_startup: int, maximum: int) -> None:
    """INVALID_VALUE beyond MOST_VCPUS."""
    for field, value in (("VCPUs_max", maximum), ("VCPUs_at_startup", at_startup)):
        if value > MOST_VCPUS:
            raise E.INVALID_VALUE(field, str(value))


def check_vcpus(at_startup: int, maximum: int) -> None:
    """INVALID_VALUE unless 1 <= at_startup <= maximum <= MOST_VCPUS."""
    check_most_vcpus(at_startup, maximum)
    if not 1 <= at_startup <= maximum:
        field, value = ("VCPUs_max", maximum) if maximum < 1 else ("VCPUs_at_startup", at_startup)
        raise E.INVALID_VALUE(field, str(value))


@handles("VM.set_VCPUs_max")
def set_vcpus_max(call: CallContext, ref: str, value: int) -> None:
    vm = _changeable(call, ref, "changing_VCPUs")
    if value < vm["VCPUs_at_startup"]:
        raise E.INVALID_VALUE("VCPUs_max", str(value))
    check_vcpus(vm["VCPUs_at_startup"], value)
    call.update(ref, VCPUs_max=value)


@handles("VM.set_VCPUs_at_startup")
def set_vcpus_at_startup(call: CallContext, ref: str, value: int) -> None:
    vm = _changeable(call, ref, "changing_VCPUs")
    check_vcpus(value, vm["VCPUs_max"])
    call.update(ref, VCPUs_at_startup=value)


# What it is, and how it boots


@handles("VM.set_is_a_template")
def set_is_a_template(call: CallContext, ref: str, value: bool) -> None:
    """VM_IS_PROTECTED for a VM under high availability; VM_BAD_POWER_STATE unless Halted; the lifecycle's refusals.

    A snapshot may stop being a template, and stays a snapshot: Xen Orchestra asks for that after each one it takes.
    """
    vm = call.get(ref, "VM")
    if value == vm["is_a_template"]:
        return
    if value:
        if vm["ha_restart_priority"] == "restart":
            raise E.VM_IS_PROTECTED(ref)
        check_vm_operation(call.store, vm, "make_into_template")
    call.update(ref, is_a_template=value)


@handles("VM.set_domain_type")
def set_domain_type(call: CallContext, ref: str, value: str) -> None:
    """Also sets HVM_boot_policy, by which older clients tell hvm from the others. VM_BAD_POWER_STATE unless Halted."""
    vm = _halted(call, ref)
    policy = (vm["HVM_boot_policy"] or "BIOS order") if value == "hvm" else ""
    call.update(ref, domain_type=value, HVM_boot_policy=vm["HVM_boot_policy"] if value == "unspecified" else policy)


@handles("VM.set_HVM_boot_policy")
def set_hvm_boot_policy(call: CallContext, ref: str, value: str) -> None:
    """The older way to set domain_type: "" is pv, anything else hvm. VM_BAD_POWER_STATE unless Halted."""
    _halted(call, ref)
    call.update(ref, HVM_boot_policy=value, domain_type="hvm" if value else "pv")


def _halted(call: CallContext, ref: str) -> Version:
    vm = call.get(ref, "VM")
    if vm["power_state"] != "Halted":
        raise E.VM_BAD_POWER_STATE(ref, "halted", vm["power_state"].lower())
    return vm


@handles("VM.set_has_vendor_device")
def set_has_vendor_device(call: CallContext, ref: str, value: bool) -> None:
    _halted(call, ref)
    call.update(ref, has_vendor_device=value)


@handles("VM.set_NVRAM")
def set_nvram(call: CallContext, ref: str, value: dict[str, str]) -> None:
    _changeable(call, ref, "changing_NVRAM")
    call.update(ref, NVRAM=value)


@handles("VM.add_to_NVRAM")
def add_to_nvram(call: CallContext, ref: str, key: str, value: str) -> None:
    """MAP_DUPLICATE_KEY."""
    old = _changeable(call, ref, "changing_NVRAM")["NVRAM"]
    if key in old:
        raise E.MAP_DUPLICATE_KEY("VM", "NVRAM", ref, key)
    call.update(ref, NVRAM={**old, key: value})


@handles("VM.remove_from_NVRAM")
def remove_from_nvram(call: CallContext, ref: str, key: str) -> None:
    old = _changeable(call, ref, "changing_NVRAM")["NVRAM"]
    call.update(ref, NVRAM={k: v for k, v in old.items() if k != key})


@handles("VM.set_NVRAM_EFI_variables")
def set_nvram_efi_variables(call: CallContext, ref: str, value: str, update: str) -> None:
    """Store the EFI variables that the firmware of a guest has written; the power state is not checked."""
    call.update(ref, NVRAM={**call.get(ref, "VM")["NVRAM"], "EFI-variables": value})


# Start order and high availability


def _set_delay(call: CallContext, ref: str, field: str, value: int) -> None:
    if value < 0:
        raise E.INVALID_VALUE(field, str(value))
    call.update(ref, **{field: value})


@handles("VM.set_start_delay")
def set_start_delay(call: CallContext, ref: str, value: int) -> None:
    """Seconds. INVALID_VALUE if negative."""
    _set_delay(call, ref, "start_delay", value)


@handles("VM.set_shutdown_delay")
def set_shutdown_delay(call: CallContext, ref: str, value: int) -> None:
    """Seconds. INVALID_VALUE if negative."""
    _set_delay(call, ref, "shutdown_delay", value)


@handles("VM.set_order")
def set_order(call: CallContext, ref: str, value: int) -> None:
    """INVALID_VALUE if negative."""
    _set_delay(call, ref, "order", value)


@handles("VM.set_ha_restart_priority")
def set_ha_restart_priority(call: CallContext, ref: str, value: str) -> None:
    """INVALID_VALUE unless "", "restart" or "best-effort". A VM that runs is protected by "restart" at once.

    Under high availability, for "restart": HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED [SR] and _NETWORK_NOT_SHARED [network]
    for what not every host reaches; HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN for a VM that runs.
    """
    if value not in ("", RESTART, BEST_EFFORT):
        raise E.INVALID_VALUE("ha_restart_priority", value)
    vm = call.get(ref, "VM")
    if value == vm["ha_restart_priority"]:
        return
    runs = vm["power_state"] in (RUNNING, PAUSED)
    if value == RESTART and enabled_pool(call.store) is not None:
        check_agile(call.store, ref)
        if runs:
            check_protecting(call.world, vm)
    call.update(ref, ha_restart_priority=value, ha_always_run=runs and value == RESTART)


@handles("VM.set_ha_always_run")
def set_ha_always_run(call: CallContext, ref: str, value: bool) -> None:
    call.update(ref, ha_always_run=value)


@handles("VM.set_appliance")
def set_appliance(call: CallContext, ref: str, value: str) -> None:
    """Also null, to take it out. VM_IS_PROTECTED for a VM under high availability; VM_IS_TEMPLATE; VM_IS_SNAPSHOT."""
    vm = call.get(ref, "VM")
    if not is_null(value):
        if vm["is_a_snapshot"]:
            raise E.VM_IS_SNAPSHOT(ref, "set_appliance")
        if vm["is_a_template"]:
            raise E.VM_IS_TEMPLATE(ref, "set_appliance")
        if vm["ha_restart_priority"]:
            raise E.VM_IS_PROTECTED(ref)
    call.update(ref, appliance=value)


# Firmware strings

BIOS_KEYS = frozenset(
    {
        "bios-vendor", "bios-version", "system-manufacturer", "system-product-name", "system-version",
        "system-serial-number", "baseboard-manufacturer", "baseboard-product-name", "baseboard-version",
        "baseboard-serial-number", "baseboard-asset-tag", "baseboard-location-in-chassis", "enclosure-asset-tag",
    }
)  # fmt: skip
BIOS_LENGTH = 512  # longest string the firmware tables take


@handles("VM.set_bios_strings")
def set_bios_strings(call: CallContext, ref: str, value: dict[str, str]) -> None:
    """VM_BIOS_STRINGS_ALREADY_SET; VM_BAD_POWER_STATE unless Halted; INVALID_VALUE for an unknown key or odd text."""
    _without_bios_strings(call, ref)
    for key, text in value.items():
        if key not in BIOS_KEYS or not text or len(text) > BIOS_LENGTH or not (text.isascii() and text.isprintable()):
            raise E.INVALID_VALUE(key, text)
    call.update(ref, bios_strings=value)


@handles("VM.copy_bios_strings")
def copy_bios_strings(call: CallContext, ref: str, host: str) -> None:
    """VM_BIOS_STRINGS_ALREADY_SET; VM_BAD_POWER_STATE unless Halted."""
    _without_bios_strings(call, ref)
    call.update(ref, bios_strings=call.get(host, "host")["bios_strings"])


def _without_bios_strings(call: CallContext, ref: str) -> None:
    if _halted(call, ref)["bios_strings"]:
        raise E.VM_BIOS_STRINGS_ALREADY_SET()
