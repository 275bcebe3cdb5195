"""VM: creating VMs, and queries about what a VM could do."""

from __future__ import annotations

from typing import Any, NoReturn

from xenapi_core.api.handlers.vm_settings import check_most_vcpus, check_vcpus
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.ha_rules import check_agile
from xenapi_core.engine.placement import check_host, possible_hosts
from xenapi_core.engine.plans.vm_live import MEMORY_FIELDS, check_memory_order
from xenapi_core.engine.specs import device_position, domain_type
from xenapi_core.engine.transition import new_metrics
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import HALTED, RUNNING, bad_power_state
from xenapi_core.store.api import Txn, Version

VBD_DEVICES = 255  # positions 0..254 (API reference, VBD.userdevice)
VIF_DEVICES = 7  # Xen gives a guest seven emulated NICs


@handles("VM.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """A new VM, Halted or (with its memory image) Suspended; nothing else of the record is judged until it starts.

    VM_BAD_POWER_STATE for a Suspended record without an image; INVALID_VALUE for more processors than a VM can have.
    A record read from a live VM makes a Halted one: its power state says what that VM did, and the new one has never
    run. It always gets a VM_metrics object and a mac_seed, from which the MACs of its NICs follow (API reference,
    VM.create).
    """
    check_most_vcpus(values["VCPUs_at_startup"], values["VCPUs_max"])
    ids = call.services.ids
    ref = ids.ref()
    state = "Suspended" if values["power_state"] == "Suspended" else "Halted"
    if state == "Suspended" and is_null(values["suspend_VDI"]):
        raise E.VM_BAD_POWER_STATE(ref, "halted", "suspended")
    other_config = {"mac_seed": ids.uuid(), **values["other_config"]}
    made = {**values, "uuid": ids.uuid(), "power_state": state, "other_config": other_config, "domid": -1}
    if made["domain_type"] == "unspecified":
        made["domain_type"] = domain_type(made)

    def write(txn: Txn) -> None:
        made["metrics"] = new_metrics(call.world, txn, last_updated=call.now)
        txn.create("VM", ref, made)

    call.commit(write)
    return ref


@handles("VM.assert_operation_valid")
def assert_operation_valid(call: CallContext, ref: str, operation: str) -> None:
    """Raises what forbids `operation` now."""
    check_vm_operation(call.store, call.get(ref, "VM"), operation)


@handles("VM.update_allowed_operations")
def update_allowed_operations(call: CallContext, ref: str) -> None:
    """allowed_operations is computed whenever it is read, so it is right before and after this call."""
    call.get(ref, "VM")


def _taken_positions(call: CallContext, ref: str, inverse: str, field: str) -> set[int | None]:
    return {device_position(call.get(device)[field]) for device in call.store.related(ref, inverse)}


@handles("VM.get_allowed_VBD_devices")
def get_allowed_vbd_devices(call: CallContext, ref: str) -> tuple[str, ...]:
    """Free disk positions, as numbers."""
    taken = _taken_positions(call, ref, "VBDs", "userdevice")
    return tuple(str(n) for n in range(VBD_DEVICES) if n not in taken)


@handles("VM.get_allowed_VIF_devices")
def get_allowed_vif_devices(call: CallContext, ref: str) -> tuple[str, ...]:
    """Free NIC positions, as numbers."""
    taken = _taken_positions(call, ref, "VIFs", "device")
    return tuple(str(n) for n in range(VIF_DEVICES) if n not in taken)


@handles("VM.get_boot_record")
def get_boot_record(call: CallContext, ref: str) -> Version:
    """The VM as it runs: settings that count from the next boot cannot be changed while it is live."""
    vm = call.get(ref, "VM")
    check_vm_operation(call.store, vm, "get_boot_record")
    return vm


@handles("VM.assert_can_boot_here")
def assert_can_boot_here(call: CallContext, ref: str, host: str) -> None:
    """Raises why the VM cannot run on that host now; a VM whose settings contradict each other runs nowhere."""
    vm = call.get(ref, "VM")
    if is_null(host):
        raise E.HANDLE_INVALID("host", host)
    check_memory_order({name: vm[name] for name in MEMORY_FIELDS})
    check_vcpus(vm["VCPUs_at_startup"], vm["VCPUs_max"])
    check_host(call.world, vm, host)


@handles("VM.get_possible_hosts")
def get_possible_hosts(call: CallContext, ref: str) -> tuple[str, ...]:
    return tuple(possible_hosts(call.world, call.get(ref, "VM")))


@handles("VM.compute_memory_overhead")
def compute_memory_overhead(call: CallContext, ref: str) -> int:
    """Bytes a host needs for the VM beyond its own memory."""
    return int(call.get(ref, "VM")["memory_overhead"])


@handles("VM.maximise_memory")
def maximise_memory(call: CallContext, ref: str, total: int, approximate: bool) -> int:
    """The largest memory_static_max, in whole MiB, with which the VM fits into `total` bytes; 0 if none does."""
    room = total - int(call.get(ref, "VM")["memory_overhead"])
    return max(0, room >> 20 << 20)


@handles("VM.get_cooperative")
def get_cooperative(call: CallContext, ref: str) -> bool:
    """True: this server never found a guest uncooperative (the API deprecates the question)."""
    call.get(ref, "VM")
    return True


@handles("VM.assert_agile")
def assert_agile(call: CallContext, ref: str) -> None:
    """Raises unless every host reaches what the VM has: HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED [SR],
    HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED [network]."""
    check_agile(call.store, call.get(ref, "VM").ref)


@handles("VM.atomic_set_resident_on")
def atomic_set_resident_on(call: CallContext, ref: str, host: str) -> None:
    """For the pool's own use: the VM is on `host`, and on its way nowhere."""
    call.update(ref, resident_on=host, scheduled_to_be_resident_on=NULL_REF)


@handles("VM.call_host_plugin")
def call_host_plugin(call: CallContext, ref: str, plugin: str, function: str, args: dict[str, str]) -> str:
    """VM_BAD_POWER_STATE unless Running; XENAPI_MISSING_PLUGIN, because hosts have no plug-ins."""
    vm = call.get(ref, "VM")
    if vm["power_state"] != RUNNING:
        raise bad_power_state(vm, (RUNNING,))
    raise E.XENAPI_MISSING_PLUGIN(plugin)


@handles("VM.query_services")
def query_services(call: CallContext, ref: str) -> NoReturn:
    """NOT_IMPLEMENTED, always, as xapi answers: no VM offers services. What VM.assert_operation_valid raises, first."""
    check_vm_operation(call.store, call.get(ref, "VM"), "query_services")
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("VM.sysprep")
def sysprep(call: CallContext, ref: str, unattend: str, timeout: float) -> None:
    """SYSPREP [vm, message] for a guest that is known not to be Windows; what VM.assert_operation_valid raises.

    NOT_IMPLEMENTED for a guest that may be: no driver can run it there.
    """
    vm = call.get(ref, "VM")
    check_vm_operation(call.store, vm, "sysprep")
    guest = call.store.find(vm["guest_metrics"])
    system = guest["os_version"].get("distro", "") if guest is not None else ""
    if system and system != "windows":
        raise E.SYSPREP(ref, f"the guest runs {system}, not Windows")
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("VM.update_snapshot_metadata")
def update_snapshot_metadata(call: CallContext, ref: str, source: str, time: int, transportable_id: str) -> None:
    """Record that a VM is a snapshot of another one. VM_BAD_POWER_STATE unless Halted."""
    vm = call.get(ref, "VM")
    if vm["power_state"] != HALTED:
        raise bad_power_state(vm, (HALTED,))
    call.update(
        ref, is_a_snapshot=True, is_a_template=True, snapshot_of=source, snapshot_time=time,
        transportable_snapshot_id=transportable_id,
    )  # fmt: skip


@handles("VM.call_plugin")
def call_plugin(call: CallContext, ref: str, plugin: str, function: str, args: dict[str, str]) -> str:
    """XENAPI_MISSING_PLUGIN, because the agents of guests have no plug-ins; before that, what forbids the operation on
    the VM."""
    check_vm_operation(call.store, call.get(ref, "VM"), "call_plugin")
    raise E.XENAPI_MISSING_PLUGIN(plugin)
