"""Class and qualifier declarations as CIM-XML (DSP0201): CLASS, CLASSNAME, QUALIFIER.DECLARATION."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from cim_provider.schema.graph import CimClass, Method, Parameter, Property, Qualifier, QualifierDeclaration
from cim_provider.wire import text

_SCOPES = ("CLASS", "ASSOCIATION", "REFERENCE", "PROPERTY", "METHOD", "PARAMETER", "INDICATION")


def class_name(name: str) -> bytes:
    return f'<CLASSNAME NAME="{text.attribute(name)}"></CLASSNAME>'.encode()


def class_declaration(
    cls: CimClass,
    local_only: bool = False,
    qualifiers: bool = True,
    class_origin: bool = False,
    names: frozenset[str] | None = None,
) -> bytes:
    """A CLASS element as GetClass wants it (DSP0200 5.3.2.1).

    `local_only` leaves out what the class only inherits. `names`, in lower case, limits the properties; methods are
    not concerned. Without `names` the element is remembered, as clients ask for the same classes over and over.
    """
    if names is None:
        return _whole(cls, local_only, qualifiers, class_origin)
    return _class(cls, local_only, qualifiers, class_origin, names)


def _class(
    cls: CimClass, local_only: bool, qualifiers: bool, class_origin: bool, names: frozenset[str] | None
) -> bytes:
    above = f' SUPERCLASS="{cls.superclass}"' if cls.superclass else ""
    out = [f'<CLASS NAME="{cls.name}"{above}>']
    if qualifiers:
        out.append(_qualifiers(cls.qualifiers, local_only))
    out += [
        _property(prop, local_only, qualifiers, class_origin)
        for low, prop in cls.properties.items()
        if not (local_only and prop.propagated) and (names is None or low in names)
    ]
    out += [
        _method(method, local_only, qualifiers, class_origin)
        for method in cls.methods.values()
        if not (local_only and method.propagated)
    ]
    out.append("</CLASS>")
    return "".join(out).encode()


@lru_cache(maxsize=1024)
def _whole(cls: CimClass, local_only: bool, qualifiers: bool, class_origin: bool) -> bytes:
    return _class(cls, local_only, qualifiers, class_origin, None)


def qualifier_declaration(found: QualifierDeclaration) -> bytes:
    """A QUALIFIER.DECLARATION element."""
    scope = "".join(f' {name}="true"' for name in _SCOPES if name in found.scopes)
    array = ' ISARRAY="true"' if found.array else ' ISARRAY="false"'
    head = f'<QUALIFIER.DECLARATION NAME="{found.name}" TYPE="{found.type}"{array}{_flavor(found)}>'
    return f"{head}<SCOPE{scope}></SCOPE>{_value(found.type, found.default)}</QUALIFIER.DECLARATION>".encode()


def _value(type_: str, value: Any) -> str:
    if value is None:
        return ""
    write = text.WRITERS[type_]
    if isinstance(value, tuple):
        items = ("<VALUE.NULL></VALUE.NULL>" if v is None else f"<VALUE>{write(v)}</VALUE>" for v in value)
        return f"<VALUE.ARRAY>{''.join(items)}</VALUE.ARRAY>"
    return f"<VALUE>{write(value)}</VALUE>"


def _flavor(found: Qualifier | QualifierDeclaration) -> str:
    """All flavors spelled out: clients differ about the defaults."""
    return (
        f' OVERRIDABLE="{text.boolean(found.overridable)}" TOSUBCLASS="{text.boolean(found.tosubclass)}"'
        f' TRANSLATABLE="{text.boolean(found.translatable)}"'
    )


@lru_cache(maxsize=4096)
def _qualifier(found: Qualifier) -> str:
    propagated = ' PROPAGATED="true"' if found.propagated else ""
    head = f'<QUALIFIER NAME="{found.name}" TYPE="{found.type}"{propagated}{_flavor(found)}>'
    return f"{head}{_value(found.type, found.value)}</QUALIFIER>"


def _qualifiers(found: Mapping[str, Qualifier], local_only: bool) -> str:
    return "".join(_qualifier(q) for q in found.values() if not (local_only and q.propagated))


def _origin(element: Property | Method, class_origin: bool) -> str:
    origin = f' CLASSORIGIN="{element.origin}"' if class_origin else ""
    return f'{origin} PROPAGATED="{text.boolean(element.propagated)}"'


def _property(prop: Property, local_only: bool, qualifiers: bool, class_origin: bool) -> str:
    inner = _qualifiers(prop.qualifiers, local_only) if qualifiers else ""
    origin = _origin(prop, class_origin)
    if prop.type == "reference":
        head = f'<PROPERTY.REFERENCE NAME="{prop.name}" REFERENCECLASS="{prop.reference_class}"{origin}>'
        return f"{head}{inner}</PROPERTY.REFERENCE>"
    tag = "PROPERTY.ARRAY" if prop.array else "PROPERTY"
    size = f' ARRAYSIZE="{prop.array_size}"' if prop.array_size else ""
    # wbemcli refuses PROPERTY.ARRAY with this attribute; where the qualifiers are told, they say the same
    told = bool(prop.embedded) and not (prop.array and qualifiers)
    embedded = f' EmbeddedObject="{prop.embedded}"' if told else ""
    head = f'<{tag} NAME="{prop.name}" TYPE="{prop.type}"{size}{origin}{embedded}>'
    return f"{head}{inner}{_value(prop.type, prop.default)}</{tag}>"


def _method(method: Method, local_only: bool, qualifiers: bool, class_origin: bool) -> str:
    inner = _qualifiers(method.qualifiers, local_only) if qualifiers else ""
    inner += _parameters(method.parameters.values(), local_only, qualifiers)
    head = f'<METHOD NAME="{method.name}" TYPE="{method.return_type}"{_origin(method, class_origin)}>'
    return f"{head}{inner}</METHOD>"


def _parameters(found: Iterable[Parameter], local_only: bool, qualifiers: bool) -> str:
    out = []
    for p in found:
        tag = "PARAMETER"
        detail = f' TYPE="{p.type}"'
        if p.type == "reference":
            tag = "PARAMETER.REFERENCE"
            detail = f' REFERENCECLASS="{p.reference_class}"'
        if p.array:
            tag = "PARAMETER.REFARRAY" if p.type == "reference" else "PARAMETER.ARRAY"
            detail += f' ARRAYSIZE="{p.array_size}"' if p.array_size else ""
        inner = _qualifiers(p.qualifiers, local_only) if qualifiers else ""
        out.append(f'<{tag} NAME="{p.name}"{detail}>{inner}</{tag}>')
    return "".join(out)
