"""The method call behind a job: its name, its parameters and its result (DSP1103).

Rule 1: a call is noted before its task says that it has one (STARTED_BY in other_config): what is shown of a task is
        made anew when the task changes, and only then.
Rule 2: calls are kept in memory, as long as their jobs are there; no client of the Xen-API reads or writes them.
Rule 3: what may hold a password is not kept: a value whose name or text says so, or an address with one in it. Nor
        are the largest values of a call that has more than LARGEST characters. They are left out, not shown as NULL.
Rule 4: references are kept as text, the way the schema wants them in embedded instances.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cim_provider.mapping.refusal import Kind
from cim_provider.schema.objects import Instance, Path
from cim_provider.wire.model_path import model_path

STARTED_BY = "cim-method"  # key of a task's other_config; its value is the method's name, for people
LARGEST = 16_384  # characters of the values of a call
MOST = 1000  # calls; the oldest go first: those of jobs that never end, and of tasks that nobody saw go

_SECRET_NAME = re.compile(r"passw(or)?d|passphrase|secret|credential|token", re.IGNORECASE)
_SECRET_TEXT = re.compile(rf"(?:{_SECRET_NAME.pattern})\W{{0,3}}[=:]|//[^/\s@]*:[^/\s@]*@", re.IGNORECASE)


@dataclass(frozen=True)
class Invocation:
    """A method call: the method, the instance it is invoked on, its input, and the types of all parameters.

    `spaces`: see wire/model_path.py.
    """

    method: str
    target: Path
    given: Mapping[str, Any]
    types: Mapping[str, str]
    spaces: Mapping[str, str]


@dataclass(frozen=True)
class JobCall:
    """The call that started a job: its parameters as far as they are kept (rules 3 and 4), and those it gave; `codes`
    are the return values of its class of methods."""

    method: str
    target: Path
    given: Instance
    codes: Mapping[Kind, int]
    types: Mapping[str, str]
    spaces: Mapping[str, str]
    gave: Instance

    @property
    def model_path(self) -> str:
        """The instance it was invoked on, as text."""
        return model_path(self.target, self.spaces)


def call_of(invocation: Invocation, codes: Mapping[Kind, int]) -> JobCall:
    """The kept form of a call."""
    types, spaces = invocation.types, invocation.spaces
    given = parameters(invocation.given, types, spaces)
    return JobCall(invocation.method, invocation.target, given, codes, types, spaces, Instance("", {}))


def parameters(values: Mapping[str, Any], types: Mapping[str, str], spaces: Mapping[str, str]) -> Instance:
    """Parameters of a call as properties (rules 3 and 4); the view that shows them names the class."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        kept = None if value is None else _without_secrets(name, value, spaces)
        if value is None or kept is not None:
            found[name] = kept
    while found and sum(map(_size, found.values())) > LARGEST:
        del found[max(found, key=lambda name: _size(found[name]))]
    texts = {name: "string" if types.get(name) == "reference" else types.get(name, "") for name in found}
    return Instance("", found, None, texts)


def _without_secrets(name: str, value: Any, spaces: Mapping[str, str]) -> Any:
    """A value without what must not be kept; None if nothing is left of it."""
    if _SECRET_NAME.search(name):
        return None
    if isinstance(value, Path):
        return model_path(value, spaces)
    if isinstance(value, str):
        return None if _SECRET_TEXT.search(value) else value
    if isinstance(value, tuple | list):
        return tuple(kept for kept in (_without_secrets(name, one, spaces) for one in value) if kept is not None)
    if isinstance(value, Instance):
        inner = {
            key: _without_secrets(key, one, spaces) for key, one in value.values.items() if not isinstance(one, Path)
        }
        return Instance(value.classname, {key: one for key, one in inner.items() if one is not None}, None, value.types)
    return value


def _size(value: Any) -> int:
    """Characters, roughly."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    if isinstance(value, Instance):
        return sum(len(name) + _size(one) for name, one in value.values.items())
    return len(value) if isinstance(value, str) else 8


class JobCalls:
    """The calls of jobs, by the references of their tasks."""

    def __init__(self) -> None:
        self._calls: dict[str, JobCall] = {}

    def note(self, task: str, call: JobCall) -> None:
        self._calls[task] = call
        if len(self._calls) > MOST:
            del self._calls[next(iter(self._calls))]

    def gave(self, task: str, out: Mapping[str, Any]) -> None:
        """Note the output parameters of the call that started a job."""
        call = self._calls.get(task)
        if call is not None:
            self._calls[task] = replace(call, gave=parameters(out, call.types, call.spaces))

    def find(self, task: str) -> JobCall | None:
        return self._calls.get(task)

    def forget(self, task: str) -> None:
        self._calls.pop(task, None)
