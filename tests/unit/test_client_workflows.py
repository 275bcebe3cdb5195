"""What management programs do in one go, in the order and with the arguments they use (npm's @xen-orchestra/xapi)."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.testing.pool import SimPool, sim_pool


async def disks_of(pool: SimPool, vm: str) -> set[str]:
    return {await ask(pool, "VBD.get_VDI", vbd) for vbd in await ask(pool, "VM.get_VBDs", vm)}


async def test_snapshot_of_a_backup_is_no_template_and_stays_a_snapshot() -> None:
    """VM_snapshot with ignoredVdisTag, then what a backup does with what it made."""
    async with sim_pool() as pool:
        vm = await pool.running(disks=2)
        kept, ignored = sorted(await disks_of(pool, vm))
        await ask(pool, "VDI.set_name_label", ignored, "[NOBAK] scratch")
        snapshot = await ask(pool, "VM.snapshot", vm, "[XO Backup]", [ignored])
        await ask(pool, "VM.set_is_a_template", snapshot, False)
        record = await ask(pool, "VM.get_record", snapshot)
        assert (record["is_a_template"], record["is_a_snapshot"], record["snapshot_of"]) == (False, True, vm)
        (copy,) = await disks_of(pool, snapshot)
        assert await ask(pool, "VDI.get_snapshot_of", copy) == kept
        assert await refused(pool, "VM.start", snapshot, False, False) == ["VM_IS_SNAPSHOT", snapshot, "start"]
        assert {"clone", "copy", "destroy", "export", "revert"} <= set(
            await ask(pool, "VM.get_allowed_operations", snapshot)
        )
        await ask(pool, "VM.revert", snapshot)
        assert pool.vm(vm)["power_state"] == "Halted"
        assert not pool.vm(vm)["is_a_snapshot"]
        assert await refused(pool, "VM.set_is_a_template", snapshot, True) == [
            "VM_IS_SNAPSHOT", snapshot, "make_into_template",
        ]  # fmt: skip


async def test_restarted_host_says_since_when_its_agent_runs() -> None:
    """host_smartReboot waits for a later agent_start_time and for enabled."""
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        before = {"agent_start_time": f"{pool.clock.now()}.", "own": "kept"}
        pool.change(host, other_config=before)
        await ask(pool, "host.disable", host)
        await ask(pool, "host.reboot", host)
        assert pool.store.get(host)["other_config"] == before
        await pool.pass_time(pool.sim.host_boot_time + 1)
        record = await ask(pool, "host.get_record", host)
        told = record["other_config"]
        assert record["enabled"]
        assert float(told["agent_start_time"]) > float(before["agent_start_time"])
        assert (told["boot_time"], told["own"]) == (told["agent_start_time"], "kept")


async def test_emergency_shutdown_disables_high_availability_and_goes_on() -> None:
    """pool_emergencyShutdown: HA_NOT_ENABLED is the answer it knows; then it empties hosts and switches them off."""
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        assert await refused(pool, "pool.disable_ha") == ["HA_NOT_ENABLED"]
        for host in pool.hosts:
            await ask(pool, "host.disable", host)
        await ask(pool, "VM.suspend", vm)
        for host in reversed(pool.hosts):
            await ask(pool, "host.shutdown", host)
        assert not any(pool.store.get(pool.store.get(host)["metrics"])["live"] for host in pool.hosts)
