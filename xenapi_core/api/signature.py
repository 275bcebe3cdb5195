"""Checks the parameters of a message, and converts a client's values to arguments.

Rule 1: everything about a message is looked up once, at start; a call walks over flat tuples.
Rule 2: the order of complaints is that of the API reference: count, then types, then (after the role check) references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xenapi_core.api.derived import constructor_values
from xenapi_core.api.legacy_calls import DROPPED, constructor_record, parameters_of_record
from xenapi_core.api.permissions import permission_records
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.schema import Method, Schema
from xenapi_core.model.types import MapType, RecordType, RefType, SetType, Type
from xenapi_core.store.api import Store

# Trailing parameters that API 1.0 clients do not send, and what they get. The counts in errors stay those of the
# reference. A function makes the value from (store, arguments so far).
OPTIONAL: dict[str, tuple[Any, ...]] = {
    "VM.start": (False,),
    "VM.resume": (False,),
    "VM.clone": (lambda store, args: store.get(args[0], "VM").values["name_label"],),
}


def _holds_references(type_: Type) -> bool:
    """Whether it is a set or map with references in it."""
    if isinstance(type_, SetType):
        return isinstance(type_.item, RefType)
    return isinstance(type_, MapType) and (isinstance(type_.key, RefType) or isinstance(type_.value, RefType))


class Signature:
    """The parameters of one message."""

    def __init__(self, method: Method, schema: Schema, store: Store) -> None:
        self.method = method
        self._schema = schema
        self._store = store
        params = method.params
        self.needs = method.required
        self._accepts = tuple(param.type.accept for param in params)
        fillers = [None if param.required else param.default for param in params]
        lenient = OPTIONAL.get(method.wire_name, ())
        if lenient:
            fillers[len(params) - len(lenient) :] = lenient
        self._fillers = tuple(fillers)
        self._minimum = method.required - len(lenient)
        self._maximum = len(params)
        self._dropped = DROPPED.get(method.wire_name, ())
        self._lenient = any(not param.required for param in params)  # then extra arguments are ignored
        # (position, class, whether it must name an object): the object a message is sent to must exist.
        self._refs = tuple(
            (position, param.type.cls, position == 0 and param.type.cls == method.cls.name)
            for position, param in enumerate(params)
            if isinstance(param.type, RefType) and not param.elsewhere
        )
        # (position, type): sets and maps that have references in them.
        self._many = tuple((n, param.type) for n, param in enumerate(params) if _holds_references(param.type))
        constructs = method.message.derived == "create" and len(params) == 1 and isinstance(params[0].type, RecordType)
        self._record = method.cls if constructs else None

    def accept(self, params: Sequence[Any], offset: int) -> list[Any]:
        """Internal values of params[offset:], optional ones filled in.

        MESSAGE_PARAMETER_COUNT_MISMATCH [method, required, received], both without the session; Mismatch.
        """
        given = len(params) - offset
        if given == 1 and self.needs > 1 and isinstance(params[offset], Mapping):
            instead = parameters_of_record(self.method.wire_name, params[offset])
            if instead is not None:
                return self.accept(instead, 0)
        if self._maximum < given <= self._maximum + len(self._dropped):
            for type_, value in zip(self._dropped, params[offset + self._maximum :], strict=False):
                type_.accept(value)
            given = self._maximum
        if given < self._minimum or (given > self._maximum and not self._lenient):
            raise self.count_mismatch(given)
        if given == 1 and self._maximum == 1:  # most calls
            return [self._accepts[0](params[offset])]
        args = [accept(value) for accept, value in zip(self._accepts, params[offset:], strict=False)]
        for filler in self._fillers[given:]:
            args.append(filler(self._store, args) if callable(filler) else filler)
        return args

    def count_mismatch(self, given: int) -> ApiError:
        return E.MESSAGE_PARAMETER_COUNT_MISMATCH(self.method.wire_name, str(self.needs), str(given))

    def resolve(self, args: list[Any]) -> None:
        """Check references in place, replace uuids by references, and complete constructor records.

        HANDLE_INVALID [class, ref]; INTERNAL_ERROR for a record without a mandatory field.
        """
        find = self._store.find
        for position, cls, required in self._refs:
            version = find(args[position])
            if version is None or version.cls != cls:
                args[position] = self._reference(cls, args[position], required)
        for position, type_ in self._many:
            args[position] = self._named(type_, args[position])
        if self._record is not None:
            record = constructor_record(self._record, args[0])
            args[0] = constructor_values(self._record, record, self._existing)

    def _named(self, type_: Type, value: Any) -> Any:
        """`value` with uuids replaced by references; what names nothing is for the behaviour to judge."""
        if isinstance(type_, SetType):
            return tuple(self._named(type_.item, item) for item in value)
        if isinstance(type_, MapType):
            return {self._named(type_.key, key): self._named(type_.value, item) for key, item in value.items()}
        if isinstance(type_, RefType) and type_.cls != "session" and not value.startswith("OpaqueRef:"):
            return self._by_uuid(type_.cls, value) or value
        return value

    def _reference(self, cls: str, text: str, required: bool) -> str:
        """A reference from what is none of class `cls`: null, or a uuid, as API 1.0 clients send."""
        if is_null(text) and not required:
            return NULL_REF
        if cls == "role" and text in permission_records(self._schema):
            return text
        # A session's uuid is not as secret as its reference, so it does not stand for it.
        if cls != "session" and not text.startswith("OpaqueRef:"):
            found = self._by_uuid(cls, text)
            if found is not None:
                return found
        raise E.HANDLE_INVALID(cls, text)

    def _by_uuid(self, cls: str, uuid: str) -> str | None:
        try:
            found = self._store.by_uuid(cls, uuid)
        except KeyError:  # a class that is only named by references
            return None
        return None if found is None else found.ref

    def _existing(self, cls: str, ref: str) -> str:
        """For references in records."""
        version = self._store.find(ref)
        return ref if version is not None and version.cls == cls else self._reference(cls, ref, True)
