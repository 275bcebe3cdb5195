"""Association operations with every combination of filters, checked against what the unfiltered ones say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import pywbem

ASSOCIATIONS = (None, "CIM_Dependency", "CIM_Component", "Xen_SystemDevice", "xen_settingsdefinestate")
RESULTS = (None, "CIM_ManagedElement", "CIM_LogicalDevice", "Xen_Memory", "CIM_SettingData")
ROLES = (None, "GroupComponent", "partcomponent", "ManagedElement", "Antecedent", "Dependent", "NoSuchRole")
MEASURED = ("Xen_MetricValue", "Xen_AggregationMetricValue")
SOURCES = ("machine", "host", "disk", "settings", "disk settings")


@pytest.fixture(scope="module")
def sources(wbem: pywbem.WBEMConnection) -> dict[str, pywbem.CIMInstanceName]:
    """A path of each kind of instance that has associations."""
    machine = next(i for i in wbem.EnumerateInstances("Xen_ComputerSystem") if i["ElementName"] == "db-0")
    uuid = machine["Name"]
    disk = next(i for i in wbem.EnumerateInstances("Xen_LogicalDisk") if i["SystemName"] == uuid)
    host = wbem.AssociatorNames(machine.path, AssocClass="CIM_HostedDependency")[0]
    (settings,) = wbem.AssociatorNames(machine.path, ResultClass="CIM_VirtualSystemSettingData")
    (part,) = wbem.AssociatorNames(disk.path, ResultClass="CIM_ResourceAllocationSettingData")
    return {"machine": machine.path, "host": host, "disk": disk.path, "settings": settings, "disk settings": part}


class Hierarchy:
    """Which class is below which, asked for class by class."""

    def __init__(self, wbem: pywbem.WBEMConnection, namespace: str) -> None:
        self.classes = {
            cls.classname.lower(): cls
            for cls in wbem.EnumerateClasses(
                namespace=namespace, DeepInheritance=True, LocalOnly=False, IncludeQualifiers=True
            )
        }

    def is_a(self, name: str, above: str | None) -> bool:
        """Whether class `name` is `above` or below it; None is above all."""
        low: str | None = name.lower()
        while low is not None and above is not None:
            if low == above.lower():
                return True
            parent = self.classes[low].superclass
            low = parent and parent.lower()
        return above is None


@pytest.fixture(scope="module")
def hierarchies(wbem: pywbem.WBEMConnection) -> dict[str, Hierarchy]:
    """By namespace; root/interop is another name of interop."""
    found = {namespace: Hierarchy(wbem, namespace) for namespace in ("root/cimv2", "interop")}
    return {**found, "root/interop": found["interop"]}


@pytest.fixture(scope="module")
def hierarchy(hierarchies: dict[str, Hierarchy]) -> Hierarchy:
    return hierarchies["root/cimv2"]


def ends(link: Any) -> dict[str, pywbem.CIMInstanceName]:
    return {name: value for name, value in link.items() if isinstance(value, pywbem.CIMInstanceName)}


def text(path: pywbem.CIMInstanceName) -> str:
    copy = path.copy()
    copy.host = None
    return str(copy.to_wbem_uri(format="canonical"))


def plays(role: str, wanted: str | None) -> bool:
    return wanted is None or role.lower() == wanted.lower()


def walked(links: list[Any], source: str) -> Iterator[tuple[Any, str, str, pywbem.CIMInstanceName]]:
    """(association instance, role of the source, role of the other end, other end), both ways for a link to itself."""
    for link in links:
        for (mine, path), (role, other) in itertools.permutations(ends(link).items(), 2):
            if text(path) == source:
                yield link, mine, role, other


@pytest.mark.parametrize("source", SOURCES)
def test_associators_leave_exactly_what_all_four_filters_let_through(
    wbem: pywbem.WBEMConnection, sources: dict[str, Any], hierarchy: Hierarchy, source: str
) -> None:
    path = sources[source]
    found = list(walked(wbem.References(path), text(path)))
    assert found
    nonempty = 0
    for assoc, result, role, result_role in itertools.product(ASSOCIATIONS, RESULTS, ROLES, ROLES):
        expected = {
            text(other)
            for link, mine, others, other in found
            if hierarchy.is_a(link.classname, assoc)
            and hierarchy.is_a(other.classname, result)
            and plays(mine, role)
            and plays(others, result_role)
        }
        if not expected and (assoc, result, role, result_role).count(None) < 2:
            continue  # most of the product is empty; pairs of filters show that well enough
        filters = {"AssocClass": assoc, "ResultClass": result, "Role": role, "ResultRole": result_role}
        names = [text(one) for one in wbem.AssociatorNames(path, **filters)]
        assert len(names) == len(set(names)), filters
        assert set(names) == expected, filters
        nonempty += bool(expected)
    assert nonempty > 5


@pytest.mark.parametrize("source", SOURCES)
def test_references_leave_exactly_what_both_filters_let_through(
    wbem: pywbem.WBEMConnection, sources: dict[str, Any], hierarchy: Hierarchy, source: str
) -> None:
    path = sources[source]
    found = list(walked(wbem.References(path), text(path)))
    for result, role in itertools.product(ASSOCIATIONS, ROLES):
        expected = {
            text(link.path)
            for link, mine, _, _ in found
            if hierarchy.is_a(link.classname, result) and plays(mine, role)
        }
        names = [text(one) for one in wbem.ReferenceNames(path, ResultClass=result, Role=role)]
        assert len(names) == len(set(names))
        assert set(names) == expected, (result, role)
        opened = wbem.OpenReferenceInstancePaths(path, ResultClass=result, Role=role, MaxObjectCount=1000)
        assert opened.eos
        assert {text(one) for one in opened.paths} == expected


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("origin", [False, True])
@pytest.mark.parametrize("names", [None, [], ["elementname"], ["ElementName", "NoSuchProperty", "InstanceID"]])
def test_associated_instances_have_the_properties_and_origins_asked_for(
    wbem: pywbem.WBEMConnection,
    sources: dict[str, Any],
    hierarchy: Hierarchy,
    source: str,
    origin: bool,
    names: list[str] | None,
) -> None:
    asked = {"IncludeClassOrigin": origin, "PropertyList": names}
    plain = wbem.Associators(sources[source], **asked)
    opened = wbem.OpenAssociatorInstances(sources[source], MaxObjectCount=1000, **asked)
    assert {text(one.path): one for one in plain}.keys() == {text(one.path): one for one in opened.instances}.keys()
    for one in (*plain, *opened.instances):
        whole = wbem.GetInstance(one.path, IncludeClassOrigin=origin)
        left = {k: v for k, v in whole.properties.items() if names is None or k.lower() in map(str.lower, names)}
        if one.classname in MEASURED:  # measured anew meanwhile
            assert one.properties.keys() == left.keys()
        elif "Job" not in one.classname:
            assert dict(one.properties.items()) == left
        for prop in one.properties.values():
            assert (prop.class_origin is not None) == origin
            if origin:
                assert hierarchy.is_a(one.classname, prop.class_origin)


@pytest.mark.parametrize("namespace", ["root/cimv2", "interop", "root/interop"])
@pytest.mark.parametrize("name", ["Xen_ComputerSystem", "Xen_LogicalDisk", "CIM_RegisteredProfile", "CIM_System"])
def test_on_a_class_the_declarations_of_the_associations_answer(
    wbem: pywbem.WBEMConnection, hierarchies: dict[str, Hierarchy], namespace: str, name: str
) -> None:
    hierarchy = hierarchies[namespace]
    found = []
    for cls in hierarchy.classes.values():
        if "Association" in cls.qualifiers:
            references = [p for p in cls.properties.values() if p.type == "reference"]
            found += [
                (cls.classname, mine.name, other.name, other.reference_class)
                for mine, other in itertools.permutations(references, 2)
                if hierarchy.is_a(name, mine.reference_class)
            ]
    assert found
    source = pywbem.CIMClassName(name, namespace=namespace)
    for assoc, result, role in itertools.product((None, "CIM_Dependency", "CIM_Component"), RESULTS, ROLES):
        expected = {
            other
            for cls, mine, _, other in found
            if hierarchy.is_a(cls, assoc) and hierarchy.is_a(other, result) and plays(mine, role)
        }
        names = wbem.AssociatorNames(source, AssocClass=assoc, ResultClass=result, Role=role)
        assert {one.classname for one in names} == expected, (assoc, result, role)
        assert {one.namespace.lower() for one in names} <= {namespace, "interop"}
    for result, role in itertools.product((None, "CIM_Dependency", "CIM_Component"), ROLES):
        expected = {cls for cls, mine, _, _ in found if hierarchy.is_a(cls, result) and plays(mine, role)}
        names = wbem.ReferenceNames(source, ResultClass=result, Role=role)
        assert {one.classname for one in names} == expected, (result, role)
    declared = wbem.References(source, IncludeQualifiers=True, IncludeClassOrigin=True)
    assert {path.classname for path, _ in declared} == {cls for cls, _, _, _ in found}
    for path, cls in declared[:5]:
        got = wbem.GetClass(path.classname, namespace=namespace, LocalOnly=False, IncludeClassOrigin=True)
        got.path = cls.path  # the server calls itself by another name than the client does
        assert cls == got
