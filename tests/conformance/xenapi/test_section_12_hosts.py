"""Pool and host, row by row: disabling, evacuating, switching off, ejecting, and what is refused."""

from __future__ import annotations

import pytest

NULL = "OpaqueRef:NULL"


@pytest.fixture(scope="module")
def hosts(client):
    """(coordinator, members)."""
    (pool,) = client.call("pool.get_all_records").values()
    return pool["master"], sorted(set(client.call("host.get_all")) - {pool["master"]})


@pytest.fixture(scope="module")
def emptied(client, hosts):
    """A member without guests. Those that could move are elsewhere afterwards, the others run again."""
    ref = hosts[1][0]
    staying = sorted(client.call("host.get_vms_which_prevent_evacuation", ref))
    for vm in staying:
        client.call("VM.hard_shutdown", vm)
    client.call("host.evacuate", ref)
    yield ref
    for vm in staying:
        client.call("VM.start_on", vm, ref, False, False)


@pytest.fixture
def member(client, emptied):
    """The same, enabled again afterwards."""
    yield emptied
    client.call("host.enable", emptied)


def movable(client, vm, host):
    """The VM runs on `host`, and its guest can be moved."""
    client.call("VM.start_on", vm, host, False, False)
    client.until(lambda: "pool_migrate" in client.call("VM.get_allowed_operations", vm))


def guests(client, host):
    residents = client.call("host.get_resident_VMs", host)
    return [vm for vm in residents if not client.call("VM.get_is_control_domain", vm)]


def test_a_disabled_host_takes_no_vm_until_it_is_enabled(client, member, vm):
    client.call("host.disable", member)
    assert client.call("host.get_enabled", member) is False
    assert client.refusal("VM.start_on", vm, member, False, False) == ["HOST_DISABLED", member]
    assert member not in client.call("VM.get_possible_hosts", vm)
    client.call("host.enable", member)
    client.call("VM.start_on", vm, member, False, False)
    assert client.call("VM.get_resident_on", vm) == member
    client.call("VM.hard_shutdown", vm)


def test_disable_takes_the_argument_of_later_clients(client, member):
    client.call("host.disable", member, False)
    assert client.call("host.get_enabled", member) is False


def test_evacuation_does_not_want_the_host_disabled_and_empties_it(client, member, vm):
    movable(client, vm, member)
    assert client.call("host.get_enabled", member) is True
    client.call("host.assert_can_evacuate", member)
    client.call("host.evacuate", member, NULL, "1")
    assert guests(client, member) == []
    assert client.call("VM.get_power_state", vm) == "Running"
    client.call("VM.hard_shutdown", vm)


def test_what_keeps_a_vm_here_is_told_before_and_by_the_evacuation(client, member, hosts, vm):
    movable(client, vm, member)
    others = [host for host in (hosts[0], *hosts[1]) if host != member]
    for host in others:
        client.call("host.disable", host)
    try:
        assert client.refusal("host.assert_can_evacuate", member) == ["CANNOT_EVACUATE_HOST", "NO_HOSTS_AVAILABLE"]
        assert client.call("host.get_vms_which_prevent_evacuation", member) == {vm: ["NO_HOSTS_AVAILABLE"]}
        assert client.refusal("host.evacuate", member) == ["NO_HOSTS_AVAILABLE"]
    finally:
        for host in others:
            client.call("host.enable", host)
    client.call("VM.hard_shutdown", vm)


@pytest.mark.parametrize("message", ["reboot", "shutdown"])
def test_a_host_goes_down_only_when_it_is_disabled(client, member, message):
    assert client.refusal(f"host.{message}", member) == ["HOST_NOT_DISABLED"]


def test_a_host_that_is_down_is_offline_until_it_is_switched_on(client, member, vm):
    client.call("host.disable", member)
    client.call("host.shutdown", member)
    client.until(lambda: not client.call("host_metrics.get_live", client.call("host.get_metrics", member)))
    assert client.refusal("host.enable", member) == ["HOST_OFFLINE", member]
    assert client.refusal("host.power_on", member) == ["HOST_POWER_ON_MODE_DISABLED"]
    client.call("host.set_power_on_mode", member, "wake-on-lan", {})
    client.call("host.power_on", member)
    client.until(lambda: client.call("host_metrics.get_live", client.call("host.get_metrics", member)))
    assert client.refusal("host.power_on", member) == ["HOST_IS_LIVE", member]
    client.call("host.set_power_on_mode", member, "", {})


def test_a_live_host_is_not_destroyed(client, hosts):
    for host in (hosts[0], hosts[1][0]):
        assert client.refusal("host.destroy", host) == ["HOST_IS_LIVE", host]


def test_the_coordinator_is_not_ejected_nor_a_host_with_guests(client, hosts, member, vm):
    assert client.refusal("pool.eject", hosts[0])[0] == "INTERNAL_ERROR"
    client.call("VM.start_on", vm, member, False, False)
    assert client.refusal("pool.eject", member) == ["OPERATION_NOT_ALLOWED", "VM resident on host"]
    client.call("VM.hard_shutdown", vm)


def test_members_that_answer_are_recovered(client, hosts):
    assert sorted(client.call("pool.recover_slaves")) == hosts[1]
