"""The pool: its members, its coordinator, and joining another one."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.testing.pool import sim_pool


async def test_member_is_ejected_with_its_own_storage() -> None:
    async with sim_pool(hosts=2) as pool:
        master, member = pool.hosts
        local = pool.add("SR", name_label="local", shared=False, type="ext")
        pool.add("PBD", host=member, SR=local, currently_attached=True)
        vm = await pool.running(affinity=member)
        assert await refused(pool, "pool.eject", member) == ["OPERATION_NOT_ALLOWED", "VM resident on host"]
        await pool.call("VM.hard_shutdown", vm)
        pool.change(pool.pool, ha_enabled=True)
        assert await refused(pool, "pool.eject", member) == ["HA_IS_ENABLED"]
        pool.change(pool.pool, ha_enabled=False)
        assert (await refused(pool, "pool.eject", master))[0] == "INTERNAL_ERROR"
        await ask(pool, "pool.eject", member)
        assert list(pool.store.all("host")) == [master]
        assert pool.store.find(local) is None
        assert [pool.store.get(pif)["host"] for pif in pool.store.related(pool.network, "PIFs")] == [master]
        await pool.call("VM.start", vm, False, False)
        assert pool.vm(vm)["resident_on"] == master


async def test_another_host_becomes_coordinator_unless_it_is_down() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        assert await ask(pool, "pool.is_slave", second)
        await ask(pool, "pool.designate_new_master", second)
        assert pool.store.get(pool.pool)["master"] == second
        assert not await ask(pool, "pool.is_slave", second)
        assert await ask(pool, "pool.recover_slaves") == (first,)
        pool.sim.hosts[pool.store.get(first)["uuid"]].fail()
        await pool.pass_time(1)
        assert await refused(pool, "pool.designate_new_master", first) == ["HOST_OFFLINE", first]
        assert await ask(pool, "pool.recover_slaves") == ()
        pool.change(pool.pool, ha_enabled=True)
        assert await refused(pool, "pool.designate_new_master", second) == ["HA_IS_ENABLED"]


async def test_licence_of_the_pool_is_the_least_of_its_hosts() -> None:
    async with sim_pool(hosts=2) as pool:
        pool.change(pool.hosts[0], edition="free", license_params={})
        pool.change(pool.hosts[1], edition="free", license_params={"expiry": "20300101T00:00:00Z"})
        state = await ask(pool, "pool.get_license_state", pool.pool)
        assert state == {"edition": "free", "expiry": "20300101T00:00:00Z"}
