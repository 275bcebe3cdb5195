"""Events as indications: lifecycle events of shown instances, and alerts; and their export form.

Theory of operation
1. An Event is made once and read by every filter as an Instance (`instance`), whose embedded instances share the values
   of the renditions they were made from.
2. Its text is made once too, when the first filter lets it through. What differs from listener to listener
   (SequenceContext, SequenceNumber, IndicationFilterName, the class name it goes under) is put around that. Filters
   that select some properties have a text of their own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cim_provider.mapping.extent import Shown
from cim_provider.profiles.indications import LIFECYCLE_CLASSES
from cim_provider.repository.static import Stored
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import CIMV2, Instance
from cim_provider.wire import text
from cim_provider.wire.encode import Encoder, encoder_of
from cim_provider.wire.model_path import model_path

CREATION, MODIFICATION, DELETION = "CIM_InstCreation", "CIM_InstModification", "CIM_InstDeletion"
ALERT = "CIM_AlertIndication"

Writer = Callable[[Shown], bytes]


@dataclass
class Event:
    """One event, before it is encoded for a subscription. `classname` is the class of its kind, `at` its CIM timestamp;
    `sources` are the instances it is about: the present one first (the last one for a deletion), then the previous one.
    An alert has none, and has all its properties in `extra`. `spaces`: how namespaces are written that do not go by
    their canonical names. `host`: the address of the host that the sources are shown by, "" if it is not known."""

    classname: str
    at: str
    sources: tuple[Shown, ...] = ()
    changed: tuple[str, ...] = ()
    extra: dict[str, object] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    identifier: str = field(default_factory=lambda: f"Xen:{secrets.token_hex(16)}")
    bodies: dict[frozenset[str] | None, bytes] = field(default_factory=dict)

    @cached_property
    def instance(self) -> Instance:
        """What queries read."""
        values: dict[str, object] = {"IndicationIdentifier": self.identifier, "IndicationTime": self.at, **self.extra}
        if self.sources:
            values["SourceInstance"] = _embedded(self.sources[0])
            values["SourceInstanceModelPath"] = model_path(self.sources[0].path, self.spaces)
            values["SourceInstanceHost"] = self.host or None
        if len(self.sources) > 1:
            values["PreviousInstance"] = _embedded(self.sources[1])
            values["ChangedPropertyNames"] = self.changed
        return Instance(self.classname, values)

    @property
    def namespace(self) -> str:
        """Where it happened: the namespace of its source; alerts are about the machines of root/cimv2."""
        return self.sources[0].path.namespace if self.sources else CIMV2

    @property
    def subject(self) -> Hashable:
        """A key for what the event is about: equal for repetitions of the same event."""
        if self.sources:
            return self.classname, self.sources[0].path
        return self.classname, self.extra.get("MessageID"), self.extra.get("AlertingManagedElement")

    def named(self, graph: ClassGraph, asked: str) -> str | None:
        """The class under which a query FROM class `asked` gets this event; None if it is of no such class."""
        if graph.is_a(self.classname, asked):
            return self.classname
        row = LIFECYCLE_CLASSES.get(asked.lower())
        if row is None or row.kind != self.classname or not graph.is_a(self.sources[0].path.classname, row.source):
            return None
        return row.name

    def body(self, encoder: Encoder, columns: frozenset[str] | None = None) -> bytes:
        """The PROPERTY elements that are the same for everybody; `columns` (lower case) limits them, None: all."""
        found = self.bodies.get(columns)
        if found is None:
            found = self.bodies[columns] = "".join(self._properties(encoder, columns)).encode()
        return found

    def _properties(self, encoder: Encoder, columns: frozenset[str] | None) -> Iterator[str]:
        def plain(shown: Shown) -> bytes:
            own = encoder_of(shown.space.graph) if isinstance(shown, Stored) else encoder
            return own.instance(shown.path.classname, shown.values)

        def escaped(shown: Shown) -> bytes:
            return text.content(shown.form("instance", plain).decode()).encode()

        for name, shown in zip(("SourceInstance", "PreviousInstance"), self.sources, strict=False):
            if columns is not None and name.lower() not in columns:
                continue
            value = shown.form("embedded", escaped).decode()
            yield f'<PROPERTY NAME="{name}" TYPE="string" EmbeddedObject="object"><VALUE>{value}</VALUE></PROPERTY>'
        declared = encoder.graph.classes[self.classname.lower()].properties
        for name, value in self.instance.values.items():
            prop = declared[name.lower()]
            if prop.embedded or value is None or (columns is not None and name.lower() not in columns):
                continue
            kind = "PROPERTY.ARRAY" if prop.array else "PROPERTY"
            written = encoder.value_writer(prop.type, prop.array)(value)
            yield f'<{kind} NAME="{name}" TYPE="{prop.type}">{written}</{kind}>'


def written(before: Stored | None, after: Stored | None, at: str, spaces: Mapping[str, str], host: str) -> Event | None:
    """The event for a client's change of an instance without provider; None if it changed no value."""
    if after is None:
        return None if before is None else Event(DELETION, at, (before,), spaces=spaces, host=host)
    if before is None:
        return Event(CREATION, at, (after,), spaces=spaces, host=host)
    names = {**before.values, **after.values}
    changed = tuple(name for name in names if before.values.get(name) != after.values.get(name))
    return Event(MODIFICATION, at, (after, before), changed, spaces=spaces, host=host) if changed else None


def _embedded(shown: Shown) -> Instance:
    return Instance(shown.path.classname, shown.values, shown.path)


_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n<CIM CIMVERSION="2.0" DTDVERSION="2.3"><MESSAGE ID="{number}" '
    'PROTOCOLVERSION="1.3"><SIMPLEEXPREQ><EXPMETHODCALL NAME="ExportIndication"><EXPPARAMVALUE NAME="NewIndication">'
    '<INSTANCE CLASSNAME="{classname}">'
    '<PROPERTY NAME="SequenceContext" TYPE="string"><VALUE>{context}</VALUE></PROPERTY>'
    '<PROPERTY NAME="SequenceNumber" TYPE="sint64"><VALUE>{number}</VALUE></PROPERTY>'
    '<PROPERTY NAME="IndicationFilterName" TYPE="string"><VALUE>{filter}</VALUE></PROPERTY>'
)
_TAIL = b"</INSTANCE></EXPPARAMVALUE></EXPMETHODCALL></SIMPLEEXPREQ></MESSAGE></CIM>"


def export(classname: str, context: str, number: int, filter_name: str, body: bytes) -> tuple[bytes, bytes, bytes]:
    """The pieces of an ExportIndication request (DSP0200 5.5.2.1)."""
    head = _HEAD.format(classname=classname, context=context, number=number, filter=text.content(filter_name))
    return head.encode(), body, _TAIL
