"""DSP1057 configurations: what a machine is defined to be, what it is now, and which of its parts exist when."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from cim_pool import GIB, NULL, SmallPool, graph

from cim_provider.indications.events import Event
from cim_provider.indications.matcher import Matcher
from cim_provider.indications.subscriptions import compiled
from cim_provider.mapping.view import VIEWS
from cim_provider.schema.objects import Path


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm(
        "web",
        power_state="Running",
        resident_on=pool.refs["host-0"],
        metrics={"VCPUs_number": 3, "memory_actual": GIB, "current_domain_type": "pvh"},
    )
    pool.disk("disk", "web")
    pool.nic("nic", "web")
    pool.equip("web")
    return pool


SETTINGS = {
    "Xen_ProcessorSettingData": ("web", "Processor"),
    "Xen_MemorySettingData": ("web", "Memory"),
    "Xen_DiskSettingData": ("disk", None),
    "Xen_NetworkPortSettingData": ("nic", None),
    "Xen_DisplaySettingData": ("rfb", None),
    "Xen_TPMSettingData": ("vtpm", None),
    "Xen_USBSettingData": ("vusb", None),
    "Xen_VirtualGPUSettingData": ("vgpu", None),
}
PLUGGED = {"Xen_LogicalDisk": "disk", "Xen_NetworkPort": "nic", "Xen_USBDevice": "vusb", "Xen_VirtualGPU": "vgpu"}
ALWAYS_THERE = {"Xen_Processor": "web", "Xen_Memory": "web", "Xen_DisplayController": "rfb", "Xen_TPM": "vtpm"}


def ids(pool: SmallPool, classname: str, record: str) -> list[str]:
    return [one.values["InstanceID"] for one in pool.renditions(classname, record)]


@pytest.mark.parametrize("state", ["Running", "Paused", "Suspended", "Halted"])
def test_setting_data_is_identified_by_machine_configuration_and_part(pool: SmallPool, state: str) -> None:
    pool.set("web", power_state=state)
    vm = pool.uuid("web")
    assert ids(pool, "Xen_VirtualSystemSettingData", "web") == [f"Xen:{vm}", f"Xen:{vm}/State"]
    for classname, (record, word) in SETTINGS.items():
        part = word or pool.uuid(record)
        defined, now = f"Xen:{vm}/{part}", f"Xen:{vm}/State/{part}"
        assert ids(pool, classname, record) == ([defined] if state == "Halted" else [defined, now])


@pytest.mark.parametrize("flag", ["is_a_template", "is_a_snapshot"])
def test_templates_and_snapshots_have_the_defined_configuration_alone(pool: SmallPool, flag: str) -> None:
    pool.set("web", **{flag: True})
    assert ids(pool, "Xen_VirtualSystemSettingData", "web") == [f"Xen:{pool.uuid('web')}"]
    for classname, (record, _) in SETTINGS.items():
        assert len(ids(pool, classname, record)) == 1
    assert not pool.renditions("Xen_ComputerSystem", "web")


def test_a_snapshot_says_which_machine_it_is_of_and_when_it_was_taken(pool: SmallPool) -> None:
    pool.vm("snap", is_a_template=True, is_a_snapshot=True, snapshot_of=pool.refs["web"], snapshot_time=1_767_225_600)
    found = pool.values("Xen_VirtualSystemSettingData", "snap")
    assert found["VirtualSystemIdentifier"] == pool.uuid("web")
    assert (found["Caption"], found["CreationTime"]) == ("Snapshot", "20260101000000.000000+000")
    pool.set("snap", snapshot_of=NULL)
    assert pool.values("Xen_VirtualSystemSettingData", "snap")["VirtualSystemIdentifier"] == pool.uuid("snap")


@pytest.mark.parametrize(
    ("state", "attached", "expected"),
    [("Running", True, 1), ("Running", False, 0), ("Suspended", False, 1), ("Halted", True, 0), ("Halted", False, 0)],
)
def test_plugged_devices_exist_while_the_machine_has_them_or_will_find_them_again(
    pool: SmallPool, state: str, attached: bool, expected: int
) -> None:
    pool.set("web", power_state=state)
    for classname, record in PLUGGED.items():
        pool.set(record, currently_attached=attached)
        assert len(pool.renditions(classname, record)) == expected, classname


@pytest.mark.parametrize(("state", "exists"), [("Running", True), ("Suspended", True), ("Halted", False)])
def test_built_in_devices_exist_while_the_machine_is_not_halted(pool: SmallPool, state: str, exists: bool) -> None:
    pool.set("web", power_state=state)
    for classname, record in ALWAYS_THERE.items():
        assert bool(pool.renditions(classname, record)) == exists, classname


def test_state_settings_tell_what_the_machine_has_now(pool: SmallPool) -> None:
    assert pool.values("Xen_ProcessorSettingData", "web")["VirtualQuantity"] == 4
    assert pool.state_values("Xen_ProcessorSettingData", "web")["VirtualQuantity"] == 3
    assert pool.values("Xen_MemorySettingData", "web")["VirtualQuantity"] == 2 * GIB
    assert pool.state_values("Xen_MemorySettingData", "web")["VirtualQuantity"] == GIB
    assert pool.values("Xen_VirtualSystemSettingData", "web")["VirtualSystemType"] == "DMTF:Xen:HVM"
    assert pool.state_values("Xen_VirtualSystemSettingData", "web")["VirtualSystemType"] == "DMTF:Xen:PVH"


def test_a_suspended_machine_will_be_resumed_with_all_its_memory(pool: SmallPool) -> None:
    pool.set("web", power_state="Suspended")
    pool.set("web/metrics", memory_actual=0, VCPUs_number=0)
    assert pool.state_values("Xen_MemorySettingData", "web")["VirtualQuantity"] == 2 * GIB
    assert pool.state_values("Xen_ProcessorSettingData", "web")["VirtualQuantity"] == 2


@pytest.mark.parametrize("configuration", ["", "/State"])
def test_setting_data_is_found_by_its_instance_id_and_not_by_others(pool: SmallPool, configuration: str) -> None:
    for classname, (record, word) in SETTINGS.items():
        extent = pool.provider.extent(VIEWS[classname])
        instance_id = f"Xen:{pool.uuid('web')}{configuration}/{word or pool.uuid(record)}"
        found = extent.find(Path.of(classname, {"InstanceID": instance_id}, "root/cimv2"))
        assert found is not None
        assert found.values["InstanceID"] == instance_id
        for wrong in (f"{instance_id}/more", f"Xen:{pool.uuid('web')}/Other/{word or pool.uuid(record)}"):
            assert extent.find(Path.of(classname, {"InstanceID": wrong}, "root/cimv2")) is None


def test_a_link_tells_which_configuration_is_the_default_the_current_and_the_next(pool: SmallPool) -> None:
    (association,) = pool.provider.associations("root/cimv2", "CIM_ElementSettingData")
    defined, state = pool.renditions("Xen_VirtualSystemSettingData", "web")
    (link,) = association.links_of(pool.provider, state, "ManagedElement")
    assert link.values == {
        "ManagedElement": state.path,
        "SettingData": defined.path,
        "IsDefault": 1,
        "IsCurrent": 2,
        "IsNext": 1,
    }
    (switch,) = pool.renditions("Xen_VirtualSwitchSettingData", "lan")
    (link,) = association.links_of(pool.provider, switch, "SettingData")
    assert [link.values[name] for name in ("IsDefault", "IsCurrent", "IsNext")] == [1, 1, 1]


@pytest.mark.parametrize(("default", "expected"), [(True, 1), (False, 2)])
def test_templates_belong_to_what_defining_machines_supports(pool: SmallPool, default: bool, expected: int) -> None:
    pool.vm("template", is_a_template=True, is_default_template=default)
    pool.vm("snap", is_a_template=True, is_a_snapshot=True)
    (association,) = pool.provider.associations("root/cimv2", "CIM_ElementSettingData")
    (capabilities,) = pool.renditions("Xen_VirtualSystemManagementCapabilities", "host-0")
    (link,) = association.links_of(pool.provider, capabilities, "ManagedElement")
    assert link.right.values["InstanceID"] == f"Xen:{pool.uuid('template')}"
    assert link.values["IsDefault"] == expected
    pool.set("template", is_default_template=not default)
    (template,) = pool.renditions("Xen_VirtualSystemSettingData", "template")
    (link,) = association.links_of(pool.provider, template, "SettingData")
    assert link.left.path == capabilities.path
    assert link.values["IsDefault"] == 3 - expected


def test_pools_configurations_and_their_parts_are_told_of_when_they_change(pool: SmallPool) -> None:
    matcher = Matcher(pool.provider)
    for name, record, change in (
        ("CIM_ResourcePool", "sr", {"physical_utilisation": 1 << 30}),
        ("CIM_ResourcePool", "host-0/metrics", {"memory_free": GIB}),
        ("CIM_VirtualSystemSettingData", "web", {"actions_after_crash": "preserve"}),
        ("CIM_ResourceAllocationSettingData", "disk", {"mode": "RO"}),
        ("CIM_LogicalDevice", "pif/metrics", {"carrier": False}),
        ("CIM_ComputerSystem", "lan", {"name_label": "other"}),
    ):
        query = f"SELECT * FROM CIM_InstModification WHERE SourceInstance ISA {name}"
        views, alerts = matcher.watched_by([compiled(graph(), "f", "WQL", query)])
        list(matcher.watch(views, alerts))
        since = pool.store.revision
        pool.set(record, **change)
        found = drained(matcher.events(pool.store.changes(since)))
        assert found, (name, record)
        assert all(graph().is_a(event.sources[0].path.classname, name) for event in found)


def drained(steps: Generator[None, None, list[Event]]) -> list[Event]:
    """What steps return in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[Event] = end.value
            return found
