"""Association operations: filters, both directions, classes, and agreement of the four operations with each other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from cim_pool import NULL, SmallPool, classes, elements, graph, instance_values

from cim_provider.mapping.association import ASSOCIATIONS, Association
from cim_provider.mapping.view import VIEWS
from cim_provider.profiles.profile_registration import PROFILES, RegisteredProfile
from cim_provider.profiles.snapshot import APPLIED
from cim_provider.schema.objects import (
    CIMV2,
    INTEROP,
    INVALID_PARAMETER,
    NOT_FOUND,
    CimError,
    Path,
)


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", power_state="Running", resident_on=pool.refs["host-1"], metrics={"VCPUs_number": 2})
    pool.vm("db", resident_on=NULL)
    pool.vm("template", is_a_template=True)
    pool.disk("disk", "web")
    pool.disk("cd", "web", type="CD", mode="RO", userdevice="3")
    pool.disk("template-disk", "template")
    pool.nic("nic", "web")
    pool.disk("db-disk", "db")
    pool.equip("web")
    snapshot = pool.vm("snapshot", is_a_template=True, is_a_snapshot=True, snapshot_of=pool.refs["db"])
    pool.set("db", parent=snapshot, other_config={APPLIED: pool.store.get(snapshot)["uuid"]})
    for service in ("start", "snapshot", "pool_migrate"):
        pool.add("task", service, name_label=f"Async.VM.{service}", resident_on=pool.refs["host-0"])
    task = pool.add("task", "task", name_label="Async.VM.clean_shutdown")
    pool.set("web", current_operations={task: "clean_shutdown"})
    pool.add("task", "told", status="success", other_config={"applies_to": pool.uuid("db")})
    return pool


def names(pool: SmallPool, operation: str, path: Path, **params: Any) -> list[str]:
    return classes(elements(pool.run(operation, path.namespace or CIMV2, ObjectName=path, **params).values))


def status(pool: SmallPool, operation: str, **params: Any) -> int:
    with pytest.raises(CimError) as error:
        pool.run(operation, **params)
    return error.value.status


DEVICES = [
    "Xen_Processor",
    "Xen_Processor",
    "Xen_Memory",
    "Xen_LogicalDisk",
    "Xen_CDROMDrive",
    "Xen_NetworkPort",
    "Xen_DisplayController",
    "Xen_TPM",
    "Xen_USBDevice",
    "Xen_VirtualGPU",
]


def test_a_machine_has_its_devices_and_only_those(pool: SmallPool) -> None:
    web = pool.path("web")
    assert names(pool, "AssociatorNames", web, AssocClass="CIM_SystemDevice") == DEVICES


def test_a_device_leads_back_to_its_machine(pool: SmallPool) -> None:
    (disk,) = pool.renditions("Xen_LogicalDisk", "disk")
    reply = pool.run("AssociatorNames", ObjectName=disk.path, AssocClass="Xen_SystemDevice")
    (found,) = elements(reply.values)
    assert found.tag == "OBJECTPATH"
    assert found.findtext(".//KEYBINDING[@NAME='Name']/KEYVALUE") == pool.uuid("web")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"ResultClass": "CIM_MediaAccessDevice"}, ["Xen_CDROMDrive"]),
        ({"ResultClass": "cim_processor"}, ["Xen_Processor", "Xen_Processor"]),
        ({"AssocClass": "CIM_SystemDevice", "Role": "GroupComponent"}, DEVICES),
        ({"AssocClass": "CIM_SystemDevice", "Role": "groupcomponent", "ResultRole": "PARTCOMPONENT"}, DEVICES),
        ({"AssocClass": "CIM_SystemDevice", "Role": "PartComponent"}, []),
        ({"AssocClass": "CIM_SystemDevice", "ResultRole": "GroupComponent"}, []),
        ({"AssocClass": "CIM_HostedDependency", "Role": "Dependent"}, ["Xen_HostComputerSystem"]),
        ({"AssocClass": "CIM_Dependency", "ResultClass": "CIM_ComputerSystem"}, ["Xen_HostComputerSystem"]),
        ({"ResultRole": "SettingData"}, ["Xen_VirtualSystemSettingData", "Xen_VirtualSystemMigrationSettingData"]),
        ({"AssocClass": "CIM_AffectedJobElement"}, ["Xen_ConcreteJob"]),
        (
            {"AssocClass": "CIM_ElementCapabilities"},
            ["Xen_ComputerSystemCapabilities", "Xen_VirtualSystemSnapshotCapabilities"],
        ),
        ({"ResultClass": "CIM_ResourcePool"}, []),
    ],
)
def test_filters_leave_what_they_name(pool: SmallPool, params: dict[str, str], expected: list[str]) -> None:
    assert names(pool, "AssociatorNames", pool.path("web"), **params) == expected
    assert names(pool, "Associators", pool.path("web"), **params) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"ResultClass": "CIM_SystemDevice"}, 10),
        ({"ResultClass": "CIM_SystemDevice", "Role": "PartComponent"}, 0),
        ({"Role": "ManagedElement"}, 7),  # setting data of two kinds, two capabilities, profile, two consoles
        ({"ResultClass": "CIM_Component"}, 10),
    ],
)
def test_references_are_filtered_by_their_class_and_the_role_of_the_source(
    pool: SmallPool, params: dict[str, str], expected: int
) -> None:
    assert len(names(pool, "References", pool.path("web"), **params)) == expected
    assert len(names(pool, "ReferenceNames", pool.path("web"), **params)) == expected


def test_the_settings_of_a_machine_lead_to_all_its_parts(pool: SmallPool) -> None:
    for settings in pool.renditions("Xen_VirtualSystemSettingData", "web"):
        assert names(pool, "AssociatorNames", settings.path, AssocClass="CIM_VirtualSystemSettingDataComponent") == [
            "Xen_ProcessorSettingData",
            "Xen_MemorySettingData",
            "Xen_DiskSettingData",
            "Xen_DiskSettingData",
            "Xen_NetworkPortSettingData",
            "Xen_DisplaySettingData",
            "Xen_TPMSettingData",
            "Xen_USBSettingData",
            "Xen_VirtualGPUSettingData",
        ]
        assert names(pool, "AssociatorNames", settings.path, AssocClass="CIM_ElementSettingData") == [
            "Xen_VirtualSystemSettingData"
        ]


def test_each_device_has_the_settings_that_define_it(pool: SmallPool) -> None:
    for view, record, setting in (
        ("Xen_LogicalDisk", "disk", "Xen_DiskSettingData"),
        ("Xen_CDROMDrive", "cd", "Xen_DiskSettingData"),
        ("Xen_NetworkPort", "nic", "Xen_NetworkPortSettingData"),
        ("Xen_Memory", "web", "Xen_MemorySettingData"),
        ("Xen_Processor", "web", "Xen_ProcessorSettingData"),
    ):
        device = pool.renditions(view, record)[0]
        assert names(pool, "AssociatorNames", device.path, AssocClass="CIM_SettingsDefineState") == [setting]


def test_a_running_machine_depends_on_its_host_and_a_halted_one_on_the_coordinator(pool: SmallPool) -> None:
    def hosts(machine: str) -> list[str | None]:
        reply = pool.run(
            "Associators", ObjectName=pool.path(machine), AssocClass="CIM_HostedDependency", Role="Dependent"
        )
        return [instance_values(e)["ElementName"] for e in elements(reply.values)]

    def machines(host: str) -> list[str | None]:
        path = pool.path(host, "Xen_HostComputerSystem")
        reply = pool.run(
            "Associators", ObjectName=path, AssocClass="CIM_HostedDependency", ResultClass="Xen_ComputerSystem"
        )
        return [instance_values(e)["ElementName"] for e in elements(reply.values)]

    assert (hosts("web"), hosts("db")) == (["host-1"], ["host-0"])
    assert (machines("host-1"), machines("host-0")) == (["web"], ["db"])


def test_a_profile_is_related_to_instances_in_another_namespace(pool: SmallPool) -> None:
    found = pool.run("AssociatorNames", ObjectName=pool.path("web"), AssocClass="CIM_ElementConformsToProfile")
    (profile,) = elements(found.values)
    assert [e.get("NAME") for e in profile.iter("NAMESPACE")] == ["interop"]
    (path,) = [r.path for r in pool.provider.extent(VIEWS["Xen_RegisteredProfile"]) if "DSP1057" in str(r.path)]
    back = elements(pool.run("AssociatorNames", INTEROP, ObjectName=path, ResultClass="CIM_ComputerSystem").values)
    assert len(back) == 2
    assert [e.get("NAME") for e in back[0].iter("NAMESPACE")] == ["root", "cimv2"]
    enumerated = [
        len(elements(pool.run("EnumerateInstances", ns, ClassName="CIM_ElementConformsToProfile").values))
        for ns in (CIMV2, INTEROP)
    ]
    central = [view for profile in PROFILES for view in profile.views if view is not RegisteredProfile]
    expected = 1 + sum(len(list(pool.provider.extent(view))) for view in central)
    assert enumerated == [expected, expected]


def test_an_instance_reached_in_two_ways_is_returned_once(pool: SmallPool) -> None:
    state = pool.renditions("Xen_VirtualSystemSettingData", "web")[-1]
    for operation in ("AssociatorNames", "ReferenceNames"):
        reply = pool.run(operation, ObjectName=state.path)
        assert max(Counter(reply.values or ()).values()) == 1


def test_every_association_is_the_same_from_both_sides(pool: SmallPool) -> None:
    pool.subscribed()
    pool.called("called")
    office = pool.add("network", "office", name_label="office")
    pool.add("PIF", "vlan", host=pool.refs["host-0"], network=office, device="eth0", VLAN=7, currently_attached=True)
    for association in ASSOCIATIONS.values():
        forward, backward = _links(pool, association, association.left), _links(pool, association, association.right)
        assert forward, f"{association.cim} has no instances to compare"
        assert Counter(forward) == Counter(backward), association.cim
        enumerated = {
            (link.left.path, link.right.path) for link in association.links(pool.provider, association.namespaces[0])
        }
        assert enumerated == set(forward)


def _links(pool: SmallPool, association: type[Association], role: str) -> list[tuple[Path, Path]]:
    ends = {r.left if role == association.left else r.right for r in association.relations}
    return [
        (link.left.path, link.right.path)
        for view in ends
        for end in pool.provider.extent(view)
        for link in association.links_of(pool.provider, end, role)
    ]


def test_references_and_associators_tell_the_same_pairs(pool: SmallPool) -> None:
    for name in ("web", "db"):
        associated = names(pool, "AssociatorNames", pool.path(name), AssocClass="CIM_SystemDevice")
        referring = names(pool, "ReferenceNames", pool.path(name), ResultClass="CIM_SystemDevice")
        assert len(associated) == len(referring)


def test_what_references_returns_can_be_got(pool: SmallPool) -> None:
    (disk,) = pool.renditions("Xen_LogicalDisk", "disk")
    for association in pool.provider.associations(CIMV2):
        for link in association.links_of(pool.provider, disk, association.right):
            assert pool.run("GetInstance", InstanceName=link.path).values


def test_a_walk_over_devices_looks_at_no_other_records(pool: SmallPool) -> None:
    pool.source.rescans.clear()
    names(pool, "Associators", pool.path("web"), AssocClass="CIM_SystemDevice")
    (disk,) = pool.renditions("Xen_LogicalDisk", "disk")
    names(pool, "Associators", disk.path)
    assert pool.source.rescans == []


@pytest.mark.parametrize("operation", ["Associators", "AssociatorNames", "References", "ReferenceNames"])
def test_mistakes_are_told(pool: SmallPool, operation: str) -> None:
    gone = Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "gone"})
    assert status(pool, operation, ObjectName=gone) == NOT_FOUND
    assert status(pool, operation, ObjectName=Path.of("Xen_Nothing", {"Name": "x"})) == INVALID_PARAMETER
    assert status(pool, operation, ObjectName=Path("Xen_Nothing", None)) == INVALID_PARAMETER
    assert status(pool, operation) == INVALID_PARAMETER
    assert status(pool, operation, ObjectName=pool.path("web"), ResultClass="Xen_Nothing") == INVALID_PARAMETER


def test_property_list_and_class_origin_apply_to_associated_instances(pool: SmallPool) -> None:
    reply = pool.run(
        "Associators",
        ObjectName=pool.path("web"),
        ResultClass="CIM_Memory",
        PropertyList=("BlockSize",),
        IncludeClassOrigin=True,
    )
    (found,) = elements(reply.values)
    assert found.tag == "VALUE.OBJECTWITHPATH"
    assert instance_values(found) == {"BlockSize": "4096"}
    assert found.find(".//PROPERTY").get("CLASSORIGIN") == "CIM_StorageExtent"


def class_names(values: list[bytes] | None) -> set[str]:
    return {e.find(".//CLASSNAME").get("NAME") for e in elements(values)}


def test_on_a_class_the_schema_answers(pool: SmallPool) -> None:
    source = Path("Xen_ComputerSystem", None)
    found = class_names(
        pool.run("AssociatorNames", ObjectName=source, AssocClass="CIM_SystemDevice", Role="GroupComponent").values
    )
    assert found == {"CIM_LogicalDevice"}
    referring = class_names(pool.run("ReferenceNames", ObjectName=source, ResultClass="CIM_Component").values)
    assert {"CIM_SystemDevice", "Xen_SystemDevice"} <= referring
    assert all(graph().is_a(name, "CIM_Component") for name in referring)
    assert class_names(pool.run("AssociatorNames", ObjectName=source, Role="Nonsense").values) == set()


def test_on_a_class_declarations_are_returned_with_their_path(pool: SmallPool) -> None:
    reply = pool.run("References", ObjectName=Path("CIM_Memory", None), ResultClass="Xen_SystemDevice")
    (found,) = elements(reply.values)
    assert [e.tag for e in found] == ["CLASSPATH", "CLASS"]
    assert found.find("CLASS").get("NAME") == "Xen_SystemDevice"
    assert {e.get("NAME") for e in found.iter("PROPERTY.REFERENCE")} == {"GroupComponent", "PartComponent"}
