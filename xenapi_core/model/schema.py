"""The declaration language of the data model, and everything that follows from a declaration.

Theory of operation
1. A class is declared once, in model/classes/<class>.py, as plain values: fields, messages, docs, errors, roles.
2. Everything the Xen-API implies for a class (get_record, get_all_records_where, set_F, add_to_F ...) is derived here
   by `derive`; nobody writes a getter.
3. `inverse=` fields are never stored: the store's index answers them. `computed=` fields are never stored either: a
   pure function of the record, and of records it names in `follows=`, answers them.
4. A message without behaviour is declared all the same: the dispatcher answers NOT_IMPLEMENTED, and the coverage page
   lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from xenapi_core.errors import ErrorCode
from xenapi_core.model.types import (
    BOOL,
    STRING,
    EnumType,
    MapType,
    OptionType,
    Record,
    Ref,
    RefType,
    Set,
    SetType,
    Type,
)
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
    follows   for computed fields: {relation field of this class: (fields of the records at its other end,)}; when one
              of those changes, this record gets a new version too, so that clients see an event and caches are
              dropped. The relation field is a reference (VBD.VM) or an inverse field (VDI.VBDs); a record that begins
              or ceases to be related needs no word here, because that alone makes new versions of both ends.
    path      the database column of the filter grammar, when it is not the name with its known prefix split off.
    internal  never in records sent to clients.
    persist   False: not journalled; starts with its default after a restart.
    state     "published", "prototyped", "deprecated" or "removed" in the API reference.
    role      least role of the field's setters, when it is not the class's; client_cert: a client certificate does too.
    reader    least role of the field's getter.
    secret    its values never reach a log.
    key_roles for maps: {key: least role that may add or remove it}, where that is not `role`; a key that ends in "*"
              stands for all keys with that beginning.
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
    role: str | None = None
    reader: str = READ_ONLY
    client_cert: bool = False
    key_roles: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False

    @property
    def required(self) -> bool:
        """Whether a constructor record must have it."""
        return self.default is _REQUIRED

    @property
    def initial(self) -> Any:
        """The value of the field before it is set."""
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
    """A parameter of a message, without the leading session; a default makes it optional.

    elsewhere: it is a reference of another pool, so nothing here has to have it.
    """

    name: str
    type: Type
    doc: str = ""
    default: Any = _REQUIRED
    elsewhere: bool = False

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
    legacy     only the document of API 1.0 has it: listed, and described apart from what clients should use.
    session    False: called without a session (login).
    secret     parameters never reach a log.
    client_cert    a session made from a client certificate may call it, whatever `role` says.
    pool_internal  only for sessions between members of the pool (those made with the pool secret).
    key_roles  as Field.key_roles, for messages that add or remove a key.
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
    legacy: bool = False
    session: bool = True
    secret: bool = False
    client_cert: bool = False
    pool_internal: bool = False
    key_roles: Mapping[str, str] = field(default_factory=dict, hash=False)
    derived: str | None = None
    field: str | None = None


@dataclass(frozen=True)
class Class:
    """One class. `creatable`: it has create and destroy. `in_database` False: nothing is derived (event, message).
    `has_records` False: nothing is kept either (event).

    role       least role of set_F, create and destroy, unless a field or message says otherwise.
    reader     least role of get_record and the other queries.
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
    has_records: bool = True
    state: str = "published"
    role: str = POOL_OPERATOR
    reader: str = READ_ONLY
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

    @property
    def operations(self) -> tuple[str, ...]:
        """The members of the class's *_operations enum; () for a class without operations."""
        allowed = self.by_name.get("allowed_operations")
        if allowed is None or not isinstance(allowed.type, SetType) or not isinstance(allowed.type.item, EnumType):
            return ()
        return allowed.type.item.values


def derive(cls: Class) -> Iterator[Message]:
    """Every message the Xen-API implies for `cls` (API reference, "implicit messages").

    A message is in the state of what it is about: get_F and set_F in that of the field, the others in the class's.
    """
    if not cls.in_database:
        return
    yield from _derive_queries(cls)
    if cls.creatable:
        yield from _derive_constructor(cls)
    for f in cls.fields:
        if not f.internal:
            yield from _derive_accessors(cls, f)


def _reading(name: str, params: tuple[Param, ...], result: Type, doc: str, **more: Any) -> Message:
    """A derived message that any role may call, unless told otherwise, and that never needs a task."""
    return Message(name, params, result, doc, **{"role": READ_ONLY, "asynchronous": False, "derived": name, **more})


def _derive_queries(cls: Class) -> Iterator[Message]:
    ref, record = Ref(cls.name), Record(cls.name)
    more: dict[str, Any] = {"state": cls.state, "role": cls.reader}
    me, expr = Param("self", ref), Param("expr", STRING, "a filter expression")
    refs, records = Set(ref), MapOf(ref, record)
    yield _reading("get_record", (me,), record, f"All fields of one {cls.name}.", **more)
    yield _reading("get_by_uuid", (Param("uuid", STRING),), ref, f"The {cls.name} with that uuid.", **more)
    if cls.get_all:
        yield _reading("get_all", (), refs, f"References of all objects of class {cls.name}.", **more)
        yield _reading("get_all_where", (expr,), refs, "References of the objects that match.", hidden=True, **more)
        yield _reading("get_all_records", (), records, f"All {cls.name} records by reference.", **more)
        yield _reading(
            "get_all_records_where", (expr,), records, "The records that match, by reference.", hidden=True, **more
        )
    if any(f.column == "name__label" for f in cls.fields):  # pool.name_label is outside the namespace "name"
        label = Param("label", STRING)
        yield _reading("get_by_name_label", (label,), refs, "All objects with that name.", **more)


def _derive_constructor(cls: Class) -> Iterator[Message]:
    ref = Ref(cls.name)
    args = Param("args", Record(cls.name))
    yield Message(
        "create", (args,), ref, f"Make a new {cls.name} from a record of its constructor fields.",
        errors=cls.create_errors, role=cls.create_role or cls.role, asynchronous=cls.create_async, state=cls.state,
        secret=any(f.secret for f in cls.fields), derived="create",
    )  # fmt: skip
    yield Message(
        "destroy", (Param("self", ref),), None, f"Destroy a {cls.name}.",
        errors=cls.destroy_errors, role=cls.destroy_role or cls.role, asynchronous=cls.create_async, state=cls.state,
        operation="destroy" if "destroy" in cls.operations else None, derived="destroy",
    )  # fmt: skip


def _derive_accessors(cls: Class, f: Field) -> Iterator[Message]:
    me = Param("self", Ref(cls.name))
    yield _reading(f"get_{f.name}", (me,), f.type, f.doc, role=f.reader, derived="get", field=f.name, state=f.state)
    if f.access != RW:
        return

    def writing(verb: str, params: tuple[Param, ...], doc: str, **more: Any) -> Message:
        return Message(
            f"{verb}_{f.name}", (me, *params), None, doc, role=f.role or cls.role, client_cert=f.client_cert,
            asynchronous=False, derived=verb, field=f.name, state=f.state, secret=f.secret, **more,
        )  # fmt: skip

    yield writing("set", (Param("value", f.type),), f"Set {f.name}.")
    if isinstance(f.type, MapType):
        key, value = Param("key", f.type.key), Param("value", f.type.value)
        yield writing("add_to", (key, value), f"Add a key to {f.name}.", key_roles=f.key_roles)
        yield writing("remove_from", (key,), f"Remove a key of {f.name}.", key_roles=f.key_roles)
    elif isinstance(f.type, SetType):
        item = Param("value", f.type.item)
        yield writing("add", (item,), f"Add a value to {f.name}.")
        yield writing("remove", (item,), f"Remove a value of {f.name}.")


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
        # (class, field) -> {(following class, its relation field)}: see Field.follows. Where the relation field is a
        # reference, the followers are the records whose reference points at the changed record; where it is an
        # inverse field, the follower is the record that the changed one points at.
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

    def listed(self) -> tuple[str, ...]:
        """Every documented message that there still is, as CLASS.msg."""
        methods = self.methods.items()
        return tuple(name for name, m in methods if not m.message.hidden and m.message.state != "removed")


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
