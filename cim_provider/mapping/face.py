"""Faces: how a mode shows a view or an association differently from its profile's declaration.

A face is data: another class name, other lines, another choice of records or of items. What it makes of a view is a
variant: a view that is in no registry and knows the view it is `declared` as. Relations and methods speak of declared
views only, so they hold for every face.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cim_provider.mapping.association import Association, Relation
from cim_provider.mapping.method import DeclaredMethod
from cim_provider.mapping.rule import OWN_CLASS, Rule, const
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View


@dataclass(frozen=True)
class Kinds:
    """Instances of one view that are of different classes. `names`: subclasses of the face's class; `of` says which of
    them an instance is of, "" for the face's class. It looks at the instance's own record only."""

    names: tuple[str, ...]
    of: Callable[[Subject], str]


@dataclass(frozen=True)
class Face:
    """What differs from the declared view. `cim`: the class of the instances, "" for the declared one; `lines`: rules
    that replace or add to the declared ones, `methods` likewise; `where`, `items` and `kinds`: None for the declared
    ones."""

    cim: str = ""
    lines: Mapping[str, Rule] = field(default_factory=dict)
    where: Callable[[Subject], bool] | None = None
    items: Callable[[Subject], Iterable[Any]] | None = None
    kinds: Kinds | None = None
    methods: Mapping[str, DeclaredMethod] = field(default_factory=dict)


def variant(view: type[View], face: Face, name: str) -> type[View]:
    """The variant of a declared view that `face` describes; `name` tells the faces of a view from each other."""
    made = cast("type[View]", types.new_class(view.__name__, (view,), {"variant_of": view}))
    made.cim = face.cim or view.cim
    made.memo = f"{view.memo}:{name}"
    own = {line: const(made.cim) for line in _own_class_lines(view)}
    made.rules = {**view.rules, **own, **face.lines}
    made.methods = {**view.methods, **face.methods}
    if face.where is not None:
        made.where = staticmethod(face.where)
    if face.items is not None:
        made.items = staticmethod(face.items)
    if face.kinds is not None:
        kinds, general = face.kinds, made.cim
        made.kinds, made.kind = kinds.names, staticmethod(lambda subject: kinds.of(subject) or general)
    return made


def _own_class_lines(view: type[View]) -> set[str]:
    """Properties that hold the view's own class name."""
    found: dict[str, Any] = {}
    for base in reversed(view.__mro__):
        found.update((name, value) for name, value in vars(base).items() if isinstance(value, Rule))
    return {name for name, value in found.items() if value is OWN_CLASS}


def related_by(association: type[Association], relations: tuple[Relation, ...]) -> type[Association]:
    """An association with other relations, for one server."""
    made = cast("type[Association]", types.new_class(association.__name__, (association,), {"variant": True}))
    made.relations = relations
    return made
