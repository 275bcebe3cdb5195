"""Cloning a suspended VM with its memory, and promising a host's memory to a VM."""

from __future__ import annotations

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, sim_pool


async def test_clone_of_a_suspended_vm_goes_on_beside_it() -> None:
    async with sim_pool() as pool:
        vm = await pool.running("web", disks=2)
        assert (await refused(pool, "VM.csvm", vm))[0] == "VM_BAD_POWER_STATE"
        await ask(pool, "VM.suspend", vm)
        clone = await ask(pool, "VM.csvm", vm)
        record, saved = pool.vm(clone), pool.vm(vm)["suspend_VDI"]
        assert (record["name_label"], record["power_state"]) == ("web-cloned-suspended", "Suspended")
        assert record["suspend_VDI"] not in (saved, NULL_REF)
        assert pool.store.get(record["suspend_VDI"])["type"] == "suspend"
        for each in (vm, clone):
            await ask(pool, "VM.resume", each, False, False)
            assert pool.vm(each)["power_state"] == "Running"
        disks = [{pool.store.get(vbd)["VDI"] for vbd in pool.store.related(each, "VBDs")} for each in (vm, clone)]
        assert len(disks[0]) == len(disks[1]) == 2
        assert disks[0].isdisjoint(disks[1])
        assert pool.store.find(record["suspend_VDI"]) is None, "the memory is in the machine now"


@pytest.mark.parametrize("message", ["VM.clone", "VM.copy"])
async def test_pool_may_have_suspended_vms_taken_with_their_memory(message: str) -> None:
    async with sim_pool() as pool:
        vm, far = await pool.running("web"), pool.add_sr("far", 64 * GIB)
        asked = (message, vm, "new", far) if message == "VM.copy" else (message, vm, "new")
        await ask(pool, "VM.suspend", vm)
        assert await refused(pool, *asked) == ["VM_BAD_POWER_STATE", vm, "halted", "suspended"]
        (own,) = pool.store.all("pool")
        pool.change(own, other_config={"allow_clone_suspended_vm": "true"})
        new = await ask(pool, *asked)
        record, place = pool.vm(new), far if message == "VM.copy" else pool.sr
        assert (record["name_label"], record["power_state"]) == ("new", "Suspended")
        disks = [pool.store.get(vbd)["VDI"] for vbd in pool.store.related(new, "VBDs")]
        assert {pool.store.get(vdi)["SR"] for vdi in (*disks, record["suspend_VDI"])} == {place}
        for each in (vm, new):
            await ask(pool, "VM.resume", each, False, False)
            assert pool.vm(each)["power_state"] == "Running"
        await ask(pool, "VM.suspend", vm)
        await ask(pool, "VM.set_blocked_operations", vm, {message[3:]: "not now"})
        assert await refused(pool, *asked) == ["OPERATION_BLOCKED", vm, "not now"]


async def test_clone_needs_the_memory_of_the_suspended_vm() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(power_state="Suspended")
        assert await refused(pool, "VM.csvm", vm) == ["VM_HAS_NO_SUSPEND_VDI", vm]


async def test_memory_that_is_promised_to_a_vm_is_no_other_vms() -> None:
    async with sim_pool(host_memory=4 * GIB) as pool:
        host, large, other = pool.hosts[0], pool.add_vm("large", memory=3 * GIB), pool.add_vm(memory=2 * GIB)
        await ask(pool, "host.allocate_resources_for_vm", host, large, False)
        assert pool.vm(large)["scheduled_to_be_resident_on"] == host
        assert (await refused(pool, "VM.start_on", other, host, False, False))[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        told = await refused(pool, "host.allocate_resources_for_vm", host, other, False)
        assert told == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(2 * GIB), str(GIB)]
        await ask(pool, "VM.start", large, False, False)
        await ask(pool, "VM.hard_shutdown", large)
        await ask(pool, "VM.start", other, False, False)
        refusal = await refused(pool, "host.allocate_resources_for_vm", host, other, True)
        assert refusal == ["OPERATION_NOT_ALLOWED", "The VM is on that host already"]
        assert (await refused(pool, "host.allocate_resources_for_vm", host, large, True))[0] == "VM_BAD_POWER_STATE"
