"""Extrinsic methods of a view: a declaration that the MOF is checked against, and what the function is given.

    async def request_state_change(call: Call, requested_state: int | None, timeout_period: str | None) -> Result: ...

    class ComputerSystem(View, ...):
        RequestStateChange = method(request_state_change, out=("Job",))

The parameters after the first are the method's input parameters, in snake case; `out` names its output parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cim_provider.mapping.subject import Subject
from cim_provider.schema.objects import Path
from xenapi_core.bridge.source import Principal, Source

if TYPE_CHECKING:
    from cim_provider.mapping.view import View
    from xenapi_core.store.api import Version


@dataclass(frozen=True)
class Call:
    """One call of a method on one instance.

    subject  the instance's record (and item).
    path_of  the path of a record as an instance of a view; None if the view does not show it.
    """

    subject: Subject
    principal: Principal
    source: Source
    path_of: Callable[[type[View], Version], Path | None]


@dataclass(frozen=True)
class Result:
    """The return value, and the output parameters that are not NULL."""

    value: int
    out: Mapping[str, Any] = field(default_factory=dict)


Function = Callable[..., Awaitable[Result]]


@dataclass(frozen=True)
class DeclaredMethod:
    """The behaviour of a method, and the names of its output parameters."""

    function: Function
    out: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, str]:
        """CIM parameter name in lower case without underscores -> name of the Python parameter."""
        names = list(inspect.signature(self.function).parameters)[1:]
        return {name.replace("_", "").lower(): name for name in names}


def method(function: Function, out: tuple[str, ...] = ()) -> DeclaredMethod:
    """Declare `function` as the behaviour of the method whose name the class attribute has."""
    return DeclaredMethod(function, out)
