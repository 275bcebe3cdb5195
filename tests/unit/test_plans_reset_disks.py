"""Disks that forget at each start what was written to them."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.drivers.sim.state import Volume
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import SimPool, sim_pool


def disk(pool: SimPool, vm: str) -> str:
    (vbd,) = pool.store.related(vm, "VBDs")
    return str(pool.store.get(vbd)["VDI"])


def volume(pool: SimPool, vdi: str) -> Volume:
    found = pool.sim.find_volume(pool.store.get(vdi)["uuid"])
    assert found is not None
    return found


def bases(pool: SimPool) -> list[str]:
    return [ref for ref, vdi in pool.store.all("VDI").items() if not vdi["managed"]]


async def worked(pool: SimPool, vm: str) -> None:
    """The VM runs, writes to its disk, and stops."""
    await ask(pool, "VM.start", vm, False, False)
    pool.sim.guest(pool.vm(vm)["uuid"]).fill(pool.store.get(disk(pool, vm))["uuid"], 8 << 20)
    await ask(pool, "VM.hard_shutdown", vm)


async def test_disk_has_at_each_start_what_it_had_when_it_was_told_to_forget() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vdi = disk(pool, vm)
        await worked(pool, vm)
        await ask(pool, "VDI.set_on_boot", vdi, "reset")
        before = volume(pool, vdi).contents
        await worked(pool, vm)
        assert volume(pool, vdi).contents != before
        (base,) = bases(pool)
        assert volume(pool, base).contents == before
        for _ in range(2):
            await ask(pool, "VM.start", vm, True, False)
            assert volume(pool, vdi).contents == before
            await ask(pool, "VM.hard_shutdown", vm)
            await worked(pool, vm)
        assert bases(pool) == [base]


async def test_disk_that_remembers_again_keeps_what_it_has_and_its_base_is_gone() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vdi = disk(pool, vm)
        await ask(pool, "VDI.set_on_boot", vdi, "reset")
        await worked(pool, vm)
        written = volume(pool, vdi).contents
        await ask(pool, "VDI.set_on_boot", vdi, "persist")
        assert bases(pool) == []
        assert pool.store.get(vdi)["sm_config"] == {}
        await ask(pool, "VM.start", vm, True, False)
        assert volume(pool, vdi).contents == written
        assert await refused(pool, "VDI.set_on_boot", vdi, "reset") == ["VDI_IN_USE", vdi, "set_on_boot"]


async def test_reboot_of_the_guest_resets_nothing() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vdi = disk(pool, vm)
        await ask(pool, "VDI.set_on_boot", vdi, "reset")
        await ask(pool, "VM.start", vm, False, False)
        pool.sim.guest(pool.vm(vm)["uuid"]).fill(pool.store.get(vdi)["uuid"], 8 << 20)
        used = volume(pool, vdi).used
        await ask(pool, "VM.hard_reboot", vm)
        assert volume(pool, vdi).used >= used


async def test_base_goes_with_its_disk_and_stays_a_record_if_it_cannot() -> None:
    async with sim_pool() as pool:
        for fails in (False, True):
            vm = pool.add_vm(f"vm {fails}")
            vdi = disk(pool, vm)
            await ask(pool, "VDI.set_on_boot", vdi, "reset")
            await worked(pool, vm)
            if fails:
                rules = [FaultRule("destroy", after=1, count=None)]
                pool.engine.storages[pool.sr] = Faulty(pool.engine.storages[pool.sr], rules, pool.clock)
            await ask(pool, "VDI.destroy", vdi)
            assert pool.store.find(vdi) is None
            assert len(bases(pool)) == int(fails)


async def test_disk_that_forgets_cannot_be_copied_or_moved() -> None:
    async with sim_pool() as pool:
        other = pool.add_sr("other", 1 << 40)
        vm = await pool.running()
        vdi = disk(pool, vm)
        pool.change(vdi, on_boot="reset")
        refusal = ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]
        assert await refused(pool, "VDI.pool_migrate", vdi, other, {}) == refusal
        assert await refused(pool, "VDI.snapshot", vdi, {}) == refusal
