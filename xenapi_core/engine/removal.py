"""Removes records together with every reference to them.

Rule 1: the records that go are found first and deleted last: a transaction that has deleted thousands reads slowly.
Rule 2: what refers to them is found through the schema, so no reference can be forgotten here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final

from xenapi_core.engine.plan import World
from xenapi_core.ids import NULL_REF
from xenapi_core.model.belonging import BELONGS, PARTS
from xenapi_core.model.schema import Schema
from xenapi_core.model.types import MapType, OptionType, RefType, SetType, Type
from xenapi_core.store.api import Txn

References = Mapping[str, Mapping[str, str]]  # class -> its stored fields that refer to records -> the class of those

_KEPT: Final = object()  # a value that refers to nothing that goes


def remove(world: World, txn: Txn, refs: Iterable[str]) -> None:
    """Delete these records with all that belongs to them (model/belonging.py), and clear what refers to any of them.

    A drive for media whose disk goes becomes empty. References that `txn` itself wrote before are not looked at. Costs
    a pass over all records of the classes that may refer to what goes.
    """
    references = _references(world.schema)
    gone = _with_belongings(world, references, txn, refs)
    classes = set(gone.values())
    for cls, targets in references.items():
        fields = [field for field, target in targets.items() if target in classes]
        if not fields:
            continue
        types = {field: world.schema[cls][field].type for field in fields}
        for record in list(world.store.all(cls).values()):
            if record.ref not in gone:
                found = {field: _without_refs(type_, record.values[field], gone) for field, type_ in types.items()}
                changes = {field: value for field, value in found.items() if value is not _KEPT}
                if changes and txn.find(record.ref) is not None:
                    txn.update(record.ref, **changes, **({"empty": True} if cls == "VBD" and "VDI" in changes else {}))
    for ref in gone:
        txn.delete(ref)


def _with_belongings(world: World, references: References, txn: Txn, refs: Iterable[str]) -> dict[str, str]:
    """Reference -> class of `refs` that exist, and of all that belongs to them."""
    belonging: dict[str, list[tuple[str, str]]] = {}  # class -> those who belong to it: class, field
    for owner, fields in BELONGS.items():
        for field in fields:
            belonging.setdefault(references[owner][field], []).append((owner, field))
    gone: dict[str, str] = {}
    waiting = list(refs)
    while waiting:
        ref = waiting.pop()
        values, version = txn.find(ref), world.store.find(ref)
        if ref in gone or values is None or version is None:
            continue
        gone[ref] = version.cls
        for field in PARTS.get(version.cls, ()):
            part = values[field]
            waiting.extend(part.values() if isinstance(part, Mapping) else (part,))
        for owner, field in belonging.get(version.cls, ()):
            waiting.extend(_naming(world, txn, owner, field, ref))
    return gone


def _naming(world: World, txn: Txn, owner: str, field: str, ref: str) -> Iterator[str]:
    """The records of class `owner` that go because their `field` names `ref`."""
    inverse = world.schema.relations.get((owner, field))
    if inverse is not None:
        found: Iterable[str] = txn.related(ref, inverse[1])
    else:
        found = [record.ref for record in world.store.all(owner).values() if record[field] == ref]
    for each in found:
        if (owner, field) != ("VBD", "VDI") or txn.get(each)["type"] != "CD":
            yield each


def _references(schema: Schema) -> References:
    found: dict[str, dict[str, str]] = {}
    for cls in schema.classes.values():
        for field in cls.fields:
            target = _target(field.type) if field.stored else None
            if target is not None:
                found.setdefault(cls.name, {})[field.name] = target
    return found


def _target(type_: Type) -> str | None:
    match type_:
        case RefType():
            return type_.cls
        case SetType() | OptionType():
            return _target(type_.item)
        case MapType():
            return _target(type_.key) or _target(type_.value)
    return None


def _without_refs(type_: Type, value: Any, gone: Container[str]) -> Any:
    """`value` without references to what is gone, or _KEPT if there are none."""
    match type_:
        case SetType():
            return tuple(item for item in value if item not in gone) if any(item in gone for item in value) else _KEPT
        case MapType():
            names = 0 if isinstance(type_.key, RefType) else 1
            rest = dict(pair for pair in value.items() if pair[names] not in gone)
            return rest if len(rest) < len(value) else _KEPT
        case OptionType():
            return None if value in gone else _KEPT
    return NULL_REF if value in gone else _KEPT
