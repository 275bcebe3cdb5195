"""VIFs: moving them under a running guest, the addresses a guest is asked to use, and where a network can be had."""

from __future__ import annotations

from typing import Any

import pytest
from network_site import Site, at_site
from sim_api import ask, refused

from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER

# Moving


@at_site()
async def test_running_guest_keeps_its_nic_while_the_network_changes(site: Site) -> None:
    vm = await site.pool.running()
    vif = site.vif(vm)
    machine = site.pool.sim.machines[site.get(vm, "uuid")]
    before = (machine.domid, set(machine.nics))
    await ask(site.pool, "VIF.move", vif, site.idle)
    assert site.get(vif, "network", "currently_attached", "current_operations") == [site.idle, True, {}]
    assert site.nic(vif) == site.idle
    assert (machine.domid, set(machine.nics)) == before
    assert site.store.related(site.idle, "VIFs") == (vif,)
    assert site.store.related(site.lan, "VIFs") == ()


@at_site()
async def test_halted_vm_finds_its_nic_on_the_new_network_when_it_starts(site: Site) -> None:
    vm = site.pool.add_vm()
    await ask(site.pool, "VIF.move", site.vif(vm), site.idle)
    await ask(site.pool, "VM.start", vm, False, False)
    assert site.nic(site.vif(vm)) == site.idle


@at_site()
async def test_interface_below_the_new_network_is_brought_up(site: Site) -> None:
    vm = await site.pool.running(affinity=site.pool.hosts[0])
    await ask(site.pool, "PIF.unplug", site.eth1[0])
    await ask(site.pool, "VIF.move", site.vif(vm), site.idle)
    assert site.up(*site.eth1) == [True, True]


@at_site()
async def test_running_guest_cannot_move_to_a_network_its_host_is_not_on(site: Site) -> None:
    vm = await site.pool.running(affinity=site.pool.hosts[0])
    vif = site.vif(vm)
    await ask(site.pool, "PIF.forget", site.eth1[0])
    error = ["HOST_CANNOT_ATTACH_NETWORK", site.pool.hosts[0], site.idle]
    assert await refused(site.pool, "VIF.move", vif, site.idle) == error
    unmanaged = site.network("unmanaged", managed=False)
    error = ["BRIDGE_NOT_AVAILABLE", "br-unmanaged"]
    assert await refused(site.pool, "VIF.move", vif, unmanaged) == error
    assert site.nic(vif) == site.get(vif, "network") == site.lan
    internal = site.network("internal")
    await ask(site.pool, "VIF.move", vif, internal)
    assert site.nic(vif) == internal


@at_site()
async def test_failed_move_changes_nothing(site: Site) -> None:
    vm = await site.pool.running()
    host = site.get(vm, "resident_on")
    drivers = site.pool.engine.hypervisors
    drivers[host] = Faulty(drivers[host], [FaultRule("move_nic")], site.pool.clock)
    assert (await refused(site.pool, "VIF.move", site.vif(vm), site.idle))[0] == "DOMAIN_BUILDER_ERROR"
    assert site.nic(site.vif(vm)) == site.get(site.vif(vm), "network") == site.lan
    assert site.get(site.vif(vm), "current_operations") == {}


@at_site()
async def test_move_waits_for_what_the_vm_is_doing(site: Site) -> None:
    vm = site.pool.add_vm()
    vif = site.vif(vm)
    site.pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
    await site.pool.pass_time(1)
    assert list(site.get(vm, "current_operations").values()) == ["start"]
    await ask(site.pool, "VIF.move", vif, site.idle)
    assert site.get(vm, "power_state") == "Running"
    assert site.nic(vif) == site.idle


@at_site()
async def test_move_shows_as_an_operation_of_the_vif_and_as_events(site: Site) -> None:
    vm = await site.pool.running()
    vif = site.vif(vm)
    task = site.pool.engine.launch("VIF.move", (vif, site.idle), TEST_CALLER)
    revision = site.store.revision
    await site.pool.pass_time(0.05)
    assert site.get(vif, "current_operations") == {task: "attach"}
    await site.pool.pass_time(1)
    assert site.get(task, "status") == "success"
    changed = {change.ref for change in site.store.changes(revision)}
    assert {vif, site.lan, site.idle} <= changed


# Plugging


@at_site()
async def test_plug_brings_up_the_interface_of_the_host(site: Site) -> None:
    vm = await site.pool.running(affinity=site.pool.hosts[0], nics=0)
    values = {"VM": vm, "network": site.idle, "device": "0", "MAC": "", "MTU": 1500}
    vif = await site.pool.call("VIF.create", values)
    await ask(site.pool, "PIF.unplug", site.eth1[0])
    await ask(site.pool, "VIF.plug", vif)
    assert site.up(site.eth1[0]) == [True]
    await ask(site.pool, "VIF.unplug_force", vif)
    await ask(site.pool, "PIF.forget", site.eth1[0])
    error = ["HOST_CANNOT_ATTACH_NETWORK", site.pool.hosts[0], site.idle]
    assert await refused(site.pool, "VIF.plug", vif) == error


@at_site()
async def test_vif_is_born_with_addresses_that_are_addresses(site: Site) -> None:
    vm = site.pool.add_vm(nics=0)
    values = {"VM": vm, "network": site.idle, "device": "0", "MAC": "", "MTU": 1500}
    for field, bad in (("ipv4_allowed", "2001:db8::1"), ("ipv6_allowed", "192.0.2.1")):
        error = ["INVALID_VALUE", field, bad]
        assert await refused(site.pool, "VIF.create", {**values, field: (bad,), "other_config": {}}) == error


# Addresses


@at_site()
async def test_guest_uses_the_address_it_is_asked_to_use_and_again_after_a_reboot(site: Site) -> None:
    vm = await site.pool.running()
    vif = site.vif(vm)
    chosen = dict(site.get(site.get(vm, "guest_metrics"), "networks"))
    await ask(site.pool, "VIF.configure_ipv4", vif, "Static", "192.0.2.40/24", "192.0.2.1")
    await ask(site.pool, "VIF.configure_ipv6", vif, "Static", "2001:db8::40/64")
    fields = ("ipv4_configuration_mode", "ipv4_addresses", "ipv4_gateway", "ipv6_addresses")
    assert site.get(vif, *fields) == ["Static", ("192.0.2.40/24",), "192.0.2.1", ("2001:db8::40/64",)]
    told = {"0/ip": "192.0.2.40", "0/ipv4/0": "192.0.2.40", "0/ipv6/0": "2001:db8::40"}
    assert site.get(site.get(vm, "guest_metrics"), "networks") == told
    await ask(site.pool, "VM.clean_reboot", vm)
    await site.pool.pass_time(30)
    assert site.get(site.get(vm, "guest_metrics"), "networks") == told
    await ask(site.pool, "VIF.configure_ipv4", vif, "None")
    await ask(site.pool, "VIF.configure_ipv6", vif, "None")
    assert site.get(vif, *fields) == ["None", (), "", ()]
    assert site.get(site.get(vm, "guest_metrics"), "networks") == chosen


@pytest.mark.parametrize(
    ("message", "arguments", "error"),
    [
        ("VIF.configure_ipv4", ("Static", "192.0.2.40", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv4", ("Static", "", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv4", ("Static", "192.0.2.40/33", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv4", ("Static", "192.0.2/24", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv4", ("Static", "192.0.2.4/255.0.0.0", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv4", ("Static", "2001:db8::1/64", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv4", ("Static", "192.0.2.4/24", "x"), ["INVALID_IP_ADDRESS_SPECIFIED", "gateway"]),
        ("VIF.configure_ipv6", ("Static", "192.0.2.40/24", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
        ("VIF.configure_ipv6", ("Static", "2001:db8::1/x", ""), ["INVALID_CIDR_ADDRESS_SPECIFIED", "address"]),
    ],
)
@at_site(hosts=1)
async def test_guest_is_not_asked_to_use_what_is_no_address(
    site: Site, message: str, arguments: Any, error: list[str]
) -> None:
    vif = site.vif(site.pool.add_vm())
    assert await refused(site.pool, message, vif, *arguments) == error


@at_site(hosts=1)
async def test_configuring_needs_an_agent_that_says_it_can(site: Site) -> None:
    vm = site.pool.add_vm()
    static = ("Static", "192.0.2.40/24")
    assert await refused(site.pool, "VIF.configure_ipv4", site.vif(vm), *static) == ["VM_LACKS_FEATURE", vm]
    await ask(site.pool, "VM.start", vm, False, False)
    assert await refused(site.pool, "VIF.configure_ipv4", site.vif(vm), *static) == ["VM_LACKS_FEATURE", vm]
    await site.pool.pass_time(20)
    await ask(site.pool, "VIF.configure_ipv4", site.vif(vm), *static)
    site.pool.sim.guest(site.get(vm, "uuid")).lose_agent()
    other = ("Static", "192.0.2.41/24")
    assert await refused(site.pool, "VIF.configure_ipv4", site.vif(vm), *other) == ["VM_LACKS_FEATURE", vm]
    assert site.get(site.vif(vm), "ipv4_addresses") == ("192.0.2.40/24",)


@at_site(hosts=1)
async def test_locked_vif_takes_only_addresses_it_may_send_from(site: Site) -> None:
    vm = await site.pool.running()
    vif = site.vif(vm)
    await ask(site.pool, "VIF.set_locking_mode", vif, "locked")
    static = ("Static", "192.0.2.40/24")
    error = ["ADDRESS_VIOLATES_LOCKING_CONSTRAINT", "192.0.2.40/24"]
    assert await refused(site.pool, "VIF.configure_ipv4", vif, *static) == error
    await ask(site.pool, "VIF.add_ipv4_allowed", vif, "192.0.2.40")
    await ask(site.pool, "VIF.configure_ipv4", vif, *static)
    assert site.get(vif, "ipv4_addresses") == ("192.0.2.40/24",)


@at_site(hosts=1)
async def test_allowed_addresses_are_a_set_of_one_family(site: Site) -> None:
    vif = site.vif(site.pool.add_vm())
    await ask(site.pool, "VIF.set_ipv6_allowed", vif, ("2001:db8::1", "2001:db8::1"))
    await ask(site.pool, "VIF.add_ipv6_allowed", vif, "2001:db8::2")
    assert site.get(vif, "ipv6_allowed") == ("2001:db8::1", "2001:db8::2")
    await ask(site.pool, "VIF.remove_ipv6_allowed", vif, "2001:db8::1")
    assert site.get(vif, "ipv6_allowed") == ("2001:db8::2",)
    error = ["INVALID_VALUE", "ipv6_allowed", "192.0.2.1"]
    assert await refused(site.pool, "VIF.add_ipv6_allowed", vif, "192.0.2.1") == error


@at_site(hosts=1)
async def test_trunks_are_tags(site: Site) -> None:
    vif = site.vif(site.pool.add_vm())
    await ask(site.pool, "VIF.set_trunks", vif, (5, 7, 5))
    await ask(site.pool, "VIF.add_trunks", vif, 9)
    await ask(site.pool, "VIF.remove_trunks", vif, 5)
    assert site.get(vif, "trunks") == (7, 9)
    assert await refused(site.pool, "VIF.add_trunks", vif, 4095) == ["VLAN_TAG_INVALID", "4095"]


# Starting


@at_site(hosts=1)
async def test_starting_vm_brings_up_the_interfaces_of_its_networks(site: Site) -> None:
    vm = site.pool.add_vm()
    await ask(site.pool, "VIF.move", site.vif(vm), site.idle)
    await ask(site.pool, "PIF.unplug", site.eth1[0])
    await ask(site.pool, "VM.start", vm, False, False)
    assert site.up(site.eth1[0]) == [True]


@at_site()
async def test_vm_does_not_start_where_its_network_went_into_a_bond(site: Site) -> None:
    vm = site.pool.add_vm(affinity=site.pool.hosts[0])
    await ask(site.pool, "Bond.create", site.network("bonded"), (site.eth0[0], site.eth1[0]), "")
    error = ["VM_REQUIRES_NETWORK", vm, site.lan]
    assert await refused(site.pool, "VM.start_on", vm, site.pool.hosts[0], False, False) == error
    await ask(site.pool, "VM.start", vm, False, False)
    assert site.get(vm, "resident_on") == site.pool.hosts[1]
