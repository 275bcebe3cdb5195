"""Disks that a host attaches at each of its starts, before it runs a VM (host.attach_static_vdis).

Rule 1: VDI.static_on says which hosts have a disk attached to themselves, and what for. It counts as in use as long as
        one does (model/device_lifecycle.py).
Rule 2: the attachment ends when the host goes down; the record stays, and the reconciler attaches again at its start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.placement import attached_repositories
from xenapi_core.engine.plan import Claim, Plan, Run, Step, StepAction, World, plans
from xenapi_core.errors import ApiError, E
from xenapi_core.model.device_lifecycle import check_static_use
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Store, Txn, Version

log = logging.getLogger(__name__)


@plans("host.attach_static_vdis")
def plan_attach(world: World, host: str, vdi_reason_map: Mapping[str, str]) -> Plan:
    """Attach disks to a host itself, now and after each of its starts. All of them or none.

    What it has already is left as it is, with the reason first given. HOST_OFFLINE; what check_static_use raises;
    SR_NOT_ATTACHED if the host is not connected to the storage.
    """
    store = world.store
    member = check_live(store, host)
    disks = [store.get(vdi, "VDI") for vdi in vdi_reason_map]
    new = [vdi for vdi in disks if host not in vdi["static_on"]]
    for vdi in new:
        check_static_use(store, vdi)
        if vdi["SR"] not in attached_repositories(world, host):
            raise E.SR_NOT_ATTACHED(vdi["SR"])

    def finish(run: Run, txn: Txn) -> None:
        for vdi in new:
            txn.update(vdi.ref, static_on={**txn.get(vdi.ref)["static_on"], host: vdi_reason_map[vdi.ref]})

    steps = tuple(Step("attach disk", _attach(vdi, member), _detach(vdi, member)) for vdi in new)
    return Plan(steps=steps, claims=_claims(new), finish=finish)


@plans("host.detach_static_vdis")
def plan_detach(world: World, host: str, vdis: tuple[str, ...]) -> Plan:
    """Detach disks from a host itself; those it has not are left alone. HOST_OFFLINE.

    A failure of the storage is only logged, as in xapi: the host forgets the disk.
    """
    store = world.store
    member = check_live(store, host)
    disks = [store.get(vdi, "VDI") for vdi in dict.fromkeys(vdis)]
    known = [vdi for vdi in disks if host in vdi["static_on"]]

    def finish(run: Run, txn: Txn) -> None:
        for vdi in known:
            others = {other: reason for other, reason in txn.get(vdi.ref)["static_on"].items() if other != host}
            txn.update(vdi.ref, static_on=others)

    steps = tuple(
        Step("detach disk", _forgiving(_detach(vdi, member), "detached"), _attach(vdi, member)) for vdi in known
    )
    return Plan(steps=steps, claims=_claims(known), finish=finish)


def static_disks(store: Store, host: str) -> list[Version]:
    """The disks that a host has attached to itself, or has when it is up."""
    return [vdi for vdi in store.all("VDI").values() if host in vdi["static_on"]]


def plan_attach_again(world: World, host: str) -> Plan:
    """Attach the static disks of a host that has come up (rule 2). One that cannot be attached keeps no other back."""
    member, disks = world.store.get(host, "host"), static_disks(world.store, host)
    steps = tuple(Step("attach disk", _forgiving(_attach(vdi, member), "attached")) for vdi in disks)
    return Plan(steps=steps, claims=_claims(disks))


def plan_leave(leaver: Version, disks: list[Version]) -> Plan:
    """Detach the static disks of a host that is no member any more, which their records do not name any more."""
    return Plan(tuple(Step("detach disk", _forgiving(_detach(vdi, leaver), "detached")) for vdi in disks))


def _claims(vdis: list[Version]) -> tuple[Claim, ...]:
    return tuple(Claim(vdi.ref, "blocked") for vdi in vdis)


def _attach(vdi: Version, host: Version) -> StepAction:
    async def do(run: Run) -> None:
        with told_as(STORAGE, About(sr=vdi["SR"], vdi=vdi.ref, host=host.ref, operation="attach")):
            await run.storage(vdi["SR"]).attach_volume(vdi["uuid"], host["uuid"])

    return do


def _detach(vdi: Version, host: Version) -> StepAction:
    async def do(run: Run) -> None:
        with told_as(STORAGE, About(sr=vdi["SR"], vdi=vdi.ref, host=host.ref, operation="detach")):
            await run.storage(vdi["SR"]).detach_volume(vdi["uuid"], host["uuid"])

    return do


def _forgiving(action: StepAction, what: str) -> StepAction:
    """`action`, except that a failure of the storage is logged and not raised."""

    async def do(run: Run) -> None:
        try:
            await action(run)
        except (ApiError, DriverError) as error:
            log.warning("a static disk could not be %s: %s", what, error)

    return do
