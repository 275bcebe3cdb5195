"""VLANs and tunnels: interfaces that are carried by other ones."""

from __future__ import annotations

from typing import Any

import pytest
from network_site import Site, at_site
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF

# VLANs


@at_site()
async def test_vlan_is_an_interface_of_its_own_on_one_host(site: Site) -> None:
    network = site.network("tagged")
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 100, network)
    (pif,) = site.store.related(network, "PIFs")
    assert site.get(vlan, "tagged_PIF", "untagged_PIF", "tag") == [site.eth1[0], pif, 100]
    fields = ("device", "VLAN", "VLAN_master_of", "host", "physical", "currently_attached", "MTU")
    assert site.get(pif, *fields) == ["eth1", 100, vlan, site.pool.hosts[0], False, True, 1500]
    assert site.get(pif, "metrics") == site.get(site.eth1[0], "metrics")
    assert site.store.related(site.eth1[0], "VLAN_slave_of") == (vlan,)
    await ask(site.pool, "VLAN.destroy", vlan)
    assert [site.store.find(ref) for ref in (vlan, pif)] == [None, None]
    assert site.store.find(site.get(site.eth1[0], "metrics")) is not None


@pytest.mark.parametrize("tag", [-1, 4095, 1 << 40])
@at_site()
async def test_vlan_has_a_tag_that_a_frame_can_carry(site: Site, tag: int) -> None:
    network = site.network("tagged")
    for message, target in (("VLAN.create", site.eth1[0]), ("pool.create_VLAN_from_PIF", site.eth1[0])):
        args = (target, tag, network) if message == "VLAN.create" else (target, network, tag)
        assert await refused(site.pool, message, *args) == ["VLAN_TAG_INVALID", str(tag)]
    assert await refused(site.pool, "pool.create_VLAN", "eth1", network, tag) == ["VLAN_TAG_INVALID", str(tag)]


@at_site()
async def test_vlan_create_refuses(site: Site) -> None:
    pif, network = site.eth1[0], site.network("tagged")
    vlan = await ask(site.pool, "VLAN.create", pif, 0, network)
    untagged, other = site.get(vlan, "untagged_PIF"), site.network("other")

    async def error(tagged: str, tag: int, on: str) -> list[str]:
        return await refused(site.pool, "VLAN.create", tagged, tag, on)

    assert await error(pif, 1, network) == ["NETWORK_ALREADY_CONNECTED", network, untagged]
    assert await error(pif, 0, other) == ["PIF_VLAN_EXISTS", "eth1"]
    assert await error(untagged, 1, other) == ["PIF_IS_VLAN", untagged]
    unmanaged = site.network("unmanaged", managed=False)
    assert await error(pif, 1, unmanaged) == ["NETWORK_UNMANAGED", unmanaged]
    site.pool.change(site.eth1[1], managed=False)
    assert await error(site.eth1[1], 1, other) == ["PIF_UNMANAGED", site.eth1[1]]


@at_site()
async def test_member_of_a_bond_carries_no_vlan_and_no_tunnel(site: Site) -> None:
    bond = site.pool.add("Bond")
    site.pool.change(site.eth1[0], bond_slave_of=bond)
    network = site.network("upper")
    error = ["CANNOT_ADD_VLAN_TO_BOND_SLAVE", site.eth1[0]]
    assert await refused(site.pool, "VLAN.create", site.eth1[0], 1, network) == error
    error = ["CANNOT_ADD_TUNNEL_TO_BOND_SLAVE", site.eth1[0]]
    assert await refused(site.pool, "tunnel.create", site.eth1[0], network) == error
    assert await refused(site.pool, "PIF.plug", site.eth1[0]) == ["CANNOT_PLUG_BOND_SLAVE", site.eth1[0]]
    site.pool.change(site.eth1[0], bond_slave_of=NULL_REF)


@at_site()
async def test_network_of_sriov_interfaces_takes_no_others(site: Site) -> None:
    network = site.network("functions")
    logical = site.pool.add_pif(site.pool.hosts[0], network, "eth9", physical=False)
    site.pool.add("network_sriov", physical_PIF=site.eth1[0], logical_PIF=logical)
    error = await refused(site.pool, "VLAN.create", site.eth1[1], 1, network)
    assert error == ["NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE", network]
    site.pool.change(site.eth1[1], ip_configuration_mode="DHCP")
    error = await refused(site.pool, "tunnel.create", site.eth1[1], network)
    assert error == ["NETWORK_INCOMPATIBLE_WITH_TUNNEL", network]
    other = site.network("other")
    error = await refused(site.pool, "tunnel.create", logical, other)
    assert error == ["CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL", logical]
    vlan = await ask(site.pool, "VLAN.create", logical, 3, other)
    untagged = site.get(vlan, "untagged_PIF")
    error = await refused(site.pool, "tunnel.create", untagged, site.network("third"))
    assert error == ["CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL", untagged]
    assert await refused(site.pool, "PIF.forget", site.eth1[0]) == ["PIF_SRIOV_STILL_EXISTS", site.eth1[0]]


@at_site(hosts=3)
async def test_vlan_is_made_on_all_hosts_or_on_none(site: Site) -> None:
    network = site.network("tagged")
    pifs = await ask(site.pool, "pool.create_VLAN", "eth1", network, 5)
    assert [site.get(pif, "host") for pif in pifs] == site.pool.hosts
    assert site.up(*pifs) == [True, True, True]
    other = site.network("other")
    assert await refused(site.pool, "pool.create_VLAN", "eth7", other, 6) == ["INVALID_VALUE", "device", "eth7"]
    alone = await ask(site.pool, "VLAN.create", site.eth1[2], 6, site.network("third"))
    assert await refused(site.pool, "pool.create_VLAN", "eth1", other, 6) == ["PIF_VLAN_EXISTS", "eth1"]
    assert site.store.related(other, "PIFs") == ()
    await ask(site.pool, "VLAN.destroy", alone)
    await ask(site.pool, "pool.create_VLAN", "eth1", other, 6)
    assert len(site.store.related(other, "PIFs")) == 3


@at_site(hosts=3)
async def test_vlan_from_an_interface_is_made_beside_it_on_the_hosts_that_answer(site: Site) -> None:
    site.host_down(1)
    network = site.network("tagged")
    pifs = await ask(site.pool, "pool.create_VLAN_from_PIF", site.eth1[2], network, 5)
    assert [site.get(pif, "host") for pif in pifs] == [site.pool.hosts[0], site.pool.hosts[2]]
    offline = ["HOST_OFFLINE", site.pool.hosts[1]]
    assert await refused(site.pool, "pool.create_VLAN", "eth1", site.network("other"), 6) == offline


@at_site()
async def test_deprecated_forms_make_and_remove_the_same_vlan(site: Site) -> None:
    network = site.network("tagged")
    args = ("eth1", network, site.pool.hosts[1], 12)
    pif = await ask(site.pool, "PIF.create_VLAN", *args)
    (vlan,) = site.store.related(site.eth1[1], "VLAN_slave_of")
    assert site.get(vlan, "untagged_PIF", "tag") == [pif, 12]
    assert await refused(site.pool, "PIF.destroy", site.eth1[1]) == ["PIF_IS_PHYSICAL", site.eth1[1]]
    await ask(site.pool, "PIF.destroy", pif)
    assert [site.store.find(ref) for ref in (vlan, pif)] == [None, None]
    args = ("eth8", network, site.pool.hosts[1], 12)
    assert await refused(site.pool, "PIF.create_VLAN", *args) == ["INVALID_VALUE", "device", "eth8"]


@at_site()
async def test_vlan_in_use_stays(site: Site) -> None:
    network = site.network("tagged")
    await ask(site.pool, "pool.create_VLAN", "eth1", network, 5)
    vm = await site.pool.running()
    vif = site.vif(vm)
    await ask(site.pool, "VIF.move", vif, network)
    pif = site.on(network, site.get(vm, "resident_on"))
    vlan = site.get(pif, "VLAN_master_of")
    assert await refused(site.pool, "VLAN.destroy", vlan) == ["VIF_IN_USE", network, vif]
    below = site.get(vlan, "tagged_PIF")
    assert await refused(site.pool, "PIF.unplug", below) == ["VIF_IN_USE", network, vif]
    site.pool.change(pif, management=True)
    assert await refused(site.pool, "VLAN.destroy", vlan) == ["PIF_IS_MANAGEMENT_INTERFACE", pif]


@at_site()
async def test_vlan_whose_interface_was_forgotten_can_be_destroyed(site: Site) -> None:
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 5, site.network("tagged"))
    await ask(site.pool, "PIF.db_forget", site.get(vlan, "untagged_PIF"))
    await ask(site.pool, "VLAN.destroy", vlan)
    assert site.store.find(vlan) is None


@at_site()
async def test_what_is_carried_is_never_up_alone(site: Site) -> None:
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 5, site.network("tagged"))
    upper = site.get(vlan, "untagged_PIF")
    await ask(site.pool, "PIF.unplug", site.eth1[0])
    assert site.up(site.eth1[0], upper) == [False, False]
    await ask(site.pool, "PIF.plug", upper)
    assert site.up(site.eth1[0], upper) == [True, True]


@at_site()
async def test_vlan_of_a_joining_host_is_recorded(site: Site) -> None:
    given: tuple[Any, ...] = (
        "eth1", site.network("tagged"), site.pool.hosts[0], "fe:ff:ff:ff:ff:ff", 1500, 9, False, "None", "", "", "", "",
        NULL_REF, NULL_REF, False, {},
    )  # fmt: skip
    pif = await ask(site.pool, "PIF.pool_introduce", *given)
    vlan = await ask(site.pool, "VLAN.pool_introduce", site.eth1[0], pif, 9, {"a": "b"})
    assert site.get(pif, "VLAN_master_of") == vlan
    assert site.get(vlan, "tag", "other_config") == [9, {"a": "b"}]


# Tunnels


@at_site()
async def test_tunnel_has_an_access_interface_that_is_up(site: Site) -> None:
    network = site.network("private", MTU=1400)
    tunnel = await ask(site.pool, "tunnel.create", site.eth0[0], network, "vxlan")
    (access,) = site.store.related(network, "PIFs")
    fields = ("access_PIF", "transport_PIF", "protocol", "status")
    assert site.get(tunnel, *fields) == [access, site.eth0[0], "vxlan", {"active": "false"}]
    assert site.get(access, "device", "VLAN", "physical", "MTU", "currently_attached") == [
        "tunnel0",
        -1,
        False,
        1400,
        True,
    ]
    second = await ask(site.pool, "tunnel.create", site.eth0[0], site.network("second"))
    assert site.get(site.get(second, "access_PIF"), "device") == "tunnel1"
    assert site.get(site.get(second, "access_PIF"), "MAC") != site.get(access, "MAC")
    for ref in (tunnel, second):
        await ask(site.pool, "tunnel.destroy", ref)
    assert site.store.related(network, "PIFs") == ()
    assert site.store.find(site.get(site.eth0[0], "metrics")) is not None


@at_site()
async def test_tunnel_create_refuses(site: Site) -> None:
    network, transport = site.network("private"), site.eth0[0]
    tunnel = await ask(site.pool, "tunnel.create", transport, network)
    access, other = site.get(tunnel, "access_PIF"), site.network("other")

    async def error(pif: str, on: str) -> list[str]:
        return await refused(site.pool, "tunnel.create", pif, on)

    assert await error(transport, network) == ["NETWORK_ALREADY_CONNECTED", network, access]
    assert await error(access, other) == ["IS_TUNNEL_ACCESS_PIF", access]
    assert await error(site.eth1[0], other) == ["TRANSPORT_PIF_NOT_CONFIGURED", site.eth1[0]]
    assert await refused(site.pool, "VLAN.create", access, 1, other) == ["IS_TUNNEL_ACCESS_PIF", access]
    assert await refused(site.pool, "PIF.forget", transport) == ["PIF_TUNNEL_STILL_EXISTS", transport]
    assert await refused(site.pool, "PIF.forget", access) == ["PIF_TUNNEL_STILL_EXISTS", access]
    site.pool.change(site.pool.hosts[1], software_version={"network_backend": "bridge"})
    assert await error(transport, other) == ["OPENVSWITCH_NOT_ACTIVE"]


@at_site()
async def test_tunnel_goes_down_with_its_transport_and_comes_up_with_it(site: Site) -> None:
    site.pool.change(site.eth1[0], ip_configuration_mode="Static", IP="198.51.100.1")
    tunnel = await ask(site.pool, "tunnel.create", site.eth1[0], site.network("private"))
    access = site.get(tunnel, "access_PIF")
    await ask(site.pool, "PIF.unplug", site.eth1[0])
    assert site.up(access) == [False]
    await ask(site.pool, "PIF.plug", access)
    assert site.up(access, site.eth1[0]) == [True, True]
    await ask(site.pool, "PIF.unplug", access)
    await ask(site.pool, "PIF.reconfigure_ip", site.eth1[0], "None", "", "", "", "")
    assert await refused(site.pool, "PIF.plug", access) == ["TRANSPORT_PIF_NOT_CONFIGURED", site.eth1[0]]


@at_site()
async def test_introduced_records_that_name_each_other_do_not_carry_each_other(site: Site) -> None:
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 5, site.network("tagged"))
    given: tuple[Any, ...] = (
        "eth1", site.network("copy"), site.pool.hosts[0], "fe:ff:ff:ff:ff:ff", 1500, 5, False, "None", "", "", "", "",
        NULL_REF, vlan, False, {},
    )  # fmt: skip
    copy = await ask(site.pool, "PIF.db_introduce", *given)
    await ask(site.pool, "VLAN.pool_introduce", copy, site.eth1[0], 6, {})
    await ask(site.pool, "PIF.plug", copy)
    await ask(site.pool, "PIF.plug", site.eth1[0])
    await ask(site.pool, "PIF.unplug", copy)
    assert site.up(copy, site.eth1[0]) == [False, False]
    site.pool.change(copy, VLAN=-1)
