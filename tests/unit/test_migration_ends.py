"""Both ends of a migration as members of a pool tell them: what the sender would refuse, and what has arrived."""

from __future__ import annotations

from dataclasses import replace

from sim_api import ask, refused

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


def other_host(pool: SimPool, vm: str) -> str:
    return next(host for host in pool.hosts if host != pool.vm(vm)["resident_on"])


async def carry(pool: SimPool, vm: str, host: str) -> None:
    """Move the machine behind the back of the records: while nobody follows the hosts."""
    origin = pool.vm(vm)["resident_on"]
    driver, target = pool.engine.hypervisors[origin], pool.engine.hypervisors[host]
    pool.change(vm, current_operations={"OpaqueRef:move": "pool_migrate"}, scheduled_to_be_resident_on=host)
    await drive(pool.clock, driver.migrate(pool.spec(vm), target, lambda fraction: None))
    assert pool.vm(vm)["resident_on"] == origin


async def test_vm_is_where_its_receiver_says_it_arrived() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        origin, host = pool.vm(vm)["resident_on"], other_host(pool, vm)
        await carry(pool, vm, host)
        affinity = pool.vm(vm)["affinity"]
        await ask(pool, "VM.pool_migrate_complete", vm, host)
        record = pool.vm(vm)
        assert (record["resident_on"], record["power_state"], record["affinity"]) == (host, "Running", affinity)
        assert record["scheduled_to_be_resident_on"] == NULL_REF
        assert record["domid"] == pool.sim.machines[record["uuid"]].domid
        free = [pool.store.get(pool.store.get(each)["metrics"])["memory_free"] for each in (origin, host)]
        assert free[0] - free[1] == record["memory_static_max"] + record["memory_overhead"]
        await ask(pool, "VM.pool_migrate_complete", vm, host)
        assert pool.vm(vm)["domid"] == record["domid"]


async def test_machine_that_was_paused_there_is_a_paused_vm() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        host = other_host(pool, vm)
        await carry(pool, vm, host)
        await drive(pool.clock, pool.engine.hypervisors[host].pause(pool.vm(vm)["uuid"]))
        await ask(pool, "VM.pool_migrate_complete", vm, host)
        assert (pool.vm(vm)["resident_on"], pool.vm(vm)["power_state"]) == (host, "Paused")


async def test_vm_that_has_not_arrived_stays_where_it_was() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before, host = pool.vm(vm).values, other_host(pool, vm)
        assert await refused(pool, "VM.pool_migrate_complete", vm, host) == ["VM_NOT_RESIDENT_HERE", vm, host]
        rule = FaultRule("domains")
        pool.engine.hypervisors[host] = Faulty(pool.engine.hypervisors[host], [rule], pool.clock)  # type: ignore[assignment]
        assert await refused(pool, "VM.pool_migrate_complete", vm, host) == ["HOST_OFFLINE", host]
        assert rule.fired == 1
        await ask(pool, "host.disable", host)
        await ask(pool, "host.shutdown", host)
        assert await refused(pool, "VM.pool_migrate_complete", vm, host) == ["HOST_OFFLINE", host]
        assert pool.vm(vm).values == before


async def test_sender_refuses_what_the_whole_check_refuses() -> None:
    async with sim_pool(hosts=2) as pool:
        vm, halted = await pool.running(), pool.add_vm("halted")
        host = other_host(pool, vm)
        far = pool.add_sr("far", 1 << 40)
        (disk,) = [pool.store.get(vbd)["VDI"] for vbd in pool.store.related(vm, "VBDs")]
        cases = (
            (vm, {"host": host}, {}, {}),
            (vm, {"host": host}, {disk: far}, {}),
            (halted, {"host": host, "copy": "true"}, {}, {}),
            (vm, {}, {}, {}),
        )
        for machine, dest, vdi_map, vif_map in cases:
            for options in ({}, {"copy": "true"}):
                whole = await told(pool, "VM.assert_can_migrate", machine, dest, True, vdi_map, vif_map, options)
                half = await told(
                    pool, "VM.assert_can_migrate_sender", machine, dest, True, vdi_map, vif_map, {}, options
                )
                assert half == whole, (dest, options)
        await ask(pool, "host.disable", host)
        args = vm, {"host": host}, True, {}, {}, {}, {}
        assert await refused(pool, "VM.assert_can_migrate_sender", *args) == ["HOST_DISABLED", host]
        assert pool.vm(vm)["resident_on"] != host


async def told(pool: SimPool, wire_name: str, *args: object) -> list[str] | None:
    """The refusal of a check, None if there is none."""
    try:
        await ask(pool, wire_name, *args)
    except ApiError as error:
        return list(error.description)
    return None


async def test_services_of_a_vm_are_not_offered_here_either() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = pool.add_vm()
        assert await refused(pool, "VM.query_services", vm) == ["NOT_IMPLEMENTED", "VM.query_services"]
        await ask(pool, "VM.add_to_blocked_operations", vm, "query_services", "no")
        assert await refused(pool, "VM.query_services", vm) == ["OPERATION_BLOCKED", vm, "no"]
        assert await refused(pool, "VM.query_services", "OpaqueRef:x") == ["HANDLE_INVALID", "VM", "OpaqueRef:x"]


async def test_size_that_was_only_recorded_is_put_right_by_the_storage() -> None:
    async with sim_pool(hosts=2) as pool:
        vdi = pool.add_vdi(1 << 30)
        await ask(pool, "VDI.set_virtual_size", vdi, 4096, caller=replace(TEST_CALLER, local_root=True))
        volume = pool.sim.find_volume(pool.store.get(vdi)["uuid"])
        assert volume is not None
        assert (pool.store.get(vdi)["virtual_size"], volume.size) == (4096, 1 << 30)
        await ask(pool, "VDI.update", vdi)
        assert pool.store.get(vdi)["virtual_size"] == 1 << 30
