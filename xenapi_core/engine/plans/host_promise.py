"""Reserving memory of a host for a VM that will be brought there (host.allocate_resources_for_vm)."""

from __future__ import annotations

from xenapi_core.engine.placement import check_host, check_receiving
from xenapi_core.engine.plan import Plan, World, plans
from xenapi_core.errors import E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import SUSPENDED


@plans("host.allocate_resources_for_vm")
def plan_promise(world: World, host: str, ref: str, live: bool) -> Plan:
    """The memory counts as the VM's from now on: until it starts or migrates, wherever that is, or is shut down, or the
    server restarts. `live`: it will be migrated while it runs.

    OPERATION_NOT_ALLOWED for the host it is on; VM_BAD_POWER_STATE; what check_host says.
    """
    vm = world.store.get(ref, "VM")
    if host == vm["resident_on"]:
        raise E.OPERATION_NOT_ALLOWED("The VM is on that host already")
    arrival = "resume" if vm["power_state"] == SUSPENDED else "start"
    check_vm_operation(world.store, vm, "pool_migrate" if live else arrival)
    check_host(world, vm, host)
    check_receiving(world, host, "vm_migrate" if live else f"vm_{arrival}")
    return Plan(steps=(), finish=lambda run, txn: txn.update(ref, scheduled_to_be_resident_on=host))
