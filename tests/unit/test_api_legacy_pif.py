"""Setters of PIFs that only API 1.0 has, and suspended VMs that get another image."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.testing.pool import sim_pool


async def test_largest_packet_of_an_interface_has_bounds() -> None:
    async with sim_pool() as pool:
        pif = pool.add_pif(pool.hosts[0], pool.network, "eth1")
        await ask(pool, "PIF.set_MTU", pif, 9000)
        assert pool.store.get(pif)["MTU"] == 9000
        assert await refused(pool, "PIF.set_MTU", pif, 67) == ["INVALID_VALUE", "MTU", "67"]
        pool.change(pif, managed=False)
        assert await refused(pool, "PIF.set_MTU", pif, 1500) == ["PIF_UNMANAGED", pif]


async def test_tag_of_a_vlan_changes_with_its_interface() -> None:
    async with sim_pool() as pool:
        pif = pool.add_pif(pool.hosts[0], pool.network, "eth1")
        first, second = pool.add("network", name_label="a"), pool.add("network", name_label="b")
        vlan = await ask(pool, "VLAN.create", pif, 7, first)
        await ask(pool, "VLAN.create", pif, 8, second)
        tagged = pool.store.get(vlan)["untagged_PIF"]
        await ask(pool, "PIF.set_VLAN", tagged, 9)
        assert (pool.store.get(tagged)["VLAN"], pool.store.get(vlan)["tag"]) == (9, 9)
        assert await refused(pool, "PIF.set_VLAN", tagged, 8) == ["PIF_VLAN_EXISTS", "eth1"]
        assert await refused(pool, "PIF.set_VLAN", tagged, 4096) == ["VLAN_TAG_INVALID", "4096"]
        await ask(pool, "PIF.set_VLAN", pif, -1)
        assert (await refused(pool, "PIF.set_VLAN", pif, 5))[0] == "OPERATION_NOT_ALLOWED"


async def test_address_and_name_are_those_of_the_card_but_a_bond_has_its_own() -> None:
    async with sim_pool() as pool:
        one, two = (pool.add_pif(pool.hosts[0], pool.add("network"), device) for device in ("eth1", "eth2"))
        own, chosen = pool.store.get(one)["MAC"], "02:00:00:00:00:07"
        await ask(pool, "PIF.set_MAC", one, own.upper())
        await ask(pool, "PIF.set_device", one, "eth1")
        assert (await refused(pool, "PIF.set_MAC", one, chosen))[0] == "OPERATION_NOT_ALLOWED"
        assert (await refused(pool, "PIF.set_device", one, "eth9"))[0] == "OPERATION_NOT_ALLOWED"
        bond = await ask(pool, "Bond.create", pool.add("network"), (one, two), "", "balance-slb", {})
        master = pool.store.get(bond)["master"]
        vlan = await ask(pool, "VLAN.create", master, 7, pool.add("network"))
        await ask(pool, "PIF.set_MAC", master, chosen)
        assert {pool.store.get(ref)["MAC"] for ref in (master, pool.store.get(vlan)["untagged_PIF"])} == {chosen}
        assert pool.store.get(one)["MAC"] == own
        assert await refused(pool, "PIF.set_MAC", master, "x") == ["MAC_INVALID", "x"]


async def test_suspended_vm_resumes_from_a_copy_of_its_image() -> None:
    async with sim_pool() as pool:
        vm, other = await pool.running(), pool.add_sr("other", 1 << 40)
        await pool.call("VM.suspend", vm)
        image = pool.vm(vm)["suspend_VDI"]
        assert await refused(pool, "VM.set_suspend_VDI", vm, pool.add_vdi()) == [
            "INVALID_VALUE",
            "suspend_VDI",
            list(pool.store.all("VDI"))[-1],
        ]
        copy = await ask(pool, "VDI.copy", image, other)
        await ask(pool, "VM.set_suspend_VDI", vm, copy)
        assert pool.vm(vm)["suspend_VDI"] == copy
        await ask(pool, "VDI.destroy", image)
        await ask(pool, "VM.resume", vm, False, False)
        assert (pool.vm(vm)["power_state"], pool.store.find(copy)) == ("Running", None)
        wrong = await refused(pool, "VM.set_suspend_VDI", vm, pool.add_vdi())
        assert wrong == ["VM_BAD_POWER_STATE", vm, "suspended", "running"]


async def test_repository_of_the_type_xm_looks_for_is_made_like_others() -> None:
    async with sim_pool() as pool:
        sr = await ask(pool, "SR.create", pool.hosts[0], {}, 1 << 30, "disks", "", "local", "user", False, {})
        kind = {"type": "user", "sharable": False, "read_only": False, "other_config": {}}
        vdi = await ask(pool, "VDI.create", {"SR": sr, "virtual_size": 16 << 20, **kind})
        assert pool.store.get(vdi)["virtual_size"] == 16 << 20
        assert await ask(pool, "SR.get_type", sr) == "local"
