"""Starting, stopping and moving VMs on the simulator: what each plan leaves in records and on hosts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sim_api import ask

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    with pytest.raises(ApiError) as failure:
        await pool.call(wire_name, *args)
    return failure.value.description


def state(pool: SimPool, vm: str) -> str:
    return str(pool.vm(vm)["power_state"])


async def test_start_boots_and_fills_the_records() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        await pool.call("VM.start", vm, False, False)
        record = pool.vm(vm)
        (host,) = pool.hosts
        assert (record["power_state"], record["resident_on"], record["domid"]) == ("Running", host, 1)
        assert record["scheduled_to_be_resident_on"] == NULL_REF
        (vbd,), (vif,) = pool.store.related(vm, "VBDs"), pool.store.related(vm, "VIFs")
        assert pool.store.get(vbd)["currently_attached"] is pool.store.get(vif)["currently_attached"] is True
        assert (pool.store.get(vbd)["device"], pool.store.get(vbd)["reserved"]) == ("xvda", False)
        metrics = pool.store.get(record["metrics"])
        assert metrics["start_time"] == pool.clock.now()
        assert (metrics["current_domain_type"], metrics["memory_actual"]) == ("pv", GIB)
        assert pool.store.get(pool.store.get(host)["metrics"])["memory_free"] == 15 * GIB
        (console,) = pool.store.related(vm, "consoles")
        assert pool.store.get(console)["location"].startswith("https://192.0.2.1/console?uuid=")
        (message,) = pool.store.all("message").values()
        assert (message["name"], message["cls"], message["obj_uuid"]) == ("VM_STARTED", "VM", record["uuid"])


async def test_start_paused_ends_paused() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        await pool.call("VM.start", vm, True, False)
        assert state(pool, vm) == "Paused"
        await pool.call("VM.unpause", vm)
        assert state(pool, vm) == "Running"
        await pool.pass_time(20)
        assert pool.vm(vm)["guest_metrics"] != NULL_REF


async def test_shutdown_returns_everything() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await pool.call("VM.clean_shutdown", vm)
        record = pool.vm(vm)
        assert (record["power_state"], record["resident_on"], record["domid"]) == ("Halted", NULL_REF, -1)
        for device in (*pool.store.related(vm, "VBDs"), *pool.store.related(vm, "VIFs")):
            assert pool.store.get(device)["currently_attached"] is False
        assert pool.store.related(vm, "consoles") == ()
        assert pool.sim.machines == {}
        assert pool.store.get(pool.store.get(pool.hosts[0])["metrics"])["memory_free"] == 16 * GIB


async def test_guest_that_ignores_a_clean_shutdown_makes_it_fail_and_shutdown_pull_the_plug() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        pool.sim.guest(pool.vm(vm)["uuid"]).ignore_shutdown()
        assert await refused(pool, "VM.clean_shutdown", vm) == ["VM_SHUTDOWN_TIMEOUT", vm, "1200"]
        assert state(pool, vm) == "Running"
        await pool.call("VM.shutdown", vm)
        assert state(pool, vm) == "Halted"


@pytest.mark.parametrize("operation", ["VM.shutdown", "VM.hard_shutdown"])
async def test_shutdown_of_a_suspended_vm_destroys_its_image(operation: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        volumes = pool.picture()["volumes"]
        await pool.call("VM.suspend", vm)
        image = pool.vm(vm)["suspend_VDI"]
        assert pool.store.get(image, "VDI")["type"] == "suspend"
        await pool.call(operation, vm)
        assert (state(pool, vm), pool.vm(vm)["suspend_VDI"]) == ("Halted", NULL_REF)
        assert pool.store.find(image) is None
        assert pool.picture()["volumes"] == volumes


async def test_suspend_and_resume_keep_devices_and_guest() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        agent = pool.vm(vm)["guest_metrics"]
        await pool.call("VM.suspend", vm)
        record = pool.vm(vm)
        assert (record["power_state"], record["resident_on"], record["domid"]) == ("Suspended", NULL_REF, -1)
        await pool.call("VM.resume", vm, False, False)
        record = pool.vm(vm)
        assert (record["power_state"], record["guest_metrics"]) == ("Running", agent)
        assert record["suspend_VDI"] == NULL_REF
        assert len(pool.store.related(pool.sr, "VDIs")) == 1


@pytest.mark.parametrize("operation", ["suspend", "resume"])
async def test_memory_that_is_on_its_way_is_not_destroyed(operation: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        volumes = pool.picture()["volumes"]
        args: tuple[Any, ...] = (vm,)
        if operation == "resume":
            await pool.call("VM.suspend", vm)
            args = (vm, False, False)
        task = pool.engine.launch(f"VM.{operation}", args, TEST_CALLER)
        await pool.pass_time(1)
        image = pool.vm(vm)["suspend_VDI"]
        assert pool.store.get(task)["status"] == "pending"
        assert "destroy" not in await ask(pool, "VDI.get_allowed_operations", image)
        assert await refused(pool, "VDI.destroy", image) == ["VDI_IN_USE", image, "destroy"]
        await pool.pass_time(60)
        assert pool.store.get(task)["status"] == "success"
        if operation == "suspend":
            assert pool.store.get(image)["current_operations"] == {}
            await pool.call("VM.resume", vm, False, False)
        assert (state(pool, vm), pool.picture()["volumes"]) == ("Running", volumes)


async def test_memory_that_is_being_destroyed_is_not_read() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await pool.call("VM.suspend", vm)
        pool.engine.launch("VDI.destroy", (pool.vm(vm)["suspend_VDI"],), TEST_CALLER)
        pool.engine.launch("VDI.destroy", (pool.vm(vm)["suspend_VDI"],), TEST_CALLER)
        await pool.clock.settle()
        assert await refused(pool, "VM.resume", vm, False, False) == ["VM_HAS_NO_SUSPEND_VDI", vm]


async def test_suspend_needs_a_place_for_the_memory() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        pool.change(pool.pool, suspend_image_SR=NULL_REF, default_SR=NULL_REF)
        assert await refused(pool, "VM.suspend", vm) == ["VM_NO_SUSPEND_SR", vm]


async def test_reboot_uses_the_present_settings() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        domid = pool.vm(vm)["domid"]
        pool.change(vm, VCPUs_max=2, VCPUs_at_startup=2)
        await pool.call("VM.clean_reboot", vm)
        assert pool.vm(vm)["domid"] == domid + 1
        assert pool.store.get(pool.vm(vm)["metrics"])["VCPUs_number"] == 2


async def test_reboot_that_cannot_build_leaves_the_vm_halted() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        pool.change(vm, memory_static_max=1024 * GIB)
        assert (await refused(pool, "VM.hard_reboot", vm))[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        assert state(pool, vm) == "Halted"


# Where a VM goes.


async def test_host_with_most_free_memory_is_chosen_and_affinity_before_it() -> None:
    async with sim_pool(hosts=2) as pool:
        first = await pool.running("first", memory=2 * GIB)
        second = await pool.running("second")
        third = await pool.running("third", affinity=pool.vm(first)["resident_on"])
        hosts = [pool.vm(vm)["resident_on"] for vm in (first, second, third)]
        assert hosts[0] != hosts[1]
        assert hosts[2] == hosts[0]


async def test_memory_promised_to_a_starting_vm_is_not_given_twice() -> None:
    async with sim_pool(hosts=2, host_memory=3 * GIB) as pool:
        vms = [pool.add_vm(f"vm{n}", memory=2 * GIB) for n in range(3)]
        calls = [asyncio.ensure_future(pool.call("VM.start", vm, False, False)) for vm in vms[:1]]
        await asyncio.sleep(0)
        for vm in vms[1:]:
            calls.append(asyncio.ensure_future(pool.call("VM.start", vm, False, False)))
            await asyncio.sleep(0)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[:2] == [None, None]
        assert isinstance(results[2], ApiError)
        assert results[2].description == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(2 * GIB), str(GIB)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"enabled": False}, ["HOST_DISABLED", "{host}"]),
        ({"capabilities": ("xen-3.0-x86_64",)}, ["VM_HVM_REQUIRED", "{vm}"]),
        ({"cpu_info": {"cpu_count": "0"}}, ["HOST_NOT_ENOUGH_PCPUS", "1", "0"]),
        (
            {"virtual_hardware_platform_versions": (5,)},
            ["VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION", "{host}", "5", "{vm}", "0"],
        ),
        ({"current_operations": {"t": "evacuate"}}, ["HOST_EVACUATE_IN_PROGRESS", "{host}"]),
    ],
)
async def test_start_on_says_why_that_host_cannot(change: dict[str, Any], error: list[str]) -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(domain_type="hvm")
        (host,) = pool.hosts
        pool.change(host, **change)
        expected = [word.format(host=host, vm=vm) for word in error]
        assert await refused(pool, "VM.start_on", vm, host, False, False) == expected
        if "current_operations" not in change:
            assert await refused(pool, "VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"VCPUs_max": 0, "VCPUs_at_startup": 0}, ["INVALID_VALUE", "VCPUs_max", "0"]),
        ({"VCPUs_max": 2, "VCPUs_at_startup": 3}, ["INVALID_VALUE", "VCPUs_at_startup", "3"]),
        ({"VCPUs_at_startup": -1}, ["INVALID_VALUE", "VCPUs_at_startup", "-1"]),
        ({"memory_static_min": 2 * GIB}, ["MEMORY_CONSTRAINT_VIOLATION"]),
        ({"memory_static_min": 0, "memory_static_max": 0}, ["MEMORY_CONSTRAINT_VIOLATION"]),
    ],
)
async def test_what_create_took_unseen_is_refused_at_the_start(given: dict[str, int], error: list[str]) -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        pool.change(vm, **given)
        (host,) = pool.hosts
        assert (await refused(pool, "VM.start_on", vm, host, False, True))[: len(error)] == error
        assert await refused(pool, "VM.start", vm, False, True) == ["NO_HOSTS_AVAILABLE"]


async def test_dynamic_memory_beyond_the_static_range_is_bent_into_it() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        pool.change(vm, memory_dynamic_min=0, memory_dynamic_max=2 * GIB)
        await pool.call("VM.start", vm, False, False)
        assert pool.store.get(pool.vm(vm)["metrics"])["memory_actual"] == GIB


async def test_host_that_is_down_or_unconnected_is_refused() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        (host,) = pool.hosts
        (vif,) = pool.store.related(vm, "VIFs")
        elsewhere = pool.add("network", name_label="elsewhere", bridge="xenbr1", MTU=1500)
        pool.add("PIF", host=pool.add("host", name_label="other"), network=elsewhere, device="eth1")
        pool.change(vif, network=elsewhere)
        on = ("VM.start_on", vm, host, False, False)
        assert await refused(pool, *on) == ["VM_REQUIRES_NETWORK", vm, elsewhere]
        (pbd,) = [p for p in pool.store.related(pool.sr, "PBDs") if pool.store.get(p)["host"] == host]
        pool.change(pbd, currently_attached=False)
        assert await refused(pool, *on) == ["VM_REQUIRES_SR", vm, pool.sr]
        pool.change(pool.store.get(host)["metrics"], live=False)
        assert await refused(pool, *on) == ["HOST_NOT_LIVE"]


async def test_vm_larger_than_every_host_is_told_the_numbers() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(memory=17 * GIB)
        error = await refused(pool, "VM.start", vm, False, False)
        assert error == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(17 * GIB), str(16 * GIB)]


async def test_sharable_disk_is_written_by_every_vm_that_has_it() -> None:
    async with sim_pool(hosts=2) as pool:
        shared = pool.add_vdi(sharable=True)
        vms = [pool.add_vm(name, disks=0) for name in ("one", "two", "three")]
        vbds = [await pool.call("VBD.create", pool.vbd_values(vm, shared, "0")) for vm in vms]
        for vm, host in zip(vms[:2], pool.hosts, strict=True):
            await pool.call("VM.start_on", vm, host, False, False)
        pool.change(vbds[2], userdevice="4")
        await pool.call("VM.start", vms[2], False, False)
        assert all(pool.store.get(vbd)["currently_attached"] for vbd in vbds)
        await pool.call("VM.hard_shutdown", vms[0])
        assert await refused(pool, "VDI.destroy", shared) == ["VDI_IN_USE", shared, "destroy"]


async def test_disk_in_use_elsewhere_keeps_a_vm_from_starting() -> None:
    async with sim_pool() as pool:
        first = await pool.running("first")
        vdi = pool.store.get(pool.store.related(first, "VBDs")[0])["VDI"]
        second = pool.add_vm("second", disks=0)
        await pool.call("VBD.create", pool.vbd_values(second, vdi, "0"))
        assert await refused(pool, "VM.start", second, False, False) == ["VDI_IN_USE", vdi]


async def test_migration_moves_the_domain_and_leaves_no_image() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        volumes = pool.picture()["volumes"]
        origin = pool.vm(vm)["resident_on"]
        other = next(host for host in pool.hosts if host != origin)
        await pool.call("VM.pool_migrate", vm, other, {})
        assert (state(pool, vm), pool.vm(vm)["resident_on"]) == ("Running", other)
        assert pool.picture()["volumes"] == volumes
        free = [pool.store.get(pool.store.get(host)["metrics"])["memory_free"] for host in (origin, other)]
        assert free == [16 * GIB, 15 * GIB]
