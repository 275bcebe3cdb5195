"""PIFs: up and down, found and forgotten, addresses, properties, and the interface a host is managed through."""

from __future__ import annotations

from typing import Any

import pytest
from network_site import Site, at_site
from sim_api import ask, refused

from xenapi_core.drivers.api import InterfaceState
from xenapi_core.ids import NULL_REF


def card(site: Site, number: int, name: str, mac: str, **values: Any) -> None:
    """Plug a card into a host."""
    host = site.get(site.pool.hosts[number], "uuid")
    site.pool.sim.hosts[host].add_interface(InterfaceState(name, mac, **values))


# Up and down


@at_site()
async def test_interface_goes_down_and_comes_up_again(site: Site) -> None:
    (pif, _) = site.eth1
    await ask(site.pool, "PIF.unplug", pif)
    assert site.up(*site.eth1) == [False, True]
    await ask(site.pool, "PIF.unplug", pif)
    await ask(site.pool, "PIF.plug", pif)
    assert site.up(pif) == [True]


@at_site()
async def test_management_interface_stays_up(site: Site) -> None:
    assert await refused(site.pool, "PIF.unplug", site.eth0[0]) == ["PIF_IS_MANAGEMENT_INTERFACE", site.eth0[0]]


@at_site()
async def test_interface_stays_up_while_a_vm_of_its_host_uses_the_network(site: Site) -> None:
    vm = await site.pool.running()
    vif = site.vif(vm)
    here = site.pool.hosts.index(site.get(vm, "resident_on"))
    await ask(site.pool, "VIF.move", vif, site.idle)
    assert await refused(site.pool, "PIF.unplug", site.eth1[here]) == ["VIF_IN_USE", site.idle, vif]
    await ask(site.pool, "PIF.unplug", site.eth1[1 - here])
    assert site.up(site.eth1[here], site.eth1[1 - here]) == [True, False]


@pytest.mark.parametrize(
    ("pool_values", "pif_values", "error"),
    [
        ({"ha_enabled": True}, {}, "HA_IS_ENABLED"),
        ({"redo_log_enabled": True}, {}, "REDO_LOG_IS_ENABLED"),
        ({}, {"disallow_unplug": True}, "PIF_DOES_NOT_ALLOW_UNPLUG"),
        ({}, {"managed": False}, "PIF_UNMANAGED"),
    ],
)
@at_site()
async def test_unplug_refuses_what_must_stay_up(site: Site, pool_values: Any, pif_values: Any, error: str) -> None:
    site.pool.change(site.pool.pool, **pool_values)
    site.pool.change(site.eth1[0], **pif_values)
    assert (await refused(site.pool, "PIF.unplug", site.eth1[0]))[0] == error
    assert site.up(site.eth1[0]) == [True]


@at_site()
async def test_interfaces_of_a_host_that_is_down_are_out_of_reach(site: Site) -> None:
    site.host_down(1)
    offline = ["HOST_OFFLINE", site.pool.hosts[1]]
    assert await refused(site.pool, "PIF.unplug", site.eth1[1]) == offline
    assert await refused(site.pool, "PIF.plug", site.eth1[1]) == offline
    assert await refused(site.pool, "PIF.scan", site.pool.hosts[1]) == offline
    assert await refused(site.pool, "PIF.reconfigure_ip", site.eth1[1], "DHCP", "", "", "", "") == offline


@at_site()
async def test_interface_of_a_cluster_is_not_to_be_changed(site: Site) -> None:
    member = site.pool.add("Cluster_host", host=site.pool.hosts[0], PIF=site.eth1[0], enabled=True)
    site.pool.change(site.eth1[0], disallow_unplug=True)
    error = ["CLUSTERING_ENABLED", member]
    assert await refused(site.pool, "PIF.set_disallow_unplug", site.eth1[0], False) == error
    assert await refused(site.pool, "PIF.forget", site.eth1[0]) == error
    assert await refused(site.pool, "PIF.reconfigure_ip", site.eth1[0], "DHCP", "", "", "", "") == error
    await ask(site.pool, "PIF.set_disallow_unplug", site.eth1[1], True)
    assert site.get(site.eth1[1], "disallow_unplug") is True


# Found and forgotten


@at_site()
async def test_scan_records_new_cards_on_the_network_their_name_stands_for(site: Site) -> None:
    card(site, 0, "eth2", "02:00:00:00:02:00", vendor_name="Vendor", speed=10000)
    card(site, 0, "enp7s0", "02:00:00:00:07:00", carrier=False, speed=0)
    card(site, 1, "eth2", "02:00:00:00:02:01")
    for host in site.pool.hosts:
        await ask(site.pool, "PIF.scan", host)
    found = {
        (site.pool.hosts.index(pif["host"]), pif["device"]): pif
        for pif in site.store.all("PIF").values()
        if pif.ref not in site.eth0 + site.eth1
    }
    assert sorted(found) == [(0, "enp7s0"), (0, "eth2"), (1, "eth2")]
    new = found[0, "eth2"]
    assert (new["MAC"], new["VLAN"], new["physical"], new["managed"]) == ("02:00:00:00:02:00", -1, True, True)
    assert new["currently_attached"] is False
    assert site.get(new["metrics"], "vendor_name", "speed", "carrier") == ["Vendor", 10000, True]
    assert new["network"] == found[1, "eth2"]["network"]
    assert site.get(new["network"], "bridge") == "xenbr2"
    assert site.get(found[0, "enp7s0"]["network"], "bridge") == "brenp7s0"


@at_site()
async def test_scan_corrects_what_was_known_and_makes_nothing_twice(site: Site) -> None:
    before = list(site.store.all("PIF"))
    card(site, 0, "eth1", "02:00:00:00:AB:CD", mtu=9000, carrier=False, speed=0)
    await ask(site.pool, "PIF.scan", site.pool.hosts[0])
    revision = site.store.revision
    await ask(site.pool, "PIF.scan", site.pool.hosts[0])
    assert site.store.revision == revision
    assert list(site.store.all("PIF")) == before
    assert site.get(site.eth1[0], "MAC", "MTU") == ["02:00:00:00:ab:cd", 9000]
    assert site.get(site.get(site.eth1[0], "metrics"), "carrier", "speed") == [False, 0]


@at_site()
async def test_two_cards_with_long_names_get_networks_of_their_own(site: Site) -> None:
    for number, name in enumerate(("enx0200000000001", "enx0200000000002")):
        card(site, 0, name, f"02:00:00:00:00:0{number}")
    await ask(site.pool, "PIF.scan", site.pool.hosts[0])
    bridges = [network["bridge"] for network in site.store.all("network").values()]
    assert bridges[-2:] == ["xapi0", "xapi1"]
    assert len(set(bridges)) == len(bridges)


@at_site()
async def test_a_card_is_introduced_by_name(site: Site) -> None:
    card(site, 0, "eth2", "02:00:00:00:02:AA")
    pif = await ask(site.pool, "PIF.introduce", site.pool.hosts[0], "02:00:00:00:02:aa", "eth2", False)
    assert site.get(pif, "MAC", "managed", "device") == ["02:00:00:00:02:aa", False, "eth2"]
    again = await refused(site.pool, "PIF.introduce", site.pool.hosts[0], "", "eth2", True)
    assert again == ["DUPLICATE_PIF_DEVICE_NAME", "eth2"]


@pytest.mark.parametrize(
    ("mac", "device", "error"),
    [
        ("nonsense", "eth2", ["MAC_INVALID", "nonsense"]),
        ("01:00:00:00:00:00", "eth2", ["MAC_INVALID", "01:00:00:00:00:00"]),
        ("", "eth9", ["MAC_INVALID", ""]),
        ("", "eth1", ["DUPLICATE_PIF_DEVICE_NAME", "eth1"]),
        (
            "02:00:00:00:00:99",
            "eth2",
            [
                "COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS",
                "eth2",
                "02:00:00:00:00:99",
            ],
        ),
    ],
)
@at_site()
async def test_introduce_refuses_what_the_host_does_not_have(
    site: Site, mac: str, device: str, error: list[str]
) -> None:
    card(site, 0, "eth2", "02:00:00:00:02:00")
    count = len(site.store.all("PIF"))
    assert await refused(site.pool, "PIF.introduce", site.pool.hosts[0], mac, device, True) == error
    assert len(site.store.all("PIF")) == count


@at_site()
async def test_forgotten_interface_is_found_again(site: Site) -> None:
    old = site.eth1[0]
    await ask(site.pool, "PIF.forget", old)
    assert site.store.find(old) is None
    await ask(site.pool, "PIF.scan", site.pool.hosts[0])
    assert site.get(site.on(site.idle, site.pool.hosts[0]), "device") == "eth1"


@at_site()
async def test_forget_refuses_what_others_depend_on(site: Site) -> None:
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 7, site.network("tagged"))
    untagged = site.get(vlan, "untagged_PIF")
    assert await refused(site.pool, "PIF.forget", site.eth1[0]) == ["PIF_VLAN_STILL_EXISTS", site.eth1[0]]
    assert await refused(site.pool, "PIF.forget", untagged) == ["PIF_VLAN_STILL_EXISTS", untagged]
    assert await refused(site.pool, "PIF.forget", site.eth0[1]) == ["PIF_IS_MANAGEMENT_INTERFACE", site.eth0[1]]
    site.pool.change(site.pool.pool, ha_enabled=True)
    assert await refused(site.pool, "PIF.forget", site.eth1[1]) == ["HA_IS_ENABLED"]


@at_site()
async def test_records_come_and_go_without_an_interface(site: Site) -> None:
    given = (
        "eth5", site.idle, site.pool.hosts[0], "02:00:00:00:05:00", 9000, -1, True, "DHCP", "", "", "", "", NULL_REF,
        NULL_REF, False, {"key": "value"},
    )  # fmt: skip
    pif = await ask(site.pool, "PIF.db_introduce", *given)
    assert site.get(pif, "device", "MTU", "other_config", "ip_configuration_mode") == [
        "eth5", 9000, {"key": "value"}, "DHCP",
    ]  # fmt: skip
    assert site.up(pif) == [False]
    await ask(site.pool, "PIF.db_forget", pif)
    assert site.store.find(pif) is None


# Addresses


@at_site()
async def test_static_address_is_set_and_taken_away(site: Site) -> None:
    pif = site.eth1[0]
    static = ("Static", "198.51.100.4", "255.255.255.0", "198.51.100.1", "198.51.100.2")
    await ask(site.pool, "PIF.reconfigure_ip", pif, *static)
    fields = ("ip_configuration_mode", "IP", "netmask", "gateway", "DNS")
    assert site.get(pif, *fields) == list(static)
    await ask(site.pool, "PIF.reconfigure_ip", pif, "None", "", "", "", "")
    assert site.get(pif, *fields) == ["None", "", "", "", "198.51.100.2"]


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        (("Static", "", "255.255.255.0", "", ""), "IP"),
        (("Static", "198.51.100.300", "255.255.255.0", "", ""), "IP"),
        (("Static", "2001:db8::1", "255.255.255.0", "", ""), "IP"),
        (("Static", "198.51.100.3", "", "", ""), "netmask"),
        (("Static", "198.51.100.3", "255.255.255.0", "gate", ""), "gateway"),
        (("DHCP", "x", "", "", ""), "IP"),
    ],
)
@at_site()
async def test_reconfigure_ip_refuses(site: Site, arguments: Any, parameter: str) -> None:
    error = ["INVALID_IP_ADDRESS_SPECIFIED", parameter]
    assert await refused(site.pool, "PIF.reconfigure_ip", site.eth1[0], *arguments) == error


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        (("Static", "2001:db8::1", "", ""), "IPv6"),
        (("Static", "2001:db8::1/129", "", ""), "IPv6"),
        (("Static", "2001:db8::1/ 64", "", ""), "IPv6"),
        (("Static", "192.0.2.1/24", "", ""), "IPv6"),
        (("Static", "", "", ""), "IPv6"),
        (("Static", "2001:db8::1/64", "192.0.2.1", ""), "gateway"),
    ],
)
@at_site()
async def test_reconfigure_ipv6_refuses(site: Site, arguments: Any, parameter: str) -> None:
    error = ["INVALID_IP_ADDRESS_SPECIFIED", parameter]
    assert await refused(site.pool, "PIF.reconfigure_ipv6", site.eth1[0], *arguments) == error


@at_site()
async def test_ipv6_address_is_set(site: Site) -> None:
    await ask(site.pool, "PIF.reconfigure_ipv6", site.eth1[0], "Static", "2001:db8::1/64", "2001:db8::ff", "")
    fields = ("ipv6_configuration_mode", "IPv6", "ipv6_gateway")
    assert site.get(site.eth1[0], *fields) == ["Static", ("2001:db8::1/64",), "2001:db8::ff"]
    await ask(site.pool, "PIF.reconfigure_ipv6", site.eth1[0], "Autoconf", "", "", "")
    assert site.get(site.eth1[0], *fields) == ["Autoconf", (), ""]


@at_site()
async def test_host_is_called_by_the_address_of_its_management_interface(site: Site) -> None:
    static = ("Static", "198.51.100.4", "255.255.255.0", "", "")
    await ask(site.pool, "PIF.reconfigure_ip", site.eth1[0], *static)
    assert site.get(site.pool.hosts[0], "address") == "192.0.2.1"
    await ask(site.pool, "PIF.reconfigure_ip", site.eth0[0], *static)
    assert site.get(site.pool.hosts[0], "address") == "198.51.100.4"
    none = ("None", "", "", "", "")
    error = ["PIF_IS_MANAGEMENT_INTERFACE", site.eth0[0]]
    assert await refused(site.pool, "PIF.reconfigure_ip", site.eth0[0], *none) == error
    assert await refused(site.pool, "PIF.set_primary_address_type", site.eth0[0], "IPv6") == error
    await ask(site.pool, "PIF.set_primary_address_type", site.eth1[0], "IPv6")
    assert site.get(site.eth1[0], "primary_address_type") == "IPv6"


# Properties


@at_site()
async def test_property_of_hardware_is_set(site: Site) -> None:
    await ask(site.pool, "PIF.set_property", site.eth1[0], "gro", "off")
    assert site.get(site.eth1[0], "properties") == {"gro": "off"}
    for name, value in (("gro", "maybe"), ("speed", "on")):
        error = ["INVALID_VALUE", "properties", f"{name} = {value}"]
        assert await refused(site.pool, "PIF.set_property", site.eth1[0], name, value) == error
    vlan = await ask(site.pool, "VLAN.create", site.eth1[0], 7, site.network("tagged"))
    untagged = site.get(vlan, "untagged_PIF")
    assert await refused(site.pool, "PIF.set_property", untagged, "gro", "on") == [
        "CANNOT_CHANGE_PIF_PROPERTIES", untagged,
    ]  # fmt: skip


# Management


@at_site()
async def test_host_is_managed_through_another_interface(site: Site) -> None:
    pif = site.eth1[0]
    error = ["PIF_HAS_NO_NETWORK_CONFIGURATION", pif]
    assert await refused(site.pool, "host.management_reconfigure", pif) == error
    await ask(site.pool, "PIF.unplug", pif)
    await ask(site.pool, "PIF.reconfigure_ip", pif, "Static", "198.51.100.4", "255.255.255.0", "", "")
    await ask(site.pool, "host.management_reconfigure", pif)
    assert [site.get(ref, "management") for ref in (*site.eth0, *site.eth1)] == [False, True, True, False]
    assert site.up(pif) == [True]
    assert site.get(site.pool.hosts[0], "address") == "198.51.100.4"
    assert await ask(site.pool, "host.get_management_interface", site.pool.hosts[0]) == pif


@at_site()
async def test_management_needs_an_address_of_the_same_family(site: Site) -> None:
    pif = site.eth1[0]
    site.pool.change(pif, ip_configuration_mode="DHCP")
    assert await refused(site.pool, "host.management_reconfigure", pif) == ["INTERFACE_HAS_NO_IP", "xenbr1"]
    site.pool.change(pif, primary_address_type="IPv6")
    error = ["PIF_HAS_NO_V6_NETWORK_CONFIGURATION", pif]
    assert await refused(site.pool, "host.management_reconfigure", pif) == error
    site.pool.change(pif, ipv6_configuration_mode="Static", IPv6=("2001:db8::1/64",))
    error = ["PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE", pif]
    assert await refused(site.pool, "host.management_reconfigure", pif) == error
    site.pool.change(site.pool.pool, ha_enabled=True)
    assert await refused(site.pool, "host.management_reconfigure", pif) == ["HA_IS_ENABLED"]


@at_site()
async def test_all_hosts_change_their_management_network_or_none(site: Site) -> None:
    site.pool.change(site.eth1[0], ip_configuration_mode="Static", IP="198.51.100.1")
    error = ["PIF_HAS_NO_NETWORK_CONFIGURATION", site.eth1[1]]
    assert await refused(site.pool, "pool.management_reconfigure", site.idle) == error
    site.pool.change(site.eth1[1], ip_configuration_mode="Static", IP="198.51.100.2")
    other = site.network("other")
    assert await refused(site.pool, "pool.management_reconfigure", other) == [
        "PIF_NOT_PRESENT", site.pool.hosts[0], other,
    ]  # fmt: skip
    await ask(site.pool, "pool.management_reconfigure", site.idle)
    assert [site.get(pif, "management") for pif in (*site.eth0, *site.eth1)] == [False, False, True, True]
    assert [site.get(host, "address") for host in site.pool.hosts] == ["198.51.100.1", "198.51.100.2"]
