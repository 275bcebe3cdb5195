"""Processors divided among pools: what runs where, and what is refused (API 1.0)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sim_api import ask, refused

from xenapi_core.drivers.api import DriverError
from xenapi_core.ids import NULL_REF
from xenapi_core.server.adopt import adopt_host
from xenapi_core.testing.pool import SimPool, sim_pool


@asynccontextmanager
async def divided_pool() -> AsyncIterator[tuple[SimPool, str]]:
    """One host with eight processors, of which Pool-0 has all but 6 and 7."""
    async with sim_pool() as pool:
        first = pool.add_cpu_pool(pool.hosts[0])
        for number in (6, 7):
            await ask(pool, "cpu_pool.remove_host_CPU_live", first, cpu(pool, number))
        yield pool, first


def cpu(pool: SimPool, number: int) -> str:
    return next(ref for ref, record in pool.store.all("host_cpu").items() if record["number"] == number)


def numbers(pool: SimPool, ref: str) -> list[int]:
    return sorted(pool.store.get(cpu)["number"] for cpu in pool.store.get(ref)["host_CPUs"])


async def make(pool: SimPool, name: str = "fast", **values: object) -> str:
    return str(await ask(pool, "cpu_pool.create", {"name_label": name, "ncpu": 1, **values}))


async def told(pool: SimPool) -> list[list[int]]:
    """Processors of each pool, as the driver says."""
    return [sorted(cpus) for cpus in (await pool.engine.hypervisors[pool.hosts[0]].cpu_pools()).values()]


async def test_activated_pool_takes_proposed_processors_first() -> None:
    async with divided_pool() as (pool, _first):
        fast = await make(pool, proposed_CPUs=["7", "3"])
        await ask(pool, "cpu_pool.activate", fast)
        assert (numbers(pool, fast), pool.store.get(fast)["activated"]) == ([7], True)
        assert await told(pool) == [[0, 1, 2, 3, 4, 5], [7]]
        assert await ask(pool, "host_cpu.get_unassigned_cpus") == (cpu(pool, 6),)
        assert await refused(pool, "cpu_pool.activate", fast) == ["POOL_BAD_STATE", "activated"]
        await ask(pool, "cpu_pool.deactivate", fast)
        assert (numbers(pool, fast), pool.store.get(fast)["activated"]) == ([], False)
        assert await refused(pool, "cpu_pool.deactivate", fast) == ["POOL_BAD_STATE", "deactivated"]
        assert await told(pool) == [[0, 1, 2, 3, 4, 5]]


async def test_pool_that_asks_for_too_much_is_not_activated() -> None:
    async with divided_pool() as (pool, _first):
        large = await make(pool, "large", ncpu=3)
        assert await refused(pool, "cpu_pool.activate", large) == ["INSUFFICIENT_CPUS", "3", "2"]
        await ask(pool, "cpu_pool.set_ncpu", large, 2)
        await ask(pool, "cpu_pool.set_sched_policy", large, "arinc653")
        assert await refused(pool, "cpu_pool.activate", large) == ["UNKOWN_SCHED_POLICY"]
        await ask(pool, "cpu_pool.set_sched_policy", large, "credit")
        await ask(pool, "cpu_pool.activate", large)
        assert numbers(pool, large) == [6, 7]


async def test_processors_of_an_active_pool_come_and_go() -> None:
    async with divided_pool() as (pool, _first):
        fast = await make(pool)
        assert await refused(pool, "cpu_pool.add_host_CPU_live", fast, cpu(pool, 7)) == [
            "POOL_BAD_STATE",
            "deactivated",
        ]
        await ask(pool, "cpu_pool.activate", fast)
        await ask(pool, "cpu_pool.add_host_CPU_live", fast, cpu(pool, 7))
        record = pool.store.get(fast)
        assert (numbers(pool, fast), record["ncpu"], record["proposed_CPUs"]) == ([6, 7], 2, ("7",))
        assert (await refused(pool, "cpu_pool.add_host_CPU_live", fast, cpu(pool, 0)))[0] == "INVALID_CPU"
        assert (await refused(pool, "cpu_pool.remove_host_CPU_live", fast, cpu(pool, 0)))[0] == "INVALID_CPU"
        stranger = pool.add("host_cpu", host=pool.add("host"), number=6)
        assert (await refused(pool, "cpu_pool.remove_host_CPU_live", fast, stranger))[0] == "INVALID_CPU"
        await ask(pool, "cpu_pool.remove_host_CPU_live", fast, cpu(pool, 7))
        assert (await refused(pool, "cpu_pool.remove_host_CPU_live", fast, cpu(pool, 6)))[
            0
        ] == "LAST_CPU_NOT_REMOVEABLE"
        assert await told(pool) == [[0, 1, 2, 3, 4, 5], [6]]


async def test_settings_of_an_active_pool_stay_as_they_are() -> None:
    async with divided_pool() as (pool, first):
        for wire_name, value in (
            ("set_ncpu", 1),
            ("set_sched_policy", "credit"),
            ("set_proposed_CPUs", ("1",)),
            ("add_to_proposed_CPUs", "1"),
            ("remove_from_proposed_CPUs", "1"),
            ("add_proposed_CPUs", "1"),
            ("remove_proposed_CPUs", "1"),
        ):
            assert await refused(pool, f"cpu_pool.{wire_name}", first, value) == ["POOL_BAD_STATE", "activated"]
        fast = await make(pool)
        assert await refused(pool, "cpu_pool.set_ncpu", fast, 0) == ["INVALID_VALUE", "ncpu", "0"]
        assert await refused(pool, "cpu_pool.set_proposed_CPUs", fast, ("x",)) == [
            "INVALID_VALUE",
            "proposed_CPUs",
            "x",
        ]


async def test_vm_starts_in_the_pool_it_names() -> None:
    async with divided_pool() as (pool, first):
        vm, fast = pool.add_vm(), await make(pool)
        await ask(pool, "VM.set_pool_name", vm, "fast")
        assert await ask(pool, "VM.get_pool_name", vm) == "fast"
        assert await refused(pool, "VM.start_on", vm, pool.hosts[0], False, False) == ["POOL_BAD_STATE", "deactivated"]
        await ask(pool, "cpu_pool.activate", fast)
        await ask(pool, "VM.start", vm, False, False)
        assert await ask(pool, "VM.get_cpu_pool", vm) == (fast,)
        assert (
            await ask(pool, "cpu_pool.get_started_VMs", fast),
            await ask(pool, "cpu_pool.get_started_VMs", first),
        ) == (
            (vm,),
            (),
        )
        pool.sim.guest(pool.vm(vm)["uuid"]).work(0.5)
        usage = await pool.engine.hypervisors[pool.hosts[0]].usage()
        assert usage.cpus == (0.0,) * 6 + (0.5, 0.0)
        assert (await refused(pool, "VM.set_pool_name", vm, ""))[0] == "VM_BAD_POWER_STATE"
        assert await refused(pool, "cpu_pool.deactivate", fast) == ["POOL_BAD_STATE", "in use"]
        await ask(pool, "VM.hard_reboot", vm)
        assert await ask(pool, "VM.get_cpu_pool", vm) == (fast,)
        await ask(pool, "cpu_pool.set_name_label", fast, "faster")
        await ask(pool, "VM.hard_reboot", vm)
        assert await ask(pool, "VM.get_cpu_pool", vm) == (fast,), "it stays where it runs"
        await ask(pool, "cpu_pool.set_name_label", fast, "fast")
        await ask(pool, "VM.suspend", vm)
        assert await ask(pool, "VM.get_cpu_pool", vm) == ()
        await ask(pool, "VM.resume", vm, False, False)
        assert await ask(pool, "VM.get_cpu_pool", vm) == (fast,)
        snapshot = await ask(pool, "VM.checkpoint", vm, "check")
        assert pool.vm(snapshot)["cpu_pool"] == NULL_REF
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "VM.set_pool_name", vm, "")
        await ask(pool, "VM.start", vm, False, False)
        assert await ask(pool, "VM.get_cpu_pool", vm) == (first,)


async def test_running_vm_moves_between_pools() -> None:
    async with divided_pool() as (pool, _first):
        vm, fast = await pool.running(), await make(pool)
        assert await refused(pool, "VM.cpu_pool_migrate", vm, fast) == ["POOL_BAD_STATE", "deactivated"]
        await ask(pool, "cpu_pool.activate", fast)
        await ask(pool, "VM.cpu_pool_migrate", vm, fast)
        assert await ask(pool, "cpu_pool.get_started_VMs", fast) == (vm,)
        (domain,) = await pool.engine.hypervisors[pool.hosts[0]].domains()
        assert domain.cpu_pool == pool.store.get(fast)["uuid"]
        assert await ask(pool, "VM.get_pool_name", vm) == "fast"
        halted, dom0 = pool.add_vm("other"), pool.add_vm("dom0", is_control_domain=True, power_state="Running")
        assert (await refused(pool, "VM.cpu_pool_migrate", halted, fast))[0] == "VM_BAD_POWER_STATE"
        assert (await refused(pool, "VM.cpu_pool_migrate", dom0, fast))[0] == "OPERATION_NOT_ALLOWED"
        elsewhere = pool.add("cpu_pool", name_label="far", resident_on=pool.add("host"), activated=True)
        assert (await refused(pool, "VM.cpu_pool_migrate", vm, elsewhere))[0] == "OPERATION_NOT_ALLOWED"


async def test_driver_that_cannot_divide_processors_says_so() -> None:
    async with divided_pool() as (pool, _first):

        class Plain:
            """The host's driver, but for its pools of processors."""

            def __init__(self, driver: object) -> None:
                self.driver = driver

            def __getattr__(self, name: str) -> object:
                return getattr(self.driver, name)

            async def create_cpu_pool(self, pool: str, cpus: frozenset[int]) -> None:
                raise DriverError("unsupported", "this host cannot divide its processors")

        pool.engine.hypervisors[pool.hosts[0]] = Plain(pool.engine.hypervisors[pool.hosts[0]])  # type: ignore[assignment]
        fast = await make(pool)
        told = await refused(pool, "cpu_pool.activate", fast)
        assert told == ["OPERATION_NOT_ALLOWED", "this host cannot divide its processors"]
        assert not pool.store.get(fast)["activated"]


async def test_pools_are_there_again_when_the_manager_restarts() -> None:
    async with divided_pool() as (pool, first):
        fast = await make(pool)
        await ask(pool, "cpu_pool.activate", fast)
        vm, other = pool.add_vm(), pool.add_vm("other", memory=1 << 28)
        for started in (vm, other):
            await ask(pool, "VM.start", started, False, False)
        await ask(pool, "VM.cpu_pool_migrate", vm, fast)
        pool.change(other, cpu_pool=NULL_REF)  # as a database from before there were pools has it
        async with sim_pool(seed="other") as fresh:
            adopt_host(pool.store, fresh.engine, fresh.sim, pool.store.get(pool.hosts[0]))
            driver = fresh.sim.hosts[pool.store.get(pool.hosts[0])["uuid"]]
            uuids = pool.store.get(first)["uuid"], pool.store.get(fast)["uuid"]
            assert await driver.cpu_pools() == {uuids[0]: frozenset(range(6)), uuids[1]: frozenset({6})}
            placed = {domain.uuid: domain.cpu_pool for domain in await driver.domains()}
            assert placed == {pool.vm(vm)["uuid"]: uuids[1], pool.vm(other)["uuid"]: uuids[0]}
            assert pool.vm(other)["cpu_pool"] == first


async def test_host_that_restarts_has_the_pools_that_start_with_it() -> None:
    async with divided_pool() as (pool, first):
        host = pool.hosts[0]
        kept = await make(pool, "kept", auto_power_on=True, proposed_CPUs=["6"])
        other = await make(pool, "other", proposed_CPUs=["6"])
        await ask(pool, "cpu_pool.activate", other)
        pool.change(first, auto_power_on=True)
        await ask(pool, "host.disable", host)
        await ask(pool, "host.reboot", host)
        await pool.pass_time(600)
        assert [pool.store.get(ref)["activated"] for ref in (first, kept, other)] == [True, True, False]
        assert await told(pool) == [[0, 1, 2, 3, 4, 5], [6]]
