"""Pulled enumerations of DSP0200: Open..., Pull..., CloseEnumeration, EnumerationCount.

Theory of operation
1. Opening takes the instances of that moment and keeps them: what is pulled later is the pool as it was then, whatever
   happens in between (each instance is a rendering of an immutable version; nothing is copied). So the objects of an
   answer can be written in slices; they are taken from the context before that, so no other Pull gets them too. A
   filter or a query is applied at opening, too.
2. A context is an unguessable name, belongs to one user and one namespace, and yields one kind of result. For anybody
   and anything else it does not exist.
3. A context that nobody used for its timeout is gone. It is removed when the next context is opened or used; there is
   no timer. Time is the pool's clock.
4. Limits: contexts per user, objects per answer, seconds of timeout. A client that wants more gets the status code
   DSP0200 has for it, never silently less, except for objects per answer, where less is allowed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cim_provider.mapping.extent import Shown
from cim_provider.operations.api import Operation, Reply, operation
from cim_provider.operations.associators import associated, filter_class, referring
from cim_provider.operations.intrinsic import (
    Write,
    enumeration_names,
    grown,
    instance_writer,
    listed_names,
    provider_of,
    required,
)
from cim_provider.operations.query_ops import Filter, opened_query
from cim_provider.schema.objects import (
    INVALID_ENUMERATION_CONTEXT,
    INVALID_OPERATION_TIMEOUT,
    INVALID_PARAMETER,
    SERVER_LIMITS_EXCEEDED,
    CimError,
    Path,
)
from cim_provider.wire.encode import encoder_of
from xenapi_core.clock import Later, then

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONTEXTS_PER_USER = 64
MAX_OBJECTS_PER_ANSWER = 10_000
DEFAULT_TIMEOUT = 120  # seconds
MAX_TIMEOUT = 3600

INSTANCES, PATHS, QUERIED = "instances", "paths", "queried"


@dataclass(slots=True)
class Context:
    """One open enumeration: `shown[position:]` is still to come."""

    user: str
    namespace: str
    kind: str
    shown: Sequence[Shown]
    write: Write
    timeout: int
    expires: int
    forgiving: bool = False  # ContinueOnError: a pull that fails does not end the enumeration
    position: int = 0

    def take(self, count: int) -> Sequence[Shown]:
        """The next objects, at most `count` of them."""
        end = self.position + min(count, MAX_OBJECTS_PER_ANSWER)
        taken = self.shown[self.position : end]
        self.position = min(end, len(self.shown))
        return taken

    @property
    def finished(self) -> bool:
        return self.position >= len(self.shown)


class Contexts:
    """The open enumerations of one provider, by name."""

    def __init__(self) -> None:
        self._open: dict[str, Context] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def add(self, context: Context, now: int) -> str:
        """Keep a context and give it a name. CimError SERVER_LIMITS_EXCEEDED."""
        self.expire(now)
        if sum(other.user == context.user for other in self._open.values()) >= MAX_CONTEXTS_PER_USER:
            raise CimError(SERVER_LIMITS_EXCEEDED, f"{MAX_CONTEXTS_PER_USER} enumerations are open for this user")
        name = secrets.token_urlsafe(24)
        self._open[name] = context
        return name

    def find(self, name: str, op: Operation, now: int, kind: str | None = None) -> Context:
        """The context `op` may use under a name; its timeout starts anew. CimError INVALID_ENUMERATION_CONTEXT."""
        self.expire(now)
        context = self._open.get(name)
        if (
            context is None
            or context.user != op.principal.user
            or context.namespace != op.namespace
            or kind not in (None, context.kind)
        ):
            raise CimError(INVALID_ENUMERATION_CONTEXT, "there is no such open enumeration")
        context.expires = now + context.timeout
        return context

    def close(self, name: str) -> None:
        self._open.pop(name, None)

    def expire(self, now: int) -> None:
        """Forget what nobody used in time."""
        for name in [name for name, context in self._open.items() if context.expires < now]:
            del self._open[name]


def _number(op: Operation, name: str, default: int | None) -> int:
    value = op.params.get(name)
    if value is None:
        value = default
    if type(value) is not int or value < 0:
        raise CimError(INVALID_PARAMETER, f"{op.name} needs {name}, a number from 0 on")
    return value


def _check_options(op: Operation) -> int:
    """The timeout in seconds. CimError INVALID_OPERATION_TIMEOUT."""
    timeout = _number(op, "OperationTimeout", DEFAULT_TIMEOUT)
    if not 0 < timeout <= MAX_TIMEOUT:
        raise CimError(INVALID_OPERATION_TIMEOUT, f"OperationTimeout must be from 1 to {MAX_TIMEOUT} seconds")
    return timeout


def _open(
    op: Operation,
    kind: str,
    shown: list[Shown] | Later[list[Shown]],
    write: Write,
    timeout: int,
    out: Sequence[bytes] = (),
) -> Reply | Later[Reply]:
    """Open an enumeration of `shown`; `out` are output parameters beside the usual ones."""
    provider, count = provider_of(op), _number(op, "MaxObjectCount", 0)

    def opened(shown: list[Shown]) -> Reply | Later[Reply]:
        now = provider.source.now()
        forgiving = bool(op.params.get("ContinueOnError"))
        context = Context(op.principal.user, op.namespace, kind, shown, write, timeout, now + timeout, forgiving)
        taken = context.take(count)
        return _answer(op, context, taken, "" if context.finished else provider.contexts.add(context, now), out)

    return then(shown, opened)


def _answer(op: Operation, context: Context, taken: Sequence[Shown], name: str, more: Sequence[bytes] = ()) -> Reply:
    provider = provider_of(op)
    encoder = encoder_of(provider.graph(op.namespace))
    out = [
        encoder.param_value("EnumerationContext", "string", name),
        encoder.param_value("EndOfSequence", "boolean", not name),
        *more,
    ]
    begun = grown(provider, (context.write(one) for one in taken))
    return Reply(begun.values, out, begun.growing)


def _instance_writer(op: Operation) -> Write:
    """INSTANCE with path for what Associators and References return."""
    encoder = encoder_of(provider_of(op).graph(op.namespace))
    names, origin = listed_names(op.params), bool(op.params.get("IncludeClassOrigin"))
    write = instance_writer(op, lambda classname: names, origin)
    plain = names is None and not origin
    return lambda s: encoder.instance_with_path(s.path, s.form("instance", write) if plain else write(s))


def _path_writer(op: Operation) -> Write:
    encoder = encoder_of(provider_of(op).graph(op.namespace))
    return lambda shown: encoder.instance_path(shown.path)


def _instance_source(op: Operation, name: str) -> Operation:
    """The operation with its source under the name the association operations know (DSP0200 calls it InstanceName)."""
    path: Path = required(op, name, Path)
    if path.keys is None:
        raise CimError(INVALID_PARAMETER, f"{name} names a class, not an instance")
    return Operation(op.name, op.namespace, {**op.params, "ObjectName": path}, op.principal, op.provider)


def _filter_of_walk(op: Operation) -> Filter:
    """The filter of a walk over associations: what it finds is of ResultClass, or of any class."""
    name = filter_class(op, "ResultClass")
    return Filter(op, provider_of(op).class_of(op.namespace, name) if name else None)


@operation("OpenEnumerateInstances")
def open_enumerate_instances(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the instances of a class (DSP0200 5.4.2.24.3)."""
    timeout = _check_options(op)
    provider = provider_of(op)
    named = provider.class_of(op.namespace, required(op, "ClassName", str))
    graph = provider.graph(op.namespace)
    encoder = encoder_of(graph)
    params = {**op.params, "LocalOnly": None}
    write = instance_writer(op, enumeration_names(graph, named, params), bool(op.params.get("IncludeClassOrigin")))
    shown = Filter(op, named).enumerated()
    return _open(op, INSTANCES, shown, lambda s: encoder.instance_with_path(s.path, write(s)), timeout)


@operation("OpenEnumerateInstancePaths")
def open_enumerate_instance_paths(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the paths of the instances of a class (DSP0200 5.4.2.24.4)."""
    timeout = _check_options(op)
    named = provider_of(op).class_of(op.namespace, required(op, "ClassName", str))
    return _open(op, PATHS, Filter(op, named).enumerated(), _path_writer(op), timeout)


@operation("OpenAssociatorInstances")
def open_associator_instances(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the instances associated with an instance (DSP0200 5.4.2.24.7)."""
    timeout = _check_options(op)
    chosen = _filter_of_walk(op)
    return _open(
        op, INSTANCES, chosen.left(associated(_instance_source(op, "InstanceName"))), _instance_writer(op), timeout
    )


@operation("OpenAssociatorInstancePaths")
def open_associator_instance_paths(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the paths of associated instances (DSP0200 5.4.2.24.8)."""
    timeout = _check_options(op)
    chosen = _filter_of_walk(op)
    return _open(op, PATHS, chosen.left(associated(_instance_source(op, "InstanceName"))), _path_writer(op), timeout)


@operation("OpenReferenceInstances")
def open_reference_instances(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the associations that refer to an instance (DSP0200 5.4.2.24.5)."""
    timeout = _check_options(op)
    chosen = _filter_of_walk(op)
    return _open(
        op, INSTANCES, chosen.left(referring(_instance_source(op, "InstanceName"))), _instance_writer(op), timeout
    )


@operation("OpenReferenceInstancePaths")
def open_reference_instance_paths(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the paths of associations that refer to an instance (DSP0200 5.4.2.24.6)."""
    timeout = _check_options(op)
    chosen = _filter_of_walk(op)
    return _open(op, PATHS, chosen.left(referring(_instance_source(op, "InstanceName"))), _path_writer(op), timeout)


@operation("OpenQueryInstances")
def open_query_instances(op: Operation) -> Reply | Later[Reply]:
    """Open an enumeration of the instances that a query selects (DSP0200 5.4.2.24.9). Instances come without paths, as
    PullInstances returns them."""
    timeout = _check_options(op)
    asked, out = opened_query(op)
    return _open(op, QUERIED, asked.run(), asked.writer(), timeout, out)


def _pull(op: Operation, kind: str) -> Reply | Later[Reply]:
    provider = provider_of(op)
    name: str = required(op, "EnumerationContext", str)
    context = provider.contexts.find(name, op, provider.source.now(), kind)
    try:
        count = _number(op, "MaxObjectCount", None)
    except CimError:
        if not context.forgiving:  # DSP0200 5.4.2.24.1: an error ends the enumeration unless ContinueOnError was asked
            provider.contexts.close(name)
        raise
    taken = context.take(count)
    if context.finished:
        provider.contexts.close(name)
        name = ""
    return _answer(op, context, taken, name)


@operation("PullInstancesWithPath")
def pull_instances_with_path(op: Operation) -> Reply | Later[Reply]:
    """The next instances of an open enumeration, with their paths (DSP0200 5.4.2.24.10)."""
    return _pull(op, INSTANCES)


@operation("PullInstancePaths")
def pull_instance_paths(op: Operation) -> Reply | Later[Reply]:
    """The next instance paths of an open enumeration (DSP0200 5.4.2.24.11)."""
    return _pull(op, PATHS)


@operation("PullInstances")
def pull_instances(op: Operation) -> Reply | Later[Reply]:
    """The next instances of an open enumeration, without paths (DSP0200 5.4.2.24.12)."""
    return _pull(op, QUERIED)


@operation("CloseEnumeration")
def close_enumeration(op: Operation) -> Reply:
    """Close an enumeration before its end (DSP0200 5.4.2.24.13)."""
    provider = provider_of(op)
    name: str = required(op, "EnumerationContext", str)
    provider.contexts.find(name, op, provider.source.now())
    provider.contexts.close(name)
    return Reply()


@operation("EnumerationCount")
def enumeration_count(op: Operation) -> Reply:
    """The number of objects in the whole enumeration (DSP0200 5.4.2.24.14). Exact: its content was fixed when it
    began."""
    provider = provider_of(op)
    context = provider.contexts.find(required(op, "EnumerationContext", str), op, provider.source.now())
    return Reply([encoder_of(provider.graph(op.namespace)).value_writer("uint64", False)(len(context.shown)).encode()])
