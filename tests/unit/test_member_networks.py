"""What members of a pool tell each other about their networks: VLANs, tunnels, attached interfaces, addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from network_site import Site, at_site
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import TEST_CALLER

MEMBER = replace(TEST_CALLER, local_root=True)  # these messages are for hosts of the pool only


async def told(site: Site, message: str, *args: Any) -> None:
    await ask(site.pool, message, *args, caller=MEMBER)


async def error(site: Site, message: str, *args: Any) -> list[str]:
    return await refused(site.pool, message, *args, caller=MEMBER)


@at_site()
async def test_host_gets_the_vlans_of_the_coordinator_once(site: Site) -> None:
    first, second = site.pool.hosts
    network = site.network("tagged")
    await ask(site.pool, "VLAN.create", site.eth1[0], 42, network)
    await told(site, "host.sync_vlans", second)
    tagged = site.on(network, second)
    assert site.get(tagged, "VLAN", "device", "currently_attached") == [42, "eth1", True]
    assert site.get(site.get(tagged, "VLAN_master_of"), "tagged_PIF") == site.eth1[1]
    present = set(site.store.all("VLAN"))
    for host in (first, second):
        await told(site, "host.sync_vlans", host)
    assert set(site.store.all("VLAN")) == present


@at_site()
async def test_host_without_a_card_on_the_network_gets_no_vlan(site: Site) -> None:
    network = site.network("tagged")
    await ask(site.pool, "VLAN.create", site.eth1[0], 42, network)
    site.pool.change(site.eth1[1], network=site.network("elsewhere"))
    await told(site, "host.sync_vlans", site.pool.hosts[1])
    assert [site.get(pif, "host") for pif in site.store.related(network, "PIFs")] == [site.pool.hosts[0]]


@at_site()
async def test_vlans_of_other_hosts_are_nobodys_model(site: Site) -> None:
    network = site.network("tagged")
    await ask(site.pool, "VLAN.create", site.eth1[1], 42, network)
    await told(site, "host.sync_vlans", site.pool.hosts[0])
    assert [site.get(pif, "host") for pif in site.store.related(network, "PIFs")] == [site.pool.hosts[1]]


@at_site()
async def test_vlans_come_all_or_none(site: Site) -> None:
    one, two = site.network("one"), site.network("two")
    await ask(site.pool, "VLAN.create", site.eth1[0], 1, one)
    await ask(site.pool, "VLAN.create", site.eth1[0], 2, two)
    other = await ask(site.pool, "VLAN.create", site.eth0[1], 7, two)
    taken = site.get(other, "untagged_PIF")
    second = site.pool.hosts[1]
    assert await error(site, "host.sync_vlans", second) == ["NETWORK_ALREADY_CONNECTED", two, taken]
    assert [site.get(pif, "host") for pif in site.store.related(one, "PIFs")] == [site.pool.hosts[0]]
    await ask(site.pool, "VLAN.destroy", other)
    site.host_down(1)
    assert await error(site, "host.sync_vlans", second) == ["HOST_OFFLINE", second]
    assert (await error(site, "host.sync_vlans", NULL_REF))[0] == "HANDLE_INVALID"


@at_site()
async def test_host_gets_the_tunnels_of_the_coordinator_once(site: Site) -> None:
    network, (first, second) = site.network("private"), site.pool.hosts
    await ask(site.pool, "tunnel.create", site.eth0[0], network, "vxlan")
    await told(site, "host.sync_tunnels", second)
    access = site.on(network, second)
    (tunnel,) = site.store.related(access, "tunnel_access_PIF_of")
    assert site.get(tunnel, "transport_PIF", "protocol") == [site.eth0[1], "vxlan"]
    assert site.get(access, "currently_attached")
    for host in (first, second):
        await told(site, "host.sync_tunnels", host)
    assert len(site.store.all("tunnel")) == 2


@at_site()
async def test_tunnel_needs_an_address_on_the_host_that_gets_it(site: Site) -> None:
    network, second = site.network("private"), site.pool.hosts[1]
    await ask(site.pool, "tunnel.create", site.eth0[0], network, "gre")
    site.pool.change(site.eth0[1], ip_configuration_mode="None")
    assert await error(site, "host.sync_tunnels", second) == ["TRANSPORT_PIF_NOT_CONFIGURED", site.eth0[1]]
    assert len(site.store.all("tunnel")) == 1


@at_site()
async def test_interfaces_are_attached_as_the_bridges_say(site: Site) -> None:
    first = site.pool.hosts[0]
    await told(site, "host.sync_pif_currently_attached", first, ("xenbr1", "nobodys"))
    assert site.up(site.eth0[0], site.eth1[0]) == [False, True]
    assert site.up(site.eth0[1], site.eth1[1]) == [True, True]
    await told(site, "host.sync_pif_currently_attached", first, ("xenbr0",))
    assert site.up(site.eth0[0], site.eth1[0]) == [True, False]
    assert (await error(site, "host.sync_pif_currently_attached", NULL_REF, ()))[0] == "HANDLE_INVALID"


@at_site()
async def test_address_and_consoles_follow_the_management_interface(site: Site) -> None:
    host = site.pool.hosts[0]
    vm = await site.pool.running(affinity=host)
    (console,) = site.store.related(vm, "consoles")
    site.pool.change(site.eth0[0], IP="198.51.100.7")
    site.pool.change(host, name_label="localhost.localdomain", hostname="alpha")
    await told(site, "host.signal_networking_change")
    assert site.get(host, "address", "name_label") == ["198.51.100.7", "alpha"]
    assert site.get(console, "location").startswith("https://198.51.100.7/")
    site.pool.change(site.eth0[0], IP="")
    site.pool.change(host, hostname="beta")
    await told(site, "host.signal_networking_change")
    assert site.get(host, "address", "name_label") == ["198.51.100.7", "alpha"]
    site.pool.change(site.eth0[0], management=False)
    await told(site, "host.signal_networking_change")
    assert site.get(host, "address") == ""
