"""Destroying the data path of a disk: the connection of a VM to a volume through the storage layer of its host.

Rule 1: a data path has the name that xapi gives it: vbd/<domid>/<device>, with the device as the VBD's record has it.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from xenapi_core.engine.failures import DETACH, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.specs import vm_with_domid
from xenapi_core.errors import ApiError
from xenapi_core.ids import is_null
from xenapi_core.model.hosts import check_live
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Version

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"vbd/(?P<domid>[0-9]{1,9})/(?P<device>.+)", re.ASCII)


@plans("host.sm_dp_destroy")
def plan_destroy(world: World, host: str, dp: str, allow_leak: bool) -> Plan:
    """Take a disk away from the VM that reaches it through data path `dp`, whatever its guest says.

    A name that nothing on the host has is no error, as in xapi. HOST_OFFLINE; what the driver refuses, unless
    `allow_leak`: then that is only logged, and the disk counts as detached. OTHER_OPERATION_IN_PROGRESS.
    """
    check_live(world.store, host)
    vbd = _find(world, host, dp)
    if vbd is None:
        return Plan(steps=())
    if vbd["current_operations"]:
        raise other_operation("VBD", vbd.ref, vbd["current_operations"])
    vm = world.store.get(vbd["VM"], "VM")
    about = About(vm=vm.ref, host=host, vdi=vbd["VDI"], device=vbd.ref, device_type="VBD", operation="sm_dp_destroy")

    async def detach(run: Run) -> None:
        try:
            with told_as(DETACH, about):
                await run.hypervisor(host).detach_disk(vm["uuid"], vbd["uuid"], True)
        except ApiError as error:
            if error.code == "DEVICE_ALREADY_DETACHED":
                return
            if not allow_leak:
                raise
            log.warning("the data path %s is forgotten, and may be left behind: %s", dp, error)

    return Plan(
        steps=(Step("detach disk", detach),),
        claims=(Claim(vbd.ref, "unplug_force"),),
        finish=lambda run, txn: txn.update(vbd.ref, currently_attached=False),
    )


def _find(world: World, host: str, dp: str) -> Version | None:
    """The VBD whose data path on `host` has that name. Drives without a medium have none."""
    name = _NAME.fullmatch(dp)
    vm = vm_with_domid(world.store, host, int(name["domid"])) if name is not None else None
    if name is None or vm is None:
        return None
    for vbd in map(world.store.get, world.store.related(vm.ref, "VBDs")):
        if vbd["currently_attached"] and vbd["device"] == name["device"] and not is_null(vbd["VDI"]):
            return vbd
    return None
