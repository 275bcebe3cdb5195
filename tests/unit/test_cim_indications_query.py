"""Filter queries: what is understood, and which mistakes are found before anything is delivered."""

from __future__ import annotations

import pytest
from cim_pool import graph

from cim_provider.query import languages
from cim_provider.query.ast import And, Compare, IsA, Literal, PropertyPath, Step
from cim_provider.query.predicate import predicate
from cim_provider.schema.objects import INVALID_QUERY, QUERY_LANGUAGE_NOT_SUPPORTED, CimError, Instance

SYSTEM = Instance("Xen_ComputerSystem", {"Name": "a", "EnabledState": 2, "OperationalStatus": (2, 19)})
HALTED = Instance("Xen_ComputerSystem", {"Name": "a", "EnabledState": 3, "OperationalStatus": (10,)})
CHANGE = Instance("CIM_InstModification", {"SourceInstance": SYSTEM, "PreviousInstance": HALTED})


def holds(condition: str, language: str = "DMTF:CQL", instance: Instance = CHANGE) -> bool:
    query = languages.parse(language, f"SELECT * FROM {instance.classname} WHERE {condition}")
    return predicate(query, graph())(instance)


def test_the_parts_of_a_query_are_found():
    text = (
        "select Name, i.SourceInstance.CIM_System::Name from CIM_InstCreation as i "
        "where SourceInstance isa CIM_System and 1=1"
    )
    query = languages.parse("wql", text)
    assert query.source == "CIM_InstCreation"
    assert query.alias == "i"
    assert query.columns == (
        PropertyPath((Step("Name"),)),
        PropertyPath((Step("i"), Step("SourceInstance"), Step("Name", "CIM_System"))),
    )
    isa = IsA(PropertyPath((Step("SourceInstance"),)), "CIM_System")
    assert query.where == And((isa, Compare("=", Literal(1), Literal(1))))


@pytest.mark.parametrize(
    "condition",
    [
        "SourceInstance ISA CIM_ComputerSystem",
        "SourceInstance ISA 'cim_managedelement'",
        "NOT SourceInstance ISA CIM_LogicalDevice",
        "PreviousInstance.EnabledState <> SourceInstance.EnabledState",
        "PreviousInstance.CIM_ComputerSystem::EnabledState != SourceInstance.CIM_ComputerSystem::EnabledState",
        "SourceInstance.enabledstate = 2 AND PreviousInstance.EnabledState > 2",
        "SourceInstance.OperationalStatus[1] = 19",
        "SourceInstance.OperationalStatus[7] IS NULL",
        "SourceInstance.CIM_Processor::Name IS NULL",
        "SourceInstance.Caption IS NULL",
        "CIM_InstModification.SourceInstance.Name = 'a'",
        "SourceInstance.EnabledState = 5 OR SourceInstance.Name >= 'a'",
    ],
)
def test_a_condition_holds(condition):
    assert holds(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "SourceInstance ISA CIM_LogicalDevice",
        "SourceInstance.Caption = NULL",
        "SourceInstance.Caption <> 'a'",
        "NOT SourceInstance.Caption = 'a'",
        "SourceInstance.Name = 2",
        "SourceInstance.NoSuchProperty = 2",
        "SourceInstance.Name.Further = 'a'",
        "NOT (SourceInstance.Name = 'a')",
    ],
)
def test_a_condition_does_not_hold(condition):
    assert not holds(condition)


def test_each_language_has_its_own_patterns():
    system = Instance("CIM_InstModification", {"SourceInstance": Instance("Xen_ComputerSystem", {"Name": "web-12"})})
    assert holds("SourceInstance.Name LIKE 'web-%'", "WQL", system)
    assert holds("SourceInstance.Name LIKE 'web_[0-3]2'", "WQL", system)
    assert holds("SourceInstance.Name NOT LIKE 'web-[^1]_'", "WQL", system)
    assert holds("SourceInstance.Name LIKE 'web-.*'", "DMTF:CQL", system)
    assert not holds("SourceInstance.Name LIKE 'web-%'", "DMTF:CQL", system)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM CIM_InstCreation WHERE",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA",
        "SELECT * FROM CIM_InstCreation WHERE 'a' ISA CIM_System",
        "SELECT * FROM CIM_InstCreation WHERE (1 = 1",
        "SELECT * FROM CIM_InstCreation WHERE 1 = 1 1",
        "SELECT * FROM CIM_InstCreation; DROP",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance.Name LIKE 5",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance.Name LIKE '*a'",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance.OperationalStatus[-1] = 1",
        "SELECT * FROM CIM_NoSuchClass",
        "SELECT NoSuchProperty FROM CIM_InstCreation",
        "SELECT * FROM CIM_InstCreation WHERE NoSuchProperty = 1",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA CIM_NoSuchClass",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance.CIM_NoSuchClass::Name = 'a'",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance.CIM_System::NoSuchProperty = 'a'",
        "SELECT * FROM CIM_InstCreation WHERE " + "(" * 100 + "1 = 1" + ")" * 100,
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance.Name = '" + "a" * 9000 + "'",
    ],
)
def test_a_bad_query_is_found(text):
    with pytest.raises(CimError) as error:
        predicate(languages.parse("DMTF:CQL", text), graph())
    assert error.value.status == INVALID_QUERY


def test_an_unknown_language_is_told_apart_from_a_bad_query():
    with pytest.raises(CimError) as error:
        languages.parse("SQL", "SELECT * FROM CIM_InstCreation")
    assert error.value.status == QUERY_LANGUAGE_NOT_SUPPORTED
