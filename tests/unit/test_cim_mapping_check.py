"""The check of declarations: the real ones are right, and each kind of mistake is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cim_pool import StoreSource, graph

from cim_provider import profiles
from cim_provider.mapping.association import ASSOCIATIONS, Association, Pointing, Reversed, SameRecord, Where
from cim_provider.mapping.check import check, fits
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.rule import OWN_CLASS, const, field, xen_id
from cim_provider.mapping.view import VIEWS, View
from cim_provider.provider import CimProvider, MappingError
from xenapi_core.clock import VirtualClock
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.memory import MemoryStore

computer_system, virtual_system = profiles.computer_system, profiles.virtual_system


@pytest.fixture(autouse=True)
def forget_declarations_of_the_test() -> Iterator[None]:
    views, associations = dict(VIEWS), dict(ASSOCIATIONS)
    VIEWS.pop("Xen_Memory")
    ASSOCIATIONS.pop("Xen_HostedDependency")
    yield
    VIEWS.clear()
    VIEWS.update(views)
    ASSOCIATIONS.clear()
    ASSOCIATIONS.update(associations)


def mistakes_of(view: type[View]) -> list[str]:
    return check(graph(), SCHEMA, [view], [])


def memory(**rules: Any) -> type[View]:
    """A view of memory that is right but for `rules`; None takes one away."""
    lines = {
        "SystemCreationClassName": const("Xen_ComputerSystem"),
        "SystemName": field("uuid"),
        "CreationClassName": OWN_CLASS,
        "DeviceID": const("memory"),
    } | rules
    return type("Memory", (View,), {k: v for k, v in lines.items() if v is not None}, cim="Xen_Memory", of="VM")


def test_the_declarations_of_all_profiles_are_right() -> None:
    views = [*VIEWS.values(), profiles.memory.Memory]
    associations = [*ASSOCIATIONS.values(), profiles.system_virtualization.HostedDependency]
    assert check(graph(), SCHEMA, views, associations) == []


def test_a_right_view_has_no_mistakes() -> None:
    assert mistakes_of(memory()) == []


@pytest.mark.parametrize(
    ("rules", "mistake"),
    [
        ({"Nonsense": const(1)}, "Xen_Memory: the class has no property Nonsense"),
        ({"blocksize": const(1)}, "Xen_Memory: the class has no property blocksize"),
        ({"BlockSize": const("1")}, "Xen_Memory: BlockSize is uint64, the rule gives string"),
        ({"OperationalStatus": const(2)}, "Xen_Memory: OperationalStatus is uint16[], the rule gives integer"),
        ({"InstallDate": field("snapshot_time")}, "is no CIM value by itself"),
        ({"ElementName": field("nam_label")}, "VM has no field nam_label"),
        ({"DeviceID": None}, "Xen_Memory: key property DeviceID is not mapped"),
        ({"SystemName": const("x")}, "Xen_Memory: no key leads back to the record"),
    ],
)
def test_a_mistake_in_a_property_is_told(rules: dict[str, Any], mistake: str) -> None:
    found = mistakes_of(memory(**rules))
    assert len(found) == 1
    assert mistake in found[0]


def test_a_required_property_that_is_not_mapped_is_told() -> None:
    VIEWS.pop("Xen_VirtualSystemSettingData")

    class Settings(View, cim="Xen_VirtualSystemSettingData", of="VM"):
        InstanceID = xen_id(field("uuid"))

    assert mistakes_of(Settings) == ["Xen_VirtualSystemSettingData: Required property ElementName is not mapped"]


def test_a_class_that_does_not_exist_is_told() -> None:
    class Nothing(View, cim="Xen_Nothing", of="VM"):
        Name = field("uuid")

    assert mistakes_of(Nothing) == ["Xen_Nothing: no such class in the MOF"]


async def takes_less(call: Call, requested_state: int | None) -> Result:
    return Result(0)


async def takes_text(call: Call, requested_state: str, timeout_period: str) -> Result:
    return Result(0)


async def takes_more(call: Call, requested_state: int, timeout_period: str, force: bool) -> Result:
    return Result(0)


async def takes_all(call: Call, requested_state: int, timeout_period: str) -> Result:
    return Result(0)


@pytest.mark.parametrize(
    ("name", "declared", "mistake"),
    [
        ("RequestStateChange", method(takes_all, out=("Job",)), ""),
        ("RequestStateChange", method(takes_less), "input parameter TimeoutPeriod is not taken"),
        ("RequestStateChange", method(takes_more), "no input parameter force"),
        ("RequestStateChange", method(takes_text), "RequestedState is uint16, the function takes something else"),
        ("RequestStateChange", method(takes_all, out=("Jobs",)), "no output parameter Jobs"),
        ("RequestChange", method(takes_all), "the class has no method RequestChange"),
    ],
)
def test_a_method_must_agree_with_the_mof(name: str, declared: Any, mistake: str) -> None:
    found = mistakes_of(memory(**{name: declared}))
    assert len(found) == (1 if mistake else 0)
    assert mistake in "".join(found)


def check_association(relations: tuple[Any, ...], **properties: Any) -> list[str]:
    class Dependency(Association, cim="Xen_HostedDependency", left="Antecedent", right="Dependent"):
        pass

    Dependency.relations, Dependency.properties = relations, properties
    return check(graph(), SCHEMA, list(VIEWS.values()), [Dependency])


def test_an_association_with_an_end_of_the_wrong_class_is_told() -> None:
    class Devices(Association, cim="Xen_Devices", left="GroupComponent", right="PartComponent"):
        relations = (SameRecord(computer_system.ComputerSystem, virtual_system.VirtualSystemSettingData),)

    Devices.cim = "Xen_SystemDevice"
    found = check(graph(), SCHEMA, list(VIEWS.values()), [Devices])
    assert found == ["Xen_SystemDevice: PartComponent: Xen_VirtualSystemSettingData is no CIM_LogicalDevice"]


@pytest.mark.parametrize(
    ("through", "mistake"),
    [
        ("VM.resident_on", ""),
        ("VM.nonsense", "there is no field VM.nonsense"),
        ("VBD.VM", "VBD.VM is no field of VM"),
        ("VM.metrics", "VM.metrics does not point at host"),
        ("VM.affinity", "VM.affinity has no inverse field"),
    ],
)
def test_a_relation_through_a_field_is_checked_against_the_data_model(through: str, mistake: str) -> None:
    relation = Pointing(computer_system.HostComputerSystem, computer_system.ComputerSystem, through)
    found = check_association((relation,))
    assert len(found) == (1 if mistake else 0)
    assert mistake in "".join(found)


@pytest.mark.parametrize("around", [Where, Reversed, lambda relation: Where(Reversed(relation))])
def test_a_relation_inside_another_is_checked_too(around: Any) -> None:
    wrong = Pointing(computer_system.HostComputerSystem, computer_system.ComputerSystem, "VM.nonsense")
    assert check_association((around(wrong),)) == ["Xen_HostedDependency: there is no field VM.nonsense"]


def test_a_property_of_one_relation_is_checked() -> None:
    relation = Pointing(computer_system.HostComputerSystem, computer_system.ComputerSystem, "VM.resident_on")
    found = check_association((Where(relation, properties={"Nonsense": 1}),))
    assert found == ["Xen_HostedDependency: the class has no property Nonsense"]


def test_a_property_of_an_association_is_checked() -> None:
    assert check_association((), Nonsense=1) == ["Xen_HostedDependency: the class has no property Nonsense"]


def test_a_provider_with_a_mistake_does_not_start() -> None:
    memory(BlockSize=const("1"))
    store = MemoryStore(SCHEMA)
    with pytest.raises(MappingError, match="BlockSize is uint64"):
        CimProvider(StoreSource(store, VirtualClock()), graph())


def test_declaring_a_class_twice_is_an_error() -> None:
    memory()
    with pytest.raises(TypeError, match="two views"):
        memory()


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("EnabledState", 2, True),
        ("EnabledState", 65536, False),
        ("EnabledState", -1, False),
        ("EnabledState", True, False),
        ("EnabledState", None, True),
        ("ElementName", "x", True),
        ("ElementName", 1, False),
        ("OperationalStatus", (2, 5), True),
        ("OperationalStatus", 2, False),
        ("InstallDate", "20260101000000.000000+000", True),
        ("InstallDate", "2026", False),
    ],
)
def test_values_fit_their_types_and_ranges(name: str, value: object, good: bool) -> None:
    cls = graph().classes["xen_computersystem"]
    assert fits(cls.properties[name.lower()], value) is good
