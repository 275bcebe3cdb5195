"""The view: a declaration of how the records of one Xen-API class appear as the instances of one CIM class.

    class ComputerSystem(View, cim="Xen_ComputerSystem", of="VM", where=is_guest):
        CreationClassName = OWN_CLASS
        Name = field("uuid")
        EnabledState = computed(enabled_state)

One line per property: the name is the property's, the value a Rule. A class statement without `cim=` declares lines
that several views share. A view without `of=` has no records; its `items` function says what there is. One with
`registered=False` is in no registry: only the modes that name it show it (compat/mode.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from cim_provider.mapping.method import DeclaredMethod
from cim_provider.mapping.rule import OWN_CLASS, Rule, const
from cim_provider.mapping.subject import Subject
from cim_provider.schema.objects import CIMV2

VIEWS: dict[str, type[View]] = {}


def _single_item(subject: Subject) -> Iterable[Any]:
    return (None,)


def _always(subject: Subject) -> bool:
    return True


class View:
    """Base of all views; never instantiated.

    cim        the CIM class whose instances these are.
    of         the Xen-API class of the records; None if there are none.
    where      which records appear.
    items      what one record becomes: one item per instance (virtual processors); for a view without records, all
               items there are. Rules find the item as `subject.item`.
    namespace  where the instances live.
    kinds      subclasses of `cim` that instances may be of, too; `kind` tells the class of one. Only faces have any.
    declared   the view as a profile declares it; of a variant (face.py), the one it is a variant of.
    memo       under what name renditions are kept; no other view or variant has it.
    """

    cim: ClassVar[str] = ""
    of: ClassVar[str | None] = None
    where: ClassVar[Callable[[Subject], bool]]
    items: ClassVar[Callable[[Subject], Iterable[Any]]]
    namespace: ClassVar[str] = CIMV2
    kinds: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[Callable[[Subject], str]]
    rules: ClassVar[dict[str, Rule]] = {}
    methods: ClassVar[dict[str, DeclaredMethod]] = {}
    declared: ClassVar[type[View]]
    memo: ClassVar[str] = ""

    def __init_subclass__(
        cls,
        cim: str = "",
        of: str | None = None,
        where: Callable[[Subject], bool] = _always,
        items: Callable[[Subject], Iterable[Any]] = _single_item,
        namespace: str = CIMV2,
        registered: bool = True,
        **more: Any,
    ) -> None:
        variant_of: type[View] | None = more.pop("variant_of", None)
        super().__init_subclass__(**more)
        if variant_of is not None:  # face.py does the rest
            cls.declared = variant_of
            return
        cls.declared, cls.memo = cls, "cim:" + cim
        cls.cim, cls.of, cls.namespace = cim, of, namespace
        cls.where, cls.items = staticmethod(where), staticmethod(items)
        cls.rules, cls.methods = {}, {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Rule):
                    cls.rules[name] = const(cim) if value is OWN_CLASS else value
                elif isinstance(value, DeclaredMethod):
                    cls.methods[name] = value
        if not cim:
            return
        if of is None and items is _single_item:
            raise TypeError(f"{cim}: a view without records must say what its items are")
        if cim in VIEWS:
            raise TypeError(f"{cim} has two views")
        if registered:
            VIEWS[cim] = cls
