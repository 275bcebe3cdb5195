"""High availability as a client switches it on and off, asks it for plans, and is refused what would break them."""

from __future__ import annotations

from typing import Any

import pytest
from ha_pool import BOOTED, GIB, NOTICED, TIMEOUT, followed, guarded, kill, protected, revive
from sim_api import ask, refused

from xenapi_core.engine.steps.database_disk import read_copy
from xenapi_core.ids import NULL_REF
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import SimPool, sim_pool

BREAKS = ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]


def record(pool: SimPool) -> dict[str, Any]:
    """The fields of the pool that tell of high availability."""
    values = pool.store.get(pool.pool).values
    return {name: value for name, value in values.items() if name.startswith("ha_")}


# On and off


async def test_switching_on_makes_the_disks_and_says_so_everywhere() -> None:
    async with sim_pool(hosts=2) as pool:
        before = record(pool)
        second = pool.add_sr("second", 100 * GIB)
        runs, halted = await pool.running("runs", ha_restart_priority="restart"), pool.add_vm("halted")
        await ask(pool, "VM.set_ha_restart_priority", halted, "restart")
        pool.change(runs, ha_always_run=False)
        await ask(pool, "pool.set_ha_host_failures_to_tolerate", pool.pool, 1)
        await ask(pool, "pool.enable_ha", (pool.sr, second), {"timeout": "45", "own": "kept"})
        now = record(pool)
        assert (now["ha_enabled"], now["ha_cluster_stack"]) == (True, "xhad")
        assert now["ha_configuration"] == {"timeout": "45", "own": "kept"}
        assert (now["ha_plan_exists_for"], now["ha_overcommitted"]) == (1, False)
        files = [pool.store.get(vdi, "VDI") for vdi in now["ha_statefiles"]]
        assert [(vdi["SR"], vdi["type"]) for vdi in files] == [(pool.sr, "ha_statefile"), (second, "ha_statefile")]
        for host in map(pool.store.get, pool.hosts):
            assert host["ha_statefiles"] == now["ha_statefiles"]
            assert set(host["ha_network_peers"]) == {pool.store.get(each)["uuid"] for each in pool.hosts}
        assert [pool.vm(vm)["ha_always_run"] for vm in (runs, halted)] == [True, False]
        await ask(pool, "pool.disable_ha")
        assert record(pool) == before | {"ha_host_failures_to_tolerate": 1}
        assert all(pool.store.find(vdi.ref) is None for vdi in files)
        assert not [vdi for vdi in pool.store.all("VDI").values() if vdi["type"] in ("ha_statefile", "redo_log")]
        assert await refused(pool, "pool.disable_ha") == ["HA_NOT_ENABLED"]


async def test_metadata_disk_holds_the_database_and_both_kinds_cannot_be_destroyed() -> None:
    async with guarded(hosts=2) as pool:
        (metadata,) = [vdi for vdi in pool.store.all("VDI").values() if vdi["type"] == "redo_log"]
        storage = pool.engine.storages[pool.sr]
        found = await read_copy(SCHEMA, storage, metadata["uuid"], metadata["virtual_size"])
        assert found.pool == pool.store.get(pool.pool)["uuid"]
        for vdi in (metadata.ref, *pool.store.get(pool.pool)["ha_statefiles"]):
            assert await changes(pool, vdi) == ["HA_IS_ENABLED"]


async def changes(pool: SimPool, vdi: str) -> list[str]:
    """What every message that changes a disk answers, none of which is listed as allowed."""
    told = [
        await refused(pool, "VDI.destroy", vdi),
        await refused(pool, "VDI.forget", vdi),
        await refused(pool, "VDI.resize", vdi, 1 << 40),
        await refused(pool, "VDI.set_on_boot", vdi, "reset"),
    ]
    allowed = await ask(pool, "VDI.get_allowed_operations", vdi)
    assert not {"destroy", "forget", "resize", "resize_online", "set_on_boot"} & set(allowed)
    assert told == [told[0]] * len(told)
    return told[0]


async def test_disk_that_cannot_be_destroyed_does_not_keep_high_availability_on() -> None:
    async with guarded(hosts=2) as pool:
        (file,) = pool.store.get(pool.pool)["ha_statefiles"]
        storage = pool.engine.storages[pool.sr]
        pool.engine.storages[pool.sr] = Faulty(storage, [FaultRule("destroy")], pool.clock)
        await ask(pool, "pool.disable_ha")
        assert not pool.store.get(pool.pool)["ha_enabled"]
        await ask(pool, "VDI.destroy", file)
        assert pool.store.find(file) is None


async def test_without_heartbeat_storage_named_a_shared_one_is_found() -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, "pool.enable_ha", (), {})
        (file,) = pool.store.get(pool.pool)["ha_statefiles"]
        assert pool.store.get(file)["SR"] == pool.sr
        assert pool.store.get(pool.pool)["ha_configuration"] == {"timeout": "60"}
        assert await refused(pool, "pool.enable_ha", (), {}) == ["HA_IS_ENABLED"]


async def test_heartbeat_storage_must_be_shared_attached_everywhere_and_writable() -> None:
    async with sim_pool(hosts=2) as pool:
        local = pool.add_sr("local", GIB, shared=False)
        half = pool.add_sr("half", GIB)
        pool.change(pool.store.related(half, "PBDs")[1], currently_attached=False)
        for sr, code in (
            (local, "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED"), (half, "SR_HAS_NO_PBDS"),
            (pool.iso, "SR_OPERATION_NOT_SUPPORTED"),
        ):  # fmt: skip
            assert await refused(pool, "pool.enable_ha", (pool.sr, sr), {}) == [code, sr]
        pool.change(pool.sr, shared=False)
        assert await refused(pool, "pool.enable_ha", (), {}) == ["CANNOT_CREATE_STATE_FILE"]
        assert not pool.store.get(pool.pool)["ha_enabled"]


async def test_one_host_alone_cannot_have_high_availability() -> None:
    async with sim_pool(hosts=1) as pool:
        assert await refused(pool, "pool.enable_ha", (pool.sr,), {}) == ["HA_TOO_FEW_HOSTS"]


async def test_hosts_must_be_up_and_answer_when_it_is_switched_on() -> None:
    async with sim_pool(hosts=3) as pool:
        uuids = [pool.store.get(host)["uuid"] for host in pool.hosts]
        third = pool.engine.hypervisors[pool.hosts[2]]
        pool.engine.hypervisors[pool.hosts[2]] = Faulty(third, [FaultRule("settings")], pool.clock)
        volumes = pool.picture()["volumes"]
        assert await refused(pool, "pool.enable_ha", (pool.sr,), {}) == ["HA_FAILED_TO_FORM_LIVESET"]
        assert pool.picture()["volumes"] == volumes
        kill(pool, pool.hosts[1])
        await pool.pass_time(1)
        seen = [pool.hosts[0], " ".join(uuids), f"{uuids[0]} {uuids[2]}"]
        assert await refused(pool, "pool.enable_ha", (pool.sr,), {}) == ["HA_HOST_CANNOT_SEE_PEERS", *seen]


@pytest.mark.parametrize("timeout", ["", "0", "-1", "soon", "86401", "999999", "٣"])
async def test_timeout_is_a_number_of_seconds_up_to_a_day(timeout: str) -> None:
    async with sim_pool(hosts=2) as pool:
        refusal = await refused(pool, "pool.enable_ha", (pool.sr,), {"timeout": timeout})
        assert refusal == ["INVALID_VALUE", "timeout", timeout]


async def test_emergency_disable_takes_one_host_out_and_is_idempotent_when_soft() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        await ask(pool, "host.emergency_ha_disable", False)
        assert pool.store.get(pool.pool)["ha_enabled"], "the other host goes on"
        assert pool.store.get(second)["ha_network_peers"] == (pool.store.get(second)["uuid"],)
        assert await refused(pool, "host.emergency_ha_disable", False) == ["HA_NOT_ENABLED"]
        await ask(pool, "host.emergency_ha_disable", True)
        await ask(pool, "pool.disable_ha")
        assert pool.store.get(first)["ha_statefiles"] == ()


async def test_soft_emergency_disable_lasts_until_the_host_boots() -> None:
    async with guarded() as pool:
        pool.sim.host_boot_time = 5.0
        coordinator, dying, _ = pool.hosts
        vm = await protected(pool, affinity=dying)
        await ask(pool, "host.emergency_ha_disable", True)
        kill(pool, dying)
        await pool.pass_time(TIMEOUT + NOTICED + BOOTED)
        assert pool.vm(vm)["resident_on"] == dying, "a coordinator outside the live set decides nothing"
        kill(pool, coordinator)
        await revive(pool, coordinator)
        await pool.pass_time(5 + NOTICED + BOOTED)
        assert pool.vm(vm)["power_state"] == "Running"
        assert pool.vm(vm)["resident_on"] != dying


# Plans


async def test_questions_about_plans_are_answered_also_while_it_is_off() -> None:
    async with sim_pool(hosts=3) as pool:
        vms = [await pool.running(f"vm{n}", memory=6 * GIB, affinity=pool.hosts[0]) for n in range(2)]
        hypothetical = "pool.ha_compute_hypothetical_max_host_failures_to_tolerate"
        assert await ask(pool, "pool.ha_compute_max_host_failures_to_tolerate") == 2
        assert await ask(pool, hypothetical, dict.fromkeys(vms, "restart")) == 2
        big = await pool.running("big", memory=12 * GIB, affinity=pool.hosts[1])
        assert await ask(pool, hypothetical, {**dict.fromkeys(vms, "restart"), big: "best-effort"}) == 1
        assert await ask(pool, hypothetical, dict.fromkeys((*vms, big), "restart")) == 1
        for vm in (*vms, big):
            await ask(pool, "VM.set_ha_restart_priority", vm, "restart")
        exists = [await ask(pool, "pool.ha_failover_plan_exists", n) for n in (-1, 0, 1, 2, 3)]
        assert exists == [True, True, True, False, False]
        assert await ask(pool, "pool.ha_compute_max_host_failures_to_tolerate") == 1


async def test_vm_on_local_storage_cannot_survive_its_host() -> None:
    async with sim_pool(hosts=2) as pool:
        local = pool.add_sr("local", 100 * GIB, shared=False)
        pool.change(pool.store.related(local, "PBDs")[1], currently_attached=False)
        vm = pool.add_vm(disks=0)
        pool.add("VBD", **pool.vbd_values(vm, pool.add_vdi(sr=local), "0"))
        await ask(pool, "VM.start", vm, False, False)
        assert await ask(
            pool, "pool.ha_compute_hypothetical_max_host_failures_to_tolerate", {vm: "restart"}
        ) == 0  # fmt: skip
        plan = await ask(pool, "pool.ha_compute_vm_failover_plan", (pool.hosts[0],), (vm,))
        assert plan == {vm: {"error_code": "NO_HOSTS_AVAILABLE"}}
        assert await refused(pool, "VM.assert_agile", vm) == ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", local]
        await ask(pool, "VM.assert_agile", pool.add_vm("agile"))
        await ask(pool, "pool.enable_ha", (pool.sr,), {})
        refusal = ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", local]
        assert await refused(pool, "VM.set_ha_restart_priority", vm, "restart") == refusal


async def test_failover_plan_names_a_host_for_each_vm() -> None:
    async with sim_pool(hosts=3) as pool:
        first, second, third = pool.hosts
        vms = [await pool.running(f"vm{n}", memory=10 * GIB, affinity=first if n == 0 else second) for n in range(2)]
        plan = await ask(pool, "pool.ha_compute_vm_failover_plan", (first,), (vms[0],))
        assert plan == {vms[0]: {"host": third}}
        both = await ask(pool, "pool.ha_compute_vm_failover_plan", (first, second), tuple(vms))
        assert sorted(map(sorted, both.values())) == [["error_code"], ["host"]]
        assert await refused(pool, "pool.ha_compute_vm_failover_plan", tuple(pool.hosts), ()) == ["HA_NO_PLAN"]


async def test_more_failures_than_can_be_planned_for_are_refused_while_it_is_on() -> None:
    async with guarded() as pool:
        setter = "pool.set_ha_host_failures_to_tolerate"
        assert await refused(pool, setter, pool.pool, 3) == BREAKS
        assert await refused(pool, setter, pool.pool, -1) == ["INVALID_VALUE", "ha_host_failures_to_tolerate", "-1"]
        await ask(pool, setter, pool.pool, 2)
        assert pool.store.get(pool.pool)["ha_plan_exists_for"] == 2
        await ask(pool, "pool.set_ha_allow_overcommit", pool.pool, True)
        await ask(pool, setter, pool.pool, 3)
        assert pool.store.get(pool.pool)["ha_overcommitted"]


# What would break the plan


async def test_starting_what_would_leave_no_room_for_protected_vms_is_refused() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        await protected(pool, memory=8 * GIB, affinity=first)
        large = pool.add_vm("large", memory=9 * GIB)
        assert await refused(pool, "VM.start_on", large, second, False, False) == BREAKS
        assert await refused(pool, "VM.start", large, False, False) == BREAKS
        await ask(pool, "VM.start_on", pool.add_vm("small", memory=7 * GIB), second, False, False)
        more = pool.add_vm("more", memory=2 * GIB)
        assert await refused(pool, "VM.start_on", more, second, False, False) == BREAKS
        await ask(pool, "VM.start", more, False, False)
        assert pool.vm(more)["resident_on"] == first, "where the plan survives it"
        await ask(pool, "pool.set_ha_allow_overcommit", pool.pool, True)
        await ask(pool, "VM.start_on", pool.add_vm("last", memory=3 * GIB), second, False, False)


async def test_migration_that_would_break_the_plan_is_refused() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        await protected(pool, memory=8 * GIB, affinity=first)
        filler = await pool.running("filler", memory=6 * GIB, affinity=first)
        await pool.running("other", memory=4 * GIB, affinity=second)
        assert await refused(pool, "VM.pool_migrate", filler, second, {}) == BREAKS


async def test_what_a_vm_leaves_behind_counts_for_the_plan() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        vm = await protected(pool, memory=8 * GIB, affinity=first)
        await protected(pool, "other", memory=8 * GIB, affinity=second)
        await ask(pool, "VM.pool_migrate", vm, second, {})
        assert pool.vm(vm)["resident_on"] == second


async def test_pool_without_a_plan_refuses_nothing_for_its_sake() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        await ask(pool, "pool.set_ha_allow_overcommit", pool.pool, True)
        await protected(pool, memory=8 * GIB, affinity=first)
        await pool.running("filler", memory=10 * GIB, affinity=second)
        await ask(pool, "pool.set_ha_allow_overcommit", pool.pool, False)
        more = await pool.running("more", affinity=second)
        assert pool.vm(more)["resident_on"] == second
        assert not pool.vm(more)["ha_always_run"], "nobody protects it"


async def test_resuming_and_protecting_more_than_fits_is_refused() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        sleeper = await pool.running("sleeper", memory=9 * GIB, affinity=second)
        await ask(pool, "VM.suspend", sleeper)
        vm = await protected(pool, memory=8 * GIB, affinity=first)
        assert await refused(pool, "VM.resume", sleeper, False, False) == BREAKS
        assert await refused(pool, "VM.resume_on", sleeper, second, False, False) == BREAKS
        other = await pool.running("other", memory=8 * GIB, affinity=second)
        assert pool.vm(other)["resident_on"] == second
        third = await pool.running("third", memory=2 * GIB, affinity=first)
        assert await refused(pool, "VM.set_ha_restart_priority", third, "restart") == BREAKS
        assert pool.vm(third)["ha_restart_priority"] == ""
        await ask(pool, "VM.set_ha_restart_priority", third, "best-effort")
        assert pool.vm(vm)["ha_always_run"]


async def test_disabling_a_host_that_the_plan_needs_is_refused() -> None:
    async with guarded(hosts=2) as pool:
        first, second = pool.hosts
        vm = await protected(pool, affinity=first)
        assert await refused(pool, "host.disable", second) == BREAKS
        await ask(pool, "VM.clean_shutdown", vm)
        await ask(pool, "host.disable", second)


async def test_memory_of_a_protected_vm_grows_only_within_the_plan() -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, "pool.enable_ha", (pool.sr,), {})
        await ask(pool, "pool.set_ha_host_failures_to_tolerate", pool.pool, 1)
        vm = pool.add_vm(memory=8 * GIB, ha_restart_priority="restart", ha_always_run=True)
        assert await refused(pool, "VM.set_memory_static_max", vm, 17 * GIB) == BREAKS
        await ask(pool, "VM.set_memory_static_max", vm, 12 * GIB)
        assert pool.vm(vm)["memory_static_max"] == 12 * GIB


async def test_storage_and_networks_of_protected_vms_stay_on_every_host() -> None:
    async with guarded(hosts=2) as pool:
        second = pool.add_sr("second", 100 * GIB)
        local = pool.add_sr("local", 100 * GIB, shared=False)
        lonely = pool.add("network", name_label="lonely", bridge="xenbr7", MTU=1500)
        pool.add_pif(pool.hosts[0], lonely, "eth7")
        vm = await protected(pool, affinity=pool.hosts[0])
        vbd = pool.vbd_values(vm, pool.add_vdi(sr=second), "5")
        await ask(pool, "VBD.create", vbd)
        (pbd,) = [p for p in pool.store.related(second, "PBDs") if pool.store.get(p)["host"] == pool.hosts[1]]
        assert await refused(pool, "PBD.unplug", pbd) == ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", second]
        (heartbeat,) = [p for p in pool.store.related(pool.sr, "PBDs") if pool.store.get(p)["host"] == pool.hosts[1]]
        assert await refused(pool, "PBD.unplug", heartbeat) == ["HA_IS_ENABLED"]
        onto_local = pool.vbd_values(vm, pool.add_vdi(sr=local), "6")
        assert await refused(pool, "VBD.create", onto_local) == ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", local]
        vif = {"VM": vm, "network": lonely, "device": "3", "MAC": "", "MTU": 1500, "other_config": {},
               "qos_algorithm_type": "", "qos_algorithm_params": {}}  # fmt: skip
        assert await refused(pool, "VIF.create", vif) == ["HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED", lonely]


async def test_pool_cannot_lose_members_or_change_its_coordinator_under_high_availability() -> None:
    async with guarded(hosts=2) as pool:
        for wire_name in ("pool.eject", "pool.designate_new_master", "host.destroy"):
            assert await refused(pool, wire_name, pool.hosts[1]) == ["HA_IS_ENABLED"]


# The redo log


async def test_redo_log_is_a_disk_with_the_database_until_it_is_switched_off() -> None:
    async with sim_pool(hosts=2) as pool:
        assert await ask(pool, "pool.disable_redo_log") is None
        await ask(pool, "pool.enable_redo_log", pool.sr)
        now = pool.store.get(pool.pool)
        vdi = pool.store.get(now["redo_log_vdi"], "VDI")
        assert (now["redo_log_enabled"], vdi["SR"], vdi["type"]) == (True, pool.sr, "redo_log")
        assert await refused(pool, "pool.enable_redo_log", pool.sr) == ["REDO_LOG_IS_ENABLED"]
        assert await changes(pool, vdi.ref) == ["REDO_LOG_IS_ENABLED"]
        await ask(pool, "pool.enable_ha", (pool.sr,), {})
        await ask(pool, "pool.disable_ha")
        assert pool.store.find(vdi.ref) is not None, "high availability has a disk of its own"
        await ask(pool, "pool.disable_redo_log")
        now = pool.store.get(pool.pool)
        assert (now["redo_log_enabled"], now["redo_log_vdi"]) == (False, NULL_REF)
        assert pool.store.find(vdi.ref) is None
        assert await refused(pool, "pool.enable_redo_log", pool.iso) == ["SR_OPERATION_NOT_SUPPORTED", pool.iso]


async def test_redo_log_and_metadata_disk_do_not_end_with_replication() -> None:
    async with followed(hosts=2) as pool:
        await ask(pool, "pool.enable_redo_log", pool.sr)
        await ask(pool, "SR.enable_database_replication", pool.sr)
        await ask(pool, "SR.disable_database_replication", pool.sr)
        assert pool.store.get(pool.pool)["redo_log_vdi"] in pool.store.all("VDI")
