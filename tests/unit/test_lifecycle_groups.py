"""Appliances, clusters, USB devices and trusted platform modules: what may be requested follows from the records."""

from __future__ import annotations

import pytest

from xenapi_core.errors import ApiError
from xenapi_core.model.appliance_lifecycle import refuse_appliance_operation
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.cluster_lifecycle import refuse_cluster_host_operation, refuse_cluster_operation
from xenapi_core.model.passthrough_lifecycle import refuse_vtpm_operation, refuse_vusb_operation
from xenapi_core.testing.records import Records


class World(Records):
    """Records, and what may be requested of them."""

    def allowed(self, ref: str) -> tuple[str, ...]:
        version = self.store.get(ref)
        computed = SCHEMA[version.cls]["allowed_operations"].computed
        assert computed is not None
        return computed(self.store, version)


@pytest.fixture
def world() -> World:
    return World("groups")


def told(error: ApiError | None) -> list[str]:
    assert error is not None
    return error.description


def test_an_appliance_without_vms_can_do_nothing(world: World) -> None:
    appliance = world.add("VM_appliance")
    assert world.allowed(appliance) == ()
    refusal = refuse_appliance_operation(world.store, world.store.get(appliance), "start")
    assert told(refusal) == ["OPERATION_NOT_ALLOWED", "Appliance has no VMs."]


def test_an_appliance_can_go_where_some_of_its_vms_are_not(world: World) -> None:
    appliance = world.add("VM_appliance")
    one, two = (world.add("VM", appliance=appliance, power_state="Halted") for _ in range(2))
    stops = ("clean_shutdown", "hard_shutdown", "shutdown")
    assert world.allowed(appliance) == ("start",)
    world.change(one, power_state="Running")
    assert world.allowed(appliance) == ("start", *stops)
    world.change(two, power_state="Running")
    assert world.allowed(appliance) == stops
    assert told(refuse_appliance_operation(world.store, world.store.get(appliance), "start"))[0] == (
        "OPERATION_NOT_ALLOWED"
    )


def test_an_appliance_gets_a_new_version_when_one_of_its_vms_changes_state(world: World) -> None:
    appliance = world.add("VM_appliance")
    vm = world.add("VM", appliance=appliance, power_state="Halted")
    before = world.store.get(appliance)
    world.change(vm, power_state="Running")
    assert world.store.get(appliance) is not before


@pytest.mark.parametrize(
    ("cls", "operation"),
    [("VM_appliance", "start"), ("Cluster", "add"), ("Cluster_host", "enable"), ("VUSB", "plug"), ("VTPM", "destroy")],
)
def test_one_operation_at_a_time(world: World, cls: str, operation: str) -> None:
    ref = world.add(cls, current_operations={"OpaqueRef:task": operation})
    vm = world.add("VM", **({"appliance": ref} if cls == "VM_appliance" else {}))
    if "VM" in SCHEMA[cls].by_name:
        world.change(ref, VM=vm)
    version = world.store.get(ref)
    refusal = {
        "VM_appliance": lambda: refuse_appliance_operation(world.store, version, operation),
        "Cluster": lambda: refuse_cluster_operation(version),
        "Cluster_host": lambda: refuse_cluster_host_operation(version, operation),
        "VUSB": lambda: refuse_vusb_operation(world.store, version, operation),
        "VTPM": lambda: refuse_vtpm_operation(world.store, version, operation),
    }[cls]()
    assert told(refusal) == ["OTHER_OPERATION_IN_PROGRESS", cls, ref, operation, "OpaqueRef:task"]
    assert world.allowed(ref) == ()


def test_a_cluster_at_rest_can_do_everything(world: World) -> None:
    assert world.allowed(world.add("Cluster")) == ("add", "remove", "enable", "disable", "destroy")


def test_a_member_of_a_cluster_can_be_what_it_is_not(world: World) -> None:
    member = world.add("Cluster_host")
    assert world.allowed(member) == ("enable", "destroy")
    world.change(member, enabled=True)
    assert world.allowed(member) == ("disable", "destroy")


@pytest.mark.parametrize(
    ("state", "attached", "allowed"),
    [
        ("Halted", False, ("attach",)),
        ("Running", False, ("attach", "plug")),
        ("Running", True, ("attach", "unplug")),
        ("Suspended", True, ("attach",)),
    ],
)
def test_a_usb_device_is_plugged_and_unplugged_while_its_vm_runs(
    world: World, state: str, attached: bool, allowed: tuple[str, ...]
) -> None:
    vm = world.add("VM", power_state=state)
    assert world.allowed(world.add("VUSB", VM=vm, currently_attached=attached)) == allowed


def test_a_trusted_platform_module_goes_only_while_its_vm_is_halted(world: World) -> None:
    vm = world.add("VM", power_state="Halted")
    module = world.add("VTPM", VM=vm)
    assert world.allowed(module) == ("destroy",)
    world.change(vm, power_state="Running")
    assert world.allowed(module) == ()
    refusal = refuse_vtpm_operation(world.store, world.store.get(module), "destroy")
    assert told(refusal) == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


@pytest.mark.parametrize("cls", ["VUSB", "VTPM"])
def test_a_device_without_a_vm_can_do_nothing(world: World, cls: str) -> None:
    assert world.allowed(world.add(cls)) == ()


def test_relations_of_the_new_classes_are_answered_from_the_other_end(world: World) -> None:
    vm, host, update = world.add("VM"), world.add("host"), world.add("pool_update")
    module, dump = world.add("VTPM", VM=vm), world.add("crashdump", VM=vm)
    group = world.add("VM_group")
    world.change(vm, groups=(group,))
    world.change(host, updates=(update,))
    kind = world.add("VGPU_type")
    gpus = tuple(world.add("PGPU", host=host, supported_VGPU_types=(kind,)) for _ in range(2))
    related = world.store.related
    assert related(vm, "VTPMs") == (module,)
    assert related(vm, "crash_dumps") == (dump,)
    assert related(group, "VMs") == (vm,)
    assert related(update, "hosts") == (host,)
    assert set(related(kind, "supported_on_PGPUs")) == set(related(host, "PGPUs")) == set(gpus)
