"""Which status code each mistake gets (DSP0200), through a real server: operations, pulls, method calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pywbem
from cim_xml import (
    class_named,
    extrinsic,
    instance_name,
    intrinsic,
    machine_name,
    named,
    names,
    out,
    returned,
    status,
    text,
)
from server_client import basic

FAILED, ACCESS, NAMESPACE, PARAMETER, CLASS, NOT_FOUND, NOT_SUPPORTED = 1, 2, 3, 4, 5, 6, 7
NO_PROPERTY, LANGUAGE, METHOD_NOT_AVAILABLE, METHOD_NOT_FOUND = 12, 14, 16, 17
CONTEXT, TIMEOUT, QUERY, FEATURE = 21, 22, 15, 29
NOBODY = "00000000-0000-4000-8000-000000000000"
VM = machine_name(NOBODY)
MACHINES = class_named("Xen_ComputerSystem")

# what is wrong: operation, parameters, namespace, status
MISTAKES: dict[str, tuple[str, str, str, int]] = {
    "unknown namespace": ("EnumerateInstances", MACHINES, "root/none", NAMESPACE),
    "namespace of part of a name": ("EnumerateInstances", MACHINES, "root", NAMESPACE),
    "unknown class": ("EnumerateInstances", class_named("CIM_None"), "root/cimv2", CLASS),
    "unknown class to GetClass": ("GetClass", class_named("CIM_None"), "root/cimv2", NOT_FOUND),
    "unknown class to EnumerateClasses": ("EnumerateClasses", class_named("CIM_None"), "root/cimv2", CLASS),
    "unknown class to EnumerateClassNames": ("EnumerateClassNames", class_named("CIM_None"), "root/cimv2", CLASS),
    "no class": ("EnumerateInstances", "", "root/cimv2", PARAMETER),
    "class given twice": ("EnumerateInstances", MACHINES + MACHINES, "root/cimv2", PARAMETER),
    "parameter the operation does not have": (
        "EnumerateInstanceNames", MACHINES + text("DeepInheritance", "true"), "root/cimv2", PARAMETER),
    "boolean that is none": (
        "EnumerateInstances", MACHINES + text("DeepInheritance", "maybe"), "root/cimv2", PARAMETER),
    "operation that does not exist": ("EnumerateAll", "", "root/cimv2", NOT_SUPPORTED),
    "no such key value": ("GetInstance", named("InstanceName", VM), "root/cimv2", NOT_FOUND),
    "class of the path does not exist": (
        "GetInstance", named("InstanceName", instance_name("CIM_None", a="b")), "root/cimv2", CLASS),
    "key missing": (
        "GetInstance", named("InstanceName", instance_name("Xen_ComputerSystem", Name="x")), "root/cimv2", PARAMETER),
    "key too many": ("GetInstance", named("InstanceName", instance_name(
        "Xen_ComputerSystem", CreationClassName="Xen_ComputerSystem", Name="x", Age="3")), "root/cimv2", PARAMETER),
    "wrong value of CreationClassName": ("GetInstance", named("InstanceName", instance_name(
        "Xen_ComputerSystem", CreationClassName="Xen_HostComputerSystem", Name="x")), "root/cimv2", NOT_FOUND),
    "source of an association walk is not there": (
        "AssociatorNames", named("ObjectName", VM), "root/cimv2", NOT_FOUND),
    "source of a reference walk is not there": ("References", named("ObjectName", VM), "root/cimv2", NOT_FOUND),
    "class of the source does not exist": (
        "Associators", named("ObjectName", instance_name("CIM_None", a="b")), "root/cimv2", PARAMETER),
    "association filter that is no class": ("AssociatorNames", class_named("Xen_Memory", "ObjectName")
        + class_named("CIM_None", "AssocClass"), "root/cimv2", PARAMETER),
    "result filter that is no class": ("ReferenceNames", class_named("Xen_Memory", "ObjectName")
        + class_named("CIM_None", "ResultClass"), "root/cimv2", PARAMETER),
    "query language nobody knows": (
        "ExecQuery", text("QueryLanguage", "SQL") + text("Query", "SELECT"), "root/cimv2", LANGUAGE),
    "changing a machine that is not there": ("DeleteInstance", named("InstanceName", VM), "root/cimv2", NOT_FOUND),
    "deleting a class that is not there": ("DeleteClass", class_named("CIM_None"), "root/cimv2", NOT_FOUND),
    "query that cannot be read": (
        "ExecQuery", text("QueryLanguage", "WQL") + text("Query", "SELECT"), "root/cimv2", QUERY),
    "query over a class that does not exist": ("ExecQuery", text("QueryLanguage", "DMTF:CQL")
        + text("Query", "SELECT * FROM CIM_None"), "root/cimv2", CLASS),
    "query with what the server does not have": ("ExecQuery", text("QueryLanguage", "DMTF:CQL")
        + text("Query", "SELECT DISTINCT Name FROM CIM_System"), "root/cimv2", FEATURE),
    "opened query in a language of filters": ("OpenQueryInstances", text("FilterQueryLanguage", "DMTF:FQL")
        + text("FilterQuery", "Name='x'"), "root/cimv2", LANGUAGE),
    "filter in a language of queries": ("OpenEnumerateInstances", MACHINES + text("FilterQueryLanguage", "DMTF:CQL")
        + text("FilterQuery", "Name='x'"), "root/cimv2", LANGUAGE),
    "filter that cannot be read": ("OpenEnumerateInstances", MACHINES + text("FilterQueryLanguage", "DMTF:FQL")
        + text("FilterQuery", "Name"), "root/cimv2", QUERY),
    "filter without a language": (
        "OpenEnumerateInstances", MACHINES + text("FilterQuery", "Name='x'"), "root/cimv2", PARAMETER),
    "timeout too long": ("OpenEnumerateInstances", MACHINES + text("OperationTimeout", 4294967295), "root/cimv2",
        TIMEOUT),
    "negative count": ("OpenEnumerateInstances", MACHINES + text("MaxObjectCount", -1), "root/cimv2", PARAMETER),
    "count that is no uint32": (
        "OpenEnumerateInstances", MACHINES + text("MaxObjectCount", 2**32), "root/cimv2", PARAMETER),
    "pulling without a count": ("PullInstancesWithPath", text("EnumerationContext", "x"), "root/cimv2", PARAMETER),
    "pulling from what was never opened": ("PullInstancesWithPath", text("EnumerationContext", "x")
        + text("MaxObjectCount", 1), "root/cimv2", CONTEXT),
    "closing what was never opened": ("CloseEnumeration", text("EnumerationContext", "x"), "root/cimv2", CONTEXT),
    "open in an unknown namespace": ("OpenEnumerateInstances", MACHINES, "root/none", NAMESPACE),
    "pull in an unknown namespace": ("PullInstancePaths", text("EnumerationContext", "x")
        + text("MaxObjectCount", 1), "root/none", NAMESPACE),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_its_status(server: Any, mistake: str) -> None:
    operation, params, namespace, expected = MISTAKES[mistake]
    assert status(intrinsic(server, operation, params, namespace)) == expected


@pytest.fixture(scope="module")
def machine(wbem: pywbem.WBEMConnection) -> str:
    """The uuid of a running machine."""
    return next(i["Name"] for i in wbem.EnumerateInstances("Xen_ComputerSystem") if i["ElementName"] == "web-1")


# The names of operations, parameters, classes, keys and roles are looked up without regard to case (DSP0004).
@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("enumerateinstances", '<IPARAMVALUE NAME="CLASSNAME"><CLASSNAME NAME="xen_computersystem"/></IPARAMVALUE>'),
        ("GETINSTANCE", named("instancename", "{lower}") + names("NAME")),
        ("associators", named("OBJECTNAME", "{lower}") + class_named("XEN_SYSTEMDEVICE", "assocclass")
            + text("role", "groupCOMPONENT") + text("RESULTROLE", "partcomponent")),
        ("referencenames", named("objectname", "{lower}") + class_named("cim_systemdevice", "resultCLASS")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("namespace", ["root/cimv2", "ROOT/CIMV2"])
def test_names_are_found_in_any_case(server: Any, machine: str, operation: str, params: str, namespace: str) -> None:
    lower = instance_name("XEN_computersystem", CREATIONCLASSNAME="Xen_ComputerSystem", NAME=machine)
    response = intrinsic(server, operation, params.replace("{lower}", lower), namespace)
    assert status(response) == 0
    assert len(response.find("IRETURNVALUE")) >= 1


def opened(server: Any, **params: object) -> str:
    """The context of a new enumeration of machines of which nothing is returned yet."""
    response = intrinsic(
        server, "OpenEnumerateInstances", MACHINES + "".join(text(name, value) for name, value in params.items())
    )
    assert status(response) == 0
    context = out(response, "EnumerationContext")
    assert out(response, "EndOfSequence").lower() == "false"
    return str(context)


def pull(server: Any, context: str, count: int, operation: str = "PullInstancesWithPath", **where: str) -> Any:
    return intrinsic(server, operation, text("EnumerationContext", context) + text("MaxObjectCount", count), **where)


def test_pulling_nothing_leaves_everything_and_the_last_pull_ends_the_sequence(
    server: Any, wbem: pywbem.WBEMConnection
) -> None:
    total = len(wbem.EnumerateInstanceNames("Xen_ComputerSystem"))
    context = opened(server)
    nothing = pull(server, context, 0)
    assert (out(nothing, "EndOfSequence").lower(), len(nothing.find("IRETURNVALUE"))) == ("false", 0)
    context = str(out(nothing, "EnumerationContext"))
    most = pull(server, context, total - 1)
    assert (out(most, "EndOfSequence").lower(), len(most.find("IRETURNVALUE"))) == ("false", total - 1)
    last = pull(server, str(out(most, "EnumerationContext")), 1)
    assert (out(last, "EndOfSequence").lower(), len(last.find("IRETURNVALUE"))) == ("true", 1)
    assert status(pull(server, context, 1)) == CONTEXT
    assert status(intrinsic(server, "CloseEnumeration", text("EnumerationContext", context))) == CONTEXT


def test_a_context_is_closed_once(server: Any) -> None:
    context = opened(server, MaxObjectCount=0)
    closing = text("EnumerationContext", context)
    assert status(intrinsic(server, "CloseEnumeration", closing)) == 0
    assert status(intrinsic(server, "CloseEnumeration", closing)) == CONTEXT
    assert status(pull(server, context, 1)) == CONTEXT


@pytest.mark.parametrize("operation", ["PullInstancePaths", "PullInstances"])
def test_a_context_of_instances_is_none_of_another_kind(server: Any, operation: str) -> None:
    context = opened(server)
    assert status(pull(server, context, 1, operation)) in (CONTEXT, NOT_SUPPORTED)
    assert status(pull(server, context, 1)) == 0


@pytest.mark.parametrize("namespace", ["interop", "root/interop"])
def test_a_context_is_for_its_namespace(server: Any, namespace: str) -> None:
    context = opened(server)
    assert status(pull(server, context, 1, namespace=namespace)) == CONTEXT
    assert status(pull(server, context, 1)) == 0


def test_an_enumeration_opened_under_one_name_of_the_interop_namespace_is_pulled_under_the_other(server: Any) -> None:
    response = intrinsic(server, "OpenEnumerateInstances", class_named("CIM_RegisteredProfile"), "interop")
    context = str(out(response, "EnumerationContext"))
    assert status(pull(server, context, 1, namespace="root/interop")) == 0


def test_a_context_of_another_user_does_not_exist(serve: Any, tmp_path: Path) -> None:
    users = tmp_path / "users"
    for name in ("ann", "ben"):
        subprocess.run(
            [sys.executable, "-m", "xenapi_core.cli.main", "user", "add", name, "--users", str(users),
             "--role", "pool-admin", "--password-stdin"],
            input=f"{name}-secret\n", text=True, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    server = serve("--users", str(users))
    ann, ben = basic("ann", "ann-secret"), basic("ben", "ben-secret")
    response = intrinsic(server, "OpenEnumerateInstances", MACHINES, user=ann)
    assert status(response) == 0
    context = str(out(response, "EnumerationContext"))
    assert status(pull(server, context, 1, user=ben)) == CONTEXT
    assert status(intrinsic(server, "CloseEnumeration", text("EnumerationContext", context), user=ben)) == CONTEXT
    assert status(pull(server, context, 1, user=ann)) == 0


def param(name: str, value: str, kind: str | None = None) -> str:
    typed = f' PARAMTYPE="{kind}"' if kind else ""
    return f'<PARAMVALUE NAME="{name}"{typed}>{value}</PARAMVALUE>'


NINE_NINE = "<VALUE>99</VALUE>"

# what is given: parameters, CIM status (None: the method answers), return value
CALLS: dict[str, tuple[str, int | None, str | None]] = {
    "the right type": (param("RequestedState", NINE_NINE, "uint16"), None, "5"),
    "no type": (param("RequestedState", NINE_NINE), None, "5"),
    "names in another case": (param("REQUESTEDSTATE", NINE_NINE, "uint16"), None, "5"),
    "nothing": ("", None, "5"),
    "NULL": ('<PARAMVALUE NAME="RequestedState" PARAMTYPE="uint16"/>', None, "5"),
    "a parameter too many": (
        param("RequestedState", NINE_NINE, "uint16") + param("Force", "<VALUE>true</VALUE>", "boolean"),
        PARAMETER, None),
    "a parameter twice": (param("RequestedState", NINE_NINE, "uint16") * 2, PARAMETER, None),
    "text": (param("RequestedState", "<VALUE>on</VALUE>", "string"), PARAMETER, None),
    "a number called text": (param("RequestedState", NINE_NINE, "string"), None, "5"),  # the declared type counts
    "text as a number": (param("RequestedState", "<VALUE>on</VALUE>", "uint16"), PARAMETER, None),
    "text without a type": (param("RequestedState", "<VALUE>on</VALUE>"), PARAMETER, None),
    "out of range": (param("RequestedState", "<VALUE>65536</VALUE>", "uint16"), PARAMETER, None),
    "negative": (param("RequestedState", "<VALUE>-1</VALUE>", "uint16"), PARAMETER, None),
    "another integer type": (param("RequestedState", NINE_NINE, "uint32"), None, "5"),
    "a boolean": (param("RequestedState", "<VALUE>true</VALUE>", "boolean"), PARAMETER, None),
    "an array": (
        param("RequestedState", "<VALUE.ARRAY><VALUE>2</VALUE></VALUE.ARRAY>", "uint16"), PARAMETER, None),
    "a reference": (param("RequestedState", f"<VALUE.REFERENCE>{VM}</VALUE.REFERENCE>", "reference"),
        PARAMETER, None),
    "an embedded object": (param("RequestedState",
        '<VALUE>&lt;INSTANCE CLASSNAME="CIM_Error"&gt;&lt;/INSTANCE&gt;</VALUE>', "string"), PARAMETER, None),
    "a timeout that is no time": (param("RequestedState", NINE_NINE, "uint16")
        + param("TimeoutPeriod", "<VALUE>soon</VALUE>", "datetime"), PARAMETER, None),
    "an output parameter": (param("RequestedState", NINE_NINE, "uint16")
        + param("Job", f"<VALUE.REFERENCE>{VM}</VALUE.REFERENCE>", "reference"), PARAMETER, None),
}  # fmt: skip


@pytest.mark.parametrize("given", CALLS)
def test_parameters_of_a_method_are_checked(server: Any, machine: str, given: str) -> None:
    params, failure, value = CALLS[given]
    response = extrinsic(server, "RequestStateChange", machine_name(machine), params)
    assert (status(response) or None, returned(response)) == (failure, value)


MACHINE_CLASS = '<CLASSNAME NAME="Xen_ComputerSystem"/>'

# target, method, status
TARGETS = {
    "method of an instance on its class": (MACHINE_CLASS, "RequestStateChange", METHOD_NOT_AVAILABLE),
    "unknown method of a class": (MACHINE_CLASS, "Jump", METHOD_NOT_FOUND),
    "method of an unknown class": ('<CLASSNAME NAME="CIM_None"/>', "RequestStateChange", CLASS),
    "instance that is not there": (VM, "RequestStateChange", NOT_FOUND),
    "unknown method of an instance that is not there": (VM, "Jump", METHOD_NOT_FOUND),
    "path without a key": (
        instance_name("Xen_ComputerSystem", Name="x"), "RequestStateChange", PARAMETER),
    "method without behaviour": ("{memory}", "Reset", METHOD_NOT_AVAILABLE),
    "unknown method": ("{machine}", "Jump", METHOD_NOT_FOUND),
}  # fmt: skip


@pytest.mark.parametrize("what", TARGETS)
def test_what_a_method_is_invoked_on_is_checked(server: Any, machine: str, what: str) -> None:
    target, method, expected = TARGETS[what]
    memory = instance_name(
        "Xen_Memory", SystemCreationClassName="Xen_ComputerSystem", SystemName=machine, CreationClassName="Xen_Memory",
        DeviceID=f"Xen:{machine}/memory",
    )  # fmt: skip
    named_there = target.replace("{machine}", machine_name(machine)).replace("{memory}", memory)
    assert status(extrinsic(server, method, named_there)) == expected


@pytest.mark.parametrize("method", ["RequestStateChange", "requeststatechange", "REQUESTSTATECHANGE"])
def test_a_method_is_found_in_any_case(server: Any, machine: str, method: str) -> None:
    params = param("RequestedState", NINE_NINE, "uint16")
    assert returned(extrinsic(server, method, machine_name(machine, "xen_COMPUTERsystem"), params)) == "5"
