"""CLASS and QUALIFIER.DECLARATION elements (DSP0201) to declared classes and qualifier types.

Rule 1: what comes out has the client's own elements only; schema/resolve.py says whether they fit together.
Rule 2: a flavor that a client leaves out is the qualifier type's (DSP0004 5.6.1.2), not that of the DTD.
Rule 3: every name that a reply will repeat is an identifier, so that encoders need not escape names of the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lxml.etree import _Element as Element

from cim_provider.schema.graph import (
    CimClass,
    ClassGraph,
    Method,
    Parameter,
    Property,
    Qualifier,
    QualifierDeclaration,
)
from cim_provider.schema.resolve import check_name
from cim_provider.wire import values
from cim_provider.wire.text import INTEGERS, REALS
from cim_provider.wire.values import invalid

TYPES = frozenset({"string", "char16", "datetime", "boolean", *INTEGERS, *REALS})
SCOPES = ("CLASS", "ASSOCIATION", "REFERENCE", "PROPERTY", "METHOD", "PARAMETER", "INDICATION")
_PARAMETERS = ("PARAMETER", "PARAMETER.ARRAY", "PARAMETER.REFERENCE", "PARAMETER.REFARRAY")


class Texts(Protocol):
    """The part of decode.Reader that is needed here: the graph of the namespace, and the text of a VALUE."""

    @property
    def graph(self) -> ClassGraph: ...

    def text(self, element: Element, what: str) -> str: ...


def declaration(reader: Texts, element: Element, what: str) -> CimClass | QualifierDeclaration:
    """The class or qualifier type in a parameter. CimError INVALID_PARAMETER."""
    if what == "QualifierDeclaration":
        return qualifier_type(reader, element)
    return class_declaration(reader, element, what)


def _needs(element: Element, what: str, *tags: str) -> None:
    if element.tag not in tags:
        raise invalid(f"{what}: {' or '.join(tags)} expected, not {str(element.tag)[:80]}")


def _name(element: Element, attribute: str = "NAME") -> str:
    return check_name(element.get(attribute, ""), f"{attribute} of {element.tag}")


def _flag(element: Element, attribute: str, default: bool = False) -> bool:
    given = element.get(attribute)
    return default if given is None else values.boolean(given, f"{attribute} of {element.tag}")


def _type(element: Element, attribute: str = "TYPE") -> str:
    given = element.get(attribute, "")
    if given not in TYPES:
        raise invalid(f"{given[:40]!r} is no CIM type")
    return given


def _size(element: Element) -> int | None:
    given = element.get("ARRAYSIZE")
    return None if given is None else values.integer(given, "uint32", "ARRAYSIZE")


def qualifier_type(reader: Texts, element: Element) -> QualifierDeclaration:
    """A QUALIFIER.DECLARATION."""
    _needs(element, "QualifierDeclaration", "QUALIFIER.DECLARATION")
    name, type_ = _name(element), _type(element)
    scopes: set[str] = set()
    default = None
    array = _flag(element, "ISARRAY")
    for child in element:
        if child.tag == "SCOPE":
            scopes.update(scope for scope in SCOPES if _flag(child, scope))
        else:
            array = array or child.tag == "VALUE.ARRAY"
            default = _value(reader, child, type_, array, name)
    if not scopes:
        raise invalid(f"the qualifier type {name} has no scope")
    return QualifierDeclaration(
        name,
        type_,
        array,
        default,
        frozenset(scopes),
        _flag(element, "OVERRIDABLE", True),
        _flag(element, "TOSUBCLASS", True),
        _flag(element, "TRANSLATABLE"),
    )


def class_declaration(reader: Texts, element: Element, what: str) -> CimClass:
    """A CLASS."""
    _needs(element, what, "CLASS")
    name = _name(element)
    superclass = _name(element, "SUPERCLASS") if element.get("SUPERCLASS") else ""
    properties: dict[str, Property] = {}
    methods: dict[str, Method] = {}
    for child in element:
        if child.tag == "QUALIFIER":
            continue
        if child.tag == "METHOD":
            method = _method(reader, child)
            if methods.setdefault(method.name.lower(), method) is not method:
                raise invalid(f"{name} has the method {method.name} twice")
            continue
        _needs(child, what, "PROPERTY", "PROPERTY.ARRAY", "PROPERTY.REFERENCE")
        prop = _property(reader, child)
        if properties.setdefault(prop.name.lower(), prop) is not prop:
            raise invalid(f"{name} has the property {prop.name} twice")
    return CimClass(name, superclass, _qualifiers(reader, element, name), properties, methods)


def _qualifiers(reader: Texts, element: Element, what: str) -> dict[str, Qualifier]:
    found: dict[str, Qualifier] = {}
    for child in element:
        if child.tag != "QUALIFIER":
            continue
        name = _name(child)
        if name.lower() in found:
            raise invalid(f"{what} has the qualifier {name} twice")
        type_ = _type(child)
        given = list(child)
        if len(given) > 1:
            raise invalid(f"the qualifier {name} must have one value")
        value = _value(reader, given[0], type_, given[0].tag == "VALUE.ARRAY", name) if given else None
        declared = reader.graph.qualifier_declarations.get(name.lower())
        found[name.lower()] = Qualifier(
            name,
            type_,
            value,
            _flag(child, "PROPAGATED"),
            _flag(child, "OVERRIDABLE", declared is None or declared.overridable),
            _flag(child, "TOSUBCLASS", declared is None or declared.tosubclass),
            _flag(child, "TRANSLATABLE", declared is not None and declared.translatable),
        )
    return found


def _value(reader: Texts, element: Element, type_: str, array: bool, what: str) -> object:
    if not array:
        return values.parse(reader.text(element, what), type_, what)
    _needs(element, what, "VALUE.ARRAY")
    return tuple(
        None if item.tag == "VALUE.NULL" else values.parse(reader.text(item, what), type_, what) for item in element
    )


def _without_qualifiers(element: Iterable[Element], what: str) -> Element | None:
    found = [child for child in element if child.tag != "QUALIFIER"]
    if len(found) > 1:
        raise invalid(f"{what} must have one value")
    return found[0] if found else None


def _property(reader: Texts, element: Element) -> Property:
    name = _name(element)
    quals, propagated = _qualifiers(reader, element, name), _flag(element, "PROPAGATED")
    value = _without_qualifiers(element, name)
    if element.tag == "PROPERTY.REFERENCE":
        if value is not None:
            raise invalid(f"{name}: a reference in a class has no value")
        return Property(name, "reference", False, "", quals, _name(element, "REFERENCECLASS"), propagated=propagated)
    type_, array = _type(element), element.tag == "PROPERTY.ARRAY"
    default = None if value is None else _value(reader, value, type_, array, name)
    return Property(name, type_, array, "", quals, "", "", default, propagated, _size(element) if array else None)


def _method(reader: Texts, element: Element) -> Method:
    name = _name(element)
    parameters: dict[str, Parameter] = {}
    for child in element:
        if child.tag == "QUALIFIER":
            continue
        _needs(child, name, *_PARAMETERS)
        parameter = _parameter(reader, child)
        if parameters.setdefault(parameter.name.lower(), parameter) is not parameter:
            raise invalid(f"{name} has the parameter {parameter.name} twice")
    returns = _type(element) if element.get("TYPE") else "uint32"
    return Method(name, returns, "", parameters, _qualifiers(reader, element, name), _flag(element, "PROPAGATED"))


def _parameter(reader: Texts, element: Element) -> Parameter:
    name = _name(element)
    reference = element.tag in ("PARAMETER.REFERENCE", "PARAMETER.REFARRAY")
    array = element.tag in ("PARAMETER.ARRAY", "PARAMETER.REFARRAY")
    return Parameter(
        name,
        "reference" if reference else _type(element),
        array,
        _qualifiers(reader, element, name),
        _name(element, "REFERENCECLASS") if reference else "",
        array_size=_size(element) if array else None,
    )
