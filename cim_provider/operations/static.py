"""Creates, modifies and deletes instances of classes that clients wrote: the checks before the repository.

Rule 1: a stored instance is valid: keys and Required properties have values, every value is of its property's type,
        references and embedded instances are of the class that is declared (DSP0200 5.4.2.6 and 5.4.2.8), and values
        are within what the qualifiers of the property say (bounds.py).
Rule 2: what a reference names need not exist, only its class: clients create associations and ends in any order.
Rule 3: the qualifiers Read and Write are not heeded: whoever may write instances stands for the managed element, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cim_provider.mapping.check import fits
from cim_provider.operations.api import Operation
from cim_provider.operations.bounds import beyond
from cim_provider.schema.graph import CimClass, ClassGraph, Property
from cim_provider.schema.objects import (
    ACCESS_DENIED,
    ALREADY_EXISTS,
    FAILED,
    INVALID_PARAMETER,
    TYPE_MISMATCH,
    CimError,
    Instance,
    Path,
    canonical_namespace,
)
from cim_provider.wire import values
from xenapi_core.bridge.source import Principal
from xenapi_core.model.schema import POOL_OPERATOR, roles_above

if TYPE_CHECKING:
    from cim_provider.provider import CimProvider

WRITERS = roles_above(POOL_OPERATOR)


def parsed(declared: Property, given: Any) -> Any:
    """The value of SetProperty, which comes as text, as the property's type. CimError TYPE_MISMATCH."""
    if given is None:
        return None
    wrong = CimError(TYPE_MISMATCH, f"{declared.name} is {declared.type}{'[]' if declared.array else ''}")
    if isinstance(given, tuple) != declared.array or declared.embedded:
        raise wrong
    if declared.type == "reference":
        if not isinstance(given, Path):
            raise wrong
        return given
    try:
        if isinstance(given, tuple):
            return tuple(None if one is None else _text(declared, one) for one in given)
        return _text(declared, given)
    except CimError as error:
        raise CimError(TYPE_MISMATCH, error.text) from None


def _text(declared: Property, given: Any) -> Any:
    if not isinstance(given, str):
        raise values.invalid(f"{declared.name} is {declared.type}")
    return values.parse(given, declared.type, declared.name)


def admit(principal: Principal, roles: frozenset[str], least: str, what: str) -> None:
    """CimError ACCESS_DENIED unless the principal has one of `roles`; `least` names the lowest."""
    if not roles & principal.roles:
        raise CimError(ACCESS_DENIED, f"who changes {what} needs the role {least}")


def fits_one(prop: Property, item: Any) -> bool:
    """Whether a value can be (one element of) a property."""
    return isinstance(item, Path) if prop.type == "reference" else fits(replace(prop, array=False), item)


class StaticWriter:
    """An InstanceWriter (operations/api.py) over the static instances of a provider."""

    def __init__(self, provider: CimProvider) -> None:
        self.provider = provider

    def create(self, op: Operation, new: Instance) -> Path:
        """CimError ACCESS_DENIED, INVALID_PARAMETER, ALREADY_EXISTS, FAILED for an abstract class."""
        admit(op.principal, WRITERS, POOL_OPERATOR, "instances")
        return self.store(op.namespace, new)

    def store(self, namespace: str, new: Instance, replace: bool = False) -> Path:
        """Create an instance without a check of the user's role. CimError as of `create`; `replace` is for an instance
        that is there already."""
        space = self.provider.spaces.get(namespace)
        cls = space.graph.classes[new.classname.lower()]
        if cls.abstract:
            raise CimError(FAILED, f"{cls.name} is abstract: it has no instances")
        if not cls.keys:
            raise CimError(FAILED, f"{cls.name} has no keys: its instances can only be embedded")
        made = {p.name: p.default for p in cls.properties.values() if p.default is not None}
        made |= new.values
        made = self._valid(space.name, cls, made)
        path = Path.of(cls.name, {key: made[key] for key in cls.keys}, space.name)
        if not replace and self.provider.static.find(path) is not None:
            raise CimError(ALREADY_EXISTS, f"there is such an instance of {cls.name}")
        self.provider.static.put(path, made, space)
        return path

    def modify(self, op: Operation, path: Path, changed: Instance) -> None:
        """CimError ACCESS_DENIED, INVALID_PARAMETER (also for another value of a key)."""
        admit(op.principal, WRITERS, POOL_OPERATOR, "instances")
        space = self.provider.spaces.get(op.namespace)
        cls = space.graph.classes[path.classname.lower()]
        stored = self.provider.static.find(path)
        after = dict(stored.values) if stored is not None else {}
        given = self._normal(space.name, changed.values)
        for key in cls.keys:
            value = given.pop(key, None)
            if value is not None and value != path.key(key):
                raise values.invalid(f"the key {key} cannot be changed")
        self.provider.static.put(path, self._valid(space.name, cls, after | given), space)

    def delete(self, op: Operation, path: Path) -> None:
        """CimError ACCESS_DENIED. Associations that refer to the instance stay (rule 2)."""
        admit(op.principal, WRITERS, POOL_OPERATOR, "instances")
        self.provider.static.remove(path)

    def _valid(self, namespace: str, cls: CimClass, given: dict[str, Any]) -> dict[str, Any]:
        """The property values of a valid instance (rule 1), with references in the form in which paths are stored.
        NULLs are left out."""
        found = {name: value for name, value in self._normal(namespace, given).items() if value is not None}
        graph = self.provider.graph(namespace)
        for prop in cls.properties.values():
            value = found.get(prop.name)
            required = prop.qualifiers.get("required")
            if value is None:
                if prop.key or (required is not None and required.value):
                    raise values.invalid(f"{cls.name} needs a value for {prop.name}")
                continue
            items = value if isinstance(value, tuple) else (value,)
            if isinstance(value, tuple) != prop.array or not (
                prop.embedded or all(item is None or fits_one(prop, item) for item in items)
            ):
                raise values.invalid(f"{prop.name} is {prop.type}{'[]' if prop.array else ''}")
            if prop.array_size is not None and len(items) > prop.array_size:
                raise values.invalid(f"{prop.name} has {prop.array_size} elements at most")
            for item in items:
                self._check_class(graph, prop, item)
                if why := beyond(prop, item):
                    raise values.invalid(why)
        return found

    def _check_class(self, graph: ClassGraph, prop: Property, item: Any) -> None:
        """Whether what a property refers to or embeds may be there."""
        if isinstance(item, Path):
            space = self.provider.spaces.find(item.namespace)
            if item.keys is None or space is None or space.graph.find(item.classname) is None:
                raise values.invalid(f"{prop.name} refers to a class that does not exist: {item.classname}")
            if not space.graph.is_a(item.classname, prop.reference_class):
                raise values.invalid(f"{prop.name} must refer to {prop.reference_class}, not {item.classname}")
        elif prop.embedded and item is not None:
            if isinstance(item, CimClass) and prop.embedded == "object":
                return
            if not isinstance(item, Instance):
                raise values.invalid(f"{prop.name} holds an embedded instance")
            if prop.embedded == "instance":
                name = str(prop.qualifiers["embeddedinstance"].value)
                if graph.find(item.classname) is None or not graph.is_a(item.classname, name):
                    raise values.invalid(f"{prop.name} must hold {name}, not {item.classname}")

    def _normal(self, namespace: str, given: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._path(value, namespace) if isinstance(value, Path) else value for name, value in given.items()
        }

    def _path(self, path: Path, namespace: str) -> Path:
        """A path with namespace, without host, and with names as the schema of its namespace spells them."""
        space = self.provider.spaces.find(canonical_namespace(path.namespace or namespace))
        cls = None if space is None else space.graph.find(path.classname)
        if space is None or path.keys is None or cls is None:
            return path
        keys = {}
        for name, value in path.keys:
            prop = cls.properties.get(name.lower())
            spelled = self._path(value, space.name) if isinstance(value, Path) else value
            keys[name if prop is None else prop.name] = spelled
        if set(keys) != set(cls.keys):
            raise CimError(INVALID_PARAMETER, f"the keys of {cls.name} are {', '.join(cls.keys) or 'none'}")
        return Path.of(cls.name, keys, space.name)
