"""Extrinsic methods of a view: their declaration, checked against the MOF, and the call that their function gets.

    async def request_state_change(call: Call, requested_state: int | None, timeout_period: str | None) -> Result: ...

    class ComputerSystem(View, ...):
        RequestStateChange = method(request_state_change, out=("Job",))

The parameters after the first are the method's input parameters, in snake case; `out` names its output parameters.
A function refuses with RefusedError (mapping/refusal.py); jobs.answers makes return values of that.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.schema.objects import NOT_FOUND, CimError, Path
from xenapi_core.bridge.source import Principal, Source

if TYPE_CHECKING:
    from cim_provider.job_calls import Invocation
    from cim_provider.jobs import Jobs
    from cim_provider.mapping.extent import Rendition
    from cim_provider.mapping.view import View


class PathOf(Protocol):
    """Finds the path of a record as an instance of class `cim` (Call.path_of)."""

    def __call__(self, cim: str, ref: str, item: Any = None) -> Path | None: ...


@dataclass(frozen=True)
class Call:
    """One call of a method on one instance.

    invoked  the call as the client made it, for the job it may start.
    subject  the instance's record (and item).
    jobs     who starts jobs for it.
    path_of  the path of a record, given by reference, as an instance of a class: of an item of it, if one is named and
             shown, else the first. None if the class does not show it.
    find     the instance a path names; None if it names none.
    exists   whether a path names something that clients see; methods may have no instance of it (compat/inputs.py,
             rule 1).
    shown    the instances of a view, as clients see them.
    views    which views have instances of a class or its subclasses; None if there is no such class.
    """

    invoked: Invocation
    subject: Subject
    principal: Principal
    source: Source
    jobs: Jobs
    path_of: PathOf
    find: Callable[[Path], Rendition | None]
    exists: Callable[[Path], bool]
    shown: Callable[[type[View]], Awaitable[Sequence[Rendition]]]
    views: Callable[[str], tuple[type[View], ...] | None]

    def target(self, path: Path | None, name: str, *classes: str) -> Subject:
        """The record (and item) that a reference parameter names, as an instance of one of `classes`.

        RefusedError INVALID_PARAMETER if it is NULL or of another class, NOT_SUPPORTED for what is only shown; CimError
        NOT_FOUND.
        """
        if path is None:
            raise invalid(f"{name} is missing")
        found = self.find(path)
        if found is None and self.exists(path):
            raise RefusedError(Kind.NOT_SUPPORTED, f"{name} is a {path.classname} that is only shown")
        if found is None or found.version is None:
            raise CimError(NOT_FOUND, f"{name}: there is no such {path.classname}")
        if found.view.cim not in classes:
            raise invalid(f"{name} is a {path.classname}, not one of {', '.join(classes)}")
        return Subject(self.source, found.version, found.item)


@dataclass(frozen=True)
class Result:
    """The return value, the output parameters that are not NULL, and in words why something was refused."""

    value: int
    out: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


Function = Callable[..., Awaitable[Result]]


@dataclass(frozen=True)
class DeclaredMethod:
    """The behaviour of a method, and the names of its output parameters."""

    function: Function
    out: tuple[str, ...]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """CIM parameter name in lower case without underscores -> name of the Python parameter."""
        names = list(inspect.signature(self.function).parameters)[1:]
        return {name.replace("_", "").lower(): name for name in names}


def method(function: Function, out: tuple[str, ...] = ()) -> DeclaredMethod:
    """Declare `function` as the behaviour of the method whose name the class attribute has."""
    return DeclaredMethod(function, out)
