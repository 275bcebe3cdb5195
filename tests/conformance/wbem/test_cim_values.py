"""What the CIM instances of each machine say is what the Xen-API says of it at the same moment."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import pywbem
from odd_machines import UNICODE_NAME

NULL = "OpaqueRef:NULL"
ENABLED = {"Running": 2, "Halted": 3, "Suspended": 6, "Paused": 9}
SYSTEM_TYPE = {"hvm": "DMTF:Xen:HVM", "pv": "DMTF:Xen:PV", "pv_in_pvh": "DMTF:Xen:PV", "pvh": "DMTF:Xen:PVH"}
RECOVERY = {"destroy": 2, "coredump_and_destroy": 2, "preserve": 2, "restart": 3, "coredump_and_restart": 3,
            "rename_restart": 3}  # fmt: skip

Row = Callable[["Pool", dict[str, Any]], Any]


class Pool:
    """All records of the classes that matter, by class and reference."""

    def __init__(self, xenapi: Any) -> None:
        for name in ("VM", "VM_metrics", "VM_guest_metrics", "VBD", "VDI", "SR", "VIF", "network", "host"):
            setattr(self, name, getattr(xenapi, name).get_all_records())
        self.records: dict[str, dict[str, dict[str, Any]]] = vars(self)

    def get(self, cls: str, ref: str, field: str) -> Any:
        """A field of another record; None where the reference is NULL."""
        return None if ref == NULL else self.records[cls][ref][field]

    def machines(self) -> list[dict[str, Any]]:
        return [vm for vm in self.configured() if not (vm["is_a_template"] or vm["is_a_snapshot"])]

    def configured(self) -> list[dict[str, Any]]:
        """Machines, templates and snapshots: what has a Defined configuration."""
        return [vm for vm in self.records["VM"].values() if not vm["is_control_domain"]]

    def has_device(self, record: dict[str, Any]) -> bool:
        """Whether a VBD or VIF is a device now: plugged, or of a machine that is suspended."""
        vm = self.records["VM"][record["VM"]]
        if vm not in self.machines() or vm["power_state"] == "Halted":
            return False
        return bool(record["currently_attached"]) or vm["power_state"] == "Suspended"


def moment(text: Any) -> datetime.datetime | None:
    """A date of the Xen-API; the epoch stands for none."""
    if text is None or str(text).startswith("1970"):
        return None
    return datetime.datetime.strptime(str(text), "%Y%m%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)


def pairs(values: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def in_range(text: str | None, most: int) -> int | None:
    """A number of VCPUs_params; anything but 1..most counts as not given."""
    return int(text) if text and text.isdecimal() and 1 <= int(text) <= most else None


def startup(pool: Pool, vm: dict[str, Any]) -> int:
    if vm["other_config"].get("auto_poweron") == "true":
        return 4
    return 3 if vm["ha_restart_priority"] == "restart" else 2


# class: of which records, how to find the path's last part, property -> what it must be
# fmt: off
MACHINE: dict[str, Row] = {
    "Name": lambda p, vm: vm["uuid"],
    "CreationClassName": lambda p, vm: "Xen_ComputerSystem",
    "ElementName": lambda p, vm: vm["name_label"],
    "Description": lambda p, vm: vm["name_description"],
    "EnabledState": lambda p, vm: ENABLED[vm["power_state"]],
    "TimeOfLastStateChange": lambda p, vm: moment(p.get("VM_metrics", vm["metrics"], "start_time")),
    "InstallDate": lambda p, vm: moment(p.get("VM_metrics", vm["metrics"], "install_time")),
}
SETTINGS: dict[str, Row] = {
    "InstanceID": lambda p, vm: f"Xen:{vm['uuid']}",
    "VirtualSystemIdentifier": lambda p, vm: vm["uuid"],
    "ElementName": lambda p, vm: vm["name_label"],
    "Description": lambda p, vm: vm["name_description"],
    "VirtualSystemType": lambda p, vm: SYSTEM_TYPE.get(
        vm["domain_type"], SYSTEM_TYPE["hvm" if vm["HVM_boot_policy"] else "pv"]),
    "Notes": lambda p, vm: vm["tags"],
    "CreationTime": lambda p, vm: moment(p.get("VM_metrics", vm["metrics"], "install_time")),
    "SuspendDataRoot": lambda p, vm: p.get("VDI", vm["suspend_VDI"], "uuid"),
    "AutomaticStartupAction": startup,
    "AutomaticStartupActionDelay": lambda p, vm: datetime.timedelta(seconds=int(vm["start_delay"])),
    "AutomaticStartupActionSequenceNumber": lambda p, vm: int(vm["order"]) if int(vm["order"]) < 65536 else None,
    "AutomaticShutdownAction": lambda p, vm: {"suspend": 3}.get(vm["other_config"].get("auto_poweroff")),
    "AutomaticRecoveryAction": lambda p, vm: RECOVERY[vm["actions_after_crash"]],
    "ActionsAfterShutdown": lambda p, vm: vm["actions_after_shutdown"],
    "ActionsAfterReboot": lambda p, vm: vm["actions_after_reboot"],
    "ActionsAfterCrash": lambda p, vm: vm["actions_after_crash"],
    "HVM_Boot_Policy": lambda p, vm: vm["HVM_boot_policy"],
    "HVM_Boot_Params": lambda p, vm: pairs(vm["HVM_boot_params"]),
    "PV_Bootloader": lambda p, vm: vm["PV_bootloader"],
    "PV_Bootloader_Args": lambda p, vm: vm["PV_bootloader_args"],
    "PV_Kernel": lambda p, vm: vm["PV_kernel"],
    "PV_Ramdisk": lambda p, vm: vm["PV_ramdisk"],
    "PV_Args": lambda p, vm: vm["PV_args"],
    "Platform": lambda p, vm: pairs(vm["platform"]),
}
MEMORY: dict[str, Row] = {
    "VirtualQuantity": lambda p, vm: int(vm["memory_static_max"]),
    "Limit": lambda p, vm: int(vm["memory_dynamic_max"]),
    "Reservation": lambda p, vm: int(vm["memory_dynamic_min"]),
    "StaticMinimum": lambda p, vm: int(vm["memory_static_min"]),
    "ResourceType": lambda p, vm: 4,
    "AllocationUnits": lambda p, vm: "byte",
}
PROCESSORS: dict[str, Row] = {
    "VirtualQuantity": lambda p, vm: int(vm["VCPUs_max"]),
    "VCPUsAtStartup": lambda p, vm: int(vm["VCPUs_at_startup"]),
    "Weight": lambda p, vm: in_range(vm["VCPUs_params"].get("weight"), 65535),
    "Limit": lambda p, vm: in_range(vm["VCPUs_params"].get("cap"), 1_000_000),
    "ResourceType": lambda p, vm: 3,
    "AllocationUnits": lambda p, vm: "percent",
}
DISKS: dict[str, Row] = {
    "ResourceType": lambda p, vbd: {"Disk": 17, "CD": 15, "Floppy": 14}[vbd["type"]],
    "PoolID": lambda p, vbd: p.get("SR", p.get("VDI", vbd["VDI"], "SR") or NULL, "uuid"),
    "HostExtentName": lambda p, vbd: p.get("VDI", vbd["VDI"], "uuid"),
    "VirtualQuantity": lambda p, vbd: None if vbd["VDI"] == NULL else int(p.get("VDI", vbd["VDI"], "virtual_size")),
    "Access": lambda p, vbd: {"RO": 1, "RW": 3}[vbd["mode"]],
    "Bootable": lambda p, vbd: vbd["bootable"],
    "Address": lambda p, vbd: vbd["device"],
    "AddressOnParent": lambda p, vbd: vbd["userdevice"],
}
PORTS: dict[str, Row] = {
    "ResourceType": lambda p, vif: 10,
    "PoolID": lambda p, vif: p.get("network", vif["network"], "uuid"),
    "Connection": lambda p, vif: [p.get("network", vif["network"], "uuid")],
    "Address": lambda p, vif: vif["MAC"].replace(":", "").upper(),
    "AddressOnParent": lambda p, vif: vif["device"],
}
LOGICAL_DISKS: dict[str, Row] = {
    "EnabledState": lambda p, vbd: 2 if vbd["currently_attached"] else 3,
    "OperationalStatus": lambda p, vbd: [2] if vbd["currently_attached"] else [10],
    "NumberOfBlocks": lambda p, vbd: int(p.get("VDI", vbd["VDI"], "virtual_size")) // 512,
    "Name": lambda p, vbd: vbd["device"] or vbd["userdevice"],
    "Access": lambda p, vbd: {"RO": 1, "RW": 3}[vbd["mode"]],
}
DRIVES: dict[str, Row] = {
    "EnabledState": lambda p, vbd: 2 if vbd["currently_attached"] else 3,
    "MaxMediaSize": lambda p, vbd: (
        None if vbd["VDI"] == NULL else int(p.get("VDI", vbd["VDI"], "virtual_size")) // 1024),
}
NETWORK_PORTS: dict[str, Row] = {
    "EnabledState": lambda p, vif: 2 if vif["currently_attached"] else 3,
    "PermanentAddress": lambda p, vif: vif["MAC"].replace(":", "").upper(),
    "NetworkAddresses": lambda p, vif: [vif["MAC"].replace(":", "").upper()],
    "MaxDataSize": lambda p, vif: int(vif["MTU"]) or None,
    "Name": lambda p, vif: f"eth{vif['device']}",
}
# fmt: on


@pytest.fixture(scope="module")
def pool(xenapi: Any, odd: dict[str, str]) -> Pool:
    """The records, odd machines included; nothing changes them while the tests of this module run."""
    return Pool(xenapi)


def value(found: pywbem.CIMInstance, name: str) -> Any:
    """A property as a Python value: moments and intervals as datetime has them."""
    got = found.get(name)
    if isinstance(got, pywbem.CIMDateTime):
        return got.timedelta if got.is_interval else got.datetime
    return got


def compare(found: pywbem.CIMInstance, rows: dict[str, Row], pool: Pool, record: dict[str, Any]) -> None:
    expected = {name: row(pool, record) for name, row in rows.items()}
    assert {name: value(found, name) for name in rows} == expected, record.get("name_label", record["uuid"])


def by_key(wbem: pywbem.WBEMConnection, classname: str, key: str) -> dict[str, pywbem.CIMInstance]:
    """All instances by key; of setting data, those of Defined configurations."""
    return {one[key]: one for one in wbem.EnumerateInstances(classname) if "/State" not in one[key]}


@pytest.mark.parametrize(
    ("classname", "key", "suffix", "rows"),
    [
        ("Xen_ComputerSystem", "Name", "{}", MACHINE),
        ("Xen_VirtualSystemSettingData", "InstanceID", "Xen:{}", SETTINGS),
        ("Xen_MemorySettingData", "InstanceID", "Xen:{}/Memory", MEMORY),
        ("Xen_ProcessorSettingData", "InstanceID", "Xen:{}/Processor", PROCESSORS),
    ],
)
def test_instances_of_machines_agree_with_their_records(
    wbem: pywbem.WBEMConnection, pool: Pool, classname: str, key: str, suffix: str, rows: dict[str, Row]
) -> None:
    found = by_key(wbem, classname, key)
    shown = pool.machines() if classname == "Xen_ComputerSystem" else pool.configured()
    machines = {suffix.format(vm["uuid"]): vm for vm in shown}
    assert found.keys() == machines.keys()
    for name, vm in machines.items():
        compare(found[name], rows, pool, vm)


@pytest.mark.parametrize(
    ("classname", "cls", "kind", "rows"),
    [
        ("Xen_DiskSettingData", "VBD", None, DISKS),
        ("Xen_LogicalDisk", "VBD", "Disk", LOGICAL_DISKS),
        ("Xen_CDROMDrive", "VBD", "CD", DRIVES),
        ("Xen_NetworkPortSettingData", "VIF", None, PORTS),
        ("Xen_NetworkPort", "VIF", None, NETWORK_PORTS),
    ],
)
def test_instances_of_devices_agree_with_their_records(
    wbem: pywbem.WBEMConnection, pool: Pool, classname: str, cls: str, kind: str | None, rows: dict[str, Row]
) -> None:
    owners = {vm["uuid"] for vm in pool.configured()}
    records = {}
    for record in pool.records[cls].values():
        owner = pool.get("VM", record["VM"], "uuid")
        there = owner in owners if "Setting" in classname else pool.has_device(record)
        if there and kind in (None, record.get("type")):
            records[f"Xen:{owner}/{record['uuid']}" if "Setting" in classname else record["uuid"]] = record
    found = by_key(wbem, classname, "InstanceID" if "Setting" in classname else "DeviceID")
    assert records
    assert found.keys() == records.keys()
    for name, record in records.items():
        compare(found[name], rows, pool, record)


def test_processors_and_memory_of_each_machine_agree_with_its_metrics(wbem: pywbem.WBEMConnection, pool: Pool) -> None:
    processors = wbem.EnumerateInstances("Xen_Processor")
    memory = {one["SystemName"]: one for one in wbem.EnumerateInstances("Xen_Memory")}
    active = [vm for vm in pool.machines() if vm["power_state"] != "Halted"]
    assert memory.keys() == {vm["uuid"] for vm in active}
    assert {one["SystemName"] for one in processors} == memory.keys()
    for vm in active:
        metrics = pool.records["VM_metrics"][vm["metrics"]]
        on = vm["power_state"] in ("Running", "Paused")
        mine = [one for one in processors if one["SystemName"] == vm["uuid"]]
        assert len(mine) == int(metrics["VCPUs_number"] if on else vm["VCPUs_at_startup"]), vm["name_label"]
        assert {one["EnabledState"] for one in mine} == {2 if on else 3}
        assert memory[vm["uuid"]]["NumberOfBlocks"] == int(vm["memory_static_max"]) // 4096
        assert memory[vm["uuid"]]["ConsumableBlocks"] == int(metrics["memory_actual"]) // 4096


def test_the_host_of_each_machine_is_where_it_is_resident(wbem: pywbem.WBEMConnection, xenapi: Any, pool: Pool) -> None:
    master = xenapi.pool.get_master(xenapi.pool.get_all()[0])
    hosted: dict[str, set[str]] = {}
    for vm in pool.machines():
        host = pool.get("host", master if vm["resident_on"] == NULL else vm["resident_on"], "uuid")
        path = pywbem.CIMInstanceName(
            "Xen_ComputerSystem",
            {"CreationClassName": "Xen_ComputerSystem", "Name": vm["uuid"]},
            namespace="root/cimv2",
        )
        (found,) = wbem.AssociatorNames(path, AssocClass="CIM_HostedDependency", Role="Dependent")
        assert found["Name"] == host, vm["name_label"]
        hosted.setdefault(host, set()).add(vm["uuid"])
    for path in wbem.EnumerateInstanceNames("Xen_HostComputerSystem"):
        guests = wbem.AssociatorNames(path, AssocClass="CIM_HostedDependency", ResultClass="Xen_ComputerSystem")
        assert {guest["Name"] for guest in guests} == hosted.get(path["Name"], set())


def test_a_name_in_any_script_is_the_same_in_both_faces(
    wbem: pywbem.WBEMConnection, xenapi: Any, odd: dict[str, str]
) -> None:
    uuid = xenapi.VM.get_uuid(odd["unicode"])
    (found,) = [one for one in wbem.EnumerateInstances("Xen_ComputerSystem") if one["Name"] == uuid]
    assert found["ElementName"] == UNICODE_NAME == xenapi.VM.get_name_label(odd["unicode"])
    assert found["Description"] == xenapi.VM.get_name_description(odd["unicode"])
