"""Moving a running VM to another host of the pool (API reference, VM.pool_migrate).

No driver moves memory between hosts by itself yet: the machine is saved to shared storage and continued on the other
host, so its guest stands still for a moment, as with the option live=false.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.placement import check_host, memory_needed
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.images import image_step, record_image, suspend_sr
from xenapi_core.engine.plans.vm_power import check_receiving, reserve
from xenapi_core.engine.specs import domain_spec
from xenapi_core.engine.transition import enter_live
from xenapi_core.errors import ApiError, E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn

log = logging.getLogger(__name__)

DISCARD_WITHIN: Final = 60.0  # seconds of real time to remove an image nobody needs any more


@plans("VM.pool_migrate")
def plan_pool_migrate(world: World, vm: str, host: str, options: Mapping[str, str]) -> Plan:
    """Move a running VM to `host`; options["force"]="true" does not ask for guest features."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "pool_migrate", strict=options.get("force") != "true")
    origin = record["resident_on"]
    if host == origin:
        raise E.OPERATION_NOT_ALLOWED("The VM is on that host already")
    check_receiving(world, host)
    check_host(world, record, host)
    sr = suspend_sr(world, record)
    spec = domain_spec(world.store, record)
    image, image_uuid = world.ids.ref(), world.ids.uuid()
    about = About(vm=vm, host=host, operation="pool_migrate", size=memory_needed(record))

    async def save(run: Run) -> None:
        run.results["hosts"] = (origin, host)
        with told_as(MACHINE, about):
            await run.hypervisor(origin).suspend(spec.uuid, image_uuid, run.progress)

    async def go_back(run: Run) -> None:
        await run.hypervisor(origin).resume(spec, image_uuid, False, run.progress)

    async def restore(run: Run) -> None:
        try:
            run.results["domain"] = await run.hypervisor(host).resume(spec, image_uuid, False, run.progress)
        except DriverError as error:
            raise E.VM_MIGRATE_FAILED(vm, origin, host, error.text) from error

    async def leave(run: Run) -> None:
        await run.hypervisor(host).destroy(spec.uuid)

    async def discard(run: Run) -> None:
        """As after a resume: the machine runs, so its old image must not make it fall, and nothing may interrupt."""
        try:
            async with asyncio.timeout(DISCARD_WITHIN):
                await run.storage(sr).destroy(image_uuid)
            run.results["discarded"] = True
        except (ApiError, DriverError, TimeoutError) as error:
            log.warning("the image %s could not be removed: %s", image_uuid, error)

    def finish(run: Run, txn: Txn) -> None:
        if not run.results.get("discarded"):
            record_image(world, run, txn, record, sr, image, image_uuid)
        enter_live(world, txn, vm, host, run.results["domain"], booted=False)
        post_vm(world, txn, "VM_MIGRATED", record.values)

    return Plan(
        steps=(
            reserve(world, record, host),
            image_step(world, record, sr, image, image_uuid),
            Step("save memory", save, go_back, weight=10),
            Step("continue on the other host", restore, leave, weight=10),
            Step("discard image", discard, deadline=None),
        ),
        claims=(Claim(vm, "pool_migrate"),),
        finish=finish,
    )
