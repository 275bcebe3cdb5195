"""The redo log: a copy of the database on shared storage, which the pool keeps up to date itself.

Rule 1: what is written is the database as replication writes it (database_copies.py), not a log of single changes: the
        disk is brought up to date after each change, and holds a whole database at any time.
"""

from __future__ import annotations

from xenapi_core.engine.plan import Claim, Plan, Run, World, plans
from xenapi_core.engine.plans.database_copy import REDO_LOG, check_replication, new_copy, this_pool
from xenapi_core.engine.steps.volumes import destroy_step, forget_volume
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.store.api import Txn


@plans("pool.enable_redo_log")
def plan_enable(world: World, sr: str) -> Plan:
    """A new disk with the database. REDO_LOG_IS_ENABLED; what check_replication says; SR_FULL."""
    pool = this_pool(world.store)
    if pool["redo_log_enabled"]:
        raise E.REDO_LOG_IS_ENABLED()
    record = world.store.get(sr, "SR")
    check_replication(world.store, sr)
    check_sr_operation(world.store, record, "vdi_create")
    vdi, steps, make = new_copy(world, sr, REDO_LOG, "Redo log", "The database of the pool, as it is now")

    def finish(run: Run, txn: Txn) -> None:
        make(run, txn)
        txn.update(pool.ref, redo_log_enabled=True, redo_log_vdi=vdi)

    return Plan(steps=steps, claims=(Claim(sr, "vdi_create"),), finish=finish)


@plans("pool.disable_redo_log")
def plan_disable(world: World) -> Plan:
    """The disk goes, and the database is written to no storage for this any more; nothing happens if it is off."""
    pool = this_pool(world.store)
    if not pool["redo_log_enabled"]:
        return Plan(steps=())
    vdi = world.store.find(pool["redo_log_vdi"])

    def finish(run: Run, txn: Txn) -> None:
        if vdi is not None:
            forget_volume(run, txn, vdi.ref)
        txn.update(pool.ref, redo_log_enabled=False, redo_log_vdi=NULL_REF)

    return Plan(
        steps=(destroy_step(vdi),) if vdi is not None else (),
        claims=(Claim(vdi.ref, "destroy"),) if vdi is not None else (),
        finish=finish,
    )
