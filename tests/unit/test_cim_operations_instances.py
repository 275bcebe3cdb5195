"""Instance operations: what each option leaves, and which status each mistake gets."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool, classes, elements, graph, instance_values, key_values

from cim_provider.schema.objects import (
    CIMV2,
    INTEROP,
    INVALID_CLASS,
    INVALID_NAMESPACE,
    INVALID_PARAMETER,
    NO_SUCH_PROPERTY,
    NOT_FOUND,
    NOT_SUPPORTED,
    CimError,
    Instance,
    Path,
)


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", power_state="Running", resident_on=pool.refs["host-0"])
    pool.vm("db")
    pool.vm("template", is_a_template=True)
    pool.disk("disk", "web")
    return pool


def get(pool: SmallPool, **params: Any) -> dict[str, Any]:
    (element,) = elements(pool.run("GetInstance", InstanceName=pool.path("web"), **params).values)
    assert element.tag == "INSTANCE"
    return instance_values(element)


def enumerate_one(pool: SmallPool, classname: str, **params: Any) -> dict[str, Any]:
    """The values of the first instance."""
    return instance_values(elements(pool.run("EnumerateInstances", ClassName=classname, **params).values)[0])


def declared(name: str) -> set[str]:
    return {p.name for p in graph().classes[name.lower()].properties.values()}


def status(pool: SmallPool, operation: str, namespace: str = CIMV2, **params: Any) -> int:
    with pytest.raises(CimError) as error:
        pool.run(operation, namespace, **params)
    return error.value.status


def test_get_instance_gives_all_properties_of_the_class_with_values(pool: SmallPool) -> None:
    found = get(pool)
    assert set(found) == declared("Xen_ComputerSystem")
    assert found["ElementName"] == "web"
    assert found["OperationalStatus"] == ["2"]
    assert found["PrimaryOwnerName"] is None


@pytest.mark.parametrize("names", [("ElementName", "enabledstate", "Nonsense"), ("EnabledState", "ElementName")])
def test_a_property_list_ignores_case_order_and_unknown_names(pool: SmallPool, names: tuple[str, ...]) -> None:
    assert set(get(pool, PropertyList=names)) == {"ElementName", "EnabledState"}


def test_an_empty_property_list_leaves_nothing(pool: SmallPool) -> None:
    assert get(pool, PropertyList=()) == {}


def test_local_only_leaves_what_the_class_itself_defines(pool: SmallPool) -> None:
    assert get(pool, LocalOnly=True) == {}
    assert set(get(pool, LocalOnly=False)) == set(get(pool, LocalOnly=None)) == declared("Xen_ComputerSystem")
    (found,) = elements(
        pool.run(
            "GetInstance",
            InstanceName=Path.of("Xen_ProcessorSettingData", {"InstanceID": f"Xen:{pool.uuid('web')}/Processor"}),
            LocalOnly=True,
        ).values
    )
    assert instance_values(found) == {"VCPUsAtStartup": "2"}


def test_class_origin_is_told_when_asked_for(pool: SmallPool) -> None:
    reply = pool.run("GetInstance", InstanceName=pool.path("web"), IncludeClassOrigin=True)
    (element,) = elements(reply.values)
    origins = {prop.get("NAME"): prop.get("CLASSORIGIN") for prop in element}
    assert origins["ElementName"] == "CIM_ManagedElement"
    assert origins["EnabledState"] == "CIM_EnabledLogicalElement"
    plain = elements(pool.run("GetInstance", InstanceName=pool.path("web")).values)[0]
    assert plain[0].get("CLASSORIGIN") is None


def test_instances_that_are_not_machines_do_not_appear(pool: SmallPool) -> None:
    reply = pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem")
    assert [instance_values(e)["ElementName"] for e in elements(reply.values)] == ["web", "db"]


def test_enumerating_a_superclass_finds_instances_of_all_subclasses(pool: SmallPool) -> None:
    reply = pool.run("EnumerateInstanceNames", ClassName="CIM_ComputerSystem")
    found = [(e.get("CLASSNAME"), key_values(e)["Name"]) for e in elements(reply.values)]
    assert sorted(found) == sorted(
        [
            ("Xen_ComputerSystem", pool.uuid("web")),
            ("Xen_ComputerSystem", pool.uuid("db")),
            ("Xen_HostComputerSystem", pool.uuid("host-0")),
            ("Xen_HostComputerSystem", pool.uuid("host-1")),
            ("Xen_HostPool", pool.uuid("pool")),
            ("Xen_VirtualSwitch", pool.uuid("lan")),
        ]
    )


def test_enumeration_names_and_instances_agree(pool: SmallPool) -> None:
    for classname in ("CIM_ManagedElement", "CIM_Component", "Xen_LogicalDisk", "CIM_Dependency"):
        names = elements(pool.run("EnumerateInstanceNames", ClassName=classname).values)
        instances = elements(pool.run("EnumerateInstances", ClassName=classname).values)
        assert names
        assert classes(names) == classes(instances)
        assert {e.tag for e in instances} == {"VALUE.NAMEDINSTANCE"}


def test_without_deep_inheritance_only_the_properties_of_the_named_class_are_returned(pool: SmallPool) -> None:
    shallow = enumerate_one(pool, "CIM_ManagedElement", DeepInheritance=False)
    assert set(shallow) == declared("CIM_ManagedElement")
    assert set(enumerate_one(pool, "CIM_ComputerSystem")) == declared("Xen_ComputerSystem")
    assert set(enumerate_one(pool, "CIM_ComputerSystem", DeepInheritance=True)) == declared("Xen_ComputerSystem")


def test_local_only_with_deep_inheritance_keeps_what_subclasses_add(pool: SmallPool) -> None:
    shallow = enumerate_one(pool, "CIM_EnabledLogicalElement", LocalOnly=True, DeepInheritance=False)
    deep = enumerate_one(pool, "CIM_EnabledLogicalElement", LocalOnly=True, DeepInheritance=True)
    assert "EnabledState" in shallow
    assert "Name" not in shallow
    assert "ElementName" not in shallow
    assert set(shallow) < set(deep)
    assert "Name" in deep
    assert "ElementName" not in deep


def test_options_do_not_spoil_what_is_kept_for_calls_without_options(pool: SmallPool) -> None:
    full = pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem").values
    pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem", PropertyList=("Name",))
    pool.run("GetInstance", InstanceName=pool.path("web"), IncludeClassOrigin=True)
    assert pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem").values == full


def test_an_abstract_class_and_a_class_nobody_shows_have_no_instances_of_their_own(pool: SmallPool) -> None:
    assert elements(pool.run("EnumerateInstances", ClassName="CIM_StoragePool").values) == []


def test_namespaces_show_only_their_own_instances(pool: SmallPool) -> None:
    assert elements(pool.run("EnumerateInstances", ClassName="CIM_RegisteredProfile").values) == []
    assert elements(pool.run("EnumerateInstances", INTEROP, ClassName="CIM_RegisteredProfile").values) != []
    assert elements(pool.run("EnumerateInstances", INTEROP, ClassName="CIM_ComputerSystem").values) == []


def test_the_namespace_of_the_path_must_be_the_one_of_the_instance(pool: SmallPool) -> None:
    path = Path.of("Xen_ComputerSystem", dict(pool.path("web").keys or ()))
    assert elements(pool.run("GetInstance", CIMV2, InstanceName=path).values)
    assert status(pool, "GetInstance", INTEROP, InstanceName=path) == NOT_FOUND


def test_get_property_gives_one_value(pool: SmallPool) -> None:
    (value,) = elements(pool.run("GetProperty", InstanceName=pool.path("web"), PropertyName="elementname").values)
    assert (value.tag, value.text) == ("VALUE", "web")
    assert (
        elements(pool.run("GetProperty", InstanceName=pool.path("web"), PropertyName="PrimaryOwnerName").values) == []
    )


def web_path(pool: SmallPool, **change: str | None) -> Path:
    keys = {k: v for k, v in (dict(pool.path("web").keys or ()) | change).items() if v is not None}
    return Path.of("Xen_ComputerSystem", keys)


@pytest.mark.parametrize("operation", ["GetInstance", "DeleteInstance"])
def test_paths_that_lead_nowhere_are_told_apart(pool: SmallPool, operation: str) -> None:
    assert status(pool, operation, InstanceName=web_path(pool, Name="no-such-machine")) == NOT_FOUND
    assert status(pool, operation, InstanceName=web_path(pool, CreationClassName=None)) == INVALID_PARAMETER
    assert status(pool, operation, InstanceName=Path.of("Xen_Nothing", {"Name": "x"})) == INVALID_CLASS
    assert status(pool, operation, InstanceName=Path("Xen_ComputerSystem", None)) == INVALID_PARAMETER
    assert status(pool, operation) == INVALID_PARAMETER
    assert status(pool, operation, "root/none", InstanceName=web_path(pool)) == INVALID_NAMESPACE


@pytest.mark.parametrize("operation", ["EnumerateInstances", "EnumerateInstanceNames"])
def test_enumerations_of_what_does_not_exist_are_refused(pool: SmallPool, operation: str) -> None:
    assert status(pool, operation, ClassName="Xen_Nothing") == INVALID_CLASS
    assert status(pool, operation) == INVALID_PARAMETER
    assert status(pool, operation, "root/none", ClassName="Xen_ComputerSystem") == INVALID_NAMESPACE


def test_writing_operations_are_not_supported_but_say_first_what_is_wrong(pool: SmallPool) -> None:
    web, gone = pool.path("web"), web_path(pool, Name="gone")
    assert status(pool, "DeleteInstance", InstanceName=web) == NOT_SUPPORTED
    assert status(pool, "CreateInstance", NewInstance=Instance("Xen_ComputerSystem", {})) == NOT_SUPPORTED
    assert status(pool, "CreateInstance", NewInstance=Instance("Xen_Nothing", {})) == INVALID_CLASS
    changed = Instance("Xen_ComputerSystem", {"ElementName": "x"}, web)
    assert status(pool, "ModifyInstance", ModifiedInstance=changed) == NOT_SUPPORTED
    changed = Instance("Xen_ComputerSystem", {"ElementName": "x"}, gone)
    assert status(pool, "ModifyInstance", ModifiedInstance=changed) == NOT_FOUND
    assert status(pool, "SetProperty", InstanceName=web, PropertyName="ElementName") == NOT_SUPPORTED
    assert status(pool, "SetProperty", InstanceName=web, PropertyName="Nonsense") == NO_SUCH_PROPERTY
    assert status(pool, "GetProperty", InstanceName=web, PropertyName="Nonsense") == NO_SUCH_PROPERTY


def test_association_instances_can_be_got_by_the_path_they_are_enumerated_under(pool: SmallPool) -> None:
    disk = Path.of(
        "Xen_LogicalDisk",
        {
            "SystemCreationClassName": "Xen_ComputerSystem",
            "SystemName": pool.uuid("web"),
            "CreationClassName": "Xen_LogicalDisk",
            "DeviceID": pool.uuid("disk"),
        },
    )
    path = Path.of("Xen_SystemDevice", {"GroupComponent": pool.path("web"), "PartComponent": disk})
    (element,) = elements(pool.run("GetInstance", InstanceName=path).values)
    assert set(instance_values(element)) == {"GroupComponent", "PartComponent"}
    other = Path.of("Xen_SystemDevice", {"GroupComponent": pool.path("db"), "PartComponent": disk})
    assert status(pool, "GetInstance", InstanceName=other) == NOT_FOUND
