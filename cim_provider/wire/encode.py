"""CIM-XML encoder (DSP0201) of values, instances and paths, with one compiled writer per class.

Theory of operation
1. All markup that depends on the class alone is made once, when a class is first written. Writing an instance is then
   one dictionary look-up and three list entries for each property.
2. Names are written as the schema spells them; `values` has the same spelling.
3. A NULL property is an element with an end tag: wbemcli does not accept the self-closing form. A NULL array does not
   say that it is of embedded objects: wbemcli knows that attribute for single values only, and nothing is embedded.
4. An Encoder holds no request: it may be shared by all requests that see the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from time import gmtime, strftime
from typing import Any

from cim_provider.schema.graph import CimClass, ClassGraph, Property
from cim_provider.schema.objects import Instance, Path
from cim_provider.wire import text
from cim_provider.wire.classes import class_declaration

# What a property's row holds: lower-case name, name, markup before and after the value, the NULL element, the writer.
Row = tuple[str, str, str, str, str, Callable[[Any], str]]


@lru_cache(maxsize=16)
def encoder_of(graph: ClassGraph) -> Encoder:
    """The encoder of a graph, made once (graphs are distinguished by identity)."""
    return Encoder(graph)


class Encoder:
    """Writes for one class graph. `host` is written for paths without a host of their own."""

    def __init__(self, graph: ClassGraph, host: str = "localhost") -> None:
        self.graph = graph
        self.host = host
        self._rows: dict[tuple[str, bool], tuple[Row, ...]] = {}
        self._key_types: dict[str, Mapping[str, str]] = {}
        self._namespaces: dict[tuple[str, str], str] = {}

    # ---- instances

    def instance(
        self,
        classname: str,
        values: Mapping[str, Any],
        *,
        names: frozenset[str] | None = None,
        class_origin: bool = False,
    ) -> bytes:
        """An INSTANCE. `names` (lower case) limits the properties; properties without a value are written as NULL."""
        return self._instance(classname, values, names, class_origin).encode()

    def _instance(
        self, classname: str, values: Mapping[str, Any], names: frozenset[str] | None = None, class_origin: bool = False
    ) -> str:
        out = [f'<INSTANCE CLASSNAME="{classname}">']
        add, get = out.append, values.get
        for low, name, opened, closed, null, write in self._rows_of(classname, class_origin):
            if names is not None and low not in names:
                continue
            value = get(name)
            if value is None:
                add(null)
            else:
                add(opened)
                add(write(value))
                add(closed)
        add("</INSTANCE>")
        return "".join(out)

    def _rows_of(self, classname: str, class_origin: bool) -> tuple[Row, ...]:
        key = (classname, class_origin)
        rows = self._rows.get(key)
        if rows is None:
            cls = self.graph.classes[classname.lower()]
            rows = self._rows[key] = tuple(self._row(p, class_origin) for p in cls.properties.values())
        return rows

    def _row(self, prop: Property, class_origin: bool) -> Row:
        origin = f' CLASSORIGIN="{prop.origin}"' if class_origin else ""
        tag, opened = _property_tag(prop.name, prop.type, prop.array, prop.embedded, origin)
        _, empty = _property_tag(prop.name, prop.type, prop.array, "" if prop.array else prop.embedded, origin)
        null, closed = f"{empty}</{tag}>", f"</{tag}>"
        write = self.value_writer(prop.type, prop.array)
        return (prop.name.lower(), prop.name, opened, closed, null, write)

    def value_writer(self, type_: str, array: bool) -> Callable[[Any], str]:
        """The writer of a value, its VALUE, VALUE.ARRAY, VALUE.REFERENCE or VALUE.REFARRAY element included."""
        one = self._reference_value if type_ == "reference" else self._writer(type_)
        if array:
            kind = "VALUE.REFARRAY" if type_ == "reference" else "VALUE.ARRAY"

            def many(values: Iterable[Any]) -> str:
                items = "".join("<VALUE.NULL></VALUE.NULL>" if v is None else one(v) for v in values)
                return f"<{kind}>{items}</{kind}>"

            return many
        return one

    def _writer(self, type_: str) -> Callable[[Any], str]:
        if type_ == "string":
            content, embedded = text.content, self._embedded

            def string(value: Any) -> str:
                if type(value) is str:
                    return f"<VALUE>{content(value)}</VALUE>"
                if isinstance(value, CimClass):
                    whole = class_declaration(value, names=frozenset(value.properties))
                    return f"<VALUE>{content(whole.decode())}</VALUE>"
                return f"<VALUE>{content(embedded(value) if isinstance(value, Instance) else str(value))}</VALUE>"

            return string
        write = text.WRITERS[type_]
        return lambda value: f"<VALUE>{write(value)}</VALUE>"

    def bare_instance(self, found: Instance) -> bytes:
        """An INSTANCE with the properties that `found` has and no others."""
        return self._embedded(found).encode()

    def _embedded(self, found: Instance) -> str:
        """An INSTANCE of any class, also one that the graph does not know (an indication from elsewhere)."""
        cls = self.graph.find(found.classname)
        known: Mapping[str, Property] = cls.properties if cls else {}
        parts = [f'<INSTANCE CLASSNAME="{text.attribute(found.classname)}">']
        for name, value in found.values.items():
            prop = known.get(name.lower())
            if prop is not None:
                _, _, opened, closed, null, write = self._row(prop, False)
            else:
                opened, closed, null, write = self._loose(name, value, found.types.get(name, ""))
            parts.append(null if value is None else f"{opened}{write(value)}{closed}")
        parts.append("</INSTANCE>")
        return "".join(parts)

    def _loose(self, name: str, value: Any, type_: str) -> tuple[str, str, str, Callable[[Any], str]]:
        array = isinstance(value, tuple | list)
        sample = next((v for v in value if v is not None), None) if array else value
        embedded = "instance" if isinstance(sample, Instance) else "object" if isinstance(sample, CimClass) else ""
        if not type_:
            if isinstance(sample, Path):
                type_ = "reference"
            else:
                type_ = "string" if embedded or sample is None else text.type_of(sample)
        tag, opened = _property_tag(text.attribute(name), type_, array, embedded, "")
        return opened, f"</{tag}>", f"{opened}</{tag}>", self.value_writer(type_, array)

    # ---- paths

    def instance_name(self, path: Path) -> bytes:
        """INSTANCENAME, or CLASSNAME for a class path."""
        return self._name(path).encode()

    def _name(self, path: Path) -> str:
        if path.keys is None:
            return f'<CLASSNAME NAME="{text.attribute(path.classname)}"></CLASSNAME>'
        types = self._types_of_keys(path.classname)
        parts = [f'<INSTANCENAME CLASSNAME="{text.attribute(path.classname)}">']
        for name, value in path.keys:
            if isinstance(value, Path):
                inner = self._reference_value(value)
            else:
                type_ = types.get(name) or text.type_of(value)
                if type_ == "reference":  # a key that should be a path but is not: tell what is there
                    type_ = text.type_of(value)
                kind = "string" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "numeric"
                inner = f'<KEYVALUE VALUETYPE="{kind}" TYPE="{type_}">{text.WRITERS[type_](value)}</KEYVALUE>'
            parts.append(f'<KEYBINDING NAME="{name}">{inner}</KEYBINDING>')
        parts.append("</INSTANCENAME>")
        return "".join(parts)

    def _types_of_keys(self, classname: str) -> Mapping[str, str]:
        types = self._key_types.get(classname)
        if types is None:
            cls = self.graph.find(classname)
            types = {} if cls is None else {name: cls.properties[name.lower()].type for name in cls.keys}
            if cls is not None:  # names from clients must not fill the table
                self._key_types[classname] = types
        return types

    def _namespace(self, namespace: str, host: str) -> str:
        key = (namespace, host)
        found = self._namespaces.get(key)
        if found is None:
            written = self.graph.spaces.get(namespace, namespace)
            names = "".join(f'<NAMESPACE NAME="{text.attribute(n)}"></NAMESPACE>' for n in written.split("/") if n)
            found = f"<LOCALNAMESPACEPATH>{names}</LOCALNAMESPACEPATH>"
            if host:
                found = f"<NAMESPACEPATH><HOST>{text.content(host)}</HOST>{found}</NAMESPACEPATH>"
            if len(self._namespaces) < 256:
                self._namespaces[key] = found
        return found

    def _full_path(self, path: Path) -> str:
        kind = "CLASSPATH" if path.keys is None else "INSTANCEPATH"
        return f"<{kind}>{self._namespace(path.namespace, path.host or self.host)}{self._name(path)}</{kind}>"

    def instance_path(self, path: Path) -> bytes:
        """INSTANCEPATH (CLASSPATH for a class path), with host and namespace."""
        return self._full_path(path).encode()

    def object_path(self, path: Path) -> bytes:
        """OBJECTPATH, what AssociatorNames and ReferenceNames return."""
        return f"<OBJECTPATH>{self._full_path(path)}</OBJECTPATH>".encode()

    def _reference_value(self, path: Path) -> str:
        """VALUE.REFERENCE with as much of the path as is known."""
        if path.host:
            inner = self._full_path(path)
        elif path.namespace:
            kind = "LOCALCLASSPATH" if path.keys is None else "LOCALINSTANCEPATH"
            inner = f"<{kind}>{self._namespace(path.namespace, '')}{self._name(path)}</{kind}>"
        else:
            inner = self._name(path)
        return f"<VALUE.REFERENCE>{inner}</VALUE.REFERENCE>"

    def named_instance(self, path: Path, instance: bytes) -> bytes:
        """VALUE.NAMEDINSTANCE, what EnumerateInstances returns."""
        return b"<VALUE.NAMEDINSTANCE>%b%b</VALUE.NAMEDINSTANCE>" % (self.instance_name(path), instance)

    def object_with_path(self, path: Path, instance: bytes) -> bytes:
        """VALUE.OBJECTWITHPATH, what Associators and References return; `instance` may be a CLASS."""
        return b"<VALUE.OBJECTWITHPATH>%b%b</VALUE.OBJECTWITHPATH>" % (self.instance_path(path), instance)

    def instance_with_path(self, path: Path, instance: bytes) -> bytes:
        """VALUE.INSTANCEWITHPATH, what the Open and Pull operations return."""
        return b"<VALUE.INSTANCEWITHPATH>%b%b</VALUE.INSTANCEWITHPATH>" % (self.instance_path(path), instance)

    # ---- methods

    def param_value(self, name: str, type: str, value: Any, array: bool | None = None) -> bytes:
        """PARAMVALUE. `value` None makes it NULL; `array` is needed for a NULL array only."""
        many = isinstance(value, tuple | list) if array is None else array
        attributes = f'NAME="{text.attribute(name)}" PARAMTYPE="{type}"{_embedded_attribute(value)}'
        inner = "" if value is None else self.value_writer(type, many)(value)
        return f"<PARAMVALUE {attributes}>{inner}</PARAMVALUE>".encode()

    def return_value(self, type: str, value: Any) -> bytes:
        """RETURNVALUE; b"" for None, as methods that return NULL have none (DSP0201)."""
        if value is None:
            return b""
        inner = self.value_writer(type, False)(value)
        return f'<RETURNVALUE PARAMTYPE="{type}"{_embedded_attribute(value)}>{inner}</RETURNVALUE>'.encode()


def _embedded_attribute(value: Any) -> str:
    sample = next(iter(value), None) if isinstance(value, tuple | list) else value
    return ' EmbeddedObject="instance"' if isinstance(sample, Instance) else ""


def _property_tag(name: str, type_: str, array: bool, embedded: str, origin: str) -> tuple[str, str]:
    """The element name and the start tag of a property's value."""
    if type_ == "reference" and not array:
        return "PROPERTY.REFERENCE", f'<PROPERTY.REFERENCE NAME="{name}"{origin}>'
    kind = "PROPERTY.ARRAY" if array else "PROPERTY"
    marked = f' EmbeddedObject="{embedded}"' if embedded else ""
    return kind, f'<{kind} NAME="{name}" TYPE="{type_}"{marked}{origin}>'


def datetime(seconds: int, microseconds: int = 0) -> str:
    """An instant, seconds since the epoch, as a CIM datetime in UTC (DSP0004)."""
    return f"{strftime('%Y%m%d%H%M%S', gmtime(seconds))}.{microseconds:06d}+000"


def interval(seconds: int, microseconds: int = 0) -> str:
    """A duration as a CIM interval (DSP0004); more than 99,999,999 days cannot be expressed and is our bug."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    return f"{days:08d}{hours:02d}{rest // 60:02d}{rest % 60:02d}.{microseconds:06d}:000"
