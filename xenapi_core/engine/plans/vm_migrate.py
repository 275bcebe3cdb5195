"""Moving a running VM to another host of the pool (API reference, VM.pool_migrate)."""

from __future__ import annotations

from collections.abc import Mapping

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.placement import check_host, check_receiving, memory_free_now, memory_needed
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vm_power import reserve
from xenapi_core.engine.specs import domain_spec
from xenapi_core.engine.transition import enter_live
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn, Version

_AS_THEY_ARE = frozenset({"no_memory", "offline"})  # kinds of failures that have an error of their own


@plans("VM.pool_migrate")
def plan_pool_migrate(world: World, vm: str, host: str, options: Mapping[str, str]) -> Plan:
    """Move a running VM to `host` while it runs; options["force"]="true" does not ask for guest features.

    The option "live" makes no difference: the guest never stands still. OPERATION_NOT_ALLOWED for the host it is on;
    what check_host says; VM_MIGRATE_FAILED if the hypervisors fail, and then the VM runs on where it was.
    """
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "pool_migrate", strict=options.get("force") != "true")
    if host == record["resident_on"]:
        raise E.OPERATION_NOT_ALLOWED("The VM is on that host already")
    check_host(world, record, host)
    check_receiving(world, host, "vm_migrate")

    def finish(run: Run, txn: Txn) -> None:
        enter_live(world, txn, vm, host, run.results["domain"], booted=False)
        post_vm(world, txn, "VM_MIGRATED", record.values)

    return Plan(
        steps=(reserve(world, record, host), move_memory(world, record, host, "pool_migrate")),
        claims=(Claim(vm, "pool_migrate"), Claim(host, "vm_migrate")),
        finish=finish,
    )


@plans("VM.restart_device_models")
def plan_restart_device_models(world: World, vm: str) -> Plan:
    """Move a running VM into a new domain of its own host; the guest runs on.

    The host needs memory for both meanwhile: HOST_NOT_ENOUGH_FREE_MEMORY. Else as VM.pool_migrate.
    """
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "pool_migrate")
    host = record["resident_on"]
    about = About(
        vm=vm, host=host, operation="pool_migrate", size=memory_needed(record), available=memory_free_now(world, host)
    )

    async def renew(run: Run) -> None:
        run.results["hosts"] = (host,)
        with told_as(MACHINE, about):
            run.results["domain"] = await run.hypervisor(host).renew(record["uuid"], run.progress)

    return Plan(
        steps=(Step("migrate", renew, weight=10),),
        claims=(Claim(vm, "pool_migrate"), Claim(host, "vm_migrate")),
        finish=lambda run, txn: enter_live(world, txn, vm, host, run.results["domain"], booted=False),
    )


def move_memory(world: World, vm: Version, host: str, operation: str) -> Step:
    """Move the domain of a running VM to `host`; results["domain"] is what it is there.

    HOST_OFFLINE [its host] if that is down. VM_MIGRATE_FAILED if the hypervisors fail, and then the VM runs on where it
    was. `operation` is what messages about a failure call it. There is no undo: a plan that goes on after this step
    adds its own.
    """
    origin, spec = check_live(world.store, vm["resident_on"]).ref, domain_spec(world.store, vm, host)
    free = memory_free_now(world, host)
    about = About(vm=vm.ref, host=host, operation=operation, size=memory_needed(vm), available=free)

    async def move(run: Run) -> None:
        run.results["hosts"] = (origin, host)
        with told_as(MACHINE, about):
            source, destination = run.hypervisor(origin), run.hypervisor(host)
            try:
                run.results["domain"] = await source.migrate(spec, destination, run.progress)
            except DriverError as error:
                if error.kind in _AS_THEY_ARE:
                    raise
                raise E.VM_MIGRATE_FAILED(vm.ref, origin, host, error.text) from error

    return Step("migrate", move, weight=10)
