"""What an operation is given and what it gives back; the service does the rest (HTTP, headers, envelopes, access)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cim_provider.schema.graph import ClassGraph
from xenapi_core.bridge.source import Principal, Source


class Provider(Protocol):
    """The composed provider: namespaces, their class graphs, and the pool behind them."""

    source: Source

    def graph(self, namespace: str) -> ClassGraph:
        """The classes of a namespace. CimError INVALID_NAMESPACE."""


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
    """What goes into IMETHODRESPONSE: encoded children of IRETURNVALUE (None: no IRETURNVALUE element), and encoded
    PARAMVALUE elements for output parameters (EndOfSequence, EnumerationContext)."""

    values: list[bytes] | None = None
    out: list[bytes] = field(default_factory=list)


OperationHandler = Callable[[Operation], Reply | Awaitable[Reply]]

# DSP0200 operation name -> handler; filled by the modules of this package.
OPERATIONS: dict[str, OperationHandler] = {}


def operation(name: str) -> Callable[[OperationHandler], OperationHandler]:
    """Register the handler of an intrinsic operation."""

    def register(handler: OperationHandler) -> OperationHandler:
        OPERATIONS[name] = handler
        return handler

    return register
