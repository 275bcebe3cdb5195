"""Pulled enumerations: sequences, contexts, limits, timeouts and what is not supported."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cim_pool import ROOT, SmallPool, elements, instance_values, out_values

from cim_provider.operations import pull
from cim_provider.schema.objects import (
    CIMV2,
    INTEROP,
    INVALID_CLASS,
    INVALID_ENUMERATION_CONTEXT,
    INVALID_OPERATION_TIMEOUT,
    INVALID_PARAMETER,
    INVALID_QUERY,
    NOT_FOUND,
    QUERY_FEATURE_NOT_SUPPORTED,
    QUERY_LANGUAGE_NOT_SUPPORTED,
    SERVER_LIMITS_EXCEEDED,
    CimError,
    Path,
)
from xenapi_core.bridge.source import Principal

OTHER = Principal("other", ROOT.roles, "wbem")
INSTANCES = "PullInstancesWithPath"


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    for n in range(5):
        pool.vm(f"vm-{n}")
    return pool


def open_systems(pool: SmallPool, **params: Any) -> tuple[str, list[str]]:
    """The context and the names of the machines in the first answer."""
    params = {"ClassName": "Xen_ComputerSystem", "MaxObjectCount": 2} | params
    reply = pool.run("OpenEnumerateInstances", **params)
    return out_values(reply)["EnumerationContext"], machine_names(reply.values)


def machine_names(values: Any) -> list[str]:
    return [instance_values(e)["ElementName"] for e in elements(values)]


def pull_names(pool: SmallPool, context: str, count: int = 2) -> tuple[str, list[str]]:
    reply = pool.run(INSTANCES, EnumerationContext=context, MaxObjectCount=count)
    return out_values(reply)["EndOfSequence"], machine_names(reply.values)


def status(pool: SmallPool, operation: str, namespace: str = CIMV2, principal: Principal = ROOT, **params: Any) -> int:
    with pytest.raises(CimError) as error:
        pool.run(operation, namespace, principal, **params)
    return error.value.status


def test_an_enumeration_is_pulled_to_its_end(pool: SmallPool) -> None:
    context, first = open_systems(pool)
    assert first == ["vm-0", "vm-1"]
    assert pull_names(pool, context) == ("false", ["vm-2", "vm-3"])
    assert pull_names(pool, context) == ("true", ["vm-4"])
    assert status(pool, INSTANCES, EnumerationContext=context, MaxObjectCount=1) == INVALID_ENUMERATION_CONTEXT
    assert len(pool.provider.contexts) == 0


def test_what_fits_into_the_first_answer_opens_no_context(pool: SmallPool) -> None:
    reply = pool.run("OpenEnumerateInstances", ClassName="Xen_ComputerSystem", MaxObjectCount=5)
    assert out_values(reply) == {"EnumerationContext": "", "EndOfSequence": "true"}
    assert len(pool.provider.contexts) == 0


@pytest.mark.parametrize("count", [None, 0])
def test_without_a_count_the_open_operation_returns_nothing_yet(pool: SmallPool, count: int | None) -> None:
    context, first = open_systems(pool, MaxObjectCount=count)
    assert first == []
    assert pull_names(pool, context, 0) == ("false", [])
    assert pull_names(pool, context, 10)[0] == "true"


def test_the_enumeration_shows_the_pool_as_it_was_when_it_was_opened(pool: SmallPool) -> None:
    context, _ = open_systems(pool, MaxObjectCount=0)
    pool.set("vm-3", name_label="renamed")
    pool.delete("vm-4")
    pool.vm("vm-5")
    assert pull_names(pool, context, 10)[1] == ["vm-0", "vm-1", "vm-2", "vm-3", "vm-4"]


def test_instances_come_with_their_full_path(pool: SmallPool) -> None:
    reply = pool.run("OpenEnumerateInstances", ClassName="Xen_ComputerSystem", MaxObjectCount=1)
    (element,) = elements(reply.values)
    assert element.tag == "VALUE.INSTANCEWITHPATH"
    assert [child.tag for child in element] == ["INSTANCEPATH", "INSTANCE"]
    assert element.find("INSTANCEPATH/NAMESPACEPATH/HOST") is not None


def test_a_property_list_is_kept_for_the_whole_enumeration(pool: SmallPool) -> None:
    context, _ = open_systems(pool, PropertyList=("ElementName",))
    reply = pool.run(INSTANCES, EnumerationContext=context, MaxObjectCount=5)
    assert [instance_values(e) for e in elements(reply.values)] == [{"ElementName": f"vm-{n}"} for n in (2, 3, 4)]


OPENS = {
    "OpenEnumerateInstances": ("OpenEnumerateInstancePaths", "EnumerateInstanceNames"),
    "OpenAssociatorInstances": ("OpenAssociatorInstancePaths", "AssociatorNames"),
    "OpenReferenceInstances": ("OpenReferenceInstancePaths", "ReferenceNames"),
}


@pytest.mark.parametrize("operation", OPENS)
def test_each_open_operation_agrees_with_its_paths_and_its_plain_form(pool: SmallPool, operation: str) -> None:
    paths, plain = OPENS[operation]
    path = pool.path("vm-0")
    params: dict[str, Any] = {"InstanceName": path}
    plain_params: dict[str, Any] = {"ObjectName": path}
    if "Enumerate" in operation:
        params = plain_params = {"ClassName": "CIM_SettingData"}
    expected = len(elements(pool.run(plain, **plain_params).values))
    assert expected > 1
    context = out_values(pool.run(operation, **params, MaxObjectCount=1))["EnumerationContext"]
    rest = elements(pool.run(INSTANCES, EnumerationContext=context, MaxObjectCount=100).values)
    assert len(rest) == expected - 1
    context = out_values(pool.run(paths, **params, MaxObjectCount=1))["EnumerationContext"]
    rest = elements(pool.run("PullInstancePaths", EnumerationContext=context, MaxObjectCount=100).values)
    assert [e.tag for e in rest] == ["INSTANCEPATH"] * (expected - 1)


def test_a_context_is_for_its_user_its_namespace_and_its_kind_of_pull_only(pool: SmallPool) -> None:
    context, _ = open_systems(pool)
    asked = {"EnumerationContext": context, "MaxObjectCount": 1}
    assert status(pool, INSTANCES, principal=OTHER, **asked) == INVALID_ENUMERATION_CONTEXT
    assert status(pool, INSTANCES, INTEROP, **asked) == INVALID_ENUMERATION_CONTEXT
    assert status(pool, "PullInstancePaths", **asked) == INVALID_ENUMERATION_CONTEXT
    assert status(pool, "CloseEnumeration", principal=OTHER, EnumerationContext=context) == INVALID_ENUMERATION_CONTEXT
    assert pull_names(pool, context)[1] == ["vm-2", "vm-3"]


def test_a_closed_enumeration_is_gone(pool: SmallPool) -> None:
    context, _ = open_systems(pool)
    assert pool.run("CloseEnumeration", EnumerationContext=context).values is None
    assert status(pool, INSTANCES, EnumerationContext=context, MaxObjectCount=1) == INVALID_ENUMERATION_CONTEXT
    assert status(pool, "CloseEnumeration", EnumerationContext=context) == INVALID_ENUMERATION_CONTEXT


def test_a_context_nobody_uses_for_its_timeout_is_gone(pool: SmallPool) -> None:
    context, _ = open_systems(pool, OperationTimeout=10)
    asyncio.run(pool.clock.advance(9))
    assert pull_names(pool, context, 1)[1] == ["vm-2"]
    asyncio.run(pool.clock.advance(10))
    assert pull_names(pool, context, 1)[1] == ["vm-3"]
    asyncio.run(pool.clock.advance(11))
    assert status(pool, INSTANCES, EnumerationContext=context, MaxObjectCount=1) == INVALID_ENUMERATION_CONTEXT
    assert len(pool.provider.contexts) == 0


def test_a_user_who_opens_too_many_does_not_keep_others_from_opening_one(
    pool: SmallPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "MAX_CONTEXTS_PER_USER", 3)
    opened = [open_systems(pool)[0] for _ in range(3)]
    asked = {"ClassName": "Xen_ComputerSystem", "MaxObjectCount": 1}
    assert status(pool, "OpenEnumerateInstances", **asked) == SERVER_LIMITS_EXCEEDED
    assert pool.run("OpenEnumerateInstances", principal=OTHER, **asked).values
    pool.run("CloseEnumeration", EnumerationContext=opened[0])
    assert pool.run("OpenEnumerateInstances", **asked).values


def test_an_answer_is_never_larger_than_the_limit(pool: SmallPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "MAX_OBJECTS_PER_ANSWER", 2)
    context, first = open_systems(pool, MaxObjectCount=1000)
    assert len(first) == 2
    assert pull_names(pool, context, 1000) == ("false", ["vm-2", "vm-3"])


@pytest.mark.parametrize("operation", [name for pair in OPENS.items() for name in (pair[0], pair[1][0])])
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"FilterQueryLanguage": "DMTF:CQL", "FilterQuery": "Name='x'"}, QUERY_LANGUAGE_NOT_SUPPORTED),
        ({"FilterQueryLanguage": "DMTF:FQL", "FilterQuery": "Name='x"}, INVALID_QUERY),
        ({"FilterQueryLanguage": "DMTF:FQL", "FilterQuery": "NoSuchProperty='x'"}, INVALID_QUERY),
        ({"FilterQueryLanguage": "DMTF:FQL", "FilterQuery": "Name=1+1"}, QUERY_FEATURE_NOT_SUPPORTED),
        ({"FilterQueryLanguage": "DMTF:FQL"}, INVALID_PARAMETER),
        ({"FilterQuery": "Name='x'"}, INVALID_PARAMETER),
        ({"OperationTimeout": 0}, INVALID_OPERATION_TIMEOUT),
        ({"OperationTimeout": pull.MAX_TIMEOUT + 1}, INVALID_OPERATION_TIMEOUT),
        ({"MaxObjectCount": -1}, INVALID_PARAMETER),
    ],
)
def test_options_that_are_not_supported_are_refused(
    pool: SmallPool, operation: str, params: dict[str, Any], expected: int
) -> None:
    base = {"ClassName": "Xen_ComputerSystem", "InstanceName": pool.path("vm-0")}
    assert status(pool, operation, **base, **params) == expected
    assert len(pool.provider.contexts) == 0


def test_sources_that_do_not_exist_are_refused(pool: SmallPool) -> None:
    gone = Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "gone"})
    assert status(pool, "OpenAssociatorInstances", InstanceName=gone) == NOT_FOUND
    assert status(pool, "OpenReferenceInstances", InstanceName=Path("Xen_ComputerSystem", None)) == INVALID_PARAMETER
    assert status(pool, "OpenEnumerateInstances", ClassName="Xen_Nothing") == INVALID_CLASS


def test_pulling_needs_a_count_and_a_context(pool: SmallPool) -> None:
    context, _ = open_systems(pool)
    assert status(pool, INSTANCES, EnumerationContext=context) == INVALID_PARAMETER
    assert status(pool, INSTANCES, MaxObjectCount=1) == INVALID_PARAMETER
    assert status(pool, INSTANCES, EnumerationContext="", MaxObjectCount=1) == INVALID_ENUMERATION_CONTEXT


def test_enumeration_count_is_that_of_the_whole_enumeration(pool: SmallPool) -> None:
    context, first = open_systems(pool)
    assert len(first) == 2
    assert pool.run("EnumerationCount", EnumerationContext=context).values == [b"<VALUE>5</VALUE>"]
    assert status(pool, "EnumerationCount", EnumerationContext="none") == INVALID_ENUMERATION_CONTEXT


def test_a_pull_that_fails_ends_the_enumeration(pool: SmallPool) -> None:
    context, _ = open_systems(pool)
    assert status(pool, INSTANCES, EnumerationContext=context, MaxObjectCount=-1) == INVALID_PARAMETER
    assert status(pool, INSTANCES, EnumerationContext=context, MaxObjectCount=1) == INVALID_ENUMERATION_CONTEXT


def test_a_pull_that_fails_leaves_an_enumeration_that_continues_on_errors(pool: SmallPool) -> None:
    context, _ = open_systems(pool, ContinueOnError=True)
    assert status(pool, INSTANCES, EnumerationContext=context, MaxObjectCount=-1) == INVALID_PARAMETER
    assert pull_names(pool, context) == ("false", ["vm-2", "vm-3"])
