"""Input and result of an operation; the service does the rest (HTTP, headers, envelopes, access)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import Instance, Param, Path
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.clock import Later


class Provider(Protocol):
    """The composed provider: namespaces, their class graphs, and the pool behind them."""

    source: Source

    def graph(self, namespace: str) -> ClassGraph:
        """The classes of a namespace, given by its canonical name. CimError INVALID_NAMESPACE."""


@dataclass(slots=True)
class Operation:
    """One intrinsic operation call. `params` holds decoded values by parameter name in the spelling of DSP0200:
    class names as str, booleans, PropertyList as tuple or None, InstanceName/ObjectName as Path (class paths have keys
    None), NULL and missing parameters as None."""

    name: str
    namespace: str
    params: Mapping[str, Any]
    principal: Principal
    provider: Provider


@dataclass(slots=True)
class Reply:
    """The content of IMETHODRESPONSE: encoded children of IRETURNVALUE (None: no IRETURNVALUE element), and encoded
    PARAMVALUE elements for output parameters (EndOfSequence, EnumerationContext).

    `growing` gives the children of IRETURNVALUE that come after `values`, while they are made: a long answer can begin
    before its end is there. It is read once, or not at all.
    """

    values: list[bytes] | None = None
    out: list[bytes] = field(default_factory=list)
    growing: AsyncGenerator[bytes, None] | None = None

    async def whole(self) -> Reply:
        """This reply with all of `growing` moved into `values`."""
        if self.growing is None:
            return self
        return Reply([*(self.values or ()), *[part async for part in self.growing]], self.out)


class InstanceWriter(Protocol):
    """Creates, changes and deletes instances of classes that clients may write (CimProvider.writers for those of
    the Interop namespace, pool_writers for those of the pool's).

    Each checks the principal's roles and the values itself.
    """

    def create(self, op: Operation, new: Instance) -> Path | Later[Path]:
        """The path of the new instance, which exists at once; a Later while something has to be prepared for it."""

    def modify(self, op: Operation, path: Path, changed: Instance) -> Later[None] | None:
        """Set the properties in `changed.values`; the caller has applied PropertyList. A Later asks the pool to."""

    def delete(self, op: Operation, path: Path) -> Later[None] | None: ...


@dataclass(slots=True)
class MethodCall:
    """One extrinsic method call. `path` is the instance or (keys None) the class it is invoked on; `method` and the
    names of `params` have the schema's spelling. The service has checked that the class, the method and each given
    parameter are declared and that the values fit the declared types; it has not checked that required ones are
    there."""

    namespace: str
    path: Path
    method: str
    params: Mapping[str, Param]
    principal: Principal
    provider: Provider

    def value(self, name: str) -> Any:
        """The value of a parameter; None if it is NULL or was not given."""
        param = self.params.get(name)
        return None if param is None else param.value


@dataclass(slots=True)
class MethodReply:
    """The content of METHODRESPONSE: RETURNVALUE (`return_value` None: no RETURNVALUE element), and encoded PARAMVALUE
    elements (Encoder.param_value) for the output parameters."""

    return_value: Any = None
    return_type: str = "uint32"
    out: list[bytes] = field(default_factory=list)


MethodHandler = Callable[[MethodCall], MethodReply | Awaitable[MethodReply]]

OperationHandler = Callable[[Operation], Reply | Awaitable[Reply]]

# DSP0200 operation name -> handler; filled by the modules of this package.
OPERATIONS: dict[str, OperationHandler] = {}


def operation(name: str) -> Callable[[OperationHandler], OperationHandler]:
    """Register the handler of an intrinsic operation."""

    def register(handler: OperationHandler) -> OperationHandler:
        OPERATIONS[name] = handler
        return handler

    return register
