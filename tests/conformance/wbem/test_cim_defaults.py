"""What a parameter that is left out means (DSP0200 5.4.2), told by raw requests: client libraries fill them in.

Answers are compared with each other, so only what stands still is read: settings, not metrics or what a machine uses.
"""

from __future__ import annotations

from typing import Any

import pytest
from cim_xml import class_named, intrinsic, machine_name, named, out, status, text
from lxml import etree

TRUE, FALSE = "true", "false"
CLASS = class_named("CIM_LogicalDevice")
SETTINGS = class_named("CIM_SettingData")
TO_SETTINGS = class_named("CIM_SettingData", "ResultClass")
OF_SETTINGS = class_named("CIM_SettingsDefineState", "ResultClass")
PORT = class_named("Xen_NetworkPort", "ObjectName")


@pytest.fixture(scope="module")
def machine(wbem: Any) -> str:
    """INSTANCENAME of a machine that is off."""
    machines = wbem.EnumerateInstances("Xen_ComputerSystem")
    return machine_name(next(i["Name"] for i in machines if i["EnabledState"] == 3))


# operation, its other parameters, parameter -> the value it has when it is left out
DEFAULTS = [
    ("GetClass", CLASS, {"LocalOnly": TRUE, "IncludeQualifiers": TRUE, "IncludeClassOrigin": FALSE}),
    ("EnumerateClasses", CLASS, {"DeepInheritance": FALSE, "LocalOnly": TRUE, "IncludeQualifiers": TRUE,
                                 "IncludeClassOrigin": FALSE}),
    ("EnumerateClassNames", CLASS, {"DeepInheritance": FALSE}),
    # LocalOnly of instances is deprecated; NULL counts as false here (docs/decisions.md)
    ("EnumerateInstances", SETTINGS, {"LocalOnly": FALSE, "DeepInheritance": TRUE, "IncludeClassOrigin": FALSE}),
    ("GetInstance", "{machine}", {"LocalOnly": FALSE, "IncludeClassOrigin": FALSE}),
    ("Associators", "{source}" + TO_SETTINGS, {"IncludeClassOrigin": FALSE}),
    ("References", "{source}" + OF_SETTINGS, {"IncludeClassOrigin": FALSE}),
    ("Associators", PORT, {"IncludeQualifiers": FALSE, "IncludeClassOrigin": FALSE}),
    ("References", PORT, {"IncludeQualifiers": FALSE, "IncludeClassOrigin": FALSE}),
]  # fmt: skip
CASES = [
    (operation, params, name, default) for operation, params, defaults in DEFAULTS for name, default in defaults.items()
]


IDS = [
    f"{operation} on a class, {name}" if params == PORT else f"{operation}, {name}"
    for operation, params, name, _ in CASES
]


@pytest.mark.parametrize(("operation", "params", "name", "default"), CASES, ids=IDS)
def test_a_parameter_left_out_is_its_default_and_the_other_value_differs(
    server: Any, machine: str, operation: str, params: str, name: str, default: str
) -> None:
    params = params.replace("{machine}", named("InstanceName", machine)).replace(
        "{source}", named("ObjectName", machine)
    )
    other = FALSE if default == TRUE else TRUE

    def children(more: str) -> list[bytes]:
        response = intrinsic(server, operation, params + more)
        assert status(response) == 0
        found = response.find("IRETURNVALUE")
        return [etree.tostring(child) for child in found]

    plain = children("")
    assert plain
    assert children(text(name, default)) == plain
    assert children(f'<IPARAMVALUE NAME="{name}"/>') == plain
    assert children(text(name, other)) != plain


@pytest.mark.parametrize(
    "operation", ["OpenEnumerateInstances", "OpenEnumerateInstancePaths", "OpenAssociatorInstances"]
)
@pytest.mark.parametrize("given", ["", '<IPARAMVALUE NAME="MaxObjectCount"/>', text("MaxObjectCount", 0)])
def test_opening_without_a_count_returns_nothing_yet(server: Any, machine: str, operation: str, given: str) -> None:
    what = named("InstanceName", machine) if "Associator" in operation else CLASS
    response = intrinsic(server, operation, what + given)
    assert status(response) == 0
    assert str(out(response, "EndOfSequence")).lower() == FALSE
    assert out(response, "EnumerationContext")
    assert len(response.find("IRETURNVALUE")) == 0


def test_an_enumeration_without_instances_ends_at_once(server: Any, wbem: Any) -> None:
    empty = next(n for n in wbem.EnumerateClassNames(DeepInheritance=True) if not wbem.EnumerateInstanceNames(n))
    response = intrinsic(server, "OpenEnumerateInstances", class_named(empty))
    assert status(response) == 0
    assert str(out(response, "EndOfSequence")).lower() == TRUE
    assert not out(response, "EnumerationContext")
