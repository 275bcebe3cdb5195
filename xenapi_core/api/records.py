"""Records as clients see them: the value of every field of a version, and its encoded form, rendered once.

Theory of operation
1. A record's fragment is memoised on its version, per codec. That is right for inverse and computed fields too: when a
   record they depend on changes, the store makes a new version of this one (store rule 3).
2. Therefore a fragment must be made while its version is the present one: callers render before they await anything, or
   let `missing` do it, which leaves out what has been replaced meanwhile.
3. get_all_records joins fragments; the reply is kept per codec and class, with the class's revision and the envelope it
   was made for, so a repeat without a change in between costs nothing.
4. A result that is more than one typed value (event batches) encodes itself: `prepare(codec, records)` are Steps that
   make what is missing and return the result as it is by then; that one has `reply(codec, call, records) -> bytes`.
5. Many missing fragments are made in slices (clock.py, rule 3). The reply itself is joined at once, of one revision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xenapi_core.clock import Later, Slices, Steps, then
from xenapi_core.model.schema import Field, Schema
from xenapi_core.model.types import MapType, RecordType, SetType, Type
from xenapi_core.store.api import Store, Version
from xenapi_core.wire.api import Call, Codec


class Records:
    """Reads and renders records of one store."""

    def __init__(self, schema: Schema, store: Store) -> None:
        self.schema = schema
        self.store = store
        self.slices = Slices()
        self._renderers: dict[tuple[str, str], Callable[[Mapping[str, Any]], bytes]] = {}
        self._replies: dict[tuple[str, str], tuple[int, Any, str, bytes]] = {}
        self._plain = {
            name: None if all(f.stored for f in cls.fields) else tuple(f for f in cls.fields if not f.stored)
            for name, cls in schema.classes.items()
        }

    def value(self, version: Version, field: str) -> Any:
        """Any field of a version: stored, inverse or computed."""
        return self.read(version, self.schema.classes[version.cls].by_name[field])

    def read(self, version: Version, field: Field) -> Any:
        """The value of a field of a version, by its declaration: stored, inverse or computed."""
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

    def missing(self, codec: Codec, versions: Iterable[Version]) -> Steps[None]:
        """Make the fragments that are not there yet; a step each. `versions` must not change meanwhile.

        A version that is no longer the present one gets none (rule 2), unless all its fields are stored.
        """
        name, find, plain = codec.name, self.store.find, self._plain
        for version in versions:
            if name not in version.memo and (plain[version.cls] is None or find(version.ref) is version):
                self.fragment(codec, version)
                yield

    def timeless(self, cls: str) -> bool:
        """Whether a fragment of `cls` may be made at any time: it has neither inverse nor computed fields."""
        return self._plain[cls] is None

    def mapping(self, codec: Codec, versions: Iterable[tuple[str, Version]]) -> bytes:
        """The fragment of a map ref -> record."""
        fragment = self.fragment
        return codec.struct([(ref, fragment(codec, version)) for ref, version in versions])

    def all_records_reply(self, codec: Codec, call: Call, cls: str) -> bytes | Later[bytes]:
        """The complete reply to get_all_records; one kept per codec and class (rule 3)."""
        kept = self._kept_reply(codec, call, cls)
        if kept is not None:
            return kept
        made = self.slices.complete(lambda: self.missing(codec, tuple(self.store.all(cls).values())))
        return then(made, lambda _: self._make_reply(codec, call, cls))

    def _kept_reply(self, codec: Codec, call: Call, cls: str) -> bytes | None:
        known = self._replies.get((codec.name, cls))
        if known is None or known[0] != self.store.class_revision(cls):
            return None
        return known[3] if known[1] == call.id and known[2] == call.version else None

    def _make_reply(self, codec: Codec, call: Call, cls: str) -> bytes:
        kept = self._kept_reply(codec, call, cls)
        if kept is not None:  # who asked the same at the same time was here before
            return kept
        records = [(ref, self.fragment(codec, version)) for ref, version in self.store.all(cls).items()]
        reply = codec.success_struct(call, records)
        self._replies[codec.name, cls] = (self.store.class_revision(cls), call.id, call.version, reply)
        return reply

    def records_reply(
        self, codec: Codec, call: Call, type_: Type | None, read: Callable[[], Mapping[str, Version]]
    ) -> bytes | Later[bytes]:
        """The complete reply to a call whose value is a map ref -> record; `read` may be called several times."""

        def prepare() -> Steps[Mapping[str, Version]]:
            found = read()
            yield from self.missing(codec, found.values())
            return found

        return then(self.slices.complete(prepare), lambda found: codec.success(call, self.render(codec, type_, found)))

    def render(self, codec: Codec, type_: Type | None, value: Any) -> bytes:
        """The fragment of an internal value: a Version where the type says record, ref -> Version for maps of them."""
        if isinstance(value, str | int | float):
            return codec.value(type_, value)
        if isinstance(value, Version):
            return self.fragment(codec, value)
        if isinstance(type_, MapType) and isinstance(type_.value, RecordType):
            return self.mapping(codec, value.items())
        if isinstance(type_, SetType) and isinstance(type_.item, RecordType):
            return codec.array([self.render(codec, type_.item, item) for item in value])
        return codec.value(type_, value)

    def reply(self, codec: Codec, call: Call, type_: Type | None, value: Any) -> bytes | Later[bytes]:
        """The complete reply with a result, also one that encodes itself (rule 4)."""
        if hasattr(value, "prepare"):
            prepared = self.slices.complete(lambda: value.prepare(codec, self))
            return then(prepared, lambda present: present.reply(codec, call, self))
        return codec.success(call, self.render(codec, type_, value))
