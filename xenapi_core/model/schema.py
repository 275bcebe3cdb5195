"""The declaration language of the data model, and everything that follows from a declaration.

Theory of operation
1. A class is declared once, in model/classes/<class>.py, as plain values: fields, messages, docs, errors, roles.
2. Everything the Xen-API implies for a class (get_record, get_all_records_where, set_F, add_to_F ...) is derived here
   by `derive`; nobody writes a getter.
3. `inverse=` fields are never stored: the store's index answers them. `computed=` fields are never stored either: a
   pure function of the record, and of records it names in `follows=`, answers them.
4. A message without behaviour is declared all the same: the dispatcher answers NOT_IMPLEMENTED, the coverage page lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from xenapi_core.errors import ErrorCode
from xenapi_core.model.types import BOOL, STRING, MapType, OptionType, Record, Ref, RefType, Set, SetType, Type
from xenapi_core.model.types import Map as MapOf

# How a field may be written (API reference: RW, RO/constructor, RO/runtime).
RW: Final = "RW"
STATIC: Final = "StaticRO"
RO: Final = "DynamicRO"

# Roles, most powerful first; a message names the least one that may call it.
POOL_ADMIN: Final = "pool-admin"
POOL_OPERATOR: Final = "pool-operator"
VM_POWER_ADMIN: Final = "vm-power-admin"
VM_ADMIN: Final = "vm-admin"
VM_OPERATOR: Final = "vm-operator"
CLIENT_CERT: Final = "client-cert"
READ_ONLY: Final = "read-only"
ROLES: Final = (POOL_ADMIN, POOL_OPERATOR, VM_POWER_ADMIN, VM_ADMIN, VM_OPERATOR, CLIENT_CERT, READ_ONLY)
LOCAL_ROOT: Final = "LOCAL_ROOT_ONLY"  # no role at all: only the Unix socket

_REQUIRED: Final = object()


class Reader(Protocol):
    """What a computed field may look at: records of the same revision as the one it is computed for."""

    def find(self, ref: str) -> Any:
        """The `Version` of `ref`, or None."""

    def related(self, ref: str, inverse: str) -> tuple[str, ...]:
        """References of the records that point at `ref` through the relation whose other end is field `inverse`."""


@dataclass(frozen=True)
class Field:
    """One field. `default` missing means: a client must give it to `create`.

    inverse   "VBD.VM": this field lists the records whose field points here; never stored.
    computed  f(reader, version) -> value; never stored.
    follows   for computed fields: {ref field of this class: (fields of the record it points at,)}; when one of those
              changes, this record gets a new version too, so that clients see an event and caches are dropped.
    path      the database column of the filter grammar, when it is not the name with its known prefix split off.
    internal  never in records sent to clients.
    persist   False: not journalled; starts with its default after a restart.
    state     "published", "prototyped", "deprecated" or "removed" in the API reference.
    """

    name: str
    type: Type
    access: str
    doc: str
    default: Any = _REQUIRED
    inverse: str | None = None
    computed: Callable[[Reader, Any], Any] | None = None
    follows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    path: str | None = None
    internal: bool = False
    persist: bool = True
    state: str = "published"
    role: str | None = None  # least role for the setters, when it is not the class's

    @property
    def required(self) -> bool:
        """Whether a constructor record must have it."""
        return self.default is _REQUIRED

    @property
    def initial(self) -> Any:
        """What the field holds when nobody set it."""
        return self.type.empty if self.required else self.default

    @property
    def stored(self) -> bool:
        return self.inverse is None and self.computed is None

    @property
    def column(self) -> str:
        """The name of the filter grammar (get_all_where): namespaces end in two underscores."""
        return self.path.replace("/", "__") if self.path else self.name


@dataclass(frozen=True)
class Param:
    """A parameter of a message, without the leading session; a default makes it optional."""

    name: str
    type: Type
    doc: str = ""
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED


@dataclass(frozen=True)
class Message:
    """One message of a class.

    derived    how a derived message is answered: "get_record", "get", "set" ...; None for messages with behaviour.
    field      the field a derived message is about.
    operation  the member of the class's *_operations enum it performs; the lifecycle table says when it is allowed.
    state      "removed" messages answer MESSAGE_REMOVED.
    hidden     callable, but not in documentation or system.listMethods.
    session    False: called without a session (login).
    secret     parameters never reach a log.
    """

    name: str
    params: tuple[Param, ...]
    result: Type | None
    doc: str
    errors: tuple[ErrorCode, ...] = ()
    role: str | None = POOL_ADMIN
    asynchronous: bool = True
    operation: str | None = None
    state: str = "published"
    hidden: bool = False
    session: bool = True
    secret: bool = False
    client_cert: bool = False
    derived: str | None = None
    field: str | None = None


@dataclass(frozen=True)
class Class:
    """One class. `creatable`: it has create and destroy. `in_database` False: no records (event, message's getters vary).

    role       least role of set_F, create and destroy, unless a field or message says otherwise.
    create_role/destroy_role  when they differ from `role`.
    """

    name: str
    doc: str
    fields: tuple[Field, ...]
    messages: tuple[Message, ...] = ()
    creatable: bool = False
    create_async: bool = True
    get_all: bool = True
    events: bool = True
    persist: bool = True
    in_database: bool = True
    state: str = "published"
    role: str = POOL_OPERATOR
    create_role: str | None = None
    destroy_role: str | None = None
    create_errors: tuple[ErrorCode, ...] = ()
    destroy_errors: tuple[ErrorCode, ...] = ()
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {f.name: f for f in self.fields}
        if len(by_name) != len(self.fields):
            raise ValueError(f"{self.name}: a field is declared twice")
        object.__setattr__(self, "by_name", by_name)

    def __getitem__(self, name: str) -> Field:
        return self.by_name[name]


def derive(cls: Class) -> Iterator[Message]:
    """Every message the Xen-API implies for `cls` (API reference, "implicit messages")."""
    if not cls.in_database:
        return
    ref, record = Ref(cls.name), Record(cls.name)
    me = Param("self", ref)

    def message(name: str, params: tuple[Param, ...], result: Type | None, doc: str, kind: str, **more: Any) -> Message:
        return Message(name, params, result, doc, **{"role": READ_ONLY, "asynchronous": False, **more}, derived=kind)

    yield message("get_record", (me,), record, f"All fields of one {cls.name}.", "get_record")
    yield message("get_by_uuid", (Param("uuid", STRING),), ref, f"The {cls.name} with that uuid.", "get_by_uuid")
    if cls.get_all:
        expr = Param("expr", STRING, "a filter expression")
        records = MapOf(ref, record)
        yield message("get_all", (), Set(ref), f"References of all objects of class {cls.name}.", "get_all")
        yield message("get_all_where", (expr,), Set(ref), "References of the objects that match.", "get_all_where", hidden=True)
        yield message("get_all_records", (), records, f"All {cls.name} records by reference.", "get_all_records")
        yield message(
            "get_all_records_where", (expr,), records, "The records that match, by reference.", "get_all_records_where"
        )
    if "name_label" in cls.by_name:
        yield message(
            "get_by_name_label", (Param("label", STRING),), Set(ref), "All objects with that name.", "get_by_name_label"
        )
    if cls.creatable:
        yield Message(
            "create", (Param("args", record),), ref, f"Make a new {cls.name} from a record of its constructor fields.",
            errors=cls.create_errors, role=cls.create_role or cls.role, asynchronous=cls.create_async, derived="create",
        )
        yield Message(
            "destroy", (me,), None, f"Destroy a {cls.name}.",
            errors=cls.destroy_errors, role=cls.destroy_role or cls.role, asynchronous=cls.create_async, derived="destroy",
        )
    for f in cls.fields:
        if f.internal:
            continue
        yield message(f"get_{f.name}", (me,), f.type, f.doc, "get", field=f.name, state=f.state)
        if f.access != RW:
            continue
        writes = {"role": f.role or cls.role, "field": f.name}
        value = Param("value", f.type)
        yield message(f"set_{f.name}", (me, value), None, f"Set {f.name}.", "set", **writes)
        if isinstance(f.type, MapType):
            key = Param("key", f.type.key)
            yield message(
                f"add_to_{f.name}", (me, key, Param("value", f.type.value)), None, f"Add a key to {f.name}.", "add_to", **writes
            )
            yield message(f"remove_from_{f.name}", (me, key), None, f"Remove a key of {f.name}.", "remove_from", **writes)
        elif isinstance(f.type, SetType):
            item = Param("value", f.type.item)
            yield message(f"add_{f.name}", (me, item), None, f"Add a value to {f.name}.", "add", **writes)
            yield message(f"remove_{f.name}", (me, item), None, f"Remove a value of {f.name}.", "remove", **writes)


@dataclass(frozen=True)
class Method:
    """A callable wire name: its class and its message."""

    wire_name: str
    cls: Class
    message: Message
    required: int
    params: tuple[Param, ...]


class Schema:
    """A set of classes and what follows from them together: methods by wire name, relations, followers."""

    def __init__(self, *classes: Class) -> None:
        self.classes: dict[str, Class] = {c.name: c for c in classes}
        self.methods: dict[str, Method] = {}
        for c in classes:
            written = {m.name for m in c.messages}
            for m in (*(d for d in derive(c) if d.name not in written), *c.messages):
                name = f"{c.name}.{m.name}"
                if name in self.methods:
                    raise ValueError(f"{name} is declared twice")
                self.methods[name] = Method(name, c, m, sum(p.required for p in m.params), m.params)
        # (class, field holding the reference) -> (class pointed at, field there that lists the pointers)
        self.relations: dict[tuple[str, str], tuple[str, str]] = {}
        # (class, field) -> {(following class, its ref field)}: see Field.follows
        self.followers: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for c in classes:
            for f in c.fields:
                if f.inverse:
                    other, other_field = f.inverse.split(".")
                    self.relations[other, other_field] = (c.name, f.name)
                for via, seen in f.follows.items():
                    target = reference_class(c[via].type)
                    for name in seen:
                        self.followers.setdefault((target, name), set()).add((c.name, via))

    def __getitem__(self, name: str) -> Class:
        return self.classes[name]


def reference_class(type_: Type) -> str:
    """The class a reference (or set of references) type points at. ValueError for other types."""
    if isinstance(type_, SetType | OptionType):
        return reference_class(type_.item)
    if isinstance(type_, RefType):
        return type_.cls
    raise ValueError(f"{type_.name} is not a reference")


def roles_above(least: str | None, client_cert: bool = False) -> frozenset[str]:
    """Every role that may do what `least` may (API reference, role sets); None: any role."""
    if least is None:
        return frozenset(ROLES)
    if least == LOCAL_ROOT:
        return frozenset()
    found = set(ROLES[: ROLES.index(least) + 1])
    if least != READ_ONLY and least != CLIENT_CERT and not client_cert:
        found.discard(CLIENT_CERT)
    elif client_cert:
        found.add(CLIENT_CERT)
    return frozenset(found)


__all__ = [
    "BOOL", "CLIENT_CERT", "LOCAL_ROOT", "POOL_ADMIN", "POOL_OPERATOR", "READ_ONLY", "RO", "ROLES", "RW", "STATIC",
    "VM_ADMIN", "VM_OPERATOR", "VM_POWER_ADMIN", "Class", "Field", "Message", "Method", "Param", "Reader", "Schema",
    "derive", "reference_class", "roles_above",
]  # fmt: skip
