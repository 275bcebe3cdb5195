"""The scenarios of plans that divide processors among pools, and of messages from the first releases."""

from __future__ import annotations

from plan_scenarios import Arguments, on_vm, scenario

from xenapi_core.testing.pool import SimPool


async def _cpu_pool(pool: SimPool, active: bool) -> tuple[str, str]:
    """A second pool of processors, and a processor that no pool has."""
    first = pool.add_cpu_pool(pool.hosts[0])
    idle = pool.store.get(first)["host_CPUs"][-2:]
    for cpu in idle:
        await pool.call("cpu_pool.remove_host_CPU_live", first, cpu)
    fast = pool.add("cpu_pool", name_label="fast", resident_on=pool.hosts[0], ncpu=1)
    if active:
        await pool.call("cpu_pool.activate", fast)
    return fast, idle[1]


@scenario("cpu_pool.activate")
async def cpu_pool_activate(pool: SimPool) -> Arguments:
    return (await _cpu_pool(pool, active=False))[:1]


@scenario("cpu_pool.deactivate")
async def cpu_pool_deactivate(pool: SimPool) -> Arguments:
    return (await _cpu_pool(pool, active=True))[:1]


@scenario("cpu_pool.add_host_CPU_live")
async def cpu_pool_add(pool: SimPool) -> Arguments:
    return await _cpu_pool(pool, active=True)


@scenario("cpu_pool.remove_host_CPU_live")
async def cpu_pool_remove(pool: SimPool) -> Arguments:
    args = await _cpu_pool(pool, active=True)
    await pool.call("cpu_pool.add_host_CPU_live", *args)
    return args


@scenario("VM.cpu_pool_migrate")
async def cpu_pool_migrate(pool: SimPool) -> Arguments:
    vm = pool.add_vm()
    await pool.call("VM.start_on", vm, pool.hosts[0], False, False)
    await pool.pass_time(20)
    return vm, (await _cpu_pool(pool, active=True))[0]


on_vm("VM.csvm", state="Suspended")


@scenario("host.allocate_resources_for_vm")
async def promise(pool: SimPool) -> Arguments:
    return pool.hosts[1], pool.add_vm(), False
