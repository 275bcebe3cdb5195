"""The intrinsic operations of DSP0200 1.4 as data: the parameters each takes, their kinds and their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spec:
    """`kind` names the decoder (decode.py). `default` is the value of a parameter that is missing or NULL."""

    name: str
    kind: str
    required: bool = False
    default: Any = None


def _required(name: str, kind: str) -> Spec:
    return Spec(name, kind, required=True)


def _flag(name: str, default: bool) -> Spec:
    return Spec(name, "boolean", default=default)


_LOCAL = _flag("LocalOnly", True)
# For instances LocalOnly is deprecated since DSP0200 1.2, as servers never agreed on it. A client that does not mention
# it wants whole instances, so the default here is not the "true" of the tables.
_LOCAL_INSTANCE = _flag("LocalOnly", False)
_DEEP_CLASSES = _flag("DeepInheritance", False)
_DEEP = _flag("DeepInheritance", True)
_QUALIFIERS = _flag("IncludeQualifiers", False)
_CLASS_QUALIFIERS = _flag("IncludeQualifiers", True)
_ORIGIN = _flag("IncludeClassOrigin", False)
_LIST = Spec("PropertyList", "names")
_CLASS = _required("ClassName", "class")
_INSTANCE = _required("InstanceName", "instance name")
_ASSOCIATION = (
    Spec("AssocClass", "class"),
    Spec("ResultClass", "class"),
    Spec("Role", "name"),
    Spec("ResultRole", "name"),
)
_REFERENCE = (Spec("ResultClass", "class"), Spec("Role", "name"))
_OPEN = (
    Spec("FilterQueryLanguage", "string"),
    Spec("FilterQuery", "string"),
    Spec("OperationTimeout", "uint32"),
    _flag("ContinueOnError", False),
    Spec("MaxObjectCount", "uint32", default=0),
)
_CONTEXT = _required("EnumerationContext", "string")
_PULL = (_CONTEXT, _required("MaxObjectCount", "uint32"))

# fmt: off
_TABLE: dict[str, tuple[Spec, ...]] = {
    "GetClass": (_CLASS, _LOCAL, _CLASS_QUALIFIERS, _ORIGIN, _LIST),
    "GetInstance": (_INSTANCE, _LOCAL_INSTANCE, _QUALIFIERS, _ORIGIN, _LIST),
    "DeleteClass": (_CLASS,),
    "DeleteInstance": (_INSTANCE,),
    "CreateClass": (_required("NewClass", "declaration"),),
    "CreateInstance": (_required("NewInstance", "instance"),),
    "ModifyClass": (_required("ModifiedClass", "declaration"),),
    "ModifyInstance": (_required("ModifiedInstance", "named instance"), _CLASS_QUALIFIERS, _LIST),
    "EnumerateClasses": (Spec("ClassName", "class"), _DEEP_CLASSES, _LOCAL, _CLASS_QUALIFIERS, _ORIGIN),
    "EnumerateClassNames": (Spec("ClassName", "class"), _DEEP_CLASSES),
    "EnumerateInstances": (_CLASS, _LOCAL_INSTANCE, _DEEP, _QUALIFIERS, _ORIGIN, _LIST),
    "EnumerateInstanceNames": (_CLASS,),
    "ExecQuery": (_required("QueryLanguage", "string"), _required("Query", "string")),
    "Associators": (_required("ObjectName", "object name"), *_ASSOCIATION, _QUALIFIERS, _ORIGIN, _LIST),
    "AssociatorNames": (_required("ObjectName", "object name"), *_ASSOCIATION),
    "References": (_required("ObjectName", "object name"), *_REFERENCE, _QUALIFIERS, _ORIGIN, _LIST),
    "ReferenceNames": (_required("ObjectName", "object name"), *_REFERENCE),
    "GetProperty": (_INSTANCE, _required("PropertyName", "name")),
    "SetProperty": (_INSTANCE, _required("PropertyName", "name"), Spec("NewValue", "property value")),
    "GetQualifier": (_required("QualifierName", "name"),),
    "SetQualifier": (_required("QualifierDeclaration", "declaration"),),
    "DeleteQualifier": (_required("QualifierName", "name"),),
    "EnumerateQualifiers": (),
    "OpenEnumerateInstances": (_CLASS, _DEEP, _ORIGIN, _LIST, *_OPEN),
    "OpenEnumerateInstancePaths": (_CLASS, *_OPEN),
    "OpenAssociatorInstances": (_INSTANCE, *_ASSOCIATION, _ORIGIN, _LIST, *_OPEN),
    "OpenAssociatorInstancePaths": (_INSTANCE, *_ASSOCIATION, *_OPEN),
    "OpenReferenceInstances": (_INSTANCE, *_REFERENCE, _ORIGIN, _LIST, *_OPEN),
    "OpenReferenceInstancePaths": (_INSTANCE, *_REFERENCE, *_OPEN),
    "OpenQueryInstances": (
        _required("FilterQueryLanguage", "string"), _required("FilterQuery", "string"),
        _flag("ReturnQueryResultClass", False), Spec("OperationTimeout", "uint32"), _flag("ContinueOnError", False),
        Spec("MaxObjectCount", "uint32", default=0),
    ),
    "PullInstancesWithPath": _PULL,
    "PullInstancePaths": _PULL,
    "PullInstances": _PULL,
    "CloseEnumeration": (_CONTEXT,),
    "EnumerationCount": (_CONTEXT,),
}
# fmt: on

# By lower-case name: the spelling, and the parameters by lower-case name.
OPERATIONS: dict[str, tuple[str, dict[str, Spec]]] = {
    name.lower(): (name, {spec.name.lower(): spec for spec in specs}) for name, specs in _TABLE.items()
}
