"""Turning a cloned template into a VM, with the disks the template asks for (API reference, VM.provision)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.specs import device_position
from xenapi_core.engine.steps.volumes import check_sr, create_step, record_volume
from xenapi_core.errors import E
from xenapi_core.model.enums import VDI_TYPE
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn

_MAKES = ("system", "user", "ephemeral", "suspend", "crashdump")


@dataclass(frozen=True)
class _RequestedDisk:
    """One <disk> of the template's description. `size` in bytes."""

    device: str
    size: int
    sr: str
    bootable: bool
    type: str
    vdi: str
    uuid: str
    step: Step


@plans("VM.provision")
def plan_provision(world: World, vm: str) -> Plan:
    """Make the disks of other_config["disks"] and clear is_a_template."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "provision")
    disks = _requested_disks(world, record["other_config"].get("disks", ""))

    def finish(run: Run, txn: Txn) -> None:
        for disk in disks:
            values = {
                "name_label": disk.device,
                "name_description": "Created by template provisioner",
                "type": disk.type,
                "sharable": False,
                "read_only": False,
            }
            record_volume(world, run, txn, disk.vdi, disk.uuid, disk.sr, values)
            txn.create(
                "VBD",
                world.ids.ref(),
                {
                    "uuid": world.ids.uuid(),
                    "VM": vm,
                    "VDI": disk.vdi,
                    "userdevice": disk.device,
                    "bootable": disk.bootable,
                    "mode": "RW",
                    "type": "Disk",
                    "empty": False,
                    "unpluggable": True,
                    "other_config": {"owner": ""},
                },
            )
        kept = {k: v for k, v in record["other_config"].items() if k not in ("disks", "postinstall")}
        txn.update(vm, is_a_template=False, other_config=kept)
        if txn.find(record["metrics"]) is not None:
            txn.update(record["metrics"], install_time=world.clock.now())

    return Plan(steps=tuple(disk.step for disk in disks), claims=(Claim(vm, "provision"),), finish=finish)


def _requested_disks(world: World, text: str) -> list[_RequestedDisk]:
    """The disks a <provision> element asks for. INVALID_VALUE for anything else; UUID_INVALID for an unknown SR."""
    if not text:
        return []
    refused = E.INVALID_VALUE("other_config:disks", text)
    if "<!" in text:  # no document type, no entities: this text comes from clients
        raise refused
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - entities were refused above
    except ElementTree.ParseError:
        raise refused from None
    found = []
    for element in root.iter("disk"):
        sr = world.store.by_uuid("SR", element.get("sr", ""))
        if sr is None:
            raise E.UUID_INVALID("sr", element.get("sr", ""))
        check_sr(world, sr.ref)
        device, size, kind = element.get("device", ""), element.get("size", ""), element.get("type", "system")
        if device_position(device) is None or not size.isdecimal() or kind not in _MAKES or kind not in VDI_TYPE.values:
            raise refused
        uuid, vdi = world.ids.uuid(), world.ids.ref()
        step = create_step(world, sr.ref, uuid, int(size), vdi)
        bootable = element.get("bootable", "false").lower() == "true"
        found.append(_RequestedDisk(device, int(size), sr.ref, bootable, kind, vdi, uuid, step))
    return found
