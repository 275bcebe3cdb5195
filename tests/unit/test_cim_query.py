"""ExecQuery, opened queries and filters over a pool: what is selected, what is returned, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool, elements, graph, instance_values, out_values

from cim_provider.query import languages
from cim_provider.query.predicate import filter_predicate, predicate
from cim_provider.query.select import ROW_CLASS, selection
from cim_provider.schema.objects import (
    INTEROP,
    INVALID_CLASS,
    INVALID_ENUMERATION_CONTEXT,
    INVALID_PARAMETER,
    INVALID_QUERY,
    QUERY_FEATURE_NOT_SUPPORTED,
    QUERY_LANGUAGE_NOT_SUPPORTED,
    CimError,
    Instance,
)

FQL = "DMTF:FQL"


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    for n in range(5):
        pool.vm(f"vm-{n}", power_state="Running" if n % 2 else "Halted")
    return pool


def ask(pool: SmallPool, text: str, language: str = "DMTF:CQL", namespace: str = "root/cimv2") -> list[dict[str, Any]]:
    """The values of what ExecQuery returns."""
    reply = pool.run("ExecQuery", namespace, QueryLanguage=language, Query=text)
    return [instance_values(e) for e in elements(reply.values)]


def names_of(pool: SmallPool, where: str, language: str = "DMTF:CQL") -> list[str]:
    return [row["ElementName"] for row in ask(pool, f"SELECT * FROM Xen_ComputerSystem WHERE {where}", language)]


def filtered(pool: SmallPool, text: str, operation: str = "OpenEnumerateInstances", **params: Any) -> list[str]:
    """What a filter leaves: the names of instances."""
    params = {"ClassName": "Xen_ComputerSystem", "MaxObjectCount": 100} | params
    reply = pool.run(operation, FilterQueryLanguage=FQL, FilterQuery=text, **params)
    return [instance_values(e)["ElementName"] for e in elements(reply.values)]


def mistake(pool: SmallPool, text: str, language: str = "DMTF:CQL") -> CimError:
    with pytest.raises(CimError) as error:
        pool.run("ExecQuery", QueryLanguage=language, Query=text)
    return error.value


# what is selected


@pytest.mark.parametrize("language", ["WQL", "wql", "DMTF:CQL", "CIM:CQL"])
def test_a_query_selects_the_instances_that_satisfy_it(pool: SmallPool, language: str) -> None:
    assert names_of(pool, "EnabledState = 2", language) == ["vm-1", "vm-3"]
    assert names_of(pool, "enabledstate <> 2 AND NOT ElementName = 'vm-0'", language) == ["vm-2", "vm-4"]
    assert names_of(pool, "Xen_ComputerSystem.ElementName > 'vm-2' OR 1 = 1", language) == [f"vm-{n}" for n in range(5)]


def test_each_language_has_its_own_patterns(pool: SmallPool) -> None:
    assert names_of(pool, "ElementName LIKE 'vm-[1-2]'", "WQL") == ["vm-1", "vm-2"]
    assert names_of(pool, "ElementName LIKE '%3'", "WQL") == ["vm-3"]
    assert names_of(pool, "ElementName LIKE 'v.*3'") == ["vm-3"]
    assert filtered(pool, "ElementName LIKE 'v[mw]-?[^0-2]+'") == ["vm-3", "vm-4"]


def test_arrays_are_asked_for_any_every_or_one_of_their_elements(pool: SmallPool) -> None:
    running = ["vm-1", "vm-3"]
    assert names_of(pool, "ANY OperationalStatus = 2") == running
    assert names_of(pool, "EVERY OperationalStatus = 2") == running
    assert names_of(pool, "OperationalStatus[0] = 2") == running
    assert names_of(pool, "ANY OperationalStatus > 2") == ["vm-0", "vm-2", "vm-4"]
    assert filtered(pool, "ANY OperationalStatus = 2") == running
    assert filtered(pool, "OperationalStatus[0] <> 2") == ["vm-0", "vm-2", "vm-4"]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("ANY OperationalStatus = 19", True),
        ("ANY OperationalStatus = 5", False),
        ("EVERY OperationalStatus >= 2", True),
        ("EVERY OperationalStatus > 2", False),
        ("ANY StatusDescriptions LIKE 'b.*'", True),
        ("ANY StatusDescriptions NOT LIKE 'b.*'", True),
        ("EVERY StatusDescriptions NOT LIKE 'c'", False),
        ("NOT ANY StatusDescriptions = 'c'", False),
        ("ANY StatusDescriptions IS NULL", True),
        ("EVERY StatusDescriptions IS NOT NULL", False),
        ("ANY Roles = 'x'", False),
        ("NOT ANY Roles = 'x'", True),
        ("EVERY Roles = 'x'", True),
        ("ANY IdentifyingDescriptions = 'x'", False),
        ("NOT ANY IdentifyingDescriptions = 'x'", False),
        ("EVERY IdentifyingDescriptions = 'x'", False),
    ],
)
def test_any_and_every_look_at_all_elements(condition: str, holds: bool) -> None:
    values = {"OperationalStatus": (2, 19), "StatusDescriptions": ("b", None, "a"), "Roles": ()}
    query = languages.parse("DMTF:CQL", f"SELECT * FROM Xen_ComputerSystem WHERE {condition}")
    assert predicate(query, graph())(Instance("Xen_ComputerSystem", values)) is holds


def test_the_selected_instance_can_be_asked_for_its_class(pool: SmallPool) -> None:
    text = "SELECT * FROM CIM_ComputerSystem s WHERE s ISA Xen_HostComputerSystem"
    assert [row["ElementName"] for row in ask(pool, text)] == ["host-0", "host-1"]


def test_other_namespaces_have_their_own_instances(pool: SmallPool) -> None:
    text = "SELECT RegisteredName FROM CIM_RegisteredProfile WHERE RegisteredName LIKE 'Virtual %'"
    assert {"RegisteredName": "Virtual System"} in ask(pool, text, "WQL", INTEROP)
    assert ask(pool, text, "WQL") == []


def test_associations_can_be_selected(pool: SmallPool) -> None:
    every = elements(pool.run("EnumerateInstanceNames", ClassName="CIM_HostedDependency").values)
    assert len(ask(pool, "SELECT * FROM CIM_HostedDependency")) == len(every)
    assert ask(pool, "SELECT * FROM CIM_HostedDependency WHERE Antecedent IS NULL") == []


# datetimes


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("IndicationTime = '20240301120000.000000+000'", True),
        ("IndicationTime = '20240301130000.000000+060'", True),
        ("IndicationTime < '20240301130000.000000+060'", False),
        ("IndicationTime >= '20240301110000.000000-060'", True),
        ("IndicationTime > '2024022912****.******+000'", True),
        ("IndicationTime = '20240301******.******+000'", False),
        ("IndicationTime <> '20240302******.******+000'", True),
        ("IndicationTime < '00000001000000.000000:000'", False),
        ("NOT IndicationTime < '00000001000000.000000:000'", False),
        ("IndicationTime < '20240301120000.000000+***'", None),
        ("IndicationTime < 'yesterday'", None),
        ("IndicationTime < '20241301120000.000000+000'", None),
        ("IndicationTime < 5", None),
    ],
)
def test_datetimes_compare_by_what_they_mean(condition: str, holds: bool | None) -> None:
    indication = Instance("CIM_InstCreation", {"IndicationTime": "20240301120000.000000+000"})
    query = languages.parse("WQL", f"SELECT * FROM CIM_InstCreation WHERE {condition}")
    if holds is None:
        with pytest.raises(CimError) as error:
            predicate(query, graph())
        assert error.value.status == INVALID_QUERY
    else:
        assert predicate(query, graph())(indication) is holds


# what is returned


def test_star_returns_whole_instances_with_their_paths(pool: SmallPool) -> None:
    reply = pool.run("ExecQuery", QueryLanguage="WQL", Query="SELECT * FROM Xen_ComputerSystem")
    enumerated = pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem")
    assert {e.tag for e in elements(reply.values)} == {"VALUE.OBJECTWITHPATH"}
    assert [instance_values(e) for e in elements(reply.values)] == [
        instance_values(e) for e in elements(enumerated.values)
    ]


def test_a_list_of_properties_returns_these_alone(pool: SmallPool) -> None:
    text = "SELECT elementname, s.CIM_System::EnabledState FROM Xen_ComputerSystem s WHERE Name <> ''"
    assert ask(pool, text)[:2] == [
        {"ElementName": "vm-0", "EnabledState": "3"},
        {"ElementName": "vm-1", "EnabledState": "2"},
    ]
    assert len(ask(pool, "SELECT s.*, Name FROM Xen_ComputerSystem s")[0]) > 10


def test_elements_other_classes_and_titles_make_rows(pool: SmallPool) -> None:
    text = (
        "SELECT ElementName AS Who, OperationalStatus[0], OperationalStatus AS Everything, Xen_HostComputerSystem::Name"
        " FROM CIM_ComputerSystem WHERE ElementName = 'vm-1'"
    )
    reply = pool.run("ExecQuery", QueryLanguage="DMTF:CQL", Query=text)
    (element,) = elements(reply.values)
    assert element.tag == "VALUE.OBJECT"
    assert element[0].get("CLASSNAME") == ROW_CLASS
    assert instance_values(element) == {
        "Who": "vm-1",
        "OperationalStatus": "2",
        "Everything": ["2"],
        "Name": None,
    }
    types = {p.get("NAME"): (p.tag, p.get("TYPE")) for p in element[0]}
    assert types["OperationalStatus"] == ("PROPERTY", "uint16")
    assert types["Everything"] == ("PROPERTY.ARRAY", "uint16")
    assert types["Name"] == ("PROPERTY", "string")


def test_paths_into_embedded_objects_are_columns() -> None:
    query = languages.parse("DMTF:CQL", "SELECT SourceInstance.CIM_System::Name AS N FROM CIM_InstCreation")
    system = Instance("Xen_ComputerSystem", {"Name": "a"})
    row = selection(query, graph()).row(Instance("CIM_InstCreation", {"SourceInstance": system}))
    assert (row.values, row.types) == ({"N": "a"}, {"N": "string"})


def test_an_opened_query_is_pulled_to_its_end(pool: SmallPool) -> None:
    asked = {"FilterQueryLanguage": "WQL", "FilterQuery": "SELECT ElementName FROM Xen_ComputerSystem"}
    reply = pool.run("OpenQueryInstances", **asked, MaxObjectCount=2)
    context = out_values(reply)["EnumerationContext"]
    assert [e.tag for e in elements(reply.values)] == ["INSTANCE"] * 2
    pool.set("vm-3", name_label="renamed")
    pool.delete("vm-4")
    with pytest.raises(CimError) as error:
        pool.run("PullInstancesWithPath", EnumerationContext=context, MaxObjectCount=9)
    assert error.value.status == INVALID_ENUMERATION_CONTEXT
    reply = pool.run("PullInstances", EnumerationContext=context, MaxObjectCount=9)
    assert [instance_values(e)["ElementName"] for e in elements(reply.values)] == ["vm-2", "vm-3", "vm-4"]
    assert out_values(reply) == {"EnumerationContext": "", "EndOfSequence": "true"}


@pytest.mark.parametrize(
    ("columns", "name", "properties"),
    [
        ("*", "CIM_ComputerSystem", None),
        ("Name, EnabledState", "CIM_ComputerSystem", {"Name", "EnabledState"}),
        ("OperationalStatus[0] AS First", ROW_CLASS, {"First"}),
    ],
)
def test_the_class_of_the_result_is_told_on_request(
    pool: SmallPool, columns: str, name: str, properties: set[str] | None
) -> None:
    asked = {"FilterQueryLanguage": "DMTF:CQL", "FilterQuery": f"SELECT {columns} FROM CIM_ComputerSystem"}
    reply = pool.run("OpenQueryInstances", **asked, MaxObjectCount=0, ReturnQueryResultClass=True)
    (told,) = [e for e in elements(reply.out) if e.get("NAME") == "QueryResultClass"]
    assert told[0].tag == "CLASS"
    assert told[0].get("NAME") == name
    found = {p.get("NAME") for p in told[0] if p.tag.startswith("PROPERTY")}
    whole = {p.name for p in graph().classes["cim_computersystem"].properties.values()}
    assert found == (whole if properties is None else properties)
    assert "QueryResultClass" not in out_values(pool.run("OpenQueryInstances", **asked, MaxObjectCount=0))


# the short way


def test_a_key_leads_to_its_record_without_looking_at_all_others(pool: SmallPool) -> None:
    uuid = pool.uuid("vm-2")
    pool.source.rescans.clear()
    assert names_of(pool, f"Name = '{uuid}' AND EnabledState = 3") == ["vm-2"]
    assert names_of(pool, f"'{uuid}' = Xen_ComputerSystem.Name AND EnabledState = 2") == []
    assert names_of(pool, "Name = 'nobody'") == []
    assert filtered(pool, f"Name = '{uuid}'") == ["vm-2"]
    assert pool.source.rescans == []
    assert names_of(pool, f"Name = '{uuid}' OR EnabledState = 2") == ["vm-1", "vm-2", "vm-3"]
    assert "VM" in pool.source.rescans


def test_a_key_of_several_classes_leads_to_all_of_them(pool: SmallPool) -> None:
    for name, classname in (("vm-2", "Xen_ComputerSystem"), ("host-0", "Xen_HostComputerSystem")):
        text = f"SELECT CreationClassName FROM CIM_System WHERE Name = '{pool.uuid(name)}'"
        assert ask(pool, text) == [{"CreationClassName": classname}]


def test_client_made_instances_are_found_by_their_keys_too(pool: SmallPool) -> None:
    pool.subscribed()
    text = "SELECT Name FROM CIM_IndicationFilter WHERE Name = 'one'"
    assert ask(pool, text, "WQL", INTEROP) == [{"Name": "one"}]


# filters of enumerations


@pytest.mark.parametrize(
    ("operation", "plain"),
    [
        ("OpenEnumerateInstancePaths", None),
        ("OpenAssociatorInstances", "Associators"),
        ("OpenAssociatorInstancePaths", "Associators"),
        ("OpenReferenceInstances", "References"),
        ("OpenReferenceInstancePaths", "References"),
    ],
)
def test_every_open_operation_takes_a_filter(pool: SmallPool, operation: str, plain: str | None) -> None:
    params = {"InstanceName": pool.path("vm-1"), "ClassName": "Xen_ComputerSystem", "MaxObjectCount": 100}
    text = "EnabledState = 2 OR Dependent IS NOT NULL" if plain == "References" else "EnabledState = 2"
    if plain is None:
        text = "EnabledState = 2"
    filter_ = {"FilterQueryLanguage": FQL, "FilterQuery": text}
    every = elements(pool.run(operation, **params).values)
    found = elements(pool.run(operation, **params, **filter_).values)
    none = elements(pool.run(operation, **params, FilterQueryLanguage=FQL, FilterQuery="1 = 2").values)
    assert 0 < len(found) < len(every)
    assert none == []


def test_a_filter_may_name_properties_of_subclasses(pool: SmallPool) -> None:
    found = filtered(pool, "Dedicated[0] = 0 AND EnabledState = 2", ClassName="CIM_ManagedElement")
    assert "vm-1" in found
    assert "vm-0" not in found


def test_a_filter_and_a_property_list_do_not_disturb_each_other(pool: SmallPool) -> None:
    assert filtered(pool, "EnabledState = 2", PropertyList=("ElementName",)) == ["vm-1", "vm-3"]


@pytest.mark.parametrize("params", [{"FilterQueryLanguage": FQL}, {"FilterQuery": "EnabledState = 2"}])
def test_language_and_filter_come_together(pool: SmallPool, params: dict[str, str]) -> None:
    with pytest.raises(CimError) as error:
        pool.run("OpenEnumerateInstances", ClassName="Xen_ComputerSystem", **params)
    assert error.value.status == INVALID_PARAMETER


# what is refused


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", 1),
        ("SELECT * FRM Xen_ComputerSystem", 10),
        ("SELECT * FROM Xen_ComputerSystem WHERE", 39),
        ("SELECT * FROM Xen_ComputerSystem WHERE Name = 'a", 47),
        ("SELECT * FROM Xen_ComputerSystem WHERE Nme = 'a'", 40),
        ("SELECT Nme FROM Xen_ComputerSystem", 8),
        ("SELECT * FROM Xen_ComputerSystem WHERE Name = 2", 40),
        ("SELECT * FROM Xen_ComputerSystem WHERE 'x' > EnabledState", 46),
        ("SELECT * FROM Xen_ComputerSystem WHERE OperationalStatus = 2", 40),
        ("SELECT * FROM Xen_ComputerSystem WHERE ANY EnabledState = 2", 44),
        ("SELECT * FROM Xen_ComputerSystem WHERE Name LIKE '*'", 50),
        ("SELECT Name, OperationalStatus[0] AS Name FROM Xen_ComputerSystem", 14),
        ("SELECT * FROM Xen_ComputerSystem WHERE Name = 'a')", 50),
    ],
)
def test_a_bad_query_is_refused_with_the_place_of_the_mistake(pool: SmallPool, text: str, place: int) -> None:
    error = mistake(pool, text)
    assert error.status == INVALID_QUERY
    assert error.text.endswith(f"(at character {place})")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT DISTINCT Name FROM Xen_ComputerSystem",
        "SELECT FIRST 5 Name FROM Xen_ComputerSystem",
        "SELECT Name FROM Xen_ComputerSystem ORDER BY Name",
        "SELECT a.Name FROM CIM_System a, CIM_System b",
        "SELECT OBJECTPATH(s) AS P FROM Xen_ComputerSystem s",
        "SELECT * FROM Xen_ComputerSystem WHERE UPPERCASE(Name) = 'A'",
        "SELECT * FROM Xen_ComputerSystem WHERE EnabledState + 1 = 2",
        "SELECT * FROM Xen_ComputerSystem WHERE EnabledState -1 = 2",
        "SELECT * FROM Xen_ComputerSystem WHERE OperationalStatus[0..2] = 2",
        "SELECT * FROM Xen_ComputerSystem WHERE EnabledState = CIM_System.EnabledState#'Enabled'",
        "SELECT * FROM Xen_ComputerSystem WHERE ANY x IN OperationalStatus SATISFIES (x = 2)",
        "SELECT * FROM CIM_HostedDependency WHERE Antecedent = 'x'",
        "SELECT SourceInstance.* FROM CIM_InstCreation",
        "ASSOCIATORS OF {Xen_ComputerSystem}",
    ],
)
def test_what_the_language_has_and_the_server_does_not_is_told_apart(pool: SmallPool, text: str) -> None:
    assert mistake(pool, text).status == QUERY_FEATURE_NOT_SUPPORTED


def test_languages_and_classes_that_do_not_exist_are_told(pool: SmallPool) -> None:
    assert mistake(pool, "SELECT", "SQL").status == QUERY_LANGUAGE_NOT_SUPPORTED
    assert mistake(pool, "Name = 'x'", FQL).status == QUERY_LANGUAGE_NOT_SUPPORTED
    assert mistake(pool, "SELECT * FROM CIM_None").status == INVALID_CLASS


@pytest.mark.parametrize("text", ["ElementName LIKE '(a|b)'", "ElementName LIKE '^a'", "ElementName LIKE 'a{2}'"])
def test_regular_expressions_beyond_the_simple_ones_are_refused(pool: SmallPool, text: str) -> None:
    with pytest.raises(CimError) as error:
        filtered(pool, text)
    assert error.value.status == QUERY_FEATURE_NOT_SUPPORTED


def test_a_filter_over_any_class_knows_the_names_of_all_classes() -> None:
    memory = Instance("Xen_Memory", {"ElementName": "m", "NumberOfBlocks": 5})
    assert filter_predicate(languages.parse_filter(FQL, "NumberOfBlocks > 4"), graph(), None)(memory)
    with pytest.raises(CimError) as error:
        filter_predicate(languages.parse_filter(FQL, "NoSuchProperty > 4"), graph(), None)
    assert error.value.status == INVALID_QUERY


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("%a" * 3000, False), ("%a%b" * 2000, True), ("[ab]%" * 1600, True), ("_%" * 3000 + "c", False)],
)
def test_a_pattern_of_thousands_of_wildcards_is_answered(pattern: str, fits: bool) -> None:
    query = languages.parse("WQL", f"SELECT * FROM Xen_ComputerSystem WHERE ElementName LIKE '{pattern}'")
    assert predicate(query, graph())(Instance("Xen_ComputerSystem", {"ElementName": "ab" * 4000})) is fits
