"""CIM-XML decoder: bytes of a request to a message, and a message to typed parameters.

Theory of operation
1. Two stages. `read` looks at the form of the message only and refuses with an HTTP error (RefusedError); what it
   returns knows its message id, so that everything found wrong later can be answered with a CIM error.
2. `intrinsic` and `extrinsic` read the values with the class graph at hand: names come out in the schema's spelling,
   keys and properties have the types that the schema declares, whatever the client wrote into TYPE.
3. Paths come out complete: a path without a namespace belongs to the request's namespace. Host names are dropped,
   as clients repeat them from earlier replies and one server has many names.
4. Nothing but RefusedError and CimError leaves this module, whatever the bytes are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lxml.etree import _Element as Element

from cim_provider.schema.graph import CimClass, ClassGraph, Parameter, Property
from cim_provider.schema.objects import (
    FAILED,
    INVALID_CLASS,
    METHOD_NOT_FOUND,
    NO_SUCH_PROPERTY,
    NOT_SUPPORTED,
    CimError,
    Instance,
    Param,
    Path,
    canonical_namespace,
)
from cim_provider.wire import declarations, mof_value, parameters, values
from cim_provider.wire.headers import RefusedError
from cim_provider.wire.values import invalid
from xenapi_core.wire.limits import Limits, XmlError, parse_xml

LIMITS = Limits(max_body=1024 * 1024, max_depth=64, max_elements=40_000)
_EMBEDDING = 8  # how deep instances may be embedded in each other
_IS_CLASS = re.compile(r"\s*(?:<\?xml[^>]*\?>\s*)?<CLASS[\s>]")


@dataclass(frozen=True, slots=True)
class Message:
    """A request whose form is right. `target` is the path element of a method call, None for an intrinsic operation;
    `parameters` are (name, PARAMVALUE or IPARAMVALUE element)."""

    id: str
    name: str
    namespace: str
    target: Element | None
    parameters: tuple[tuple[str, Element], ...]

    @property
    def target_class(self) -> str:
        """The class name in the target path; "" for an intrinsic operation."""
        if self.target is None:
            return ""
        last = self.target[-1]
        return last.get("NAME" if last.tag == "CLASSNAME" else "CLASSNAME", "")


# ---- the form


def read(body: bytes, limits: Limits = LIMITS) -> Message:
    """The message in `body`. RefusedError with the CIMError value that DSP0200 has for what is wrong."""
    try:
        root = parse_xml(body, limits)
    except XmlError as error:
        raise RefusedError("request-not-well-formed", str(error)) from None
    _expect(root, "CIM")
    if not re.fullmatch(r"2\.\d+(\.\d+)?", root.get("CIMVERSION", "")):
        raise RefusedError("unsupported-cim-version", "CIMVERSION must be 2.x")
    if not re.fullmatch(r"2\.\d+(\.\d+)?", root.get("DTDVERSION", "")):
        raise RefusedError("unsupported-dtd-version", "DTDVERSION must be 2.x")
    message = _only_child(root, "MESSAGE")
    if not re.fullmatch(r"1\.\d+", message.get("PROTOCOLVERSION", "")):
        raise RefusedError("unsupported-protocol-version", "PROTOCOLVERSION must be 1.x")
    if len(message) == 1 and message[0].tag == "MULTIREQ":
        raise RefusedError("multiple-requests-unsupported", "one request in a message, please")
    call = _only_child(_only_child(message, "SIMPLEREQ"), "IMETHODCALL", "METHODCALL")
    intrinsic = call.tag == "IMETHODCALL"
    item = "IPARAMVALUE" if intrinsic else "PARAMVALUE"
    paths = [child for child in call if child.tag != item]
    if len(paths) != 1:
        raise _not_valid(f"{call.tag} must hold one path and its parameters")
    space = paths[0]
    target = None if intrinsic else space
    if intrinsic:
        _expect(space, "LOCALNAMESPACEPATH")
    else:
        _expect(space, "LOCALCLASSPATH", "LOCALINSTANCEPATH")
        if len(space) != 2:
            raise _not_valid(f"{space.tag} must hold a namespace and a name")
        _expect(space[-1], "CLASSNAME" if space.tag == "LOCALCLASSPATH" else "INSTANCENAME")
        space = space[0]
    found = tuple((_attribute(child, "NAME"), child) for child in call if child.tag == item)
    return Message(_attribute(message, "ID"), _attribute(call, "NAME"), _namespace(space), target, found)


def _not_valid(text: str) -> RefusedError:
    return RefusedError("request-not-valid", text)


def _expect(element: Element, *tags: str) -> None:
    if element.tag not in tags:
        raise _not_valid(f"{' or '.join(tags)} expected, not {str(element.tag)[:80]}")


def _only_child(element: Element, *tags: str) -> Element:
    if len(element) != 1:
        raise _not_valid(f"{element.tag} must hold one {' or '.join(tags)}")
    _expect(element[0], *tags)
    return element[0]


def _attribute(element: Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise _not_valid(f"{element.tag} needs the attribute {name}")
    return value


def _namespace(element: Element) -> str:
    _expect(element, "LOCALNAMESPACEPATH")
    for child in element:
        _expect(child, "NAMESPACE")
    return canonical_namespace("/".join(_attribute(child, "NAME") for child in element))


# ---- the values


Graphs = Callable[[str], ClassGraph | None]  # the classes of a namespace by its canonical name; None: there is none


def intrinsic(message: Message, graph: ClassGraph, graphs: Graphs | None = None) -> tuple[str, dict[str, Any]]:
    """The operation's name and all its parameters, in the spelling of DSP0200, missing ones with their defaults.

    `graph` has the classes of the message's namespace; `graphs` finds those that references lead to.
    CimError NOT_SUPPORTED for an operation that DSP0200 does not have, INVALID_PARAMETER for a parameter that is
    unknown, given twice, missing or of the wrong form.
    """
    known = parameters.OPERATIONS.get(message.name.lower())
    if known is None:
        raise CimError(NOT_SUPPORTED, f"there is no operation {message.name}")
    name, specs = known
    reader = Reader(graph, message.namespace, graphs)
    found: dict[str, Any] = {}
    for given, element in message.parameters:
        spec = specs.get(given.lower())
        if spec is None:
            raise invalid(f"{name} has no parameter {given}")
        if spec.name in found:
            raise invalid(f"{given} is given twice")
        if len(element) > 1:
            raise invalid(f"{given} must have one value")
        found[spec.name] = reader.parameter(spec.kind, element[0], spec.name) if len(element) else None
    for spec in specs.values():
        if found.get(spec.name) is None:
            if spec.required:
                raise invalid(f"{name} needs the parameter {spec.name}")
            found[spec.name] = spec.default
    return name, found


def extrinsic(message: Message, graph: ClassGraph, graphs: Graphs | None = None) -> tuple[Path, str, dict[str, Param]]:
    """The target, the method and the given parameters of a method call, in the schema's spelling; `graphs` as above.

    CimError INVALID_CLASS, METHOD_NOT_FOUND, or INVALID_PARAMETER for a parameter that the method does not take, that
    is given twice or does not fit its declared type; FAILED for an embedded object that cannot be read.
    """
    if message.target is None:
        raise invalid("a method needs an object to be invoked on")
    reader = Reader(graph, message.namespace, graphs)
    cls = graph.find(message.target_class)
    if cls is None:
        raise CimError(INVALID_CLASS, f"there is no class {message.target_class} in {message.namespace}")
    method = cls.methods.get(message.name.lower())
    if method is None:
        raise CimError(METHOD_NOT_FOUND, f"{cls.name} has no method {message.name}")
    path = reader.any_name(message.target[-1])
    found: dict[str, Param] = {}
    for given, element in message.parameters:
        declared = method.parameters.get(given.lower())
        if declared is None or not declared.input:
            raise invalid(f"{method.name} takes no parameter {given}")
        if declared.name in found:
            raise invalid(f"{given} is given twice")
        if len(element) > 1:
            raise invalid(f"{given} must have one value")
        value = reader.declared_value(element[0], declared) if len(element) else None
        found[declared.name] = Param(value, declared.type, bool(declared.embedded) and value is not None)
    return path, method.name, found


class Reader:
    """Reads values in the light of one graph, for one request. Paths into other namespaces are read with `graphs`."""

    def __init__(self, graph: ClassGraph, namespace: str, graphs: Graphs | None = None) -> None:
        self.graph = graph
        self.namespace = namespace
        self._graphs = graphs
        self._embedding = 0

    def parameter(self, kind: str, element: Element, name: str) -> Any:
        read_one = _KINDS.get(kind)
        if read_one is not None:
            return read_one(self, element, name)
        return values.parse(self.text(element, name), kind, name)

    # names and paths

    def class_name(self, element: Element, what: str = "ClassName", namespace: str = "") -> str:
        """A class name, in the schema's spelling when the schema has it."""
        self._need(element, what, "CLASSNAME")
        name = self._attribute(element, "NAME")
        cls = self._class_in(namespace, name)
        return name if cls is None else cls.name

    def _class_in(self, namespace: str, name: str) -> CimClass | None:
        """A class of a namespace ("": the request's own). One that is not there may be one of the request's."""
        there = None
        if namespace not in ("", self.namespace) and self._graphs is not None:
            there = self._graphs(namespace)
        return (there.find(name) if there is not None else None) or self.graph.find(name)

    def any_name(self, element: Element, what: str = "ObjectName") -> Path:
        self._need(element, what, "CLASSNAME", "INSTANCENAME")
        if element.tag == "CLASSNAME":
            return Path(self.class_name(element), None, self.namespace)
        return self.instance_name(element, what)

    def instance_name(self, element: Element, what: str = "InstanceName", namespace: str = "") -> Path:
        self._need(element, what, "INSTANCENAME")
        classname = self._attribute(element, "CLASSNAME")
        cls = self._class_in(namespace, classname)
        keys: dict[str, Any] = {}
        if len(element) == 1 and element[0].tag in ("KEYVALUE", "VALUE.REFERENCE"):
            # DSP0201: a single value may stand without its name if the class has just one key.
            if cls is None or len(cls.keys) != 1:
                raise invalid(f"the key of {classname} must be named")
            keys[cls.keys[0]] = self._key(element[0], cls, cls.keys[0])
        else:
            for binding in element:
                self._need(binding, what, "KEYBINDING")
                name = self._attribute(binding, "NAME")
                prop = cls.properties.get(name.lower()) if cls else None
                name = prop.name if prop else name
                if name in keys:
                    raise invalid(f"{what} has the key {name} twice")
                if len(binding) != 1:
                    raise invalid(f"the key {name} must have one value")
                keys[name] = self._key(binding[0], cls, name)
        return Path.of(cls.name if cls else classname, keys, namespace or self.namespace)

    def _key(self, element: Element, cls: CimClass | None, name: str) -> Any:
        if element.tag == "VALUE.REFERENCE":
            return self.reference(element, name)
        self._need(element, name, "KEYVALUE")
        text = self._content(element)
        prop = cls.properties.get(name.lower()) if cls else None
        if prop is not None:
            if prop.type == "reference":
                raise invalid(f"the key {name} must be a reference")
            return values.parse(text, prop.type, f"the key {name}")
        kind = element.get("VALUETYPE", "string")
        if kind == "boolean":
            return values.boolean(text, f"the key {name}")
        if kind == "numeric":
            return values.integer(text, "sint64" if text.strip().startswith("-") else "uint64", f"the key {name}")
        return text

    def reference(self, element: Element, what: str) -> Path:
        """The path in VALUE.REFERENCE, in any of the six forms DSP0201 allows."""
        self._need(element, what, "VALUE.REFERENCE")
        if len(element) != 1:
            raise invalid(f"{what} must be one path")
        inner = element[0]
        if inner.tag in ("CLASSNAME", "INSTANCENAME"):
            return self.any_name(inner, what)
        self._need(inner, what, "LOCALINSTANCEPATH", "INSTANCEPATH", "LOCALCLASSPATH", "CLASSPATH")
        if len(inner) != 2:
            raise invalid(f"{what} must be a namespace and a name")
        space = inner[0]
        if space.tag == "NAMESPACEPATH":  # HOST, LOCALNAMESPACEPATH
            space = space[-1] if len(space) == 2 else space
        self._need(space, what, "LOCALNAMESPACEPATH")
        namespace = canonical_namespace("/".join(n.get("NAME", "") for n in space))
        if inner[1].tag == "CLASSNAME":
            return Path(self.class_name(inner[1], what, namespace), None, namespace)
        return self.instance_name(inner[1], what, namespace)

    # values

    def text(self, element: Element, what: str) -> str:
        self._need(element, what, "VALUE")
        return self._content(element)

    def names(self, element: Element, what: str) -> tuple[str, ...]:
        """A list of names (PropertyList), without repetition, as the client spelled them."""
        self._need(element, what, "VALUE.ARRAY")
        return tuple(dict.fromkeys(self.text(item, what).strip() for item in element))

    def declared_value(self, element: Element, declared: Property | Parameter) -> Any:
        """The value of a property or parameter; INVALID_PARAMETER unless it has the declared type and arrayness."""
        name = declared.name
        if declared.array:
            self._need(element, name, "VALUE.REFARRAY" if declared.type == "reference" else "VALUE.ARRAY")
            return tuple(None if item.tag == "VALUE.NULL" else self._declared_item(item, declared) for item in element)
        return self._declared_item(element, declared)

    def _declared_item(self, element: Element, declared: Property | Parameter) -> Any:
        name = declared.name
        if declared.type == "reference":
            if element.tag in ("CLASSNAME", "INSTANCENAME"):  # older clients leave VALUE.REFERENCE out in PARAMVALUE
                return self.any_name(element, name)
            return self.reference(element, name)
        if declared.embedded:
            if element.tag in ("INSTANCE", "VALUE.NAMEDINSTANCE"):
                return self.instance(element[-1] if element.tag != "INSTANCE" and len(element) else element, name)
            text = self.text(element, name)
            # A property may hold a class as well; what a method does with one is in no profile.
            if isinstance(declared, Property) and declared.embedded == "object" and _IS_CLASS.match(text):
                return self.embedded_class(text, name)
            return self.embedded(text, name)
        return values.parse(self.text(element, name), declared.type, name)

    def property_value(self, element: Element, what: str) -> Any:
        """The new value of SetProperty, as text or tuple of texts: its type is the property's."""
        if element.tag == "VALUE.REFERENCE":
            return self.reference(element, what)
        if element.tag == "VALUE.ARRAY":
            return tuple(None if item.tag == "VALUE.NULL" else self.text(item, what) for item in element)
        return self.text(element, what)

    def embedded(self, text: str, what: str) -> Instance:
        """An embedded instance, given as CIM-XML or as MOF text (DSP0200 knows only the first; old clients send the
        second). CimError FAILED if it cannot be read."""
        if self._embedding >= _EMBEDDING:
            raise CimError(FAILED, f"Unable to parse embedded object {what}: nested too deep")
        self._embedding += 1
        try:
            if text.lstrip().startswith("<"):
                return self.instance(parse_xml(text.encode(), LIMITS), what)
            return self._from_mof(mof_value.parse(text), what)
        except (XmlError, mof_value.MofValueError, UnicodeEncodeError) as error:
            raise CimError(FAILED, f"Unable to parse embedded object {what}: {error}") from None
        finally:
            self._embedding -= 1

    def embedded_class(self, text: str, what: str) -> CimClass:
        """An embedded class as it was written. CimError as for `embedded`."""
        try:
            return declarations.class_declaration(self, parse_xml(text.encode(), LIMITS), what)
        except (XmlError, UnicodeEncodeError) as error:
            raise CimError(FAILED, f"Unable to parse embedded object {what}: {error}") from None

    def _from_mof(self, found: mof_value.MofInstance, what: str) -> Instance:
        cls = self.graph.find(found.classname)
        out: dict[str, Any] = {}
        types: dict[str, str] = {}
        for given, raw in found.values.items():
            prop = cls.properties.get(given.lower()) if cls else None
            if cls is not None and prop is None:
                if given.lower() == "creationclassname" and str(raw).lower() == cls.name.lower():
                    continue  # tools give it to every instance; it says what the declaration says
                raise invalid(f"{what}: {cls.name} has no property {given}")
            name = prop.name if prop else given
            if name in out:
                raise invalid(f"{what} has the property {name} twice")
            out[name] = self._mof_value(raw, prop, name)
            if prop is None:
                types[name] = "string"
        return Instance(cls.name if cls else found.classname, out, None, types)

    def _mof_value(self, raw: Any, prop: Property | None, name: str) -> Any:
        if raw is None:
            return None
        if isinstance(raw, tuple) != (prop.array if prop else isinstance(raw, tuple)):
            raise invalid(f"{name} must {'be' if prop and prop.array else 'not be'} an array")
        if isinstance(raw, tuple):
            return tuple(None if item is None else self._mof_item(item, prop, name) for item in raw)
        return self._mof_item(raw, prop, name)

    def _mof_item(self, raw: str | mof_value.MofInstance, prop: Property | None, name: str) -> Any:
        if isinstance(raw, mof_value.MofInstance):
            if prop is not None and not prop.embedded:
                raise invalid(f"{name} does not hold an instance")
            return self._from_mof(raw, name)
        if prop is None:
            return raw
        if prop.embedded:
            return self.embedded(raw, name)
        if prop.type == "reference":
            raise invalid(f"{name}: references in MOF text are not supported")
        return values.parse(raw, prop.type, name)

    def instance(self, element: Element, what: str, wrong_property: int = 0) -> Instance:
        """An INSTANCE. Of a class that the graph does not know, the types are taken as the client wrote them."""
        self._need(element, what, "INSTANCE")
        classname = self._attribute(element, "CLASSNAME")
        cls = self.graph.find(classname)
        out: dict[str, Any] = {}
        types: dict[str, str] = {}
        for child in element:
            if child.tag == "QUALIFIER":
                continue
            self._need(child, what, "PROPERTY", "PROPERTY.ARRAY", "PROPERTY.REFERENCE")
            given = self._attribute(child, "NAME")
            prop = cls.properties.get(given.lower()) if cls else None
            if cls is not None and prop is None:
                text = f"{what}: {cls.name} has no property {given}"
                raise CimError(wrong_property, text) if wrong_property else invalid(text)
            name = prop.name if prop else given
            if name in out:
                raise invalid(f"{what} has the property {name} twice")
            inner = [e for e in child if e.tag != "QUALIFIER"]
            if len(inner) > 1:
                raise invalid(f"{name} must have one value")
            prop = prop or self._as_written(child)
            out[name] = self.declared_value(inner[0], prop) if inner else None
            if cls is None:
                types[name] = prop.type
        return Instance(cls.name if cls else classname, out, None, types)

    def _as_written(self, element: Element) -> Property:
        type_ = "reference" if element.tag == "PROPERTY.REFERENCE" else element.get("TYPE", "string")
        embedded = element.get("EmbeddedObject", element.get("EMBEDDEDOBJECT", ""))
        return Property(
            self._attribute(element, "NAME"), type_, element.tag == "PROPERTY.ARRAY", "", {}, "", embedded.lower()
        )

    def named_instance(self, element: Element, what: str) -> Instance:
        """VALUE.NAMEDINSTANCE; an unknown property is NO_SUCH_PROPERTY (DSP0200, ModifyInstance)."""
        self._need(element, what, "VALUE.NAMEDINSTANCE")
        if len(element) != 2:
            raise invalid(f"{what} must be a name and an instance")
        path = self.instance_name(element[0], what)
        found = self.instance(element[1], what, NO_SUCH_PROPERTY)
        if found.classname.lower() != path.classname.lower():
            raise invalid(f"{what}: the instance is of {found.classname}, its name of {path.classname}")
        found.path = path
        return found

    # elements

    @staticmethod
    def _need(element: Element, what: str, *tags: str) -> None:
        if element.tag not in tags:
            raise invalid(f"{what}: {' or '.join(tags)} expected, not {str(element.tag)[:80]}")

    @staticmethod
    def _attribute(element: Element, name: str) -> str:
        value = element.get(name)
        if value is None:
            raise invalid(f"{element.tag} needs the attribute {name}")
        return value

    @staticmethod
    def _content(element: Element) -> str:
        if len(element):
            raise invalid(f"{element.tag} holds text only")
        return element.text or ""


_KINDS: Mapping[str, Callable[[Reader, Element, str], Any]] = {
    "class": Reader.class_name,
    "name": lambda reader, element, what: reader.text(element, what).strip(),
    "names": Reader.names,
    "instance name": Reader.instance_name,
    "object name": Reader.any_name,
    "instance": lambda reader, element, what: reader.instance(element, what),
    "named instance": Reader.named_instance,
    "property value": Reader.property_value,
    "declaration": lambda reader, element, what: declarations.declaration(reader, element, what),
}
