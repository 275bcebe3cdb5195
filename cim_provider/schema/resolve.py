"""Resolves one class declaration against a graph: checks it, and adds what it inherits (DSP0004 clauses 5.1 and 5.6).

Theory of operation
1. A declared class is a CimClass that holds its own elements only. `resolved` makes the class with all elements, as
   schema/compile.py does for a whole schema; a class is never changed, a new one takes its place.
2. PROPAGATED in a declaration is a client repeating what it read: what is inherited anyway is left out.
3. Whatever breaks a rule is CimError INVALID_PARAMETER with the name of the element, except a superclass that does not
   exist, which is INVALID_SUPERCLASS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cim_provider.schema.graph import CimClass, ClassGraph, Method, Parameter, Property, Qualifier
from cim_provider.schema.objects import INVALID_PARAMETER, INVALID_SUPERCLASS, CimError

Qualifiers = Mapping[str, Qualifier]
Element = Property | Parameter

_NAME = re.compile(r"[A-Za-z_\u0080-\uffef][A-Za-z0-9_\u0080-\uffef]{0,255}\Z")


def wrong(text: str) -> CimError:
    return CimError(INVALID_PARAMETER, text)


def check_name(name: str, what: str) -> str:
    """The name, if it is an identifier (DSP0004 annex A)."""
    if not _NAME.match(name):
        raise wrong(f"{what} must be a name of letters, digits and underscores, not {name[:80]!r}")
    return name


def resolved(declared: CimClass, graph: ClassGraph, complete: bool = True) -> CimClass:
    """The class with all it inherits from its superclass in `graph`.

    `complete`: what references and embedded instances name must exist. That is asked when a class is written; later the
    class they name may go.
    """
    known = _Known(graph, declared.name.lower() if complete else None)
    above = _superclass(declared, graph)
    kind = (
        "ASSOCIATION" if "association" in declared.qualifiers or (above is not None and above.association) else "CLASS"
    )
    if "indication" in declared.qualifiers:
        kind = "INDICATION"
    qualifiers = _qualifiers(
        declared.name, declared.qualifiers, _propagated(above.qualifiers) if above else {}, graph, ("CLASS", kind)
    )
    association = "association" in qualifiers and bool(qualifiers["association"].value)
    if association and above is not None and not above.association:
        raise wrong(f"{declared.name} is an association, its superclass {above.name} is not")
    properties = {low: _inherited(p) for low, p in above.properties.items()} if above else {}
    for low, prop in declared.properties.items():
        found = _property(declared.name, prop, properties.get(low), known, association)
        if found is not None:
            properties[low] = found
    methods = {low: _inherited_method(m) for low, m in above.methods.items()} if above else {}
    for low, method in declared.methods.items():
        made = _method(declared.name, method, methods.get(low), known)
        if made is not None:
            methods[low] = made
    keys = tuple(p.name for p in properties.values() if p.key)
    if above is not None and above.keys and len(keys) != len(above.keys):
        more = next(name for name in keys if name not in above.keys)
        raise wrong(f"{declared.name} cannot add the key {more}: its superclass has keys already")
    references = sum(p.type == "reference" for p in properties.values())
    if association and references < 2:
        raise wrong(f"{declared.name} is an association and needs two references at least")
    return CimClass(declared.name, above.name if above else "", qualifiers, properties, methods, keys)


class _Known:
    """Which classes can be named: those of the graph and the class itself; any if `own` is None."""

    def __init__(self, graph: ClassGraph, own: str | None) -> None:
        self.graph = graph
        self._own = own

    def check(self, where: str, name: str) -> None:
        if self._own is not None and name.lower() != self._own and self.graph.find(name) is None:
            raise wrong(f"{where}: there is no class {name} to refer to")

    def narrows(self, name: str, above: str) -> bool:
        """Whether a reference to `name` can stand where one to `above` was."""
        if self.graph.find(name) is None or self.graph.find(above) is None:
            return True  # the class itself, or one that is gone
        return self.graph.is_a(name, above)


def _superclass(declared: CimClass, graph: ClassGraph) -> CimClass | None:
    if not declared.superclass:
        return None
    found = graph.find(declared.superclass)
    if found is None or found.name.lower() == declared.name.lower():
        raise CimError(INVALID_SUPERCLASS, f"there is no superclass {declared.superclass} for {declared.name}")
    terminal = found.qualifiers.get("terminal")
    if terminal is not None and terminal.value:
        raise CimError(INVALID_SUPERCLASS, f"{found.name} is Terminal: it can have no subclasses")
    return found


def _propagated(found: Qualifiers) -> dict[str, Qualifier]:
    """What subclasses see of qualifiers: those with flavor ToSubclass, marked as propagated."""
    return {low: q if q.propagated else replace(q, propagated=True) for low, q in found.items() if q.tosubclass}


def _inherited(prop: Property) -> Property:
    return prop if prop.propagated else replace(prop, qualifiers=_propagated(prop.qualifiers), propagated=True)


def _inherited_method(method: Method) -> Method:
    if method.propagated:
        return method
    parameters = {low: replace(p, qualifiers=_propagated(p.qualifiers)) for low, p in method.parameters.items()}
    return replace(method, parameters=parameters, qualifiers=_propagated(method.qualifiers), propagated=True)


def _qualifiers(
    where: str, own: Qualifiers, inherited: Qualifiers, graph: ClassGraph, scopes: tuple[str, ...]
) -> dict[str, Qualifier]:
    """An element's own qualifiers first, then the inherited ones it does not repeat."""
    found: dict[str, Qualifier] = {}
    for low, qualifier in own.items():
        declaration = graph.qualifier_declarations.get(low)
        above = inherited.get(low)
        if declaration is None:
            raise wrong(f"{where}: there is no qualifier type {qualifier.name}")
        if qualifier.type != declaration.type or (
            qualifier.value is not None and isinstance(qualifier.value, tuple) != declaration.array
        ):
            kind = f"{declaration.type}{'[]' if declaration.array else ''}"
            raise wrong(f"{where}: the qualifier {qualifier.name} must be {kind}")
        if not declaration.scopes.intersection(scopes):
            raise wrong(f"{where}: the qualifier {qualifier.name} is not for a {scopes[-1].lower()}")
        if above is not None and not above.overridable and above.value != qualifier.value:
            raise wrong(f"{where}: the qualifier {qualifier.name} cannot be overridden")
        if qualifier.propagated and above is not None and above.value == qualifier.value:
            continue
        found[low] = replace(qualifier, name=declaration.name, propagated=False)
    for low, above in inherited.items():
        found.setdefault(low, above)
    return found


def _property(
    classname: str, prop: Property, above: Property | None, known: _Known, association: bool
) -> Property | None:
    """None for a property that is only repeated (rule 2)."""
    where = f"{classname}.{prop.name}"
    if above is not None:
        if prop.propagated and "override" not in prop.qualifiers:
            return None
        _check_override(where, prop.qualifiers, above.name)
        if (prop.type, prop.array) != (above.type, above.array):
            raise wrong(f"{where} overrides a property of another type")
    scope = "REFERENCE" if prop.type == "reference" else "PROPERTY"
    quals = _qualifiers(where, prop.qualifiers, above.qualifiers if above else {}, known.graph, (scope,))
    embedded = _embedding(where, prop.type, quals, known)
    if prop.type == "reference":
        if not association or prop.array:
            raise wrong(f"{where}: a reference is a single property of an association")
        known.check(where, prop.reference_class)
        if above is not None and not known.narrows(prop.reference_class, above.reference_class):
            raise wrong(f"{where} must refer to {above.reference_class} or a subclass of it")
    made = replace(
        prop, qualifiers=quals, embedded=embedded, propagated=False, origin=above.origin if above else classname
    )
    if made.key and (prop.array or embedded):
        raise wrong(f"{where}: a key cannot be an array or embedded")
    if above is not None:
        made = replace(made, default=above.default if prop.default is None else prop.default)
    return made


def _method(classname: str, method: Method, above: Method | None, known: _Known) -> Method | None:
    where = f"{classname}.{method.name}"
    if above is not None:
        if method.propagated and "override" not in method.qualifiers:
            return None
        _check_override(where, method.qualifiers, above.name)
        if method.return_type != above.return_type:
            raise wrong(f"{where} overrides a method with another return type")
    quals = _qualifiers(where, method.qualifiers, above.qualifiers if above else {}, known.graph, ("METHOD",))
    parameters = {}
    for low, parameter in method.parameters.items():
        inherited = above.parameters.get(low) if above else None
        name = f"{where}.{parameter.name}"
        own = _qualifiers(
            name, parameter.qualifiers, inherited.qualifiers if inherited else {}, known.graph, ("PARAMETER",)
        )
        embedded = _embedding(name, parameter.type, own, known)
        if parameter.type == "reference":
            known.check(name, parameter.reference_class)
        given, out = own.get("in"), own.get("out")
        parameters[low] = replace(
            parameter,
            qualifiers=own,
            embedded=embedded,
            input=given is None or bool(given.value),
            output=out is not None and bool(out.value),
        )
    origin = above.origin if above else classname
    return replace(method, parameters=parameters, qualifiers=quals, propagated=False, origin=origin)


def _check_override(where: str, own: Qualifiers, name: str) -> None:
    """A redefinition says so, and of what (DSP0004 5.6.3.34)."""
    override = own.get("override")
    if override is None:
        raise wrong(f"{where} is inherited: to redefine it, say Override")
    if override.value is not None and str(override.value).rpartition(".")[2].lower() != name.lower():
        raise wrong(f"{where} overrides {name}, not {override.value}")


def _embedding(where: str, type_: str, quals: Qualifiers, known: _Known) -> str:
    """ "instance", "object" or "": what the string holds."""
    named, any_object = quals.get("embeddedinstance"), quals.get("embeddedobject")
    kind = "instance" if named is not None and named.value else "object" if any_object and any_object.value else ""
    if kind and type_ != "string":
        raise wrong(f"{where}: only strings hold embedded objects")
    if named is not None and named.value:
        known.check(where, str(named.value))
    return kind


def qualifiers_in(cls: CimClass) -> Iterator[Qualifier]:
    """Every qualifier that a class and its elements have."""
    yield from cls.qualifiers.values()
    for prop in cls.properties.values():
        yield from prop.qualifiers.values()
    for method in cls.methods.values():
        yield from method.qualifiers.values()
        for parameter in method.parameters.values():
            yield from parameter.qualifiers.values()
