"""Association operations of DSP0200: Associators, References and their names; on instances and on classes.

Rule 1: an instance reached over several associations is returned once.
Rule 2: a source that does not exist is an error, not an empty answer, so that a typing mistake in a path is seen.
Rule 3: a filter that names a class that does not exist is an error too (INVALID_PARAMETER).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from cim_provider.mapping.extent import Rendition, Shown
from cim_provider.operations.api import Operation, Reply, operation
from cim_provider.operations.intrinsic import get, grown, instance_writer, listed_names, provider_of, required
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import INVALID_PARAMETER, Path
from cim_provider.wire.classes import class_declaration
from cim_provider.wire.encode import encoder_of
from xenapi_core.clock import Later, Steps, then


def filter_class(op: Operation, name: str) -> str | None:
    """A class given as a filter, in the schema's spelling; None if there is none. CimError INVALID_PARAMETER."""
    given = op.params.get(name)
    return None if not given else provider_of(op).class_of(op.namespace, given, INVALID_PARAMETER).name


def _role_matches(op: Operation, parameter: str, role: str) -> bool:
    """Whether a Role or ResultRole parameter allows `role`."""
    wanted = op.params.get(parameter)
    return not wanted or wanted.lower() == role.lower()


def source_of(op: Operation) -> Shown:
    """The instance the walk starts at."""
    path: Path = required(op, "ObjectName", Path)
    provider_of(op).class_of(op.namespace, path.classname, INVALID_PARAMETER)
    return get(op, path)


def links(op: Operation, source: Shown, of: str | None) -> Iterator[tuple[Shown, Callable[[], Shown | None], str]]:
    """Associations of class `of` that `source` is part of in the Role asked for: each with what finds its other end
    (None if that does not exist) and the role that one plays."""
    provider = provider_of(op)
    if isinstance(source, Rendition):  # the pool has no associations with associations
        for association in provider.associations(op.namespace, of):
            for mine, others in ((association.left, association.right), (association.right, association.left)):
                if _role_matches(op, "Role", mine):
                    for link in association.links_of(provider, source, mine):
                        other = link.right if mine == association.left else link.left
                        yield link, partial(_shown_instance, other), others
    graph = provider.graph(op.namespace)
    for stored in provider.static.referring(source.path, op.namespace):
        if of is not None and not graph.is_a(stored.path.classname, of):
            continue
        ends = tuple(stored.references())
        if len(ends) == 1 and _role_matches(op, "Role", ends[0][0]):  # its other end is NULL
            yield stored, _no_instance, ""
        for mine, target in ends:
            if target == source.path and _role_matches(op, "Role", mine):
                for others, path in ends:
                    if others != mine:
                        yield stored, partial(provider.get, path, path.namespace), others


def _no_instance() -> Shown | None:
    return None


def _shown_instance(shown: Rendition) -> Shown | None:
    return shown


def _of_class(op: Operation, shown: Shown, name: str) -> bool:
    """Whether an instance, which may live in another namespace, is of a class."""
    return provider_of(op).graph(shown.path.namespace or op.namespace).is_a(shown.path.classname, name)


Walked = list[Shown] | Later[list[Shown]]


def associated(op: Operation) -> Walked:
    """What Associators returns for an instance, in the order of the declarations; of one moment."""
    result = filter_class(op, "ResultClass")
    through = filter_class(op, "AssocClass")

    def walk() -> Steps[list[Shown]]:
        found: dict[Path, Shown] = {}
        walked = yield from provider_of(op).tally.steps(links(op, source_of(op), through))
        for _, end, role in walked:
            other = end() if _role_matches(op, "ResultRole", role) else None
            if other is not None and (result is None or _of_class(op, other, result)):
                found.setdefault(other.path, other)
        return list(found.values())

    return provider_of(op).slices.complete(walk)


def referring(op: Operation) -> Walked:
    """What References returns for an instance; of one moment."""
    of = filter_class(op, "ResultClass")

    def walk() -> Steps[list[Shown]]:
        walked = yield from provider_of(op).tally.steps(links(op, source_of(op), of))
        found: dict[Path, Shown] = {}
        for link, _, _ in walked:
            found.setdefault(link.path, link)
        return list(found.values())

    return provider_of(op).slices.complete(walk)


def _reply(op: Operation, walked: Walked) -> Reply | Later[Reply]:
    provider = provider_of(op)
    encoder = encoder_of(provider.graph(op.namespace))
    names, origin = listed_names(op.params), bool(op.params.get("IncludeClassOrigin"))
    write = instance_writer(op, lambda classname: names, origin)
    plain = names is None and not origin

    def write_whole(shown: Shown) -> bytes:
        return encoder.object_with_path(shown.path, shown.form("instance", write) if plain else write(shown))

    return then(walked, lambda found: grown(provider, (write_whole(one) for one in found)))


def _names(op: Operation, walked: Walked) -> Reply | Later[Reply]:
    provider = provider_of(op)
    encoder = encoder_of(provider.graph(op.namespace))

    def write(shown: Shown) -> bytes:
        return encoder.object_path(shown.path)

    return then(walked, lambda found: grown(provider, (write(one) for one in found)))


def _class_names(op: Operation, classes: list[CimClass]) -> Reply:
    encoder = encoder_of(provider_of(op).graph(op.namespace))
    return Reply([encoder.object_path(Path(cls.name, None, op.namespace)) for cls in classes])


def _is_class(op: Operation) -> bool:
    path: Path = required(op, "ObjectName", Path)
    return path.keys is None


@operation("Associators")
def associators(op: Operation) -> Reply | Later[Reply]:
    """Instances associated with an instance, or classes with a class (DSP0200 5.4.2.14)."""
    return _classes_reply(op, associated_classes(op)) if _is_class(op) else _reply(op, associated(op))


@operation("AssociatorNames")
def associator_names(op: Operation) -> Reply | Later[Reply]:
    """Paths of instances associated with an instance, or of classes with a class (DSP0200 5.4.2.15)."""
    if _is_class(op):
        return _class_names(op, associated_classes(op))
    return _names(op, associated(op))


@operation("References")
def references(op: Operation) -> Reply | Later[Reply]:
    """Association instances that refer to an instance, or association classes of a class (DSP0200 5.4.2.16)."""
    return _classes_reply(op, referring_classes(op)) if _is_class(op) else _reply(op, referring(op))


@operation("ReferenceNames")
def reference_names(op: Operation) -> Reply | Later[Reply]:
    """Paths of association instances that refer to an instance, or of association classes (DSP0200 5.4.2.17)."""
    if _is_class(op):
        return _class_names(op, referring_classes(op))
    return _names(op, referring(op))


# ---- on classes: what the schema allows, whether or not there are instances


def _class_links(op: Operation, of: str | None) -> Iterator[tuple[CimClass, str, str]]:
    """Association classes of class `of` that can refer to the source class in the Role asked for: each with the class
    at another reference and the role that one plays."""
    provider = provider_of(op)
    path: Path = required(op, "ObjectName", Path)
    source = provider.class_of(op.namespace, path.classname, INVALID_PARAMETER).name
    graph: ClassGraph = provider.graph(op.namespace)
    for association in graph.classes.values():
        if not association.association or (of is not None and not graph.is_a(association.name, of)):
            continue
        ends = [p for p in association.properties.values() if p.type == "reference"]
        for mine in ends:
            if graph.is_a(source, mine.reference_class) and _role_matches(op, "Role", mine.name):
                for other in ends:
                    if other is not mine:
                        yield association, other.reference_class, other.name


def _is_a(graph: ClassGraph, name: str, result: str) -> bool:
    return graph.find(name) is not None and graph.is_a(name, result)


def associated_classes(op: Operation) -> list[CimClass]:
    """The classes the schema lets a class be associated with."""
    graph = provider_of(op).graph(op.namespace)
    result = filter_class(op, "ResultClass")
    found: dict[str, CimClass] = {}
    for _, name, role in _class_links(op, filter_class(op, "AssocClass")):
        if _role_matches(op, "ResultRole", role) and (result is None or _is_a(graph, name, result)):
            cls = graph.find(name)
            if cls is not None:  # a class that a client's association names may be gone
                found.setdefault(cls.name, cls)
    return list(found.values())


def referring_classes(op: Operation) -> list[CimClass]:
    """The association classes the schema lets a class be part of."""
    found = {cls.name: cls for cls, _, _ in _class_links(op, filter_class(op, "ResultClass"))}
    return list(found.values())


def _classes_reply(op: Operation, classes: list[CimClass]) -> Reply:
    encoder = encoder_of(provider_of(op).graph(op.namespace))
    qualifiers, origin = bool(op.params.get("IncludeQualifiers")), bool(op.params.get("IncludeClassOrigin"))
    names = listed_names(op.params)
    return Reply(
        [
            encoder.object_with_path(
                Path(cls.name, None, op.namespace), class_declaration(cls, False, qualifiers, origin, names)
            )
            for cls in classes
        ]
    )
