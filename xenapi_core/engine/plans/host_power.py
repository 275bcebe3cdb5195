"""Switching hosts off and on (API reference, "Pool and host")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from xenapi_core.drivers.api import Hypervisor
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.transition import note_power
from xenapi_core.model.infrastructure_lifecycle import check_host_operation
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Txn, Version


@plans("host.shutdown")
def plan_shutdown(world: World, host: str) -> Plan:
    """Switch a disabled, empty host off."""
    return _down(world, host, "shutdown", lambda hypervisor: hypervisor.power_off())


@plans("host.reboot")
def plan_reboot(world: World, host: str) -> Plan:
    """Restart a disabled, empty host. The call ends when it is down; its driver tells when it is back."""
    return _down(world, host, "reboot", lambda hypervisor: hypervisor.restart())


def _down(world: World, host: str, operation: str, how: Callable[[Hypervisor], Awaitable[None]]) -> Plan:
    record = world.store.get(host, "host")
    check_host_operation(world.store, record, operation)
    check_nothing_arrives(world, record)

    async def do(run: Run) -> None:
        with told_as(HOST, About(host=host, operation=operation)):
            await how(run.hypervisor(host))

    def finish(run: Run, txn: Txn) -> None:
        note_power(world, txn, host, False)

    return Plan(steps=(Step(operation, do),), claims=(Claim(host, operation),), finish=finish)


def check_nothing_arrives(world: World, host: Version) -> None:
    """OTHER_OPERATION_IN_PROGRESS while a VM starts on the host: it may run there when it is done."""
    starting = {task: op for task, op in host["current_operations"].items() if op == "vm_start"}
    if starting:
        raise other_operation("host", host.ref, starting)


@plans("host.power_on")
def plan_power_on(world: World, host: str) -> Plan:
    """Power on a host that is down. The call ends when the request was sent; an event of the driver says that the host
    is up."""
    record = world.store.get(host, "host")
    check_host_operation(world.store, record, "power_on")

    async def do(run: Run) -> None:
        with told_as(HOST, About(host=host, operation="power_on")):
            await run.hypervisor(host).power_on(record["power_on_mode"], record["power_on_config"])

    return Plan(steps=(Step("power on", do),), claims=(Claim(host, "power_on"),))
