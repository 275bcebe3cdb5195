"""Live migration: the guest runs on, both hosts' memory is counted, and a failure leaves the VM where it was."""

from __future__ import annotations

from typing import Any

import pytest

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    with pytest.raises(ApiError) as failure:
        await pool.call(wire_name, *args)
    return failure.value.description


def elsewhere(pool: SimPool, vm: str) -> str:
    return next(host for host in pool.hosts if host != pool.vm(vm)["resident_on"])


def free(pool: SimPool, host: str) -> int:
    return int(pool.store.get(pool.store.get(host)["metrics"])["memory_free"])


async def ended(pool: SimPool, *tasks: str) -> None:
    while any(pool.store.get(task)["status"] == "pending" for task in tasks):
        await pool.clock.sleep(0.1)


async def test_guest_runs_through_a_migration_with_progress() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before, metrics = pool.vm(vm), pool.store.get(pool.vm(vm)["metrics"])
        other = elsewhere(pool, vm)
        task = pool.engine.launch("VM.pool_migrate", (vm, other, {"live": "true"}), TEST_CALLER)
        await pool.pass_time(2)
        during = pool.vm(vm)
        assert (during["power_state"], during["resident_on"]) == ("Running", before["resident_on"])
        assert during["scheduled_to_be_resident_on"] == other
        assert list(during["current_operations"].values()) == ["pool_migrate"]
        assert list(pool.store.get(other)["current_operations"].values()) == ["vm_migrate"]
        assert len(await pool.engine.hypervisors[before["resident_on"]].domains()) == 1
        assert 0.1 < pool.store.get(task)["progress"] < 0.9
        await drive(pool.clock, ended(pool, task))
        after = pool.vm(vm)
        assert (after["power_state"], after["resident_on"]) == ("Running", other)
        assert after["scheduled_to_be_resident_on"] == NULL_REF
        assert after["current_operations"] == pool.store.get(other)["current_operations"] == {}
        assert after["guest_metrics"] == before["guest_metrics"]
        assert pool.store.get(after["metrics"])["start_time"] == metrics["start_time"]
        assert [state.domid for state in await pool.engine.hypervisors[other].domains()] == [after["domid"]]
        assert pool.store.get(pool.store.related(vm, "consoles")[0])["location"].startswith(
            f"https://{pool.store.get(other)['address']}/"
        )


async def test_vms_change_places_at_the_same_time() -> None:
    async with sim_pool(hosts=3, host_memory=4 * GIB) as pool:
        vms = [await pool.running(f"vm{n}", memory=2 * GIB, affinity=host) for n, host in enumerate(pool.hosts)]
        targets = [*pool.hosts[1:], pool.hosts[0]]
        tasks = [
            pool.engine.launch("VM.pool_migrate", (vm, target, {}), TEST_CALLER)
            for vm, target in zip(vms, targets, strict=True)
        ]
        await pool.pass_time(1)
        assert [host.memory_free for host in pool.sim.hosts.values()] == [0, 0, 0]
        await drive(pool.clock, ended(pool, *tasks))
        assert [pool.store.get(task)["error_info"] for task in tasks] == [(), (), ()]
        assert [pool.vm(vm)["resident_on"] for vm in vms] == targets
        assert [free(pool, host) for host in pool.hosts] == [2 * GIB] * 3
        assert [host.memory_free for host in pool.sim.hosts.values()] == [2 * GIB] * 3


async def test_memory_a_migration_was_promised_is_not_given_to_another() -> None:
    async with sim_pool(hosts=2, host_memory=4 * GIB) as pool:
        there = pool.hosts[1]
        vm = await pool.running("moves", memory=3 * GIB, affinity=pool.hosts[0])
        task = pool.engine.launch("VM.pool_migrate", (vm, there, {}), TEST_CALLER)
        await pool.pass_time(1)
        late = pool.add_vm("late", memory=2 * GIB)
        error = await refused(pool, "VM.start_on", late, there, False, False)
        assert error == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(2 * GIB), str(GIB)]
        await drive(pool.clock, ended(pool, task))
        await pool.call("VM.start_on", late, pool.hosts[0], False, False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"enabled": False}, ["HOST_DISABLED", "{host}"]),
        ({"current_operations": {"t": "evacuate"}}, ["HOST_EVACUATE_IN_PROGRESS", "{host}"]),
        ({"cpu_info": {"cpu_count": "0"}}, ["HOST_NOT_ENOUGH_PCPUS", "1", "0"]),
    ],
)
async def test_host_that_takes_no_vms_is_refused(change: dict[str, Any], error: list[str]) -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        host = elsewhere(pool, vm)
        pool.change(host, **change)
        expected = [word.format(host=host) for word in error]
        assert await refused(pool, "VM.pool_migrate", vm, host, {}) == expected


async def test_storage_network_and_memory_of_the_other_host_are_asked_for() -> None:
    async with sim_pool(hosts=2, host_memory=4 * GIB) as pool:
        vm = await pool.running(memory=3 * GIB)
        host = elsewhere(pool, vm)
        filler = await pool.running("filler", memory=2 * GIB, affinity=host)
        call = ("VM.pool_migrate", vm, host, {})
        assert await refused(pool, *call) == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(3 * GIB), str(2 * GIB)]
        await pool.call("VM.hard_shutdown", filler)
        (pif,) = [pif for pif in pool.store.related(pool.network, "PIFs") if pool.store.get(pif)["host"] == host]
        pool.change(pif, network=NULL_REF)
        assert await refused(pool, *call) == ["VM_REQUIRES_NETWORK", vm, pool.network]
        (pbd,) = [pbd for pbd in pool.store.related(pool.sr, "PBDs") if pool.store.get(pbd)["host"] == host]
        pool.change(pbd, currently_attached=False)
        assert await refused(pool, *call) == ["VM_REQUIRES_SR", vm, pool.sr]


async def test_vm_of_a_host_that_is_down_is_told_which_host_that_is() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        home = pool.vm(vm)["resident_on"]
        pool.change(pool.store.get(home)["metrics"], live=False)
        assert await refused(pool, "VM.pool_migrate", vm, elsewhere(pool, vm), {}) == ["HOST_OFFLINE", home]


async def test_migration_to_its_own_host_gives_a_vm_a_new_domain_there() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before, metrics = pool.vm(vm), pool.store.get(pool.vm(vm)["metrics"])
        here = before["resident_on"]
        left = free(pool, here)
        await pool.call("VM.pool_migrate", vm, here, {"live": "true"})
        after = pool.vm(vm)
        assert (after["power_state"], after["resident_on"]) == ("Running", here)
        assert after["domid"] != before["domid"]
        assert pool.store.get(after["metrics"])["start_time"] == metrics["start_time"]
        assert free(pool, here) == left
        assert [message["name"] for message in pool.store.all("message").values()][-1] == "VM_MIGRATED"


async def test_migration_to_its_own_host_needs_memory_for_both_domains() -> None:
    async with sim_pool(hosts=2, host_memory=4 * GIB) as pool:
        vm = await pool.running(memory=3 * GIB)
        before = pool.picture()
        error = await refused(pool, "VM.pool_migrate", vm, pool.vm(vm)["resident_on"], {})
        assert error == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(3 * GIB), str(GIB)]
        assert pool.picture() == before


async def test_paused_vms_are_not_migrated() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        here, there = pool.vm(vm)["resident_on"], elsewhere(pool, vm)
        await pool.call("VM.pause", vm)
        for host in (here, there):
            error = await refused(pool, "VM.pool_migrate", vm, host, {})
            assert error == ["VM_BAD_POWER_STATE", vm, "running", "paused"]


async def test_migration_the_hypervisor_gives_up_leaves_the_vm_where_it_was() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        here, there, before = pool.vm(vm)["resident_on"], elsewhere(pool, vm), pool.picture()
        pool.engine.hypervisors[here] = Faulty(
            pool.engine.hypervisors[here], [FaultRule("migrate", kind="failed")], pool.clock
        )
        error = await refused(pool, "VM.pool_migrate", vm, there, {})
        assert error == ["VM_MIGRATE_FAILED", vm, here, there, "migrate was made to fail"]
        assert pool.picture() == before


async def test_cancelled_migration_gives_the_memory_back() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before = pool.picture()
        task = pool.engine.launch("VM.pool_migrate", (vm, elsewhere(pool, vm), {}), TEST_CALLER)
        await pool.pass_time(2)
        pool.engine.cancel(task)
        await drive(pool.clock, ended(pool, task))
        assert pool.store.get(task)["status"] == "cancelled"
        assert pool.picture() == before
        assert [host.memory_free for host in pool.sim.hosts.values()].count(16 * GIB) == 1


@pytest.mark.parametrize(("action", "end"), [("destroy", "Halted"), ("restart", "Running")])
async def test_guest_that_reboots_while_it_moves_is_answered_as_its_vm_says(action: str, end: str) -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running(actions_after_reboot=action)
        here = pool.vm(vm)["resident_on"]
        task = pool.engine.launch("VM.pool_migrate", (vm, elsewhere(pool, vm), {}), TEST_CALLER)
        await pool.pass_time(2)
        pool.sim.guest(pool.vm(vm)["uuid"]).reboot()
        await pool.pass_time(30)
        assert pool.store.get(task)["error_info"][0] == "VM_MIGRATE_FAILED"
        assert pool.vm(vm)["power_state"] == end
        assert pool.vm(vm)["resident_on"] == (here if end == "Running" else NULL_REF)


async def test_hard_shutdown_overrules_a_migration() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        task = pool.engine.launch("VM.pool_migrate", (vm, elsewhere(pool, vm), {}), TEST_CALLER)
        await pool.pass_time(2)
        await pool.call("VM.hard_shutdown", vm)
        assert pool.store.get(task)["status"] == "cancelled"
        assert pool.vm(vm)["power_state"] == "Halted"
        assert [free(pool, host) for host in pool.hosts] == [16 * GIB] * 2
