"""Networks: making, destroying, purposes, locking by default, and having them on a host."""

from __future__ import annotations

import pytest
from network_site import Site, at_site
from sim_api import ask, refused


@at_site(hosts=1)
async def test_network_without_wishes_gets_a_bridge_and_an_mtu(site: Site) -> None:
    refs = [await ask(site.pool, "network.create", {"name_label": name, "other_config": {}}) for name in "ab"]
    assert [site.get(ref, "bridge") for ref in refs] == ["xapi0", "xapi1"]
    zero = await ask(site.pool, "network.create", {"name_label": "c", "MTU": 0, "other_config": {}})
    assert [site.get(ref, "MTU") for ref in (*refs, zero)] == [1500, 1500, 1500]


@pytest.mark.parametrize("bridge", ["xenbr7", "xapi9", "vif1", "tap", "eth0", "a-name-of-sixteen"])
@at_site(hosts=1)
async def test_names_of_the_server_and_the_kernel_are_no_bridges_of_clients(site: Site, bridge: str) -> None:
    error = ["INVALID_VALUE", "bridge", bridge]
    assert await refused(site.pool, "network.create", {"bridge": bridge, "other_config": {}}) == error


@at_site(hosts=1)
async def test_bridge_is_that_of_one_network(site: Site) -> None:
    ref = await ask(site.pool, "network.create", {"bridge": "lab", "other_config": {}})
    assert site.get(ref, "bridge") == "lab"
    error = ["BRIDGE_NAME_EXISTS", "lab"]
    assert await refused(site.pool, "network.create", {"bridge": "lab", "other_config": {}}) == error


@at_site(hosts=1)
async def test_network_in_use_is_not_destroyed(site: Site) -> None:
    vm = await site.pool.running()
    internal = site.network("internal")
    await ask(site.pool, "VIF.move", site.vif(vm), internal)
    assert await refused(site.pool, "network.destroy", internal) == ["NETWORK_CONTAINS_VIF", site.vif(vm)]
    assert await refused(site.pool, "network.destroy", site.idle) == ["NETWORK_CONTAINS_PIF", site.eth1[0]]
    await ask(site.pool, "VM.hard_shutdown", vm)
    vif = site.vif(vm)
    await ask(site.pool, "network.destroy", internal)
    assert [site.store.find(ref) for ref in (internal, vif)] == [None, None]


@at_site(hosts=1)
async def test_default_locking_does_not_change_under_attached_vifs(site: Site) -> None:
    vm = await site.pool.running()
    error = ["VIF_IN_USE", site.lan, site.vif(vm)]
    assert await refused(site.pool, "network.set_default_locking_mode", site.lan, "disabled") == error
    await ask(site.pool, "VM.hard_shutdown", vm)
    await ask(site.pool, "network.set_default_locking_mode", site.lan, "disabled")
    assert site.get(site.lan, "default_locking_mode") == "disabled"


@at_site()
async def test_network_is_attached_on_one_host(site: Site) -> None:
    for host in site.pool.hosts:
        await ask(site.pool, "PIF.unplug", site.on(site.idle, host))
    await ask(site.pool, "network.attach", site.idle, site.pool.hosts[1])
    assert site.up(*site.eth1) == [False, True]
    await ask(site.pool, "PIF.forget", site.eth1[0])
    error = ["HOST_CANNOT_ATTACH_NETWORK", site.pool.hosts[0], site.idle]
    assert await refused(site.pool, "network.attach", site.idle, site.pool.hosts[0]) == error
    site.host_down(1)
    error = ["HOST_OFFLINE", site.pool.hosts[1]]
    assert await refused(site.pool, "network.attach", site.idle, site.pool.hosts[1]) == error


@at_site()
async def test_networks_of_a_vm_are_attached_where_it_will_run(site: Site) -> None:
    vm = site.pool.add_vm()
    await ask(site.pool, "VIF.move", site.vif(vm), site.idle)
    for pif in site.eth1:
        await ask(site.pool, "PIF.unplug", pif)
    await ask(site.pool, "network.attach_for_vm", site.pool.hosts[0], vm)
    assert site.up(*site.eth1) == [True, False]
    await ask(site.pool, "network.detach_for_vm", site.pool.hosts[0], vm)
    assert site.up(*site.eth1) == [True, False]


@at_site(hosts=1)
async def test_unmanaged_network_is_there_if_an_interface_serves_it(site: Site) -> None:
    host = site.pool.hosts[0]
    unmanaged = site.network("unmanaged", managed=False)
    error = ["BRIDGE_NOT_AVAILABLE", "br-unmanaged"]
    assert await refused(site.pool, "network.attach", unmanaged, host) == error
    site.pool.add_pif(host, unmanaged, "eth2", managed=False, currently_attached=True)
    await ask(site.pool, "network.attach", unmanaged, host)


@at_site(hosts=1)
async def test_network_of_a_joining_host_is_recorded_as_it_is(site: Site) -> None:
    given = ("theirs", "described", 9000, {"key": "value"}, "xenbr4", True, ("nbd",))
    ref = await ask(site.pool, "network.pool_introduce", *given)
    fields = ("name_label", "name_description", "MTU", "other_config", "bridge", "managed", "purpose")
    assert site.get(ref, *fields) == list(given)


@at_site(hosts=1)
async def test_disks_are_served_with_or_without_tls_but_not_both(site: Site) -> None:
    await ask(site.pool, "network.add_purpose", site.lan, "nbd")
    await ask(site.pool, "network.add_purpose", site.lan, "nbd")
    assert site.get(site.lan, "purpose") == ("nbd",)
    error = ["NETWORK_INCOMPATIBLE_PURPOSES", "insecure_nbd", "nbd"]
    assert await refused(site.pool, "network.add_purpose", site.idle, "insecure_nbd") == error
    await ask(site.pool, "network.remove_purpose", site.lan, "nbd")
    await ask(site.pool, "network.add_purpose", site.idle, "insecure_nbd")
    assert [site.get(ref, "purpose") for ref in (site.lan, site.idle)] == [(), ("insecure_nbd",)]
