"""Records as clients see them: every field of a version, and their encoded form, made once.

Theory of operation
1. A record's fragment is memoised on its version, per codec. That is right for inverse and computed fields too: when a
   record they depend on changes, the store makes a new version of this one (store rule 3).
2. Therefore a fragment must be made while its version is the present one: callers render before they await anything.
3. get_all_records joins fragments; the join is memoised per codec and class under the class's revision, and the whole
   reply under the envelope it was made for, so a repeat without a change in between costs nothing.
4. A result that is more than one typed value (event batches) encodes itself: it has `encode(codec, records) -> bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xenapi_core.model.schema import Field, Schema
from xenapi_core.model.types import MapType, RecordType, SetType, Type
from xenapi_core.store.api import Store, Version
from xenapi_core.wire.api import Call, Codec


class Records:
    """Reads and renders records of one store."""

    def __init__(self, schema: Schema, store: Store) -> None:
        self.schema = schema
        self.store = store
        self._renderers: dict[tuple[str, str], Callable[[Mapping[str, Any]], bytes]] = {}
        self._joined: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._replies: dict[tuple[str, str], tuple[int, Any, str, bytes]] = {}
        self._plain = {
            name: None if all(f.stored for f in cls.fields) else tuple(f for f in cls.fields if not f.stored)
            for name, cls in schema.classes.items()
        }

    def value(self, version: Version, field: str) -> Any:
        """Any field of a version: stored, inverse or computed."""
        return self.read(version, self.schema.classes[version.cls].by_name[field])

    def read(self, version: Version, field: Field) -> Any:
        """As `value`, for a field at hand."""
        if field.inverse is not None:
            return self.store.related(version.ref, field.name)
        if field.computed is not None:
            return field.computed(self.store, version)
        return version.values[field.name]

    def values(self, version: Version) -> Mapping[str, Any]:
        """All fields of a version, internal ones included."""
        derived = self._plain[version.cls]
        if derived is None:
            return version.values
        values = dict(version.values)
        for field in derived:
            values[field.name] = self.read(version, field)
        return values

    def fragment(self, codec: Codec, version: Version) -> bytes:
        """The encoded record of a version, memoised on it (rule 1)."""
        try:
            return version.memo[codec.name]
        except KeyError:
            key = (codec.name, version.cls)
            renderer = self._renderers.get(key)
            if renderer is None:
                renderer = self._renderers[key] = codec.record(self.schema.classes[version.cls])
            made = version.memo[codec.name] = renderer(self.values(version))
            return made

    def mapping(self, codec: Codec, versions: Iterable[tuple[str, Version]]) -> bytes:
        """The fragment of a map ref -> record."""
        fragment = self.fragment
        return codec.struct([(ref, fragment(codec, version)) for ref, version in versions])

    def all_records(self, codec: Codec, cls: str) -> bytes:
        """The fragment of all records of a class by reference, memoised under the class's revision."""
        key = (codec.name, cls)
        revision = self.store.class_revision(cls)
        known = self._joined.get(key)
        if known is not None and known[0] == revision:
            return known[1]
        joined = self.mapping(codec, self.store.all(cls).items())
        self._joined[key] = (revision, joined)
        return joined

    def all_records_reply(self, codec: Codec, call: Call, cls: str) -> bytes:
        """The complete reply to get_all_records; one kept per codec and class (rule 3)."""
        key = (codec.name, cls)
        revision = self.store.class_revision(cls)
        known = self._replies.get(key)
        if known is not None and known[0] == revision and known[1] == call.id and known[2] == call.version:
            return known[3]
        reply = codec.success(call, self.all_records(codec, cls))
        self._joined.pop(key, None)  # the reply holds the same bytes: do not keep them twice
        self._replies[key] = (revision, call.id, call.version, reply)
        return reply

    def render(self, codec: Codec, type_: Type | None, value: Any) -> bytes:
        """The fragment of an internal value: a Version where the type says record, ref -> Version for maps of them."""
        if isinstance(value, str | int | float):
            return codec.value(type_, value)
        if isinstance(value, Version):
            return self.fragment(codec, value)
        if hasattr(value, "encode"):
            return value.encode(codec, self)
        if isinstance(type_, MapType) and isinstance(type_.value, RecordType):
            return self.mapping(codec, value.items())
        if isinstance(type_, SetType) and isinstance(type_.item, RecordType):
            return codec.array([self.render(codec, type_.item, item) for item in value])
        return codec.value(type_, value)
