"""Machines with values that the demo's own do not have, and a VLAN, made through the Xen-API."""

from __future__ import annotations

from typing import Any

UNICODE_NAME = "bücher & <größe> \N{PANDA FACE} \"'"
GIB = 1024**3


def new_machine(xenapi: Any, name: str, **values: Any) -> str:
    """A halted HVM guest without disks and interfaces, 1 GiB of memory and one processor; returns its reference."""
    memory = values.pop("memory", GIB)
    vcpus = values.pop("vcpus", 1)
    record = {
        "name_label": name,
        "name_description": "",
        "user_version": "1",
        "is_a_template": False,
        "affinity": "OpaqueRef:NULL",
        "memory_static_max": str(memory),
        "memory_dynamic_max": str(memory),
        "memory_dynamic_min": str(memory // 2),
        "memory_static_min": str(memory // 4),
        "VCPUs_params": {},
        "VCPUs_max": str(vcpus),
        "VCPUs_at_startup": str(max(1, vcpus // 2)),
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "restart",
        "actions_after_crash": "restart",
        "PV_bootloader": "",
        "PV_kernel": "",
        "PV_ramdisk": "",
        "PV_args": "",
        "PV_bootloader_args": "",
        "PV_legacy_args": "",
        "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "cd"},
        "platform": {},
        "PCI_bus": "",
        "other_config": {},
        "recommendations": "",
        **values,
    }
    ref: str = xenapi.VM.create(record)
    return ref


def add_odd_machines(xenapi: Any) -> dict[str, str]:
    """Name of the oddity -> reference of the machine."""
    odd = {
        "no disks": new_machine(xenapi, "no disks"),
        "unicode": new_machine(xenapi, UNICODE_NAME, name_description="zwei\nZeilen\tund ]]>", tags=["ä", "b c"]),
        "empty name": new_machine(xenapi, ""),
        "paravirtual": new_machine(
            xenapi, "pv", HVM_boot_policy="", HVM_boot_params={}, PV_kernel="/boot/vmlinuz", PV_args="ro console=hvc0"
        ),
        "many processors": new_machine(xenapi, "wide", vcpus=16, VCPUs_params={"weight": "512", "cap": "150"}),
        "huge memory": new_machine(xenapi, "huge", memory=24 * 1024 * GIB),
        "values out of range": new_machine(
            xenapi, "odd values", VCPUs_params={"weight": "99999999", "cap": "a lot"}, order="70000"
        ),
        "starts by itself": new_machine(
            xenapi,
            "auto",
            other_config={"auto_poweron": "true", "auto_poweroff": "suspend"},
            actions_after_crash="preserve",
            start_delay="90061",
        ),
    }
    renamed = xenapi.VM.get_by_name_label("build-0")[0]
    xenapi.VM.set_name_label(renamed, "build-0 renamed")
    cd = new_machine(xenapi, "with CD")
    iso = next(ref for ref, vdi in xenapi.VDI.get_all_records().items() if vdi["name_label"].endswith(".iso"))
    for device, content in (("0", iso), ("1", "OpaqueRef:NULL")):
        xenapi.VBD.create(
            {
                "VM": cd,
                "VDI": content,
                "userdevice": device,
                "bootable": device == "0",
                "mode": "RO",
                "type": "CD",
                "unpluggable": True,
                "empty": device != "0",
                "other_config": {},
                "qos_algorithm_type": "",
                "qos_algorithm_params": {},
            }
        )
    office = {"name_label": "office", "name_description": "", "MTU": "1500", "other_config": {}, "tags": []}
    xenapi.pool.create_VLAN("eth0", xenapi.network.create(office), "7")
    return {**odd, "renamed": renamed, "with CD": cd}
