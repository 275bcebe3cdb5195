"""Which devices a VM has again when it is resumed: those that were attached when it was suspended."""

from __future__ import annotations

import pytest
from sim_api import ask, refused

from xenapi_core.testing.pool import SimPool, sim_pool


def attached(pool: SimPool, vm: str) -> set[str]:
    """The positions of the attached disks; what the records say is what the machine has."""
    vbds = [vbd for vbd in map(pool.store.get, pool.store.related(vm, "VBDs")) if vbd["currently_attached"]]
    machine = pool.sim.machines.get(pool.vm(vm)["uuid"])
    assert machine is None or set(machine.disks) == {vbd["uuid"] for vbd in vbds}
    return {str(vbd["userdevice"]) for vbd in vbds}


async def unplugged(pool: SimPool, vm: str) -> str:
    """The VBD of the second disk, which is taken from the running machine."""
    (vbd,) = (ref for ref in pool.store.related(vm, "VBDs") if pool.store.get(ref)["userdevice"] == "1")
    await ask(pool, "VBD.unplug", vbd)
    return str(vbd)


async def test_disk_unplugged_before_the_suspension_stays_unplugged_and_may_go() -> None:
    async with sim_pool() as pool:
        vm = await pool.running("web", disks=3)
        vbd = await unplugged(pool, vm)
        await ask(pool, "VM.suspend", vm)
        assert attached(pool, vm) == {"0", "2"}
        other = next(ref for ref in pool.store.related(vm, "VBDs") if pool.store.get(ref)["userdevice"] == "0")
        held = pool.store.get(other)["VDI"]
        assert (await refused(pool, "VDI.destroy", held))[0] == "VDI_IN_USE"
        await ask(pool, "VDI.destroy", pool.store.get(vbd)["VDI"])
        await ask(pool, "VM.resume", vm, False, False)
        assert attached(pool, vm) == {"0", "2"}


async def test_disk_unplugged_before_a_checkpoint_stays_unplugged() -> None:
    async with sim_pool() as pool:
        vm = await pool.running("web", disks=2)
        await unplugged(pool, vm)
        await ask(pool, "VM.checkpoint", vm, "before")
        assert pool.vm(vm)["power_state"] == "Running"
        assert attached(pool, vm) == {"0"}


@pytest.mark.parametrize("wanted", [True, False])
async def test_disk_given_to_a_suspended_vm_is_attached_as_its_record_says(wanted: bool) -> None:
    async with sim_pool() as pool:
        vm = await pool.running("web")
        await ask(pool, "VM.suspend", vm)
        record = {
            "VM": vm, "VDI": pool.add_vdi(), "userdevice": "1", "bootable": False, "mode": "RW", "type": "Disk",
            "empty": False, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {},
            "currently_attached": wanted,
        }  # fmt: skip
        await ask(pool, "VBD.create", record)
        await ask(pool, "VM.resume", vm, False, False)
        assert attached(pool, vm) == ({"0", "1"} if wanted else {"0"})


async def test_vm_that_went_back_to_a_checkpoint_is_resumed_with_its_disks() -> None:
    async with sim_pool() as pool:
        vm = await pool.running("web", disks=2)
        checkpoint = await ask(pool, "VM.checkpoint", vm, "before")
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "VM.revert", checkpoint)
        assert attached(pool, vm) == {"0", "1"}
        await ask(pool, "VM.resume", vm, False, False)
        assert attached(pool, vm) == {"0", "1"}
