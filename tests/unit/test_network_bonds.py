"""Bonds: what their members hand over, and get back."""

from __future__ import annotations

from typing import Any

import pytest
from network_site import Site, at_site
from sim_api import ask, refused

ADDRESSES = ("ip_configuration_mode", "IP", "netmask", "DNS", "management")


async def bonded(site: Site, mac: str = "", mode: str = "balance-slb", **properties: str) -> str:
    network = site.network("bonded")
    members = (site.eth1[0], site.eth0[0])
    return str(await ask(site.pool, "Bond.create", network, members, mac, mode, properties))


@at_site()
async def test_bond_takes_over_what_its_primary_member_had(site: Site) -> None:
    before = site.get(site.eth0[0], *ADDRESSES)
    site.pool.change(site.eth1[0], disallow_unplug=True)
    bond = await bonded(site)
    master = site.get(bond, "master")
    assert site.store.related(bond, "slaves") == (site.eth0[0], site.eth1[0])
    assert site.get(bond, "primary_slave", "mode", "links_up", "auto_update_mac") == [
        site.eth0[0], "balance-slb", 2, True,
    ]  # fmt: skip
    assert site.get(master, *ADDRESSES) == before
    assert site.get(master, "device", "MAC", "physical", "disallow_unplug") == [
        "bond0", site.get(site.eth0[0], "MAC"), False, True,
    ]  # fmt: skip
    assert site.get(site.get(master, "metrics"), "carrier", "speed", "duplex") == [True, 2000, True]
    assert site.up(master, site.eth0[0], site.eth1[0]) == [True, False, False]
    assert [site.get(pif, "disallow_unplug") for pif in (site.eth0[0], site.eth1[0])] == [False, False]
    assert site.get(site.eth0[0], *ADDRESSES) == ["None", "", "", "", False]
    assert await ask(site.pool, "host.get_management_interface", site.pool.hosts[0]) == master


@at_site()
async def test_dissolved_bond_gives_everything_back(site: Site) -> None:
    before = site.pool.picture()["records"]
    bond = await bonded(site)
    await ask(site.pool, "Bond.destroy", bond)
    after = site.pool.picture()["records"]
    network = next(ref for ref, values in after.items() if values.get("name_label") == "bonded")
    del after[network]
    assert after == before


@at_site()
async def test_guests_move_to_the_network_of_the_bond_and_back_while_they_run(site: Site) -> None:
    vm = await site.pool.running(affinity=site.pool.hosts[0])
    elsewhere = await site.pool.running("other", affinity=site.pool.hosts[1])
    anywhere = site.pool.add_vm("halted")
    bond = await bonded(site)
    network = site.get(site.get(bond, "master"), "network")
    assert [site.get(site.vif(each), "network") for each in (vm, elsewhere, anywhere)] == [network, site.lan, site.lan]
    assert site.nic(site.vif(vm)) == network
    await ask(site.pool, "Bond.destroy", bond)
    assert site.get(site.vif(vm), "network") == site.nic(site.vif(vm)) == site.lan


@at_site(hosts=1)
async def test_halted_vms_that_can_start_nowhere_else_move_too(site: Site) -> None:
    vm = site.pool.add_vm("halted")
    bond = await bonded(site)
    assert site.get(site.vif(vm), "network") == site.get(site.get(bond, "master"), "network")
    await ask(site.pool, "VM.start", vm, False, False)


@at_site()
async def test_vlans_and_tunnels_keep_their_networks_on_another_carrier(site: Site) -> None:
    tagged, private = site.network("tagged"), site.network("private")
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 7, tagged)
    tunnel = await ask(site.pool, "tunnel.create", site.eth0[0], private)
    untagged, access = site.get(vlan, "untagged_PIF"), site.get(tunnel, "access_PIF")
    bond = await bonded(site)
    master = site.get(bond, "master")
    assert site.get(vlan, "tagged_PIF") == site.get(tunnel, "transport_PIF") == master
    assert site.get(untagged, "device", "network", "currently_attached") == ["bond0", tagged, True]
    await ask(site.pool, "Bond.destroy", bond)
    assert site.get(vlan, "tagged_PIF") == site.get(tunnel, "transport_PIF") == site.eth0[0]
    assert site.get(untagged, "device", "metrics") == ["eth0", site.get(site.eth0[0], "metrics")]
    assert site.up(untagged, access) == [True, True]


@at_site()
async def test_of_two_vlans_with_one_tag_that_of_the_management_stays(site: Site) -> None:
    first, second = site.network("first"), site.network("second")
    ends = await ask(site.pool, "VLAN.create", site.eth1[0], 7, first)
    stays = await ask(site.pool, "VLAN.create", site.eth0[0], 7, second)
    vm = await site.pool.running(affinity=site.pool.hosts[0])
    await ask(site.pool, "VIF.move", site.vif(vm), first)
    site.pool.change(site.eth0[0], management=False)
    site.pool.change(site.get(stays, "untagged_PIF"), management=True)
    bond = await bonded(site)
    assert site.store.find(ends) is None
    assert site.store.related(site.get(bond, "master"), "VLAN_slave_of") == (stays,)
    assert site.get(site.vif(vm), "network") == site.nic(site.vif(vm)) == second
    assert site.store.related(first, "PIFs") == ()


@at_site()
async def test_given_mac_is_that_of_the_bond(site: Site) -> None:
    bond = await bonded(site, mac="02:00:00:00:0b:0d")
    assert site.get(site.get(bond, "master"), "MAC") == "02:00:00:00:0b:0d"
    assert site.get(bond, "auto_update_mac") is False


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"mac": "01:00:00:00:00:00"}, ["MAC_INVALID", "01:00:00:00:00:00"]),
        ({"mac": "zz"}, ["MAC_INVALID", "zz"]),
        ({"gro": "on"}, ["INVALID_VALUE", "properties", "gro = on"]),
        ({"hashing_algorithm": "src_mac"}, ["INVALID_VALUE", "properties", "hashing_algorithm = src_mac"]),
        ({"mode": "lacp", "hashing_algorithm": "x"}, ["INVALID_VALUE", "properties", "hashing_algorithm = x"]),
    ],
)
@at_site()
async def test_bond_create_refuses_values(site: Site, values: dict[str, Any], error: list[str]) -> None:
    network, members = site.network("bonded"), (site.eth0[0], site.eth1[0])
    mac, mode = values.pop("mac", ""), values.pop("mode", "balance-slb")
    assert await refused(site.pool, "Bond.create", network, members, mac, mode, values) == error


@at_site()
async def test_bond_create_refuses_members(site: Site) -> None:
    network = site.network("bonded")
    first, second = site.eth0[0], site.eth1[0]

    async def error(*members: str, on: str = network) -> list[str]:
        return await refused(site.pool, "Bond.create", on, members, "")

    assert await error() == ["PIF_BOND_NEEDS_MORE_MEMBERS"]
    assert await error(first, first) == ["PIF_BOND_NEEDS_MORE_MEMBERS"]
    assert await error(first, site.eth1[1]) == ["PIF_CANNOT_BOND_CROSS_HOST"]
    assert await error(first, second, on=site.idle) == ["NETWORK_ALREADY_CONNECTED", site.idle, second]
    unmanaged = site.network("unmanaged", managed=False)
    assert await error(first, second, on=unmanaged) == ["NETWORK_UNMANAGED", unmanaged]
    vlan = await ask(site.pool, "VLAN.create", second, 7, site.network("tagged"))
    assert await error(first, site.get(vlan, "untagged_PIF")) == ["PIF_VLAN_EXISTS", "eth1"]
    tunnel = await ask(site.pool, "tunnel.create", first, site.network("private"))
    access = site.get(tunnel, "access_PIF")
    assert await error(first, access) == ["IS_TUNNEL_ACCESS_PIF", access]
    for changes, expected in (
        ({"managed": False}, ["PIF_UNMANAGED", second]),
        ({"properties": {"gro": "off"}}, ["INCOMPATIBLE_PIF_PROPERTIES"]),
        ({"ip_configuration_mode": "DHCP"}, ["PIF_BOND_MORE_THAN_ONE_IP"]),
    ):
        old = {name: site.get(second, name) for name in changes}
        site.pool.change(second, **changes)
        assert await error(first, second) == expected
        site.pool.change(second, **old)
    site.pool.change(site.pool.pool, ha_enabled=True)
    assert await error(first, second) == ["HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE"]


@at_site()
async def test_interface_is_in_one_bond_only(site: Site) -> None:
    bond = await bonded(site)
    master, network = site.get(bond, "master"), site.network("other")
    again = (network, (site.eth0[0], site.eth1[0]), "")
    assert await refused(site.pool, "Bond.create", *again) == ["PIF_ALREADY_BONDED", site.eth0[0]]
    again = (network, (master, site.eth1[0]), "")
    assert await refused(site.pool, "Bond.create", *again) == ["PIF_ALREADY_BONDED", master]
    assert await refused(site.pool, "PIF.forget", site.eth1[0]) == ["PIF_ALREADY_BONDED", site.eth1[0]]
    assert await refused(site.pool, "PIF.forget", master) == ["PIF_ALREADY_BONDED", master]
    error = ["CANNOT_PLUG_BOND_SLAVE", site.eth1[0]]
    assert await refused(site.pool, "PIF.plug", site.eth1[0]) == error
    assert await refused(site.pool, "host.management_reconfigure", site.eth1[0]) == error
    error = ["CANNOT_CHANGE_PIF_PROPERTIES", site.eth1[0]]
    assert await refused(site.pool, "PIF.set_property", site.eth1[0], "gro", "off") == error
    site.pool.change(site.pool.pool, ha_enabled=True)
    assert await refused(site.pool, "Bond.destroy", bond) == ["HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE"]


@at_site()
async def test_property_of_a_bond_is_that_of_its_members(site: Site) -> None:
    bond = await bonded(site)
    await ask(site.pool, "PIF.set_property", site.get(bond, "master"), "gro", "off")
    assert [site.get(pif, "properties") for pif in (site.eth0[0], site.eth1[0])] == [{"gro": "off"}] * 2


@at_site()
async def test_mode_brings_its_properties(site: Site) -> None:
    bond = await bonded(site)
    assert site.get(bond, "properties") == {}
    error = ["INVALID_VALUE", "properties", "lacp-time = fast"]
    assert await refused(site.pool, "Bond.set_property", bond, "lacp-time", "fast") == error
    await ask(site.pool, "Bond.set_mode", bond, "lacp")
    defaults = {"hashing_algorithm": "tcpudp_ports", "lacp-time": "slow", "lacp-fallback-ab": "true"}
    assert site.get(bond, "properties") == defaults
    await ask(site.pool, "Bond.set_property", bond, "lacp-time", "fast")
    await ask(site.pool, "Bond.set_property", bond, "lacp-aggregation-key", "12")
    assert site.get(bond, "properties") == {**defaults, "lacp-time": "fast", "lacp-aggregation-key": "12"}
    error = ["INVALID_VALUE", "properties", "lacp-aggregation-key = twelve"]
    assert await refused(site.pool, "Bond.set_property", bond, "lacp-aggregation-key", "twelve") == error
    await ask(site.pool, "Bond.set_mode", bond, "active-backup")
    assert site.get(bond, "mode", "properties") == ["active-backup", {}]


@at_site()
async def test_bond_of_a_mode_with_properties_begins_with_the_defaults_that_are_missing(site: Site) -> None:
    bond = await bonded(site, mode="lacp", **{"lacp-time": "fast"})
    assert site.get(bond, "properties") == {
        "hashing_algorithm": "tcpudp_ports", "lacp-time": "fast", "lacp-fallback-ab": "true",
    }  # fmt: skip


@at_site()
async def test_bonds_of_a_host_have_names_of_their_own(site: Site) -> None:
    host = site.pool.hosts[0]
    spare = [site.pool.add_pif(host, site.network(name), name) for name in ("eth2", "eth3")]
    first = await bonded(site)
    second = await ask(site.pool, "Bond.create", site.network("second"), spare, "")
    assert [site.get(site.get(bond, "master"), "device") for bond in (first, second)] == ["bond0", "bond1"]
    assert site.get(second, "links_up") == 2
