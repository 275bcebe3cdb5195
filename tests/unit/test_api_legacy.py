"""What clients of API 1.0 ask for in words of their own, and get from the same records."""

from __future__ import annotations

from api_pool import api_pool


async def test_devices_passed_to_a_vm_are_found_from_the_vm() -> None:
    async with api_pool() as pool:
        session, vm, other = await pool.login(), pool.add_vm(), pool.add_vm()
        device, disk, adapter = (pool.add(cls, VM=vm) for cls in ("DPCI", "DSCSI", "DSCSI_HBA"))
        assert await pool.call("VM.get_DPCIs", session, vm) == [device]
        assert await pool.call("VM.get_DSCSIs", session, vm) == [disk]
        assert await pool.call("VM.get_DSCSI_HBAs", session, vm) == [adapter]
        assert await pool.call("VM.get_DPCIs", session, other) == []
        assert (await pool.refusal("VM.get_DPCIs", session, "OpaqueRef:none"))[0] == "HANDLE_INVALID"


async def test_cpus_know_their_pool_and_those_without_one_are_listed() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(power_state="Running", resident_on=pool.host)
        taken, free = (pool.add("host_cpu", host=pool.host, number=n) for n in range(2))
        cpus = pool.add("cpu_pool", resident_on=pool.host, host_CPUs=(taken,), activated=True)
        pool.change(vm, cpu_pool=cpus)
        assert await pool.call("host_cpu.get_cpu_pool", session, taken) == [cpus]
        assert await pool.call("host_cpu.get_cpu_pool", session, free) == []
        assert await pool.call("host_cpu.get_unassigned_cpus", session) == [free]
        assert await pool.call("VM.get_cpu_pool", session, vm) == [cpus]
        assert await pool.call("host.get_resident_cpu_pools", session, pool.host) == [cpus]


async def test_connections_and_interfaces_are_found_from_their_other_end() -> None:
    async with api_pool() as pool:
        session, sr = await pool.login(), pool.add("SR")
        pbd = pool.add("PBD", SR=sr, host=pool.host)
        metrics, orphan = pool.add("PIF_metrics"), pool.add("PIF_metrics")
        pif = pool.add("PIF", metrics=metrics, host=pool.host)
        assert await pool.call("PBD.get_by_SR", session, sr) == [pbd]
        assert await pool.call("PIF_metrics.get_pif", session, metrics) == pif
        assert await pool.call("PIF_metrics.get_pif", session, orphan) == "OpaqueRef:NULL"


async def test_settings_of_1_0_are_keys_that_later_clients_see() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(other_config={"folder": "/a"})
        network = pool.add("network")
        assert await pool.call("VM.get_auto_power_on", session, vm) is False
        await pool.call("VM.set_auto_power_on", session, vm, True)
        assert await pool.call("VM.get_auto_power_on", session, vm) is True
        assert await pool.call("VM.get_other_config", session, vm) == {"folder": "/a", "auto_poweron": "true"}
        assert await pool.call("network.get_default_gateway", session, network) == ""
        await pool.call("network.set_default_gateway", session, network, "192.0.2.1")
        await pool.call("network.set_default_netmask", session, network, "255.255.255.0")
        assert await pool.call("network.get_default_gateway", session, network) == "192.0.2.1"
        assert await pool.call("network.get_default_netmask", session, network) == "255.255.255.0"


async def test_a_task_shows_its_session_to_that_session_only() -> None:
    async with api_pool() as pool:
        session, other = await pool.login(), await pool.login()
        task = pool.add("task", session=session)
        assert await pool.call("task.get_session", session, task) == session
        assert await pool.call("task.get_session", other, task) == "OpaqueRef:NULL"


async def test_what_has_no_behaviour_yet_says_so() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.call("DSCSI.get_all", session) == []
        device = {"VM": pool.add_vm(), "PSCSI": pool.add("PSCSI")}
        assert (await pool.refusal("DSCSI.create", session, device))[0] == "NOT_IMPLEMENTED"
