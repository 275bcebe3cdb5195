"""Instance operations of DSP0200: GetInstance, EnumerateInstances, EnumerateInstanceNames, and those that write.

Rule 1: LocalOnly is deprecated (DSP0200 5.4.2.2); NULL counts as false, so that nobody loses properties by not asking.
        A client that says true gets it as the first versions defined it.
Rule 2: IncludeQualifiers is deprecated for instances and may be ignored: instances carry no qualifiers.
Rule 3: what the pool shows cannot be created, changed or deleted through intrinsic operations; the methods of the
        profiles do that. A client that tries learns first whether the instance exists (NOT_FOUND), then that it cannot
        be written (NOT_SUPPORTED). Instances that belong to clients (subscriptions to indications, namespaces, jobs)
        are handed to their InstanceWriter; those of classes that clients wrote, to the one for static instances.
Rule 4: a client that wrote something gets the reply when it is on disk, if there is a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from cim_provider.mapping.extent import Listing, Shown
from cim_provider.operations.api import InstanceWriter, Operation, Reply, operation
from cim_provider.operations.static import StaticWriter, parsed
from cim_provider.repository.static import Stored
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import (
    CIMV2,
    INTEROP,
    INVALID_PARAMETER,
    NO_SUCH_PROPERTY,
    NOT_SUPPORTED,
    CimError,
    Instance,
    Path,
)
from cim_provider.wire.encode import Encoder, encoder_of
from xenapi_core.clock import Later, Steps, then

if TYPE_CHECKING:
    from cim_provider.provider import CimProvider

Write = Callable[[Shown], bytes]


def provider_of(op: Operation) -> CimProvider:
    """The provider behind an operation (operations/api.Provider says what the service may know of it)."""
    return cast("CimProvider", op.provider)


def required(op: Operation, name: str, kind: type) -> Any:
    """A parameter that must be there and of a kind; CimError INVALID_PARAMETER."""
    value = op.params.get(name)
    if not isinstance(value, kind):
        raise CimError(INVALID_PARAMETER, f"{op.name} needs {name}")
    return value


def instance_path(op: Operation, name: str) -> Path:
    """A parameter that names an instance; CimError INVALID_PARAMETER, INVALID_CLASS."""
    path: Path = required(op, name, Path)
    if path.keys is None:
        raise CimError(INVALID_PARAMETER, f"{name} names a class, not an instance")
    provider_of(op).class_of(op.namespace, path.classname)
    return path


def get(op: Operation, path: Path) -> Shown:
    """The instance of a path. CimError NOT_FOUND; INVALID_PARAMETER if the path lacks a key of its class. A mode may
    have other words and statuses for that."""
    provider = provider_of(op)
    found = provider.get(path, op.namespace)
    if found is not None:
        return found
    raise provider.mode.missing(provider.class_of(op.namespace, path.classname), path)


def listed_names(params: Mapping[str, Any]) -> frozenset[str] | None:
    """The properties a PropertyList leaves, in lower case; None for all (DSP0200: unknown names are ignored)."""
    names = params.get("PropertyList")
    return None if names is None else frozenset(name.lower() for name in names)


def instance_writer(op: Operation, names: Callable[[str], frozenset[str] | None], class_origin: bool) -> Write:
    """What turns an instance into INSTANCE; `names` gives the properties for instances of a class (None: all).

    Classes are those of the operation's moment: a pulled instance may come when its class is gone.
    """
    provider = provider_of(op)
    graph = provider.graph(op.namespace)
    near, server = encoder_of(graph), encoder_of(provider.spaces.base)

    def encoder(shown: Shown) -> Encoder:
        if not isinstance(shown, Stored):
            return server
        # The other end of an association may live in another namespace, and be of a class that is only there. And what
        # was found after a wait may be of a class that was modified meanwhile: what is kept of it must be of that one.
        if shown.space.name != op.namespace:
            return encoder_of(shown.space.graph)
        name = shown.path.classname
        later = graph.find(name) is not shown.cls and shown.space.graph.find(name) is shown.cls
        return encoder_of(shown.space.graph) if later else near

    def write(shown: Shown) -> bytes:
        classname = shown.path.classname
        chosen, own = names(classname), encoder(shown)
        if chosen is None and not class_origin:
            return own.instance(classname, shown.values)
        return own.instance(classname, shown.values, names=chosen, class_origin=class_origin)

    return write


def enumeration_names(
    graph: ClassGraph, named: CimClass, params: Mapping[str, Any]
) -> Callable[[str], frozenset[str] | None]:
    """Which properties EnumerateInstances of class `named` returns for an instance of one of its subclasses.

    DeepInheritance=false leaves those `named` has; LocalOnly=true those `named` defines or overrides, and with
    DeepInheritance those that the classes below it do; PropertyList limits the rest.
    """
    listed = listed_names(params)
    local = params.get("LocalOnly") is True
    deep = params.get("DeepInheritance") is not False
    if not local and deep:
        return lambda classname: listed
    known: dict[str, frozenset[str] | None] = {}

    def names(classname: str) -> frozenset[str] | None:
        if classname not in known:
            if local:
                chosen = set(local_names(named))
                for name in (classname, *graph.superclasses(classname)) if deep else ():
                    if name == named.name:
                        break
                    chosen |= local_names(graph.classes[name.lower()])
            else:
                chosen = set(named.properties)
            known[classname] = frozenset(chosen if listed is None else chosen & listed)
        return known[classname]

    return names


def local_names(cls: CimClass) -> frozenset[str]:
    """Properties a class defines or overrides, in lower case."""
    return frozenset(name for name, declared in cls.properties.items() if not declared.propagated)


def listings(op: Operation, classname: str) -> list[Listing] | Later[list[Listing]]:
    """All instances of a class and its subclasses in the operation's namespace, of one moment."""
    provider = provider_of(op)
    return provider.slices.complete(lambda: provider.listings(op.namespace, classname))


def instances(found: Iterable[Listing]) -> list[Shown]:
    """The instances in some listings."""
    return [shown for listing in found for shown in listing.shown]


def written(shown: Iterable[Shown], write: Write) -> Steps[list[bytes]]:
    """Instances of one moment as `write` writes them; a step each."""
    values = []
    for one in shown:
        values.append(write(one))
        yield
    return values


def grown(provider: CimProvider, pieces: Generator[bytes, None, None]) -> Reply:
    """A reply of encoded instances of one moment; if they are many, it begins before the last of them is written."""
    values, growing = provider.slices.grow(pieces)
    return Reply(values, growing=growing)


@operation("GetInstance")
def get_instance(op: Operation) -> Reply:
    """One instance by its path (DSP0200 5.4.2.2)."""
    found = get(op, instance_path(op, "InstanceName"))
    provider = provider_of(op)
    names = listed_names(op.params)
    if op.params.get("LocalOnly") is True:
        local = local_names(provider.class_of(op.namespace, found.path.classname))
        names = local if names is None else names & local
    origin = bool(op.params.get("IncludeClassOrigin"))
    write = instance_writer(op, lambda classname: names, origin)
    return Reply([found.form("instance", write) if names is None and not origin else write(found)])


@operation("EnumerateInstances")
def enumerate_instances(op: Operation) -> Reply | Later[Reply]:
    """The instances of a class and its subclasses (DSP0200 5.4.2.11). The answer with default options is a join of what
    is kept on the extents."""
    provider = provider_of(op)
    named = provider.class_of(op.namespace, required(op, "ClassName", str))
    graph = provider.graph(op.namespace)
    encoder = encoder_of(graph)
    origin = bool(op.params.get("IncludeClassOrigin"))
    write = instance_writer(op, enumeration_names(graph, named, op.params), origin)

    def write_named(shown: Shown) -> bytes:
        return encoder.named_instance(shown.path, write(shown))

    plain = not origin and op.params.get("PropertyList") is None
    plain = plain and op.params.get("LocalOnly") is not True and op.params.get("DeepInheritance") is not False
    if plain:
        return _joined(op, named.name, "named", write_named)
    shown = then(listings(op, named.name), instances)
    return then(shown, lambda shown: grown(provider, (write_named(one) for one in shown)))


@operation("EnumerateInstanceNames")
def enumerate_instance_names(op: Operation) -> Reply | Later[Reply]:
    """Paths of the instances of a class and its subclasses (DSP0200 5.4.2.12)."""
    provider = provider_of(op)
    named = provider.class_of(op.namespace, required(op, "ClassName", str))
    encoder = encoder_of(provider.graph(op.namespace))
    return _joined(op, named.name, "name", lambda shown: encoder.instance_name(shown.path))


def _joined(op: Operation, classname: str, form: str, write: Write) -> Reply | Later[Reply]:
    def join(found: list[Listing]) -> Generator[bytes, None, None]:
        for listing in found:
            yield from listing.pieces(form, write)

    return then(listings(op, classname), lambda found: grown(provider_of(op), join(found)))


@operation("GetProperty")
def get_property(op: Operation) -> Reply:
    """The value of one property of an instance (DSP0200 5.4.2.18)."""
    found = get(op, instance_path(op, "InstanceName"))
    provider = provider_of(op)
    cls = provider.class_of(op.namespace, found.path.classname)
    declared = cls.properties.get(required(op, "PropertyName", str).lower())
    if declared is None:
        raise CimError(NO_SUCH_PROPERTY, f"{cls.name} has no property {op.params['PropertyName']}")
    value = found.values.get(declared.name)
    if value is None:
        return Reply([])
    write = encoder_of(provider.graph(op.namespace)).value_writer(declared.type, declared.array)
    return Reply([write(value).encode()])


@operation("SetProperty")
def set_property(op: Operation) -> Reply | Later[Reply]:
    """Modify one property of an instance, as ModifyInstance does (DSP0200 5.4.2.19; rule 3)."""
    path = instance_path(op, "InstanceName")
    found = get(op, path)
    cls = provider_of(op).class_of(op.namespace, found.path.classname)
    declared = cls.properties.get(required(op, "PropertyName", str).lower())
    if declared is None:
        raise CimError(NO_SUCH_PROPERTY, f"{cls.name} has no property {op.params['PropertyName']}")
    writer = writer_of(op, cls.name)
    if writer is None:
        raise CimError(NOT_SUPPORTED, f"properties of {cls.name} cannot be set")
    value = parsed(declared, op.params.get("NewValue"))
    done = writer.modify(op, found.path, Instance(cls.name, {declared.name: value}, found.path))
    return then(done, lambda _: provider_of(op).durable(Reply()))


def writer_of(op: Operation, classname: str) -> InstanceWriter | None:
    """The InstanceWriter that creates, changes and deletes instances of a class in the operation's namespace."""
    provider = provider_of(op)
    if provider.spaces.get(op.namespace).written(classname):
        return StaticWriter(provider)
    for home, writers in ((INTEROP, provider.writers), (CIMV2, provider.pool_writers)):
        if classname in writers and provider.sees(op.namespace, home):
            return writers[classname]
    return None


@operation("CreateInstance")
def create_instance(op: Operation) -> Reply | Later[Reply]:
    """Create an instance; its path (DSP0200 5.4.2.6; rule 3)."""
    new: Instance = required(op, "NewInstance", Instance)
    provider = provider_of(op)
    cls = provider.class_of(op.namespace, new.classname)
    writer = writer_of(op, cls.name)
    if writer is None:
        raise CimError(NOT_SUPPORTED, f"instances of {cls.name} cannot be created")
    write = encoder_of(provider.graph(op.namespace)).instance_name
    return then(writer.create(op, new), lambda path: provider.durable(Reply([write(path)])))


@operation("ModifyInstance")
def modify_instance(op: Operation) -> Reply | Later[Reply]:
    """Modify properties of an instance (DSP0200 5.4.2.8; rule 3)."""
    changed: Instance = required(op, "ModifiedInstance", Instance)
    if changed.path is None:
        raise CimError(INVALID_PARAMETER, "ModifiedInstance has no path")
    cls = provider_of(op).class_of(op.namespace, changed.path.classname)
    found = get(op, changed.path)
    writer = writer_of(op, cls.name)
    if writer is None:
        raise CimError(NOT_SUPPORTED, f"instances of {changed.classname} cannot be changed")
    listed = listed_names(op.params)
    if listed is not None:
        unknown = listed - set(cls.properties)
        if unknown:
            raise CimError(NO_SUCH_PROPERTY, f"{cls.name} has no property {min(unknown)}")
        # Listed but not given: the class's default; NULL for classes of a profile, which have defaults of their own.
        static = isinstance(writer, StaticWriter)
        declared = [cls.properties[name] for name in listed]
        given = {one.name: one.default if static and not one.key else None for one in declared}
        given |= {name: value for name, value in changed.values.items() if name.lower() in listed}
        changed = Instance(changed.classname, given, changed.path)
    return then(writer.modify(op, found.path, changed), lambda _: provider_of(op).durable(Reply()))


@operation("DeleteInstance")
def delete_instance(op: Operation) -> Reply | Later[Reply]:
    """Delete an instance (DSP0200 5.4.2.4; rule 3)."""
    found = get(op, instance_path(op, "InstanceName"))
    writer = writer_of(op, found.path.classname)
    if writer is None:
        raise CimError(NOT_SUPPORTED, f"instances of {found.path.classname} cannot be deleted")
    return then(writer.delete(op, found.path), lambda _: provider_of(op).durable(Reply()))
