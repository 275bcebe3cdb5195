"""The scenarios of plans about disks that hosts attach to themselves, and of data paths."""

from __future__ import annotations

from plan_scenarios import Arguments, scenario

from xenapi_core.testing.pool import SimPool


@scenario("host.attach_static_vdis")
async def attach_static(pool: SimPool) -> Arguments:
    return pool.hosts[1], {pool.add_vdi(): "one", pool.add_vdi(): "two"}


@scenario("host.detach_static_vdis", "detach_volume")
async def detach_static(pool: SimPool) -> Arguments:
    host, disks = await attach_static(pool)
    await pool.call("host.attach_static_vdis", host, disks)
    return host, tuple(disks)


@scenario("host.sm_dp_destroy")
async def destroy_data_path(pool: SimPool) -> Arguments:
    vm = pool.vm(await pool.running(disks=2))
    return vm["resident_on"], f"vbd/{vm['domid']}/xvdb", False
