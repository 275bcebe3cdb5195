"""VLANs as DSP1097 shows them: a network whose uplinks are tagged is a VLAN that its switch takes part in."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool, classes, elements, key_values


def uplink(pool: SmallPool, name: str, network: str, tag: int, host: str = "host-0", **values: Any) -> None:
    record = {
        "host": pool.refs[host], "network": pool.refs[network], "device": "eth0", "MAC": "52:54:00:00:00:01",
        "VLAN": tag, "currently_attached": True,
    }  # fmt: skip
    pool.add("PIF", name, **(record | values))


@pytest.fixture
def pool() -> SmallPool:
    """The network "lan" on a card, and "office", which is VLAN 7 on both hosts."""
    found = SmallPool()
    found.add("network", "office", name_label="office")
    uplink(found, "card", "lan", -1)
    uplink(found, "office-0", "office", 7)
    uplink(found, "office-1", "office", 7, host="host-1")
    return found


def names(pool: SmallPool, classname: str) -> list[dict[str, str]]:
    return [key_values(one) for one in elements(pool.run("EnumerateInstanceNames", ClassName=classname).values)]


def ends(pool: SmallPool, start: Any, association: str) -> list[dict[str, str]]:
    return [
        key_values(one)
        for one in elements(pool.run("AssociatorNames", ObjectName=start, AssocClass=association).values)
    ]


def test_a_tagged_network_is_one_vlan_with_an_endpoint_for_each_uplink(pool: SmallPool) -> None:
    vlan = f"Xen:{pool.uuid('office')}/VLAN/7"
    assert names(pool, "CIM_NetworkVLAN") == [{"InstanceID": vlan}]
    found = pool.values("Xen_VLANEndpoint", "office-0")
    assert (found["SystemName"], found["Name"]) == (pool.uuid("office"), pool.uuid("office-0"))
    assert (found["DesiredEndpointMode"], found["OperationalEndpointMode"], found["ProtocolIFType"]) == (2, 2, 135)
    assert pool.values("Xen_VLANEndpointSettingData", "office-0")["AccessVLAN"] == 7
    ((one,), (none,)) = (pool.renditions("Xen_NetworkVLAN", "office"), [pool.renditions("Xen_NetworkVLAN", "lan")])
    assert (one.values["VLANId"], one.values["ElementName"], none) == (7, "VLAN 7 of office", ())


def test_a_vlan_is_walked_from_the_switch_to_the_settings_and_back(pool: SmallPool) -> None:
    switch = pool.path("office", "Xen_VirtualSwitch")
    (vlan,) = pool.renditions("Xen_NetworkVLAN", "office")
    (endpoint,) = pool.renditions("Xen_VLANEndpoint", "office-1")
    both = {pool.uuid("office-0"), pool.uuid("office-1")}
    assert ends(pool, switch, "CIM_HostedCollection") == [{"InstanceID": vlan.values["InstanceID"]}]
    assert [end["Name"] for end in ends(pool, vlan.path, "CIM_HostedCollection")] == [pool.uuid("office")]
    assert {end["Name"] for end in ends(pool, vlan.path, "CIM_MemberOfCollection")} == both
    assert ends(pool, endpoint.path, "CIM_MemberOfCollection") == [{"InstanceID": vlan.values["InstanceID"]}]
    (settings,) = ends(pool, endpoint.path, "CIM_SettingsDefineState")
    assert settings == {"InstanceID": f"Xen:{pool.uuid('office')}/{pool.uuid('office-1')}/VLAN"}
    assert [end["Name"] for end in ends(pool, endpoint.path, "CIM_HostedAccessPoint")] == [pool.uuid("office")]
    below = pool.run("AssociatorNames", ObjectName=endpoint.path, AssocClass="CIM_BindsTo")
    assert classes(elements(below.values)) == ["Xen_SwitchUplinkLANEndpoint"]


@pytest.mark.parametrize("tag", [-1, 0, 4095])
def test_a_tag_that_names_no_vlan_makes_none(pool: SmallPool, tag: int) -> None:
    uplink(pool, "other", "lan", tag, host="host-1")
    assert pool.renditions("Xen_VLANEndpoint", "other") == ()
    assert [name["InstanceID"] for name in names(pool, "CIM_NetworkVLAN")] == [f"Xen:{pool.uuid('office')}/VLAN/7"]


def test_hosts_with_different_tags_give_the_network_a_vlan_each(pool: SmallPool) -> None:
    uplink(pool, "office-2", "office", 4094, host="host-1")
    assert [one.values["VLANId"] for one in pool.renditions("Xen_NetworkVLAN", "office")] == [7, 4094]
    last = pool.renditions("Xen_NetworkVLAN", "office")[1]
    assert [end["Name"] for end in ends(pool, last.path, "Xen_VLANMember")] == [pool.uuid("office-2")]


def test_a_vlan_ends_when_its_uplinks_are_unplugged(pool: SmallPool) -> None:
    assert len(names(pool, "CIM_NetworkVLAN")) == 1
    pool.set("office-0", currently_attached=False)
    assert [end["Name"] for end in names(pool, "Xen_VLANEndpoint")] == [pool.uuid("office-1")]
    pool.set("office-1", currently_attached=False)
    assert names(pool, "CIM_NetworkVLAN") == names(pool, "Xen_VLANEndpointSettingData") == []
