"""DSP1044, DSP1045, DSP1047, DSP1050: processors, memory, disks and network interfaces, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import GIB, NULL, SmallPool


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm(
        "web",
        power_state="Running",
        resident_on=pool.refs["host-0"],
        metrics={"VCPUs_number": 3, "memory_actual": GIB, "VCPUs_utilisation": {0: 0.5, 1: 0.256}},
        VCPUs_params={"weight": "512", "cap": "80"},
    )
    return pool


def test_each_virtual_processor_in_use_is_an_instance(pool: SmallPool) -> None:
    found = [r.values for r in pool.renditions("Xen_Processor", "web")]
    uuid = pool.uuid("web")
    assert [v["DeviceID"] for v in found] == [f"Xen:{uuid}/vcpu/{n}" for n in range(3)]
    assert [v["LoadPercentage"] for v in found] == [50, 26, None]
    assert {v["SystemName"] for v in found} == {uuid}
    assert {v["EnabledState"] for v in found} == {2}


def test_a_suspended_machine_shows_the_processors_it_will_be_resumed_with(pool: SmallPool) -> None:
    pool.set("web", power_state="Suspended")
    found = [r.values for r in pool.renditions("Xen_Processor", "web")]
    assert [v["EnabledState"] for v in found] == [3, 3]


@pytest.mark.parametrize(
    ("params", "weight", "limit"),
    [
        ({"weight": "512", "cap": "80"}, 512, 80),
        ({}, None, None),
        ({"weight": "0", "cap": "0"}, None, None),
        ({"weight": "many", "cap": "-3"}, None, None),
        ({"weight": "99999999999999"}, None, None),
    ],
)
def test_scheduler_parameters_are_numbers_or_null(
    pool: SmallPool, params: dict[str, str], weight: int | None, limit: int | None
) -> None:
    pool.set("web", VCPUs_params=params)
    found = pool.values("Xen_ProcessorSettingData", "web")
    assert (found["Weight"], found["Limit"]) == (weight, limit)
    assert found["AllocationUnits"] == "percent"
    assert (found["ResourceType"], found["VirtualQuantity"], found["VCPUsAtStartup"]) == (3, 4, 2)
    assert found["InstanceID"] == f"Xen:{pool.uuid('web')}/Processor"


def test_memory_is_counted_in_pages(pool: SmallPool) -> None:
    found = pool.values("Xen_Memory", "web")
    assert found["BlockSize"] * found["NumberOfBlocks"] == 2 * GIB
    assert found["BlockSize"] * found["ConsumableBlocks"] == GIB
    assert found["DeviceID"] == f"Xen:{pool.uuid('web')}/memory"


def test_memory_settings_are_the_limits_in_bytes(pool: SmallPool) -> None:
    pool.set(
        "web",
        memory_static_min=GIB // 2,
        memory_dynamic_min=GIB,
        memory_dynamic_max=3 * GIB // 2,
        memory_static_max=2 * GIB,
    )
    found = pool.values("Xen_MemorySettingData", "web")
    names = ("StaticMinimum", "Reservation", "Limit", "VirtualQuantity")
    assert [found[name] for name in names] == [GIB // 2, GIB, 3 * GIB // 2, 2 * GIB]
    assert (found["ResourceType"], found["AllocationUnits"], found["VirtualQuantityUnits"]) == (4, "byte", "byte")


def test_a_disk_shows_its_name_size_access_and_whether_it_is_plugged(pool: SmallPool) -> None:
    pool.disk("disk", "web", device="xvda", currently_attached=True)
    found = pool.values("Xen_LogicalDisk", "disk")
    assert (found["DeviceID"], found["SystemName"]) == (pool.uuid("disk"), pool.uuid("web"))
    assert found["BlockSize"] * found["NumberOfBlocks"] == 8 * GIB
    assert (found["Name"], found["NameFormat"], found["NameNamespace"]) == ("xvda", 12, 8)
    assert (found["EnabledState"], found["OperationalStatus"], found["Access"]) == (2, (2,), 3)
    pool.set("web", power_state="Suspended")
    pool.set("disk", currently_attached=False, mode="RO")
    found = pool.values("Xen_LogicalDisk", "disk")
    assert (found["EnabledState"], found["OperationalStatus"], found["Access"]) == (3, (10,), 1)


def test_a_resized_disk_image_changes_the_disk(pool: SmallPool) -> None:
    pool.disk("disk", "web")
    before = pool.values("Xen_LogicalDisk", "disk")["NumberOfBlocks"]
    pool.set("disk/vdi", virtual_size=16 * GIB)
    assert pool.values("Xen_LogicalDisk", "disk")["NumberOfBlocks"] == 2 * before


@pytest.mark.parametrize(
    ("kind", "shown", "resource_type"),
    [("Disk", "Xen_LogicalDisk", 17), ("CD", "Xen_CDROMDrive", 15), ("Floppy", None, 14)],
)
def test_the_type_of_a_vbd_decides_its_class(pool: SmallPool, kind: str, shown: str | None, resource_type: int) -> None:
    pool.disk("disk", "web", type=kind)
    found = [name for name in ("Xen_LogicalDisk", "Xen_CDROMDrive") if pool.renditions(name, "disk")]
    assert found == [name for name in (shown,) if name]
    assert pool.values("Xen_DiskSettingData", "disk")["ResourceType"] == resource_type


def test_settings_of_a_disk_say_where_it_is_stored(pool: SmallPool) -> None:
    pool.disk("disk", "web", device="xvda", userdevice="0")
    found = pool.values("Xen_DiskSettingData", "disk")
    assert found["InstanceID"] == f"Xen:{pool.uuid('web')}/{pool.uuid('disk')}"
    assert (found["PoolID"], found["HostExtentName"]) == (pool.uuid("sr"), pool.uuid("disk/vdi"))
    assert (found["VirtualQuantity"], found["VirtualQuantityUnits"]) == (8 * GIB, "byte")
    assert (found["Address"], found["AddressOnParent"], found["Bootable"]) == ("xvda", "0", True)


def test_an_empty_drive_has_no_size_and_no_storage(pool: SmallPool) -> None:
    pool.disk("cd", "web", type="CD", VDI=NULL, empty=True)
    found: dict[str, Any] = dict(pool.values("Xen_DiskSettingData", "cd"))
    assert (found["VirtualQuantity"], found["PoolID"], found["HostExtentName"]) == (None, None, None)
    assert pool.values("Xen_CDROMDrive", "cd")["MaxMediaSize"] is None


def test_a_network_interface_shows_its_address_and_mtu(pool: SmallPool) -> None:
    pool.nic("nic", "web", MAC="52:54:00:ab:cd:ef", MTU=9000, currently_attached=True)
    found = pool.values("Xen_NetworkPort", "nic")
    assert found["PermanentAddress"] == "525400ABCDEF"
    assert found["NetworkAddresses"] == ("525400ABCDEF",)
    assert (found["MaxDataSize"], found["LinkTechnology"], found["EnabledState"]) == (9000, 2, 2)


@pytest.mark.parametrize(
    ("qos", "params", "expected"),
    [
        ("ratelimit", {"kbps": "1000"}, (1000, "byte/second*2^10")),
        ("ratelimit", {"kbps": "fast"}, (None, "count")),
        ("", {"kbps": "1000"}, (None, "count")),
    ],
)
def test_settings_of_a_network_interface(
    pool: SmallPool, qos: str, params: dict[str, str], expected: tuple[Any, ...]
) -> None:
    pool.nic("nic", "web", qos_algorithm_type=qos, qos_algorithm_params=params, locking_mode="locked")
    found = pool.values("Xen_NetworkPortSettingData", "nic")
    assert (found["Limit"], found["AllocationUnits"]) == expected
    assert (found["Connection"], found["PoolID"]) == ((pool.uuid("lan"),), pool.uuid("lan"))
    assert (found["ResourceType"], found["VirtualQuantity"], found["SourceMACFilteringEnabled"]) == (10, 1, True)


def test_a_network_pool_counts_the_interfaces_that_are_plugged_into_it(pool: SmallPool) -> None:
    assert pool.values("Xen_NetworkPool", "lan")["Reserved"] == 0
    pool.nic("nic", "web")
    pool.nic("second", "web", device="1")
    pool.nic("unplugged", "web", device="2", currently_attached=False)
    assert pool.values("Xen_NetworkPool", "lan")["Reserved"] == 2
    pool.set("second", currently_attached=False)
    assert pool.values("Xen_NetworkPool", "lan")["Reserved"] == 1
    assert "Capacity" not in pool.values("Xen_NetworkPool", "lan")
