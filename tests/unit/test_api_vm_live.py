"""Running guests: memory, processors, keys, measurements; and what is fixed before the first boot."""

from __future__ import annotations

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, SimPool, sim_pool


async def roomy(pool: SimPool) -> str:
    """A running VM with 1 to 4 GiB and up to 4 processors."""
    return await pool.running(memory=4 * GIB, memory_dynamic_min=GIB, memory_static_min=GIB, VCPUs_max=4)


def measured(pool: SimPool, vm: str, field: str) -> int:
    return int(pool.store.get(pool.vm(vm)["metrics"])[field])


async def test_running_guest_is_ballooned_into_its_range() -> None:
    async with sim_pool() as pool:
        vm = await roomy(pool)
        assert measured(pool, vm, "memory_actual") == 4 * GIB
        await ask(pool, "VM.set_memory_dynamic_range", vm, GIB, 2 * GIB)
        assert measured(pool, vm, "memory_actual") == 2 * GIB
        (state,) = await pool.engine.hypervisors[pool.hosts[0]].domains()
        assert state.memory_actual == 2 * GIB
        await ask(pool, "VM.set_memory_dynamic_max", vm, 3 * GIB)
        await ask(pool, "VM.wait_memory_target_live", vm)
        assert measured(pool, vm, "memory_actual") == 3 * GIB
        await ask(pool, "VM.set_memory_target_live", vm, GIB)
        assert (pool.vm(vm)["memory_dynamic_min"], pool.vm(vm)["memory_dynamic_max"]) == (GIB, GIB)
        error = await refused(pool, "VM.set_memory_dynamic_range", vm, GIB, 5 * GIB)
        assert error[0] == "MEMORY_CONSTRAINT_VIOLATION"


async def test_guest_without_a_balloon_keeps_its_range() -> None:
    async with sim_pool() as pool:
        vm = await roomy(pool)
        pool.sim.guest(pool.vm(vm)["uuid"]).lose_agent()
        assert await refused(pool, "VM.set_memory_dynamic_max", vm, 2 * GIB) == ["VM_LACKS_FEATURE", vm]
        assert pool.vm(vm)["memory_dynamic_max"] == 4 * GIB
        await pool.call("VM.hard_shutdown", vm)
        await ask(pool, "VM.set_memory_dynamic_max", vm, 2 * GIB)
        assert pool.vm(vm)["memory_dynamic_max"] == 2 * GIB


async def test_processors_are_plugged_into_a_running_guest() -> None:
    async with sim_pool() as pool:
        vm = await roomy(pool)
        await ask(pool, "VM.set_VCPUs_number_live", vm, 3)
        assert measured(pool, vm, "VCPUs_number") == 3
        for count in (0, 5):
            error = await refused(pool, "VM.set_VCPUs_number_live", vm, count)
            assert error == ["INVALID_VALUE", "nvcpu", str(count)]
        await pool.call("VM.pause", vm)
        assert (await refused(pool, "VM.set_VCPUs_number_live", vm, 2))[0] == "VM_BAD_POWER_STATE"


async def test_keys_and_triggers_reach_the_guest() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        machine = pool.sim.machines[pool.vm(vm)["uuid"]]
        await ask(pool, "VM.send_sysrq", vm, "h")
        await ask(pool, "VM.send_trigger", vm, "nmi")
        assert machine.pressed == ["h", "nmi"]
        assert await refused(pool, "VM.send_sysrq", vm, "reboot") == ["INVALID_VALUE", "key", "reboot"]
        assert await refused(pool, "VM.send_trigger", vm, "boom") == ["INVALID_VALUE", "trigger", "boom"]
        await ask(pool, "VM.send_trigger", vm, "power")
        await pool.pass_time(1)
        assert pool.vm(vm)["power_state"] == "Halted"
        error = await refused(pool, "VM.send_sysrq", vm, "h")
        assert error == ["VM_BAD_POWER_STATE", vm, "running", "halted"]


@pytest.mark.parametrize(("action", "end"), [("soft_reboot", "Running"), ("restart", "Running"), ("destroy", "Halted")])
async def test_soft_reboot_is_answered_as_the_vm_says(action: str, end: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running(actions_after_softreboot=action)
        domid = pool.vm(vm)["domid"]
        pool.sim.guest(pool.vm(vm)["uuid"]).soft_reboot()
        await pool.pass_time(20)
        assert pool.vm(vm)["power_state"] == end
        assert pool.vm(vm)["domid"] != domid


async def test_agents_have_no_plugins() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        assert await refused(pool, "VM.call_plugin", vm, "p", "f", {}) == ["XENAPI_MISSING_PLUGIN", "p"]
        await pool.call("VM.hard_shutdown", vm)
        assert (await refused(pool, "VM.call_plugin", vm, "p", "f", {}))[0] == "VM_BAD_POWER_STATE"
        error = await refused(pool, "host.call_plugin", pool.hosts[0], "p", "f", {})
        assert error == ["XENAPI_MISSING_PLUGIN", "p"]


async def test_measurements_are_those_of_the_hypervisor() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(memory=2 * GIB, VCPUs_at_startup=2, VCPUs_max=2)
        (host,) = pool.hosts
        pool.sim.guest(pool.vm(vm)["uuid"]).work(0.75)
        sources = {source["name_label"]: source for source in await ask(pool, "VM.get_data_sources", vm)}
        disk = ["vbd_xvda_read", "vbd_xvda_write"]
        words = ("iops_read", "read_latency", "iops_write", "write_latency", "iowait", "inflight")
        asked = [f"vbd_xvda_{word}" for word in words]
        standard = [name for name, source in sources.items() if source["standard"]]
        assert standard == ["cpu0", "cpu1", "memory", "memory_target", *disk, *asked, "vif_0_rx", "vif_0_tx"]
        assert all(sources[name]["value"] > 0 for name in asked)
        assert all(sources[name]["value"] > 0 and sources[name]["units"] == "B/s" for name in (*disk, "vif_0_tx"))
        units = [sources[name]["units"] for name in asked]
        assert units == ["requests/s", "µs", "requests/s", "µs", "s/s", "requests"]
        assert all(sources[name]["enabled"] for name in asked)
        each = sources["vbd_xvda_read_latency"]["value"]
        requests = sources["vbd_xvda_iops_read"]["value"] + sources["vbd_xvda_iops_write"]["value"]
        assert sources["vbd_xvda_iowait"]["value"] == pytest.approx(requests * each / 1e6)
        assert (sources["cpu1"]["value"], sources["memory"]["value"]) == (0.75, 2.0 * GIB)
        assert await ask(pool, "VM.query_data_source", vm, "cpu0") == 0.75
        assert await refused(pool, "VM.query_data_source", vm, "x") == ["INVALID_VALUE", "data_source", "x"]
        assert await ask(pool, "host.query_data_source", host, "cpu_avg") == pytest.approx(2 * 0.75 / 8)
        assert await ask(pool, "host.query_data_source", host, "memory_free_kib") == 14 * GIB / 1024
        assert sources["cpu1"]["enabled"]
        await ask(pool, "VM.record_data_source", vm, "cpu0")
        assert await refused(pool, "VM.record_data_source", vm, "x") == ["INVALID_VALUE", "data_source", "x"]
        await ask(pool, "host.record_data_source", host, "cpu_avg")
        assert await refused(pool, "host.record_data_source", host, "x") == ["INVALID_VALUE", "data_source", "x"]
        assert (await refused(pool, "VM.forget_data_source_archives", vm, "cpu0"))[0] == "NOT_IMPLEMENTED"
        await pool.call("VM.hard_shutdown", vm)
        assert await ask(pool, "VM.get_data_sources", vm) == ()
        for message in ("query_data_source", "record_data_source"):
            assert (await refused(pool, f"VM.{message}", vm, "cpu0"))[0] == "VM_BAD_POWER_STATE"
        pool.sim.hosts[pool.store.get(host)["uuid"]].fail()
        assert await refused(pool, "host.get_data_sources", host) == ["HOST_OFFLINE", host]


async def test_requests_of_a_guest_wait_while_its_disk_is_held_back() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (disk,) = pool.store.related(vm, "VBDs")
        before = await ask(pool, "VM.query_data_source", vm, "vbd_xvda_inflight")
        await ask(pool, "VBD.pause", disk)
        told = {one["name_label"]: one["value"] for one in await ask(pool, "VM.get_data_sources", vm)}
        assert told["vbd_xvda_inflight"] > 1 > before > 0
        words = ("read", "write", "iops_read", "iops_write", "read_latency", "write_latency", "iowait")
        assert {told[f"vbd_xvda_{word}"] for word in words} == {0.0}
        sources = {one["name_label"]: one for one in await ask(pool, "SR.get_data_sources", pool.sr)}
        assert sources["inflight"]["value"] == told["vbd_xvda_inflight"]
        await ask(pool, "VM.pause", vm)
        told = {one["name_label"]: one["value"] for one in await ask(pool, "VM.get_data_sources", vm)}
        assert told["vbd_xvda_inflight"] == 0.0


async def test_firmware_strings_are_set_once() -> None:
    async with sim_pool() as pool:
        first, second = pool.add_vm("first"), pool.add_vm("second")
        (host,) = pool.hosts
        pool.change(host, bios_strings={"bios-vendor": "Acme"})
        await ask(pool, "VM.copy_bios_strings", first, host)
        assert pool.vm(first)["bios_strings"] == {"bios-vendor": "Acme"}
        assert await refused(pool, "VM.copy_bios_strings", first, host) == ["VM_BIOS_STRINGS_ALREADY_SET"]
        wrong = {"": "bios-vendor", "\x07": "bios-vendor", "x" * 513: "bios-vendor", "x": "no-such-key"}
        for text, key in wrong.items():
            assert await refused(pool, "VM.set_bios_strings", second, {key: text}) == ["INVALID_VALUE", key, text]
        await ask(pool, "VM.set_bios_strings", second, {"system-product-name": "Vm"})
        assert pool.vm(second)["bios_strings"] == {"system-product-name": "Vm"}


@pytest.mark.parametrize("checkpoint", [False, True])
async def test_vm_that_was_destroyed_comes_back_from_its_snapshot(checkpoint: bool) -> None:
    async with sim_pool() as pool:
        vm = await pool.running("lost")
        before = pool.vm(vm)
        mac = pool.store.get(pool.store.related(vm, "VIFs")[0])["MAC"]
        other = await pool.call("VM.snapshot", vm, "other")
        taken = await pool.call("VM.checkpoint" if checkpoint else "VM.snapshot", vm, "taken")
        await pool.call("VM.hard_shutdown", vm)
        await pool.call("VM.destroy", vm)
        await pool.call("VM.revert", taken)
        again = pool.vm(taken)["snapshot_of"]
        record = pool.vm(again)
        assert pool.vm(other)["snapshot_of"] == again != vm
        assert (record["uuid"], record["name_label"]) == (before["uuid"], "lost")
        assert (record["is_a_template"], record["is_a_snapshot"], record["parent"]) == (False, False, taken)
        assert record["power_state"] == ("Suspended" if checkpoint else "Halted")
        assert pool.store.get(pool.store.related(again, "VIFs")[0])["MAC"] == mac
        await pool.call("VM.resume" if checkpoint else "VM.start", again, False, False)
        assert pool.vm(again)["power_state"] == "Running"
        assert pool.vm(again)["suspend_VDI"] == NULL_REF
