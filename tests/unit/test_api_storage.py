"""Storage through the wire: roles, async tasks with their results, and records a client reads."""

from __future__ import annotations

import xmlrpc.client

from api_pool import api_pool

from xenapi_core.drivers.sim import SimWorld, sim_backends
from xenapi_core.testing.virtual_time import drive

NFS = {"server": "192.0.2.9", "serverpath": "/disks"}


async def test_repository_is_made_by_a_task_whose_result_names_it():
    async with api_pool() as pool:
        world = SimWorld(pool.clock)
        for backend in sim_backends(world):
            pool.engine.add_backend(backend)
        session = await pool.login()
        args = (pool.host, NFS, "0", "new", "", "nfs", "user", True, {})
        task = await pool.call("Async.SR.create", session, *args)
        await pool.clock.advance(10)
        record = await pool.call("task.get_record", session, task)
        assert (record["status"], record["error_info"]) == ("success", [])
        ((result,), _) = xmlrpc.client.loads(f"<params><param>{record['result']}</param></params>")
        sr = await pool.call("SR.get_record", session, result)
        assert (sr["name_label"], sr["type"], sr["shared"]) == ("new", "nfs", True)
        assert "vdi_create" in sr["allowed_operations"]
        found = await drive(pool.clock, pool.call("SR.probe_ext", session, pool.host, {}, "nfs", {}))
        assert [(one["sr"]["uuid"], one["complete"]) for one in found] == [(sr["uuid"], True)]
        sources = await drive(pool.clock, pool.call("SR.get_data_sources", session, result))
        assert {one["name_label"]: one["value"] for one in sources}["io_throughput_read"] == 0.0
        types = await pool.call("SR.get_supported_types", session)
        assert {sm["type"] for sm in (await pool.call("SM.get_all_records", session)).values()} == set(types)
        await world.close()


async def test_repositories_are_made_by_operators_of_the_pool_alone():
    async with api_pool() as pool:
        session = await pool.login("vm-admin")
        args = (pool.host, NFS, "0", "new", "", "nfs", "user", True, {})
        assert (await pool.refusal("SR.create", session, *args))[:2] == ["RBAC_PERMISSION_DENIED", "sr.create"]
        assert (await pool.refusal("SR.probe", session, pool.host, NFS, "nfs", {}))[0] == "RBAC_PERMISSION_DENIED"


async def test_pool_without_back_ends_knows_no_type():
    async with api_pool() as pool:
        session = await pool.login()
        args = (pool.host, NFS, "0", "new", "", "nfs", "user", True, {})
        assert await pool.refusal("SR.create", session, *args) == ["SR_UNKNOWN_DRIVER", "nfs"]
        assert await pool.refusal("SR.probe", session, pool.host, NFS, "nfs", {}) == ["SR_UNKNOWN_DRIVER", "nfs"]
        assert await pool.call("SR.get_supported_types", session) == []
