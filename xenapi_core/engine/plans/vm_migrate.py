"""Moving a running VM to another host of the pool (API reference, VM.pool_migrate)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.host_memory import memory_free_now, memory_needed
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.placement import check_host, check_receiving
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

    The option "live" makes no difference: the guest never stands still. To the host it is on it moves into a new domain
    there. What check_host says of another host; VM_MIGRATE_FAILED if the hypervisors fail, and then the VM runs on
    where it was.
    """
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "pool_migrate", strict=options.get("force") != "true")
    if host == record["resident_on"]:
        return _renew(world, record, "VM_MIGRATED")
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
    return _renew(world, record)


def _renew(world: World, record: Version, message: str | None = None) -> Plan:
    """Move a VM into a new domain of its own host; post `message` then."""
    vm, host = record.ref, check_live(world.store, record["resident_on"]).ref
    about = About(
        vm=vm, host=host, operation="pool_migrate", size=memory_needed(record), available=memory_free_now(world, host)
    )

    async def renew(run: Run) -> None:
        run.results["hosts"] = (host,)
        with _as_migration_errors(about, host):
            run.results["domain"] = await run.hypervisor(host).renew(record["uuid"], run.progress)

    def finish(run: Run, txn: Txn) -> None:
        enter_live(world, txn, vm, host, run.results["domain"], booted=False)
        if message is not None:
            post_vm(world, txn, message, record.values)

    return Plan(
        steps=(Step("migrate", renew, weight=10),),
        claims=(Claim(vm, "pool_migrate"), Claim(host, "vm_migrate")),
        finish=finish,
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
        with _as_migration_errors(about, origin):
            source, destination = run.hypervisor(origin), run.hypervisor(host)
            run.results["domain"] = await source.migrate(spec, destination, run.progress)

    return Step("migrate", move, weight=10)


@contextmanager
def _as_migration_errors(about: About, origin: str) -> Iterator[None]:
    """VM_MIGRATE_FAILED for what has no error of its own."""
    with told_as(MACHINE, about):
        try:
            yield
        except DriverError as error:
            if error.kind in _AS_THEY_ARE:
                raise
            raise E.VM_MIGRATE_FAILED(about.vm, origin, about.host, error.text) from error
