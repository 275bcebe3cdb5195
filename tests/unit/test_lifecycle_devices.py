"""Operations on VBDs, VIFs, VDIs and tasks: what is allowed, and the exact refusal otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import (
    allowed_task_operations,
    allowed_vbd_operations,
    allowed_vdi_operations,
    allowed_vif_operations,
    check_vbd_operation,
    check_vdi_operation,
    check_vif_operation,
)
from xenapi_core.testing.records import Records


class World(Records):
    """A paravirtualised VM with a disk, a CD drive and a NIC."""

    def __init__(self, state: str = "Running", attached: bool = True) -> None:
        super().__init__("devices")
        self.metrics = self.add("VM_metrics", current_domain_type="pv")
        self.vm = self.add("VM", power_state=state, metrics=self.metrics)
        self.sr = self.add("SR", type="nfs", content_type="user")
        self.pbd = self.add("PBD", SR=self.sr, host=NULL_REF, currently_attached=True)
        self.vdi = self.add("VDI", SR=self.sr, managed=True, type="user")
        common = {"VM": self.vm, "unpluggable": True, "currently_attached": attached}
        self.vbd = self.add("VBD", VDI=self.vdi, userdevice="0", mode="RW", type="Disk", **common)
        self.cd = self.add("VBD", VDI=NULL_REF, userdevice="3", mode="RO", type="CD", empty=True, **common)
        self.vif = self.add("VIF", VM=self.vm, device="0", network=NULL_REF, currently_attached=attached)

    def error(self, ref: str, operation: str) -> list[str]:
        version = self.store.get(ref)
        check = {"VBD": check_vbd_operation, "VIF": check_vif_operation, "VDI": check_vdi_operation}[version.cls]
        with pytest.raises(ApiError) as failure:
            check(self.store, version, operation)
        return failure.value.description

    def allowed(self, ref: str) -> tuple[str, ...]:
        version = self.store.get(ref)
        functions = {
            "VBD": allowed_vbd_operations,
            "VIF": allowed_vif_operations,
            "VDI": allowed_vdi_operations,
            "task": allowed_task_operations,
        }
        return functions[version.cls](self.store, version)


def test_attached_disk_of_a_running_vm() -> None:
    world = World()
    assert set(world.allowed(world.vbd)) == {"attach", "unplug", "unplug_force", "pause", "unpause"}
    assert world.error(world.vbd, "plug") == ["DEVICE_ALREADY_ATTACHED", world.vbd]
    assert world.error(world.vbd, "eject") == ["VBD_NOT_REMOVABLE_MEDIA", world.vbd]


def test_unattached_disk_of_a_running_vm() -> None:
    world = World(attached=False)
    assert set(world.allowed(world.vbd)) == {"attach", "plug"}
    assert world.error(world.vbd, "unplug") == ["DEVICE_ALREADY_DETACHED", world.vbd]


def test_disk_of_a_halted_vm() -> None:
    world = World("Halted", attached=False)
    assert world.allowed(world.vbd) == ("attach",)
    assert world.error(world.vbd, "plug") == ["VM_BAD_POWER_STATE", world.vm, "running", "halted"]
    assert set(world.allowed(world.cd)) == {"attach", "insert"}


def test_disk_that_must_stay() -> None:
    world = World()
    world.change(world.vbd, unpluggable=False)
    assert world.error(world.vbd, "unplug") == ["VBD_NOT_UNPLUGGABLE", world.vbd]


def test_drive_takes_a_medium_when_empty_and_gives_it_when_not() -> None:
    world = World()
    assert world.error(world.cd, "eject") == ["VBD_IS_EMPTY", world.cd]
    world.change(world.cd, empty=False, VDI=world.vdi)
    assert world.error(world.cd, "insert") == ["VBD_NOT_EMPTY", world.cd]
    assert "eject" in world.allowed(world.cd)
    world.change(world.vm, power_state="Suspended")
    assert world.error(world.cd, "eject") == ["VM_BAD_POWER_STATE", world.vm, "halted, running", "suspended"]


@pytest.mark.parametrize("operation", ["clean_shutdown", "hard_shutdown", "suspend", "pause"])
def test_devices_stand_still_while_the_vm_ends(operation: str) -> None:
    world = World()
    world.change(world.vm, current_operations={"t": operation})
    text = f"Current operation on VM:{world.vm} is {operation}"
    assert world.error(world.vbd, "unplug") == ["OPERATION_NOT_ALLOWED", text]
    assert world.error(world.vif, "unplug") == ["OPERATION_NOT_ALLOWED", text]
    assert world.allowed(world.vbd) == world.allowed(world.vif) == ()


def test_device_does_one_thing_at_a_time() -> None:
    world = World()
    world.change(world.vbd, current_operations={"t": "unplug"})
    world.change(world.vif, current_operations={"t": "unplug"})
    assert world.error(world.vbd, "unplug") == ["OTHER_OPERATION_IN_PROGRESS", "VBD", world.vbd, "unplug", "t"]
    assert world.error(world.vif, "unplug") == ["OTHER_OPERATION_IN_PROGRESS", "VIF", world.vif, "unplug", "t"]


def test_plug_looks_at_the_disks_other_users() -> None:
    world = World(attached=False)
    other = world.add("VBD", VM=world.vm, VDI=world.vdi, userdevice="1", mode="RW", currently_attached=True)
    assert world.error(world.vbd, "plug") == ["VDI_IN_USE", world.vdi]
    world.change(world.vdi, sharable=True)
    check_vbd_operation(world.store, world.store.get(world.vbd), "plug")
    world.change(world.vdi, sharable=False, read_only=True)
    world.change(other, currently_attached=False)
    assert world.error(world.vbd, "plug") == ["VDI_READONLY", world.vdi]
    world.change(world.vdi, managed=False)
    assert world.error(world.vbd, "plug") == ["VDI_NOT_MANAGED", world.vdi]


@pytest.mark.parametrize("operation", ["copy", "destroy", "resize", "blocked", "revert_to", "data_destroy"])
def test_disk_that_something_is_done_to_is_not_attached_meanwhile(operation: str) -> None:
    world = World(attached=False)
    world.change(world.vdi, current_operations={"t": operation})
    assert world.error(world.vbd, "plug") == ["OTHER_OPERATION_IN_PROGRESS", "VDI", world.vdi, operation, "t"]


@pytest.mark.parametrize(("mode", "operation"), [("RW", "snapshot"), ("RW", "clone"), ("RW", "mirror"), ("RO", "copy")])
def test_disk_is_attached_beside_what_an_attached_disk_allows(mode: str, operation: str) -> None:
    world = World(attached=False)
    world.change(world.vbd, mode=mode)
    world.change(world.vdi, current_operations={"t": operation})
    check_vbd_operation(world.store, world.store.get(world.vbd), "plug")


def test_hvm_guest_without_drivers_cannot_hotplug() -> None:
    world = World(attached=False)
    world.change(world.metrics, current_domain_type="hvm")
    assert world.error(world.vbd, "plug") == ["VM_MISSING_PV_DRIVERS", world.vm]
    assert world.error(world.vif, "plug") == ["VM_MISSING_PV_DRIVERS", world.vm]
    assert world.error(world.cd, "plug")[0] == "OPERATION_NOT_ALLOWED"
    world.change(world.vbd, mode="RO")
    assert world.error(world.vbd, "plug") == ["DISK_VBD_MUST_BE_READWRITE_FOR_HVM", world.vbd]


def test_nic_in_each_situation() -> None:
    world = World()
    assert world.allowed(world.vif) == ("attach", "unplug")
    assert world.error(world.vif, "plug") == ["DEVICE_ALREADY_ATTACHED", world.vif]
    world.change(world.vif, currently_attached=False)
    assert world.allowed(world.vif) == ("attach", "plug")
    assert world.error(world.vif, "unplug") == ["DEVICE_ALREADY_DETACHED", world.vif]
    world.change(world.vm, power_state="Halted")
    assert world.allowed(world.vif) == ("attach",)


def test_free_disk_can_be_changed_and_an_attached_one_cannot() -> None:
    world = World(attached=False)
    assert {"clone", "copy", "resize", "snapshot", "destroy", "forget"} <= set(world.allowed(world.vdi))
    world.change(world.vbd, currently_attached=True)
    live = {"clone", "snapshot", "resize_online"}
    assert set(world.allowed(world.vdi)) == {*live, "enable_cbt", "disable_cbt"}
    world.change(world.vdi, type="suspend")
    assert set(world.allowed(world.vdi)) == live
    assert world.error(world.vdi, "destroy") == ["VDI_IN_USE", world.vdi, "destroy"]
    world.change(world.vbd, mode="RO")
    assert "copy" in world.allowed(world.vdi)


def test_disk_operations_exclude_each_other_but_copies() -> None:
    world = World(attached=False)
    world.change(world.vdi, current_operations={"t": "copy"})
    check_vdi_operation(world.store, world.store.get(world.vdi), "copy")
    assert world.error(world.vdi, "destroy") == ["OTHER_OPERATION_IN_PROGRESS", "VDI", world.vdi, "copy", "t"]
    world.change(world.vdi, current_operations={"t": "clone"})
    assert world.error(world.vdi, "copy") == ["OTHER_OPERATION_IN_PROGRESS", "VDI", world.vdi, "clone", "t"]


@pytest.mark.parametrize(
    ("sr", "vdi", "operation", "error"),
    [
        ({"type": "iso"}, {}, "clone", "SR_OPERATION_NOT_SUPPORTED"),
        ({"type": "iso"}, {}, "snapshot", "SR_OPERATION_NOT_SUPPORTED"),
        ({"type": "udev"}, {}, "destroy", "VDI_IS_A_PHYSICAL_DEVICE"),
        ({}, {"type": "rrd"}, "destroy", "VDI_HAS_RRDS"),
        ({}, {"sharable": True}, "snapshot", "VDI_IS_SHARABLE"),
        ({}, {"on_boot": "reset"}, "snapshot", "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"),
        ({}, {"on_boot": "reset"}, "copy", "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"),
        ({}, {}, "data_destroy", "OPERATION_NOT_ALLOWED"),
        ({}, {}, "revert_from", "REVERT_ONLY_ALLOWED_ON_SNAPSHOT"),
    ],
)
def test_disks_refuse_what_they_or_their_storage_cannot(
    sr: dict[str, Any], vdi: dict[str, Any], operation: str, error: str
) -> None:
    world = World(attached=False)
    world.change(world.sr, **sr)
    world.change(world.vdi, **vdi)
    assert world.error(world.vdi, operation)[0] == error
    assert operation not in world.allowed(world.vdi)


def test_resize_needs_attached_storage() -> None:
    world = World(attached=False)
    world.change(world.pbd, currently_attached=False)
    assert world.error(world.vdi, "resize") == ["SR_HAS_NO_PBDS", world.sr]


def test_task_can_be_cancelled_until_it_ends() -> None:
    world = World()
    task = world.add("task", status="pending")
    assert world.allowed(task) == ("cancel", "destroy")
    for status in ("success", "failure", "cancelled"):
        world.change(task, status=status, finished=1)
        assert world.allowed(task) == ()
