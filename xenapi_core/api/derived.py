"""Messages that every class has by its declaration: getters, setters and queries, interpreted from the schema.

Theory of operation
1. `behaviour` turns a method into a function of its arguments, once, at start; nothing here is written per class.
2. All of them are synchronous: a read returns at once, a write is one commit.
3. create and destroy are never derived here: a class's own rules are in its plan or handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xenapi_core.api.query import compile_filter
from xenapi_core.api.records import Records
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.schema import RO, Class, Field, Method
from xenapi_core.model.types import RefType, SetType
from xenapi_core.store.api import Store, Version

Behaviour = Callable[..., Any]

READS = frozenset(
    {"get", "get_record", "get_all", "get_all_where", "get_all_records", "get_all_records_where", "get_by_uuid",
     "get_by_name_label"}
)  # fmt: skip
WRITES = frozenset({"set", "add_to", "remove_from", "add", "remove"})

# Declared messages that write the field they name, and do nothing else. Their roles and Async forms differ from those
# of derived setters, which is why the API declares them.
PLAIN_WRITES = frozenset(
    {
        "VM.add_to_other_config", "VM.remove_from_other_config", "VM.set_other_config",
        "VM.add_to_platform", "VM.remove_from_platform", "VM.set_platform",
        "VM.add_to_blocked_operations", "VM.remove_from_blocked_operations", "VM.set_blocked_operations",
        "VM.set_order", "VM.set_actions_after_crash", "VM.set_is_default_template",
        "VDI.set_name_label", "VDI.set_name_description", "VDI.set_allow_caching", "VDI.set_managed",
        "VDI.set_missing", "VDI.set_metadata_of_pool", "VDI.set_is_a_snapshot", "VDI.set_snapshot_of",
        "VDI.set_snapshot_time", "VDI.set_read_only", "VDI.set_sharable", "VDI.set_virtual_size",
        "VDI.set_physical_utilisation", "VDI.set_cbt_enabled",
        "SR.set_name_label", "SR.set_name_description", "SR.set_physical_size", "SR.set_virtual_allocation",
        "SR.set_physical_utilisation",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Makes behaviours for one store."""

    store: Store
    records: Records

    def behaviour(self, method: Method) -> Behaviour | None:
        """The function(*args) that answers `method`, or None when it is not implied by the schema."""
        kind, field = method.message.derived, method.message.field
        if method.wire_name in PLAIN_WRITES:
            kind, field = plain_write(method)
        if kind not in READS and kind not in WRITES:
            return None
        make = getattr(self, f"_{kind}")
        return make(method.cls, method.cls.by_name[field]) if field else make(method.cls)

    def _get(self, cls: Class, field: Field) -> Behaviour:
        store, name, key = self.store, cls.name, field.name
        if field.inverse is not None:

            def get_inverse(ref: str) -> Any:
                store.get(ref, name)
                return store.related(ref, key)

            return get_inverse
        computed = field.computed
        if computed is not None:
            return lambda ref: computed(store, store.get(ref, name))
        return lambda ref: store.get(ref, name).values[key]

    def _get_record(self, cls: Class) -> Behaviour:
        store, name = self.store, cls.name
        return lambda ref: store.get(ref, name)

    def _get_all(self, cls: Class) -> Behaviour:
        return lambda: tuple(self.store.all(cls.name))

    def _get_all_records(self, cls: Class) -> Behaviour:
        return lambda: dict(self.store.all(cls.name))

    def _get_all_where(self, cls: Class) -> Behaviour:
        return lambda text: tuple(self.matching(cls, text))

    def _get_all_records_where(self, cls: Class) -> Behaviour:
        return lambda text: self.matching(cls, text)

    def matching(self, cls: Class, text: str) -> dict[str, Version]:
        """Versions by reference that match a filter expression; an equality with uuid or name costs no scan."""
        store = self.store
        wanted = compile_filter(cls, text, self.records.read)
        candidates = store.all(cls.name)
        if "uuid" in wanted.exact:
            found = store.by_uuid(cls.name, wanted.exact["uuid"])
            candidates = {} if found is None else {found.ref: found}
        elif "name_label" in wanted.exact:
            refs = store.by_name(cls.name, wanted.exact["name_label"])
            candidates = {ref: store.get(ref) for ref in refs}
        return {ref: version for ref, version in candidates.items() if wanted.matches(version)}

    def _get_by_uuid(self, cls: Class) -> Behaviour:
        def get_by_uuid(uuid: str) -> str:
            found = self.store.by_uuid(cls.name, uuid)
            if found is None:
                raise E.UUID_INVALID(cls.name, uuid)
            return found.ref

        return get_by_uuid

    def _get_by_name_label(self, cls: Class) -> Behaviour:
        return lambda label: self.store.by_name(cls.name, label)

    def _write(self, cls: Class, field: Field, change: Callable[..., Any]) -> Behaviour:
        """A behaviour that replaces the field's value by change(ref, old value, *args) in one commit."""
        store, name, key = self.store, cls.name, field.name

        def write(ref: str, *args: Any) -> None:
            old = store.get(ref, name).values[key]
            txn = store.begin()
            txn.update(ref, **{key: change(ref, old, *args)})
            store.commit(txn)

        return write

    def _set(self, cls: Class, field: Field) -> Behaviour:
        return self._write(cls, field, lambda ref, old, value: value)

    def _add_to(self, cls: Class, field: Field) -> Behaviour:
        def add(ref: str, old: Mapping[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
            if key in old:
                raise E.MAP_DUPLICATE_KEY(cls.name, field.name, ref, str(key))
            return {**old, key: value}

        return self._write(cls, field, add)

    def _remove_from(self, cls: Class, field: Field) -> Behaviour:
        return self._write(cls, field, lambda ref, old, key: {k: v for k, v in old.items() if k != key})

    def _add(self, cls: Class, field: Field) -> Behaviour:
        return self._write(cls, field, lambda ref, old, value: old if value in old else (*old, value))

    def _remove(self, cls: Class, field: Field) -> Behaviour:
        return self._write(cls, field, lambda ref, old, value: tuple(item for item in old if item != value))


def plain_write(method: Method) -> tuple[str, str]:
    """(kind, field) of a message of PLAIN_WRITES, from its name. ValueError if it names no stored field."""
    name = method.message.name
    for kind in ("remove_from", "add_to", "set", "remove", "add"):
        field = name.removeprefix(kind + "_")
        if field != name and field in method.cls.by_name and method.cls.by_name[field].stored:
            return kind, field
    raise ValueError(f"{method.wire_name} names no stored field")


# Constructor fields that the API requires but records of API 1.0 clients lack, because it has no such field or its
# server did not ask for it; they are left empty.
LATER_FIELDS = {
    "VM": frozenset({"affinity", "PV_legacy_args", "recommendations"}),
    "VBD": frozenset({"userdevice", "bootable", "empty", "other_config", "qos_algorithm_type", "qos_algorithm_params"}),
    "VIF": frozenset({"MAC", "MTU", "other_config", "qos_algorithm_type", "qos_algorithm_params"}),
    "console": frozenset({"port", "other_config"}),
}


# Fields that no later client may choose, but that constructor records of API 1.0 hold.
EARLIER_FIELDS = {"console": frozenset({"protocol", "VM"})}


def constructor_values(cls: Class, record: Mapping[str, Any], resolve: Callable[[str, str], str]) -> dict[str, Any]:
    """The constructor fields of a client's record, as internal values with defaults filled in.

    Unknown and runtime fields are ignored, so a record a client has read can be given back. INTERNAL_ERROR
    [Server_helpers.Dispatcher_FieldNotFound("f")] for a missing mandatory field; Mismatch for a wrong type.
    """
    values = {}
    later, earlier = LATER_FIELDS.get(cls.name, ()), EARLIER_FIELDS.get(cls.name, ())
    for field in cls.fields:
        if (field.access == RO and field.name not in earlier) or not field.stored:
            continue
        if field.name in record:
            value = field.type.accept(record[field.name])
            if isinstance(field.type, RefType) and not is_null(value):
                value = resolve(field.type.cls, value)
            elif isinstance(field.type, SetType) and isinstance(field.type.item, RefType):
                value = tuple(resolve(field.type.item.cls, item) for item in value)
        elif not field.required or field.name in later or field.internal:
            value = field.initial
        else:
            raise E.INTERNAL_ERROR(f'Server_helpers.Dispatcher_FieldNotFound("{field.name}")')
        values[field.name] = value
    return values
