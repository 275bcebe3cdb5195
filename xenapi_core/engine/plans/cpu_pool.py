"""Pools of processors: dividing the processors of a host among groups of VMs (API 1.0, cpu_pool).

Rule 1: the driver gets single processors to add or remove, so that two operations on one pool do not undo each other;
        the driver decides which pool has a processor.
Rule 2: which VMs run in a pool follows from the states of machines (engine.transition); where they start is the VM's
        own choice by name (VM.set_pool_name), looked up on the host it starts on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from xenapi_core.drivers.api import DriverError, Hypervisor
from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.specs import CPU_POOL_NAME
from xenapi_core.errors import ApiError, E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn, Version

SCHEDULERS: Final = ("", "credit", "credit2", "sedf")  # "": the hypervisor's own choice

_Maker = Callable[[About, DriverError], ApiError]
_REFUSED: Final[Mapping[str, _Maker]] = {
    **MACHINE,
    "not_found": lambda a, e: E.POOL_BAD_STATE("deactivated"),
    "exists": lambda a, e: E.POOL_BAD_STATE("activated"),
    "in_use": lambda a, e: E.POOL_BAD_STATE("in use"),
    "unsupported": lambda a, e: E.OPERATION_NOT_ALLOWED(e.text),
}
_REFUSED_CPU: Final[Mapping[str, _Maker]] = {**_REFUSED, "in_use": lambda a, e: E.INVALID_CPU(e.text)}
_LAST_CPU: Final[Mapping[str, _Maker]] = {**_REFUSED, "in_use": lambda a, e: E.LAST_CPU_NOT_REMOVEABLE(e.text)}


@plans("cpu_pool.activate")
def plan_activate(world: World, ref: str) -> Plan:
    """Take `ncpu` processors that no pool has: the proposed ones first, in the order of their numbers.

    POOL_BAD_STATE ["activated"], UNKOWN_SCHED_POLICY, INSUFFICIENT_CPUS [needed, available].
    """
    pool = world.store.get(ref, "cpu_pool")
    if pool["activated"]:
        raise E.POOL_BAD_STATE("activated")
    if pool["sched_policy"] not in SCHEDULERS:
        raise E.UNKOWN_SCHED_POLICY()
    idle = _idle(world, pool["resident_on"])
    if len(idle) < pool["ncpu"]:
        raise E.INSUFFICIENT_CPUS(str(pool["ncpu"]), str(len(idle)))
    proposed = [number for number in sorted(idle) if str(number) in pool["proposed_CPUs"]]
    taken = [*proposed, *(number for number in sorted(idle) if number not in proposed)][: pool["ncpu"]]
    cpus = tuple(idle[number] for number in taken)
    step = _step(
        pool, "make pool", _REFUSED_CPU,
        lambda driver: driver.create_cpu_pool(pool["uuid"], frozenset(taken)),
        lambda driver: driver.destroy_cpu_pool(pool["uuid"]),
    )  # fmt: skip
    return Plan((step,), finish=lambda run, txn: txn.update(ref, activated=True, host_CPUs=cpus))


def _idle(world: World, host: str) -> dict[int, str]:
    """Processors of a host that no pool has, by number."""
    store = world.store
    taken = {cpu for pool in store.related(host, "resident_cpu_pools") for cpu in store.get(pool)["host_CPUs"]}
    return {store.get(cpu)["number"]: cpu for cpu in store.related(host, "host_CPUs") if cpu not in taken}


@plans("cpu_pool.deactivate")
def plan_deactivate(world: World, ref: str) -> Plan:
    """Give all processors back. POOL_BAD_STATE ["deactivated"], or ["in use"] while VMs run there: the control domain
    runs in the first pool of its host."""
    pool = _active(world, ref)
    if world.store.related(ref, "started_VMs"):
        raise E.POOL_BAD_STATE("in use")
    numbers = frozenset(world.store.get(cpu)["number"] for cpu in pool["host_CPUs"])
    step = _step(
        pool, "end pool", _REFUSED,
        lambda driver: driver.destroy_cpu_pool(pool["uuid"]),
        lambda driver: driver.create_cpu_pool(pool["uuid"], numbers),
    )  # fmt: skip
    return Plan((step,), finish=lambda run, txn: txn.update(ref, activated=False, host_CPUs=()))


@plans("cpu_pool.add_host_CPU_live")
def plan_add_cpu(world: World, ref: str, cpu: str) -> Plan:
    """POOL_BAD_STATE ["deactivated"]; INVALID_CPU for one that a pool has, or another host."""
    pool, number = _active(world, ref), _number(world, ref, cpu)
    if cpu not in _idle(world, pool["resident_on"]).values():
        raise E.INVALID_CPU("A pool has the CPU already")
    step = _step(
        pool, "add processor", _REFUSED_CPU,
        lambda driver: driver.add_cpu(pool["uuid"], number),
        lambda driver: driver.remove_cpu(pool["uuid"], number),
    )  # fmt: skip

    def finish(run: Run, txn: Txn) -> None:
        now = txn.get(ref)
        cpus, proposed = (*now["host_CPUs"], cpu), now["proposed_CPUs"]
        proposed = proposed if str(number) in proposed else (*proposed, str(number))
        txn.update(ref, host_CPUs=cpus, ncpu=len(cpus), proposed_CPUs=proposed)

    return Plan((step,), finish=finish)


@plans("cpu_pool.remove_host_CPU_live")
def plan_remove_cpu(world: World, ref: str, cpu: str) -> Plan:
    """POOL_BAD_STATE ["deactivated"]; INVALID_CPU for one that the pool has not; LAST_CPU_NOT_REMOVEABLE."""
    pool, number = _active(world, ref), _number(world, ref, cpu)
    if cpu not in pool["host_CPUs"]:
        raise E.INVALID_CPU("The pool does not have the CPU")
    if len(pool["host_CPUs"]) == 1:
        raise E.LAST_CPU_NOT_REMOVEABLE("A pool that is active has a CPU")
    step = _step(
        pool, "remove processor", _LAST_CPU,
        lambda driver: driver.remove_cpu(pool["uuid"], number),
        lambda driver: driver.add_cpu(pool["uuid"], number),
    )  # fmt: skip

    def finish(run: Run, txn: Txn) -> None:
        now = txn.get(ref)
        cpus = tuple(other for other in now["host_CPUs"] if other != cpu)
        proposed = tuple(other for other in now["proposed_CPUs"] if other != str(number))
        txn.update(ref, host_CPUs=cpus, ncpu=len(cpus), proposed_CPUs=proposed)

    return Plan((step,), finish=finish)


@plans("VM.cpu_pool_migrate")
def plan_migrate(world: World, vm: str, ref: str) -> Plan:
    """Move a running VM to the processors of another pool of its host; it starts there from now on.

    VM_BAD_POWER_STATE; POOL_BAD_STATE ["deactivated"]; OPERATION_NOT_ALLOWED for a control domain, which stays in the
    first pool, and for a pool of another host.
    """
    record, pool = world.store.get(vm, "VM"), world.store.get(ref, "cpu_pool")
    if record["is_control_domain"]:
        raise E.OPERATION_NOT_ALLOWED("The control domain stays in the first pool")
    check_vm_operation(world.store, record, "changing_VCPUs_live")
    if not pool["activated"]:
        raise E.POOL_BAD_STATE("deactivated")
    if pool["resident_on"] != record["resident_on"]:
        raise E.OPERATION_NOT_ALLOWED("The VM runs on another host than the pool")
    before = world.store.find(record["cpu_pool"])
    origin = before["uuid"] if before is not None else ""
    step = _step(
        pool, "change pool", {**_REFUSED, "not_found": MACHINE["not_found"]},
        lambda driver: driver.move_to_cpu_pool(record["uuid"], pool["uuid"]),
        lambda driver: driver.move_to_cpu_pool(record["uuid"], origin),
        vm=vm,
    )  # fmt: skip

    def finish(run: Run, txn: Txn) -> None:
        others = txn.get(vm)["other_config"]
        txn.update(vm, cpu_pool=ref, other_config={**others, CPU_POOL_NAME: pool["name_label"]})

    return Plan((step,), claims=(Claim(vm, "changing_VCPUs_live"),), finish=finish)


def _active(world: World, ref: str) -> Version:
    pool = world.store.get(ref, "cpu_pool")
    if not pool["activated"]:
        raise E.POOL_BAD_STATE("deactivated")
    return pool


def _number(world: World, ref: str, cpu: str) -> int:
    """The number of a processor of the pool's host. INVALID_CPU for another host's."""
    record = world.store.get(cpu, "host_cpu")
    if record["host"] != world.store.get(ref)["resident_on"]:
        raise E.INVALID_CPU("Another host has the CPU")
    return int(record["number"])


def _step(
    pool: Version,
    name: str,
    refused: Mapping[str, _Maker],
    do: Callable[[Hypervisor], Awaitable[None]],
    undo: Callable[[Hypervisor], Awaitable[None]],
    vm: str = "",
) -> Step:
    """A call of the driver of the pool's host, and the one that takes it back."""
    about = About(vm=vm, host=pool["resident_on"], operation=name)

    async def act(run: Run) -> None:
        with told_as(refused, about):
            await do(run.hypervisor(about.host))

    async def take_back(run: Run) -> None:
        await undo(run.hypervisor(about.host))

    return Step(name, act, take_back)
