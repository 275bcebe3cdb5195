"""Enabling and disabling high availability: its disks, and the records of the pool and its hosts.

Rule 1: every heartbeat SR has one disk of type "ha_statefile"; the first one has the metadata disk too, a copy of the
        database (type "redo_log"). Simulated hosts write no heartbeat: which of them is up is known without.
        What each host does is in ha_member.py.
Rule 2: high availability goes off even if a disk of it cannot be destroyed; that disk stays, and VDI.destroy takes it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine import ha_member
from xenapi_core.engine.ha_plan import Situation, covers, most_failures
from xenapi_core.engine.ha_rules import RESTART, connected_hosts, is_protected, situation_with
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.database_copy import REDO_LOG, copies, new_copy, this_pool
from xenapi_core.engine.steps.database_disk import NEEDED
from xenapi_core.engine.steps.volumes import create_step, destroy_step, forget_volume, record_volume
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.hosts import is_live
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation, check_sr_operation
from xenapi_core.model.power import HALTED, is_guest
from xenapi_core.model.storage_types import features
from xenapi_core.store.api import Store, Txn, Version

log = logging.getLogger(__name__)

STATEFILE: Final = "ha_statefile"
STATEFILE_SIZE: Final = 4 << 20  # bytes
TIMEOUT: Final = "timeout"  # key of ha_configuration: seconds of silence after which a host counts as lost
SECONDS: Final = 60  # the timeout when nobody says one
LONGEST: Final = 86_400
STACK: Final = "xhad"  # ha_cluster_stack


def check_heartbeat_sr(store: Store, sr: str) -> None:
    """SR_HAS_NO_PBDS unless every host is connected; HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED for local storage;
    SR_OPERATION_NOT_SUPPORTED where no disk can be made and written."""
    record = store.get(sr, "SR")
    if not connected_hosts(store, sr).issuperset(store.all("host")):
        raise E.SR_HAS_NO_PBDS(sr)
    if not record["shared"]:
        raise E.HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED(sr)
    if not features(record["type"]) >= NEEDED:
        raise E.SR_OPERATION_NOT_SUPPORTED(sr)


def _configured(configuration: Mapping[str, str]) -> dict[str, str]:
    """The configuration with its timeout. INVALID_VALUE unless that is a number of seconds, 1 to a day."""
    text = configuration.get(TIMEOUT, str(SECONDS))
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= LONGEST):
        raise E.INVALID_VALUE(TIMEOUT, text)
    return {**configuration, TIMEOUT: text}


def _usable(world: World) -> tuple[str, ...]:
    """The first SR that can hold the heartbeat. CANNOT_CREATE_STATE_FILE."""
    for sr in world.store.all("SR"):
        try:
            check_heartbeat_sr(world.store, sr)
        except ApiError:
            continue
        return (sr,)
    raise E.CANNOT_CREATE_STATE_FILE()


@plans("pool.enable_ha")
def plan_enable(world: World, heartbeat_srs: tuple[str, ...], configuration: Mapping[str, str]) -> Plan:
    """Protect VMs from now on. Without heartbeat_srs the first SR that will do is taken.

    OTHER_OPERATION_IN_PROGRESS, HA_IS_ENABLED; INVALID_VALUE [timeout]; HA_TOO_FEW_HOSTS; HA_HOST_CANNOT_SEE_PEERS
    [coordinator, uuids of all hosts, uuids of those that are up]; HA_HOST_IS_ARMED; what check_heartbeat_sr says;
    SR_FULL; HA_FAILED_TO_FORM_LIVESET if a host does not answer. Running VMs of priority "restart" are protected at
    once.
    """
    store = world.store
    pool = this_pool(store)
    check_pool_operation(store, pool, "ha_enable")
    settings = _configured(configuration)
    hosts = store.all("host")
    if len(hosts) < 2:
        raise E.HA_TOO_FEW_HOSTS()
    up = [host["uuid"] for host in hosts.values() if is_live(store, host)]
    if len(up) < len(hosts):
        raise E.HA_HOST_CANNOT_SEE_PEERS(pool["master"], " ".join(h["uuid"] for h in hosts.values()), " ".join(up))
    for ref, host in hosts.items():
        if ha_member.has_joined(host):
            raise E.HA_HOST_IS_ARMED(ref)
    srs = tuple(dict.fromkeys(heartbeat_srs)) or _usable(world)
    for sr in srs:
        check_heartbeat_sr(store, sr)
        check_sr_operation(store, store.get(sr), "vdi_create")
    files = [(sr, world.ids.ref(), world.ids.uuid()) for sr in srs]
    generation = files[0][2]  # nobody else has this number
    metadata, steps, record_metadata = new_copy(world, srs[0], REDO_LOG, "HA metadata", "For the next coordinator")

    async def form_liveset(run: Run) -> None:
        for host in hosts:
            await ha_member.check_answers(run.hypervisor(host))

    def finish(run: Run, txn: Txn) -> None:
        for sr, ref, uuid in files:
            record_volume(world, run, txn, ref, uuid, sr, _STATEFILE_VALUES)
        record_metadata(run, txn)
        statefiles = tuple(ref for _, ref, _ in files)
        for vdi in (*statefiles, metadata):
            txn.update(vdi, ha_pool=pool.ref)
        started = {vm.ref for vm in store.all("VM").values() if _is_to_run(vm)}
        for vm in started:
            txn.update(vm, ha_always_run=True)
        found = numbers(pool, situation_with(world, lambda vm: is_protected(vm) or vm.ref in started))
        txn.update(
            pool.ref, ha_enabled=True, ha_configuration=settings, ha_statefiles=statefiles, ha_cluster_stack=STACK,
            ha_plan_exists_for=found.plan_exists_for, ha_overcommitted=found.overcommitted, ha_restarts_from=0,
        )  # fmt: skip
        for host in hosts:
            ha_member.preconfigure(txn, host, statefiles, metadata, generation)
            ha_member.join(txn, host)
        ha_member.show_live_set(store, txn)

    return Plan(
        steps=(
            *(create_step(world, sr, uuid, STATEFILE_SIZE, ref) for sr, ref, uuid in files),
            *steps,
            Step("form liveset", form_liveset),
        ),
        claims=(Claim(pool.ref, "ha_enable"), *(Claim(sr, "vdi_create") for sr in srs)),
        finish=finish,
    )


_STATEFILE_VALUES: Final[Mapping[str, Any]] = {
    "name_label": "HA heartbeat", "name_description": "For the heartbeat of the hosts",
    "type": STATEFILE, "sharable": True, "read_only": False,
}  # fmt: skip


def _is_to_run(vm: Version) -> bool:
    """Whether a VM is protected as soon as high availability is on."""
    return vm["ha_restart_priority"] == RESTART and is_guest(vm) and vm["power_state"] != HALTED


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of the failover plan in the pool's record."""

    plan_exists_for: int
    overcommitted: bool


def numbers(pool: Version, now: Situation) -> Numbers:
    """The plan covers as many failures as were configured, or as many as it can."""
    wanted = pool["ha_host_failures_to_tolerate"]
    return Numbers(most_failures(now, wanted), not covers(now, wanted))


def ha_disks(store: Store) -> list[Version]:
    """The disks that high availability has made (rule 1)."""
    pool = this_pool(store)
    statefiles = [store.find(ref) for ref in pool["ha_statefiles"]]
    metadata = [vdi for vdi in copies(store, types=(REDO_LOG,)) if vdi.ref != pool["redo_log_vdi"]]
    return [*(vdi for vdi in statefiles if vdi is not None), *metadata]


@plans("pool.disable_ha")
def plan_disable(world: World) -> Plan:
    """Nothing is protected any more. HA_NOT_ENABLED, OTHER_OPERATION_IN_PROGRESS.

    A host that is down hears of it when it boots (ha_member.note_boot); it has no disk attached.
    """
    store = world.store
    pool = this_pool(store)
    if not pool["ha_enabled"]:
        raise E.HA_NOT_ENABLED()
    check_pool_operation(store, pool, "ha_disable")
    disks = ha_disks(store)
    destroyed: list[Version] = []

    async def destroy(run: Run) -> None:
        for vdi in disks:
            try:
                await destroy_step(vdi).do(run)
            except (ApiError, DriverError) as error:
                log.warning("a disk of high availability stays behind: %s", error)
            else:
                destroyed.append(vdi)

    def finish(run: Run, txn: Txn) -> None:
        for vdi in disks:
            if vdi in destroyed:
                forget_volume(run, txn, vdi.ref)
            else:
                txn.update(vdi.ref, ha_pool=NULL_REF)
        txn.update(
            pool.ref, ha_enabled=False, ha_configuration={}, ha_statefiles=(), ha_cluster_stack="",
            ha_plan_exists_for=0, ha_overcommitted=False, ha_restarts_from=0,
        )  # fmt: skip
        for ref, host in store.all("host").items():
            ha_member.stop(txn, ref)
            if is_live(store, host):
                ha_member.release(txn, ref)
            else:
                ha_member.detach(txn, ref)
        ha_member.show_live_set(store, txn)

    return Plan(
        steps=(Step("destroy disks", destroy, deadline=None),),
        claims=(Claim(pool.ref, "ha_disable"), *(Claim(vdi.ref, "destroy") for vdi in disks)),
        finish=finish,
    )
