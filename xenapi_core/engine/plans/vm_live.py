"""Changes to a running guest: memory, processors, keys and triggers (API reference, VM)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from xenapi_core.drivers.api import SCHEDULING, Hypervisor
from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.transition import enter_halted, note_memory, note_vcpus
from xenapi_core.errors import E
from xenapi_core.model.hosts import is_live
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import RUNNING
from xenapi_core.store.api import Txn, Version

MEMORY_FIELDS: Final = ("memory_static_min", "memory_dynamic_min", "memory_dynamic_max", "memory_static_max")
HEAVIEST: Final = 65535  # weight of the credit scheduler
TRIGGERS: Final = ("nmi", "init", "reset", "power", "sleep")

Ask = Callable[[Hypervisor], Awaitable[Any]]


def check_memory_order(values: Mapping[str, int]) -> None:
    """MEMORY_CONSTRAINT_VIOLATION unless 0 <= static_min <= dynamic_min <= dynamic_max <= static_max."""
    ordered = [values[name] for name in MEMORY_FIELDS]
    if ordered[0] < 0 or ordered != sorted(ordered):
        raise E.MEMORY_CONSTRAINT_VIOLATION(
            "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max"
        )


# Memory. Hosts count every VM with all it may ever have (engine.placement, rule 2), so the balloon's target is always
# the upper end of the dynamic range.


@plans("VM.set_memory_dynamic_range")
def plan_dynamic_range(world: World, vm: str, low: int, high: int) -> Plan:
    """Set both ends of the range; a running guest is ballooned into it."""
    return _range(world, vm, "changing_dynamic_range", low, high)


@plans("VM.set_memory_dynamic_min")
def plan_dynamic_min(world: World, vm: str, low: int) -> Plan:
    return _range(world, vm, "changing_dynamic_range", low, world.store.get(vm, "VM")["memory_dynamic_max"])


@plans("VM.set_memory_dynamic_max")
def plan_dynamic_max(world: World, vm: str, high: int) -> Plan:
    return _range(world, vm, "changing_dynamic_range", world.store.get(vm, "VM")["memory_dynamic_min"], high)


@plans("VM.set_memory_target_live")
def plan_memory_target(world: World, vm: str, target: int) -> Plan:
    """The older way: the range becomes a point."""
    return _range(world, vm, "changing_memory_live", target, target)


@plans("VM.wait_memory_target_live")
def plan_wait_memory(world: World, ref: str) -> Plan:
    """Until the balloon has reached its target."""
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, "awaiting_memory_live")
    return _balloon(world, vm, "awaiting_memory_live", vm["memory_dynamic_max"], {})


def _range(world: World, ref: str, operation: str, low: int, high: int) -> Plan:
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, operation)
    changes = {"memory_dynamic_min": low, "memory_dynamic_max": high}
    check_memory_order({**{name: vm[name] for name in MEMORY_FIELDS}, **changes})
    if vm["power_state"] != RUNNING or vm["is_control_domain"]:
        return Plan(
            steps=(), claims=(Claim(ref, operation),), finish=lambda run, txn: txn.update(ref, **changes)
        )  # fmt: skip
    return _balloon(world, vm, operation, high, {**changes, "memory_target": high})


def _balloon(world: World, vm: Version, operation: str, target: int, changes: dict[str, int]) -> Plan:
    metrics = world.store.find(vm["metrics"])
    before = metrics["memory_actual"] if metrics is not None else target

    async def do(run: Run) -> None:
        run.results["memory"] = await _call_driver(run, vm, operation, lambda host: host.set_memory(vm["uuid"], target))

    async def undo(run: Run) -> None:
        await _call_driver(run, vm, operation, lambda host: host.set_memory(vm["uuid"], before))

    def finish(run: Run, txn: Txn) -> None:
        txn.update(vm.ref, **changes)
        note_memory(world, txn, vm.ref, run.results["memory"])

    return Plan(steps=(Step("balloon", do, undo),), claims=(Claim(vm.ref, operation),), finish=finish)


@plans("VM.set_VCPUs_number_live")
def plan_vcpus(world: World, ref: str, count: int) -> Plan:
    """Plug processors in or out until next boot. INVALID_VALUE unless 1 <= count <= VCPUs_max."""
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, "changing_VCPUs_live")
    if not 1 <= count <= vm["VCPUs_max"]:
        raise E.INVALID_VALUE("nvcpu", str(count))

    async def do(run: Run) -> None:
        await _call_driver(run, vm, "changing_VCPUs_live", lambda host: host.set_vcpus(vm["uuid"], count))

    return Plan(
        steps=(Step("plug processors", do),),
        claims=(Claim(ref, "changing_VCPUs_live"),),
        finish=lambda run, txn: note_vcpus(world, txn, ref, count),
    )


@plans("VM.add_to_VCPUs_params_live")
def plan_scheduling(world: World, ref: str, key: str, value: str) -> Plan:
    """Tell the scheduler weight (1 to 65535), cap (0: none), mask (numbers of processors), or cpumapN: the mask of
    virtual processor N, below VCPUs_max, as xm vcpu-pin says it. INVALID_VALUE."""
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, "changing_VCPUs_live")
    numbers = value.split(",")
    fits = all(number.isascii() and number.isdigit() and len(number) <= 5 for number in numbers)
    known = SCHEDULING.fullmatch(key)
    if known is None or not fits or (key in ("weight", "cap") and len(numbers) > 1):
        raise E.INVALID_VALUE(key, value)
    if known["vcpu"] and int(known["vcpu"]) >= vm["VCPUs_max"]:
        raise E.INVALID_VALUE(key, value)
    if key == "weight" and not 1 <= int(value) <= HEAVIEST:
        raise E.INVALID_VALUE(key, value)

    async def do(run: Run) -> None:
        await _call_driver(run, vm, "changing_VCPUs_live", lambda host: host.set_scheduling(vm["uuid"], {key: value}))

    return Plan(
        steps=(Step("tell scheduler", do),),
        claims=(Claim(ref, "changing_VCPUs_live"),),
        finish=lambda run, txn: txn.update(ref, VCPUs_params={**vm["VCPUs_params"], key: value}),
    )


@plans("VM.set_shadow_multiplier_live")
def plan_shadow(world: World, ref: str, multiplier: float) -> Plan:
    """INVALID_VALUE unless at least 1."""
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, "changing_shadow_memory_live")
    if not 1.0 <= multiplier < math.inf:
        raise E.INVALID_VALUE("multiplier", f"{multiplier:g}")

    async def do(run: Run) -> None:
        await _call_driver(run, vm, "changing_shadow_memory_live", lambda host: host.set_shadow(vm["uuid"], multiplier))

    return Plan(
        steps=(Step("change shadow memory", do),),
        claims=(Claim(ref, "changing_shadow_memory_live"),),
        finish=lambda run, txn: txn.update(ref, HVM_shadow_multiplier=multiplier),
    )


@plans("VM.send_sysrq")
def plan_sysrq(world: World, ref: str, key: str) -> Plan:
    """INVALID_VALUE unless the key is one letter or digit."""
    if not (len(key) == 1 and key.isascii() and key.isalnum()):
        raise E.INVALID_VALUE("key", key)
    return _plan_injection(world, ref, "send_sysrq", lambda host, uuid: host.send_key(uuid, key))


@plans("VM.send_trigger")
def plan_trigger(world: World, ref: str, trigger: str) -> Plan:
    """INVALID_VALUE unless it is nmi, init, reset, power or sleep."""
    if trigger not in TRIGGERS:
        raise E.INVALID_VALUE("trigger", trigger)
    return _plan_injection(world, ref, "send_trigger", lambda host, uuid: host.send_trigger(uuid, trigger))


# Sleep is no operation of its own in the API; it meets what a trigger meets.


@plans("VM.s3_suspend")
def plan_sleep(world: World, ref: str) -> Plan:
    """Send the guest to ACPI sleep; the VM stays Running. VM_LACKS_FEATURE without an agent in it;
    OPERATION_NOT_ALLOWED if it sleeps."""
    return _plan_injection(world, ref, "send_trigger", lambda host, uuid: host.sleep(uuid))


@plans("VM.s3_resume")
def plan_wake(world: World, ref: str) -> Plan:
    """Wake the guest from ACPI sleep. OPERATION_NOT_ALLOWED if it is awake."""
    return _plan_injection(world, ref, "send_trigger", lambda host, uuid: host.wake(uuid))


def _plan_injection(world: World, ref: str, operation: str, how: Callable[[Hypervisor, str], Awaitable[None]]) -> Plan:
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, operation)

    async def do(run: Run) -> None:
        await _call_driver(run, vm, operation, lambda host: how(host, vm["uuid"]))

    return Plan(steps=(Step(operation, do),), claims=(Claim(ref, operation),))


async def _call_driver(run: Run, vm: Version, operation: str, how: Ask) -> Any:
    with told_as(MACHINE, About(vm=vm.ref, host=vm["resident_on"], operation=operation)):
        return await how(run.hypervisor(vm["resident_on"]))


@plans("VM.power_state_reset")
def plan_reset(world: World, ref: str) -> Plan:
    """Record the VM as Halted. CANNOT_RESET_CONTROL_DOMAIN; HOST_IS_LIVE while its host can say what it does."""
    vm = world.store.get(ref, "VM")
    if vm["is_control_domain"]:
        raise E.CANNOT_RESET_CONTROL_DOMAIN(ref)
    check_vm_operation(world.store, vm, "power_state_reset")
    host = world.store.find(vm["resident_on"])
    if host is not None and is_live(world.store, host):
        raise E.HOST_IS_LIVE(host.ref)
    return Plan(
        steps=(), claims=(Claim(ref, "power_state_reset"),), finish=lambda run, txn: enter_halted(world, txn, ref)
    )
